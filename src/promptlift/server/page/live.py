"""A job while it runs: its events as parts of the page, and the pictures it is about."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from fractions import Fraction
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response

from promptlift.core.facts import Facts
from promptlift.core.record import FrameSeen, Planned
from promptlift.server.errors import Refusal
from promptlift.server.events import PING, Event, as_sse
from promptlift.server.jobs import Job
from promptlift.server.models import parse_size
from promptlift.server.page.cost import cost_of
from promptlift.server.page.pictures import KINDS, THUMB_SIDE, Thumbnails, encode, poster
from promptlift.server.page.rendering import html
from promptlift.server.page.story import Story, seen, story_of
from promptlift.server.page.words import facts_in_words
from promptlift.server.routes.common import EventStream, Serving
from promptlift.server.service import Service

__all__ = ["router", "story"]

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
_DRAFT = ("attempt", "piece")
_MOST_PIXELS = 2**26  # 64 frames of 1024x1024; nobody shows a model more
_BLANK = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 9"/>'

router = APIRouter()


def story(service: Service, job: Job) -> Story:
    """What can be told of a job now."""
    return story_of(job, service.jobs.record(job), kept=_kept(service, job))


def _kept(service: Service, job: Job) -> bool:
    try:
        service.worker.place(job.wish.asked, job.owner)
    except Refusal:
        return False
    return True


@router.get("/page/jobs/{job_id}/events")
async def events(
    request: Request,
    service: Serving,
    job_id: JobId,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """What a job tells while it runs, as parts of the page; ``over`` is the last."""
    job = service.jobs.get(job_id, request.state.owner)
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    if job.over and after >= job.feed.last:
        return Response(status_code=204)  # ends the browser's own reconnecting
    return EventStream(_follow(service, job, after))


async def _follow(service: Service, job: Job, after: int) -> AsyncGenerator[bytes, None]:
    async for event in job.feed.follow(after):
        if event is None:
            yield PING
        elif event.name in _DRAFT:
            yield as_sse(event)  # put in as text by the page's script, never as HTML
        elif told := _told(service, job, event):
            yield _sse(event.number, *told)
    if job.over:
        yield _sse(job.feed.last, "over", html("_story.html", story=story(service, job)))


def _told(service: Service, job: Job, event: Event) -> tuple[str, str] | None:
    """An event's name on the page and its part of it; None where it shows nothing."""
    match event.name:
        case "queued" | "stage":
            said = json.loads(event.data)
            return "stage", html("_progress.html", stage=said.get("stage", "queued"), said=said)
        case "facts":
            facts = Facts.model_validate_json(event.data)
            return "facts", html("_facts.html", facts=facts_in_words(facts))
        case "plan":
            return "plan", html("_cost.html", cost=cost_of(Planned.model_validate_json(event.data)))
        case "frames":
            frames = [FrameSeen(**one) for one in json.loads(event.data)["frames"]]
            told = seen(job, frames, _seconds(service, job), kept=True)
            return "frames", html("_shown.html", seen=told, kept=True)
        case "text":
            return "text", html("_text.html", said=json.loads(event.data))
    return None


def _sse(number: int, name: str, part: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in part.splitlines())
    return f"id: {number}\nevent: {name}\n{lines}\n".encode()


def _seconds(service: Service, job: Job) -> float | None:
    try:
        kept = service.uploads.get(job.wish.asked.upload_id or "", job.owner)
    except Refusal:
        return None
    return float(Fraction(kept.probe.duration)) if kept.probe.duration else None


@router.get("/page/jobs/{job_id}/frames/{number}")
async def frame(
    request: Request,
    service: Serving,
    job_id: JobId,
    number: Annotated[int, Path(ge=0, lt=64)],
    count: Annotated[int, Query(ge=1, le=64)],
    size: Annotated[str, Query(pattern="^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$")],
    form: Annotated[str, Query(pattern="^(png|webp)$")] = "webp",
) -> Response:
    """One hint frame at the size that the model sees; ``png`` has the very pixels."""
    job = service.jobs.get(job_id, request.state.owner)
    place = service.worker.place(job.wish.asked, job.owner)
    box = parse_size(size)
    assert box is not None
    if count > job.wish.asked.frames or count * box.width * box.height > _MOST_PIXELS:
        raise Refusal(422, "invalid", "the job has no such frames", remedy="load the page again")
    options = job.wish.asked.options()
    frames = await service.look(
        request.state.client, partial(service.sights.look, place.path, options, count, box)
    )
    if number >= len(frames):
        raise Refusal(404, "not_found", "there is no such frame", remedy="load the page again")
    image = frames[number].image
    if place.content is not None and number == 0:
        small = await asyncio.to_thread(encode, image, "webp", side=THUMB_SIDE)
        await _thumbnails(service).keep(place.content, small)
    picture = await asyncio.to_thread(encode, image, "png" if form == "png" else "webp")
    return Response(picture, headers=_KEPT, media_type=KINDS[form])


@router.get("/page/jobs/{job_id}/thumbnail")
async def thumbnail(request: Request, service: Serving, job_id: JobId) -> Response:
    """A small picture of a job's video, also when the video is no longer kept; else a blank one."""
    job = service.jobs.get(job_id, request.state.owner)
    record = service.jobs.record(job)
    content = record.video.content if record else None
    if content is None:
        return Response(_BLANK, media_type="image/svg+xml")
    thumbnails = _thumbnails(service)
    found = thumbnails.get(content)
    if found is None and _kept(service, job):
        path = service.worker.place(job.wish.asked, job.owner).path
        look = partial(service.crew.call, poster, str(path), THUMB_SIDE)
        found = await service.look(request.state.client, look)
        await thumbnails.keep(content, found)
    if found is None:
        return Response(_BLANK, media_type="image/svg+xml")
    return Response(found, headers=_KEPT, media_type=KINDS["webp"])


def _thumbnails(service: Service) -> Thumbnails:
    return Thumbnails(service.settings.data / "page" / "thumbnails")
