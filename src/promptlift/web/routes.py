"""The pages, their fragments, the events and pictures of jobs, downloads, and the key."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi import Path as InPath
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from promptlift import __version__
from promptlift.facts import Facts
from promptlift.files import html_templates, write_atomic
from promptlift.options import ITEM_OPTIONS, Options
from promptlift.planning import Plan
from promptlift.record import Failure, FrameInfo, Record
from promptlift.review import review
from promptlift.server.errors import ApiError, invalid_request
from promptlift.server.jobs import Event, Job
from promptlift.server.routes import EventStream, ServiceDep
from promptlift.server.schemas import UpsampleRequest
from promptlift.server.security import COOKIE, SESSION_SECONDS
from promptlift.server.service import Service
from promptlift.server.uploads import Upload
from promptlift.targets import estimate_tokens
from promptlift.text import parse_size
from promptlift.video.reader import AnalysedError, Detail, FrameChoice
from promptlift.web import media, presenters
from promptlift.web.presenters import JobView

__all__ = [
    "FORM_FIELDS",
    "PICTURE_FIELDS",
    "accept_job",
    "attachment",
    "found",
    "key_page",
    "needs_key",
    "page",
    "parse_form",
    "read_form",
    "render_template",
    "router",
]

T = TypeVar("T")
HexId = Annotated[str, InPath(pattern="^[0-9a-f]{32}$")]
PICTURE_FIELDS: Final = ("image", "last_image", "references")
FORM_FIELDS: Final = ("upload_id", *PICTURE_FIELDS, "prompt", "engine", *ITEM_OPTIONS)
_MOST_FIELDS = 200
_VARIATIONS = 3
_MOST_COLUMNS = 6
_MOST_PIXELS = 2**26  # 64 frames of 1024x1024; nobody shows a model more
_LONGEST_TEXT = 50_000
_LISTED = 60
_RECENT = 5
_SEEDS = 2**31
_POSTER_SIDE, _THUMBNAIL_SIDE = 480, 192
_SIDES = ("a", "b", "c")
_PLAN = TypeAdapter(Plan)
_CACHED = {"Cache-Control": "private, max-age=86400, immutable"}
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
_BLANK = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 9"/>'

router = APIRouter()


# ---- static files and templates

_STATIC = StaticFiles(packages=[(__package__, "static")])


@router.get("/page/static/{name:path}")
async def static_file(request: Request, name: str) -> Response:
    """A file of the page; browsers ask whether it has changed."""
    answer = await _STATIC.get_response(name, request.scope)
    answer.headers["Cache-Control"] = "no-cache"
    return answer


_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    # With no-referrer, browsers send forms with "Origin: null", which is refused as foreign.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


def _page_values(request: Request) -> dict[str, Any]:
    service: Service = request.app.state.service
    return {
        "tab": request.url.path,
        "engines": list(service.engines),
        "locked": bool(service.config.keys),
        "limits": service.config,
    }


_TEMPLATES = Jinja2Templates(
    env=html_templates("promptlift.web"), context_processors=[_page_values]
)
_TEMPLATES.env.filters.update(presenters.FILTERS)
_TEMPLATES.env.globals.update(presenters.GLOBALS, version=__version__, examples=media.EXAMPLE_CLIPS)


def render_template(name: str, **values: Any) -> str:
    """A template without a request, such as an event's fragment."""
    return _TEMPLATES.get_template(name).render(**values)


def page(
    request: Request, name: str, *, status: int = 200, push: str | None = None, **values: Any
) -> Response:
    """A page, or a fragment of one.

    Args:
        request: The request.
        name: The template.
        status: HTTP status.
        push: The address that the browser shows from now on.
        **values: For the template.
    """
    headers = _HEADERS if push is None else {**_HEADERS, "HX-Push-Url": push}
    return _TEMPLATES.TemplateResponse(request, name, values, status_code=status, headers=headers)


def found(get: Callable[[], T]) -> tuple[T | None, Failure | None]:
    """What a page shows, or why there is no such thing."""
    try:
        return get(), None
    except ApiError as error:
        return None, error.failure


# ---- forms


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form without the empty ones; several values of one are joined by commas."""
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        fields: dict[str, str] = {}
        for name, value in form.multi_items():
            if isinstance(value, str) and value:
                fields[name] = f"{fields[name]},{value}" if name in fields else value
        return fields


def parse_form(fields: Mapping[str, Any]) -> UpsampleRequest:
    """The request that a form makes.

    Raises:
        ApiError: A field has a wrong value, or there is neither a video nor a prompt.
        OptionError: An option has a wrong value.
    """
    is_bare = not any(name in fields for name in ("upload_id", *PICTURE_FIELDS))
    if is_bare and not fields.get("prompt", "").strip():
        raise ApiError(
            422,
            "no_video",
            "there is neither a video nor a prompt yet",
            remedy="write a short prompt, choose a video, or do both",
        )
    Options().merged({name: fields[name] for name in ITEM_OPTIONS if name in fields})
    try:
        return UpsampleRequest(**{name: fields[name] for name in FORM_FIELDS if name in fields})
    except ValidationError as error:
        wrong = invalid_request(error.errors(include_url=False, include_context=False)).failure
        raise ApiError(422, wrong.code, wrong.message, remedy="correct that field") from None


async def accept_job(service: Service, request: Request, fields: UpsampleRequest) -> Job:
    """Accept a job, as ``POST /v1/jobs`` does.

    Raises:
        ApiError: The video is gone, or the queue is full.
        OptionError: The options exclude each other.
    """
    return await service.jobs.accept(fields, request.state.owner, request.state.client)


def _with_another_seed(fields: UpsampleRequest) -> UpsampleRequest:
    seed = secrets.randbelow(_SEEDS)
    return fields.model_copy(update={"seed": seed, "fresh": False})


# ---- the key: it is entered once, and the browser then has a session


def needs_key(request: Request) -> bool:
    """Whether the server has keys and this browser has no session."""
    return bool(request.app.state.service.config.keys) and not request.state.owner


def key_page(request: Request, *, wrong: bool = False, then: str | None = None) -> Response:
    """The page that asks for the key, and goes on to what was asked for."""
    if then is None:
        then = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return page(request, "key.html", status=401, wrong=wrong, then=then)


@router.post("/page/enter")
async def start_session(request: Request) -> Response:
    """Check the key, and begin a session."""
    form = await read_form(request)
    then = form.get("then", "/")
    inside = then.startswith("/") and not then.startswith(("//", "/\\")) and then.isprintable()
    then = then if inside else "/"
    auth = request.app.state.auth
    owner = auth.owner({"x-api-key": form.get("key", "").strip()})
    if not owner:
        return key_page(request, wrong=True, then=then)
    answer = RedirectResponse(then, status_code=303)
    answer.set_cookie(
        COOKIE,
        auth.issue_session(owner),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/page/leave")
async def end_session() -> Response:
    """End the session of this browser."""
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


# ---- one video


async def _job(request: Request, service: ServiceDep, job_id: HexId) -> Job:
    return service.jobs.get(job_id, request.state.owner)


JobDep = Annotated[Job, Depends(_job)]


def _view(service: Service, job: Job) -> JobView:
    return presenters.job_view(job, service.jobs.record(job), has_video=_has_video(service, job))


def _has_video(service: Service, job: Job) -> bool:
    """Whether all that the job was given is still there, to do it again."""
    jobs = service.jobs
    refs = found(
        lambda: [read(job.fields, job.owner) for read in (jobs.video_ref, jobs.other_refs)]
    )
    return refs[1] is None


def _clip(service: Service, fields: UpsampleRequest | None, owner: str) -> Upload | None:
    """The upload of ``_clip.html``; None where it is gone."""
    upload_id = fields.upload_id or fields.image if fields else None
    return found(lambda: service.uploads.get(upload_id or "", owner))[0]


@router.get("/")
async def home_page(
    request: Request, service: ServiceDep, job: str = "", beside: str = ""
) -> Response:
    """One video and one prompt; with ``job``, that job; ``beside`` names those it belongs to."""
    if needs_key(request):
        return key_page(request)
    owner = request.state.owner
    view, problem = found(lambda: _view(service, service.jobs.get(job, owner)) if job else None)
    asked = view.job.fields if view else None
    return page(
        request,
        "home.html",
        view=view,
        problem=problem,
        asked=asked,
        clip=_clip(service, asked, owner),
        beside=beside,
        recent=[] if view else await service.jobs.search(owner, (), _RECENT),
    )


@router.get("/page/clips/{upload_id}")
async def clip_fragment(request: Request, service: ServiceDep, upload_id: HexId) -> Response:
    """An upload, with the field that names it."""
    return page(request, "_clip.html", clip=service.uploads.get(upload_id, request.state.owner))


@router.get("/page/clips/{upload_id}/poster")
async def clip_poster(request: Request, service: ServiceDep, upload_id: HexId) -> Response:
    """The first picture of an upload."""
    path = service.uploads.path(service.uploads.get(upload_id, request.state.owner))
    work = partial(service.pool.call, media.first_picture, str(path), _POSTER_SIDE)
    picture = await service.run_decode(request.state.client, work)
    return Response(picture, headers=_CACHED, media_type="image/webp")


_drawing = asyncio.Lock()


@router.post("/page/examples/{name}")
async def add_example(request: Request, service: ServiceDep, name: str) -> Response:
    """Add an example to the uploads; it is drawn once."""
    if name not in media.EXAMPLE_CLIPS:
        raise ApiError(404, "not_found", "there is no such example", remedy="reload the page")
    path = service.config.data / "page" / "examples" / f"{name}.mp4"
    async with _drawing:
        if not path.exists():
            await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            await service.pool.call(media.draw_example, name, str(path))

    async def chunks() -> AsyncIterator[bytes]:
        yield await asyncio.to_thread(path.read_bytes)

    upload = await service.uploads.receive(path.name, request.state.owner, chunks())
    return page(
        request,
        "_clip.html",
        clip=upload,
        suggestion=media.EXAMPLE_CLIPS[name].prompt,
    )


@router.post("/page/jobs")
async def start_job(request: Request, service: ServiceDep) -> Response:
    """Accept a job, and show it."""
    return await _started(service, request, parse_form(await read_form(request)))


async def _started(service: Service, request: Request, fields: UpsampleRequest) -> Response:
    job = await accept_job(service, request, fields)
    return page(request, "_job.html", push=f"/?job={job.id}", view=_view(service, job))


@router.post("/page/jobs/{job_id}/stop")
async def stop_job(request: Request, service: ServiceDep, job: JobDep) -> Response:
    """Cancel a job."""
    await service.jobs.cancel(job)
    return page(request, "_job.html", view=_view(service, job))


@router.post("/page/jobs/{job_id}/variations")
async def start_variations(request: Request, service: ServiceDep, job: JobDep) -> Response:
    """Variations of the same request, from another seed than before, side by side."""
    fields = _with_another_seed(job.fields)
    jobs = [
        await accept_job(service, request, fields.model_copy(update={"variation": number}))
        for number in range(1, _VARIATIONS + 1)
    ]
    ids = ",".join(one.id for one in jobs)
    return Response(headers={"HX-Redirect": f"/compare?jobs={ids}"})


@router.post("/page/jobs/{job_id}/review")
async def review_edited(request: Request, service: ServiceDep, job: JobDep) -> Response:
    """Review a text that a person has edited, by the checks of the engine's answers."""
    record = _record(service, job)
    text = (await read_form(request)).get("text", "")[:_LONGEST_TEXT]  # the page sends no more
    goal = job.options.goal
    text = presenters.one_line_json(text) if goal.form == "json" else text
    measured = record.facts.kind.value if record.facts and record.facts.kind else None
    kind = job.options.control or measured
    verdict = review(
        text,
        finish_reason="stop",
        short_prompt=record.short_prompt,
        target=goal,
        facts=record.facts,
        control=None if kind == "rgb" else kind,
        creativity=job.options.creativity,
        style=job.options.style,
    )
    view = replace(
        _view(service, job),
        text=text,
        tokens=estimate_tokens(text, goal),
        estimated=True,
        review=verdict,
    )
    return page(request, "_reviewed.html", view=view)


def _record(service: Service, job: Job) -> Record:
    record = service.jobs.record(job)
    if record is None:
        raise ApiError(404, "record_not_found", "this job has no record", remedy="run it again")
    return record


@router.post("/page/jobs/{job_id}/download")
async def download_result(request: Request, service: ServiceDep, job: JobDep) -> Response:
    """The text as it stands in the form, or the record."""
    record = _record(service, job)
    form = await read_form(request)
    stem = _UNSAFE.sub("-", job.name.rpartition(".")[0] or job.name)[:60]
    if form.get("as") == "record":
        content = record.model_dump_json(indent=2)
        return attachment(content, f"{stem or 'prompt'}.record.json", "application/json")
    text = form.get("text", record.prompt or "").replace("\r\n", "\n").strip()
    text = presenters.one_line_json(text) if job.options.goal.form == "json" else text
    return attachment(f"{text}\n", f"{stem or 'prompt'}.txt", "text/plain")


def attachment(content: str, name: str, media_type: str) -> Response:
    """A file that the browser saves."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=f"{media_type}; charset=utf-8")


@router.post("/page/jobs/{job_id}/{how}")
async def repeat_job(
    request: Request, service: ServiceDep, job: JobDep, how: Literal["again", "retry"]
) -> Response:
    """The same with another seed, or the same once more."""
    fields = job.fields
    if how == "again":
        fields = _with_another_seed(fields)
    else:
        fields = fields.model_copy(update={"fresh": True})
    return await _started(service, request, fields)


# ---- a job while it runs, and its pictures


@router.get("/page/jobs/{job_id}/events")
async def job_fragments(
    service: ServiceDep,
    job: JobDep,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """The events of a job as fragments of the page; ``over`` is the last."""
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    if job.done and after >= job.events.last:
        return Response(status_code=204)  # ends the browser's own reconnecting
    return EventStream(_follow(service, job, after))


async def _follow(service: Service, job: Job, after: int) -> AsyncGenerator[bytes, None]:
    async for event in job.events.follow(after):
        if event is None:
            yield KEEPALIVE_COMMENT
        elif event.name in ("attempt", "piece"):
            yield event.encode()  # put in as text by the page's script, never as HTML
        elif html := _event_html(service, job, event):
            name = "stage" if event.name == "queued" else event.name
            yield format_sse_event(data_str=html, event=name, id=str(event.number))
    if job.done:
        html = render_template("_job.html", view=_view(service, job))
        yield format_sse_event(data_str=html, event="over", id=str(job.events.last))


def _event_html(service: Service, job: Job, event: Event) -> str | None:
    data = json.loads(event.data)
    match event.name:
        case "queued" | "stage":
            values = {"stage": "queued", "waiting": None, **data}
            return render_template("_progress.html", **values)
        case "facts":
            return render_template("_facts.html", facts=Facts.model_validate(data))
        case "plan":
            return render_template("_cost.html", plan=_PLAN.validate_python(data), tokens=None)
        case "frames" if job.fields.has_pictures:
            frames = [FrameInfo(**one) for one in data["frames"]]
            upload, _ = found(lambda: service.uploads.get(job.fields.upload_id or "", job.owner))
            seconds = float(upload.probe.duration or 0) or None if upload else None
            values = {"frames": frames, "count": len(frames), "seconds": seconds}
            return render_template("_frames.html", job=job, has_video=True, **values)
        case "text":
            return render_template("_text.html", text=data["text"])
    return None


@router.get("/page/jobs/{job_id}/frames/{number}")
async def frame_picture(
    request: Request,
    service: ServiceDep,
    job: JobDep,
    number: Annotated[int, InPath(ge=0, lt=64)],
    count: Annotated[int, Query(ge=1, le=64)],
    size: Annotated[str, Query(pattern="^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$")],
    form: Literal["png", "webp"] = "webp",
) -> Response:
    """A frame at the size that the model sees; as ``png`` with every pixel as it was."""
    options = job.options
    video = service.jobs.video_ref(job.fields, job.owner)
    others = service.jobs.other_refs(job.fields, job.owner)
    paths = [ref.path for role, ref in others if role != "first"]
    own, box = count - len(paths), parse_size(size)
    if not 0 <= own <= options.frame_count or count * box.pixels > _MOST_PIXELS:
        raise ApiError(422, "invalid", "the job has no such frames", remedy="reload the page")
    choice = FrameChoice(options.strategy, own, options.fps, options.exact, options.at)
    plan, detail = partial(media.fixed_frames, own, box), _detail(service, job)
    path = video.path if video is not None else None
    if number >= own and number - own < len(paths):
        path, choice, number = paths[number - own], FrameChoice(count=1), 0
        plan, detail = partial(media.fixed_frames, 1, box), "low"
    if path is None:
        raise ApiError(404, "not_found", "there is no such frame", remedy="reload the page")
    work = partial(service.videos.read, path, choice, plan, detail=detail)
    try:
        _, frames = await service.run_decode(request.state.client, work)
    except AnalysedError as failed:
        raise failed.error from None
    if number >= len(frames):
        raise ApiError(404, "not_found", "there is no such frame", remedy="reload the page")
    picture = await asyncio.to_thread(media.encode_picture, frames[number].image, form)
    return Response(picture, headers=_CACHED, media_type=f"image/{form}")


def _detail(service: Service, job: Job) -> Detail:
    """How the video was analysed for its job: the frames are then in the cache."""
    try:
        info = service.engines.get(job.fields.engine).info
    except ApiError:
        return "full"
    return "low" if info and info.reads_text else "full"


@router.get("/page/jobs/{job_id}/thumbnail")
async def job_thumbnail(request: Request, service: ServiceDep, job: JobDep) -> Response:
    """A thumbnail of a job's video, stored so that it outlives the upload; else a blank picture."""
    record = service.jobs.record(job)
    name = hashlib.sha256(((record and record.video.content) or job.id).encode()).hexdigest()[:32]
    path = service.config.data / "page" / "thumbnails" / f"{name}.webp"
    video, _ = found(lambda: service.jobs.video_ref(job.fields, job.owner))
    if not path.exists() and video is not None:
        work = partial(service.pool.call, media.first_picture, str(video.path), _THUMBNAIL_SIDE)
        picture = await service.run_decode(request.state.client, work)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(write_atomic, path, picture)
    if not path.exists():
        return Response(_BLANK, media_type="image/svg+xml")
    return Response(path.read_bytes(), headers=_CACHED, media_type="image/webp")


# ---- history


@router.get("/history")
async def history_page(
    request: Request, service: ServiceDep, q: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """The jobs of this key that have all of these words, the newest first."""
    if needs_key(request):
        return key_page(request)
    entries = await service.jobs.search(request.state.owner, q.split(), _LISTED)
    most = _LISTED if len(entries) == _LISTED else None
    return page(request, "history.html", entries=entries, q=q, most=most)


# ---- comparison


@router.get("/compare")
async def compare_page(
    request: Request, service: ServiceDep, jobs: Annotated[str, Query(max_length=500)] = ""
) -> Response:
    """One clip, treated in several ways."""
    if needs_key(request):
        return key_page(request)
    owner = request.state.owner
    ids = jobs.split(",")[:_MOST_COLUMNS] if jobs else []
    all_jobs, problem = found(lambda: [service.jobs.get(one, owner) for one in ids])
    shown = all_jobs or []
    asked = shown[0].fields if shown else None
    return page(
        request,
        "compare.html",
        problem=problem,
        asked=asked,
        clip=_clip(service, asked, owner),
        variants=[job.fields for job in shown[: len(_SIDES)]],
        **_columns(service, shown),
    )


@router.post("/page/compare")
async def start_compare(request: Request, service: ServiceDep) -> Response:
    """Accept a job for each column of the form."""
    form = await read_form(request)
    shared = {name: value for name, value in form.items() if "." not in name}
    variants = []
    for side in _SIDES:
        if f"{side}.on" in form:
            own = {name[2:]: form[name] for name in form if name.startswith(f"{side}.")}
            variants.append(parse_form(shared | own))
    if len({one.model_dump_json() for one in variants}) < max(2, len(variants)):
        raise ApiError(
            422,
            "same",
            "there is nothing to compare: two variants are the same",
            remedy="choose another engine, or change an option of one",
        )
    jobs = [await accept_job(service, request, one) for one in variants]
    values = _columns(service, jobs)
    return page(request, "_columns.html", push=f"/compare?jobs={values['ids']}", **values)


def _columns(service: Service, jobs: list[Job]) -> dict[str, Any]:
    """The values of ``_columns.html``; the titles name the engine where there are several."""
    labels = {name: field.label for name, field in presenters.FIELDS.items()}
    settings = []
    for job in jobs:
        values = {"Engine": job.fields.engine or service.engines.first.label}
        options = job.options
        values |= {label: _setting(getattr(options, name)) for name, label in labels.items()}
        settings.append(values)
    differ = [name for name in labels.values() if len({one[name] for one in settings}) > 1]
    if len(service.engines) > 1:
        differ = ["Engine", *differ]
    return {
        "columns": [
            {
                "title": ", ".join(f"{name}: {one[name]}" for name in differ) or "The same",
                "view": _view(service, job),
            }
            for one, job in zip(settings, jobs, strict=True)
        ],
        "ids": ",".join(job.id for job in jobs),
        "over": all(job.done for job in jobs),
    }


def _setting(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return {"None": "automatic", "True": "yes", "False": "no"}.get(str(value), str(value))
