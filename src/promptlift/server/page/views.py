"""The four tabs."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from promptlift.config import Options
from promptlift.server.errors import Refusal
from promptlift.server.jobs import Job
from promptlift.server.page.batches import batch_values, newest_batches
from promptlift.server.page.clips import EXAMPLES, clip_values
from promptlift.server.page.compare import columns_of, jobs_named
from promptlift.server.page.entrance import ask_for_key, closed
from promptlift.server.page.live import story
from promptlift.server.page.rendering import fragment, page
from promptlift.server.routes.common import Serving
from promptlift.server.service import Service

__all__ = ["PATHS", "router"]

PATHS = frozenset({"/", "/batch", "/compare", "/history"})
_ID = re.compile(r"[0-9a-f]{32}")
_SEARCHED = 5000
_SEARCHED_DEEPLY = 1000
_AT_ONCE = 20
_LISTED = 60
_RECENT = 5
_DEFAULTS = Options()

router = APIRouter()


@router.get("/")
async def home(request: Request, service: Serving, job: str = "") -> Response:
    """One video, one prompt; with ``job``, what became of it."""
    if closed(request):
        return ask_for_key(request)
    told, lost = None, None
    if job:
        try:
            told = story(service, _job(service, job, request.state.owner))
        except Refusal as refusal:
            lost = refusal.failure
    asked = told.job.wish.asked if told else None
    clip = None
    if asked is not None and asked.upload_id is not None and told and told.kept:
        clip = clip_values(service, asked.upload_id, request.state.owner)
    recent = [_entry(service, one) for one in service.jobs.newest(request.state.owner, _RECENT)]
    return page(
        request,
        "home.html",
        story=told,
        lost=lost,
        clip=clip,
        asked=asked,
        defaults=_DEFAULTS,
        examples=EXAMPLES,
        recent=recent,
        limits=service.settings,
    )


@router.get("/history")
async def history(
    request: Request, service: Serving, q: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Everything that was asked for with this key, the newest first."""
    if closed(request):
        return ask_for_key(request)
    return page(request, "history.html", **await _found(service, request.state.owner, q))


@router.get("/page/history")
async def search(
    request: Request, service: Serving, q: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """The same list alone, as it is typed."""
    values = await _found(service, request.state.owner, q)
    return fragment("_history.html", push=f"/history?q={quote(q)}" if q else "/history", **values)


@router.get("/compare")
async def compare(
    request: Request, service: Serving, jobs: Annotated[str, Query(max_length=500)] = ""
) -> Response:
    """One clip, treated in several ways."""
    if closed(request):
        return ask_for_key(request)
    found, lost = [], None
    if jobs:
        try:
            found = jobs_named(service, jobs, request.state.owner)
        except Refusal as refusal:
            lost = refusal.failure
    asked = found[0].wish.asked if found else None
    clip = None
    if asked is not None and asked.upload_id is not None:
        clip = clip_values(service, asked.upload_id, request.state.owner, missing_ok=True)
    return page(
        request,
        "compare.html",
        lost=lost,
        columns=columns_of(service, found),
        over=all(job.over for job in found),
        ids=jobs,
        clip=clip,
        asked=asked,
        variants=[job.wish.asked for job in found[:2]],
        defaults=_DEFAULTS,
        examples=EXAMPLES,
        limits=service.settings,
    )


@router.get("/batch")
async def batch(
    request: Request, service: Serving, run: Annotated[str, Query(max_length=32)] = ""
) -> Response:
    """Many videos at once."""
    if closed(request):
        return ask_for_key(request)
    shown, lost = None, None
    if run:
        try:
            shown = await batch_values(service, run, request.state.owner)
        except Refusal as refusal:
            lost = refusal.failure
    return page(
        request,
        "batch.html",
        run=shown,
        lost=lost,
        batches=await newest_batches(service, request.state.owner),
        asked=None,
        defaults=_DEFAULTS,
    )


async def _found(service: Service, owner: str, searched: str) -> dict[str, Any]:
    """The newest jobs with all of these words, by day."""
    wanted = searched.lower().split()
    groups: dict[str, list[dict[str, Any]]] = {}
    listed = 0
    for number, job in enumerate(service.jobs.newest(owner, _SEARCHED)):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)  # others have their turn
        if _matches(service, job, wanted, deep=number < _SEARCHED_DEEPLY):
            groups.setdefault(_day(job.created), []).append(_entry(service, job))
            listed += 1
        if listed == _LISTED:
            break
    return {"groups": groups, "q": searched, "listed": listed, "most": _LISTED}


def _day(seconds: float) -> str:
    day, today = (time.strftime("%d %B %Y", time.gmtime(at)) for at in (seconds, time.time()))
    return "Today" if day == today else day.removeprefix("0")


def _matches(service: Service, job: Job, wanted: list[str], *, deep: bool) -> bool:
    """Whether all words are in what the user wrote, or, failing that, in what came back."""
    asked = job.wish.asked
    said = (job.wish.name, asked.prompt, asked.target, asked.engine or "", job.state)
    text = " ".join(said).lower()
    missing = [word for word in wanted if word not in text]
    if not missing or not deep:
        return not missing
    record = service.jobs.record(job)
    told = (record.prompt or "").lower() if record else ""
    return all(word in told for word in missing)


def _entry(service: Service, job: Job) -> dict[str, Any]:
    record = service.jobs.record(job)
    return {"job": job, "record": record}


def _job(service: Service, job_id: str, owner: str) -> Job:
    if not _ID.fullmatch(job_id):
        raise Refusal(404, "job_not_found", "there is no such job", remedy="look into the history")
    return service.jobs.get(job_id, owner)
