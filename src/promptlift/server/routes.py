"""The routes below ``/v1``, and those for monitoring."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from promptlift.errors import PromptliftError
from promptlift.facts import Facts
from promptlift.pipeline import Prepared, prepare, profile_of
from promptlift.planning import DEFAULT_CONTEXT, Plan, plan
from promptlift.record import Failure, Record
from promptlift.server.engines import PooledEngine
from promptlift.server.errors import (
    ApiError,
    failure_of,
    hide_paths,
    problem_response,
    status_of,
    without_paths,
)
from promptlift.server.jobs import Event, Job, VideoRef
from promptlift.server.metrics import CONTENT_TYPE
from promptlift.server.scheduler import stopping_error
from promptlift.server.schemas import (
    BudgetRequest,
    EngineResponse,
    EnginesResponse,
    FactsRequest,
    HintsRequest,
    JobResponse,
    JobsResponse,
    Problem,
    UploadResponse,
    UpsampleRequest,
    VideoFields,
)
from promptlift.server.security import media_type
from promptlift.server.service import Service
from promptlift.server.uploads import body_schema, read_body
from promptlift.video.export import sheet_png

__all__ = ["EventStream", "ServiceDep", "router"]

M = TypeVar("M", bound=VideoFields)


async def _service(request: Request) -> Service:
    # A coroutine, because FastAPI runs other dependencies in a thread, for every request.
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]


_PROBLEMS = (401, 403, 404, 408, 409, 410, 413, 415, 421, 422, 429, 500, 502, 503, 504, 507)
router = APIRouter(
    responses={one: {"model": Problem, "description": HTTPStatus(one).phrase} for one in _PROBLEMS}
)


class EventStream(EventSourceResponse):
    """Server-sent events, for as long as somebody reads them.

    Their source is closed with the connection, also while it waits for a slow reader; left to the
    garbage collector, the work behind it would go on for a while.
    """

    def __init__(self, source: AsyncGenerator[bytes, None]) -> None:
        super().__init__(source, headers={"X-Accel-Buffering": "no"})
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._source.aclose()


# One video, one prompt, one record.


_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("event", "data", "id")},
    "required": ["event", "data"],
}
_STREAM = {"text/event-stream": {"schema": _EVENT}}
_EVENTS = """The events so far and to come. `attempt` and `piece` give the answer as it is written,
before any review: an `attempt` voids the pieces before it. They have no id; who comes back gets
them from the beginning. `text` is the reviewed answer, `record` or `error` the last event."""


@router.post(
    "/v1/upsample",
    response_model=Record,
    responses={
        200: {
            "description": f"The record; or, with stream=1: {_EVENTS}",
            "content": _STREAM,
        },
    },
    openapi_extra=body_schema(UpsampleRequest),
)
async def post_upsample(
    request: Request,
    service: ServiceDep,
    stream: Annotated[bool, Query(description="Send the stages and the text as events.")] = False,
) -> Response:
    """Turn a video and a short prompt, or either alone, into the long prompt, and wait for it.

    The same video, prompt and options are answered with the stored result without asking the
    engine, unless `fresh`. If the client goes away, the work ends.
    """
    owner, client = request.state.owner, request.state.client
    async with _body(request, service, UpsampleRequest) as (fields, _):
        job = await service.jobs.accept(fields, owner, client, stored=False, watched=stream)
    if stream:
        return EventStream(_event_bytes(service, job))
    if job.task is not None:
        gone = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({gone, job.task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not job.task.done():
            job.task.cancel()
            return Response(status_code=499)  # nobody reads it
        job.task.result()  # raises where the time was over, the video is gone, or the server ends
    if job.error is not None:
        headers = {"Retry-After": "5"} if job.error.retryable else {}
        status = status_of(job.error.code)
        return problem_response(status, job.error, headers=headers, record=job.record)
    assert job.record is not None
    headers = {"X-Promptlift-Cached": "yes"} if job.cached else {}
    text = job.record.model_dump_json()
    return Response(text, headers=headers, media_type="application/json")


@contextlib.asynccontextmanager
async def _body(
    request: Request, service: Service, model: type[M]
) -> AsyncIterator[tuple[M, VideoRef | None]]:
    """Read what is asked for; the video is kept, and no error names its path, in the block.

    Args:
        request: The request.
        service: The server.
        model: What its fields are.

    Raises:
        ApiError: The request is at fault.
        VideoError: The file is no video.
    """
    fields = await read_body(request, model, service.uploads)
    video = None
    try:
        if not (isinstance(fields, BudgetRequest) and fields.source is not None):
            video = service.jobs.video_ref(fields, request.state.owner)
            if video is None and not isinstance(fields, UpsampleRequest):
                raise ApiError(
                    422,
                    "no_video",
                    "the request names no video",
                    remedy="send one in the form field video, or give upload_id",
                )
        yield fields, video
    except PromptliftError as error:
        raise without_paths(error, *(() if video is None else (video.path,))) from None
    finally:
        service.uploads.release(fields.upload_ids)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _event_bytes(service: Service, job: Job, after: int = 0) -> AsyncGenerator[bytes, None]:
    """The events of a job, the last one included; one that is not stored ends with its reader."""
    try:
        async for event in job.events.follow(after):
            yield KEEPALIVE_COMMENT if event is None else event.encode()
        record = service.jobs.record(job)
        failure = job.error if job.done else stopping_error().failure
        if failure is None and record is None:
            failure = _LOST
        if failure is None:
            assert record is not None
            last = Event(job.events.last, "record", record.model_dump_json())
        else:
            shown = record.model_dump(mode="json") if record else None
            data = json.dumps({**failure.model_dump(), "record": shown})
            last = Event(job.events.last, "error", data)
        yield last.encode()
    finally:
        if not job.stored and job.task is not None:
            job.task.cancel()


# Uploads.

_UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As it was given.")]


_BYTES = {"type": "string", "format": "binary"}
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": _BYTES}},
    }
}


@router.post("/v1/uploads", status_code=201, openapi_extra=_UPLOAD_BODY)
async def create_upload(
    request: Request,
    service: ServiceDep,
    name: Annotated[str, Query(max_length=1000, description="What to call it.")] = "",
) -> UploadResponse:
    """Send a video once, to ask many things about it; the body is the file."""
    if media_type(request.headers) in ("application/json", "multipart/form-data"):
        raise ApiError(
            415,
            "media_type",
            "the body is no video",
            remedy="send the bytes alone, as `curl --data-binary @clip.mp4` does, with the "
            "content type application/octet-stream",
        )
    return await service.uploads.receive(name, request.state.owner, request.stream())


@router.get("/v1/uploads/{upload_id}")
async def get_upload(request: Request, service: ServiceDep, upload_id: _UploadId) -> UploadResponse:
    """What is known of an upload."""
    return service.uploads.get(upload_id, request.state.owner)


@router.delete("/v1/uploads/{upload_id}", status_code=204)
async def delete_upload(request: Request, service: ServiceDep, upload_id: _UploadId) -> None:
    """Delete an upload now."""
    service.uploads.get(upload_id, request.state.owner)
    if not service.uploads.remove(upload_id):
        raise ApiError(
            409,
            "upload_in_use",
            "a job still needs this upload",
            remedy="wait for the job, or delete it first",
            retry_after=5,
        )


# Jobs: work that outlives the connection, and the server.

_JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As it was given.")]
_LOST = Failure(
    code="record_not_found",
    message="the record of this job is not stored any more",
    remedy="send it again",
    retryable=False,
)


@router.post(
    "/v1/jobs",
    status_code=202,
    openapi_extra=body_schema(UpsampleRequest),
)
async def create_job(request: Request, service: ServiceDep, response: Response) -> JobResponse:
    """Leave a job with the server.

    Once this answers, the job is on the server's disk: a restart goes on with it.
    """
    async with _body(request, service, UpsampleRequest) as (fields, _):
        job = await service.jobs.accept(fields, request.state.owner, request.state.client)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return JobResponse.model_validate(job)


@router.get("/v1/jobs")
async def list_jobs(
    request: Request, service: ServiceDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JobsResponse:
    """The last jobs of this key."""
    jobs = await service.jobs.newest(request.state.owner, limit)
    return JobsResponse(jobs=[JobResponse.model_validate(job) for job in jobs])


@router.get("/v1/jobs/{job_id}")
async def get_job(request: Request, service: ServiceDep, job_id: _JobId) -> JobResponse:
    """How far a job is; its record, once it has one."""
    job = service.jobs.get(job_id, request.state.owner)
    response = JobResponse.model_validate(job)
    return response.model_copy(update={"record": service.jobs.record(job)})


@router.delete("/v1/jobs/{job_id}")
async def cancel_job(request: Request, service: ServiceDep, job_id: _JobId) -> JobResponse:
    """Take a job out, or end it; one that has ended stays as it is."""
    job = service.jobs.get(job_id, request.state.owner)
    await service.jobs.cancel(job)
    return JobResponse.model_validate(job)


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=Response,
    responses={
        200: {"description": _EVENTS, "content": _STREAM},
        204: {"description": "The last event was received before."},
    },
)
async def job_events(
    request: Request,
    service: ServiceDep,
    job_id: _JobId,
    last_event_id: Annotated[
        str | None, Header(max_length=20, description="Go on after this event.")
    ] = None,
) -> Response:
    """What a job reports while it runs."""
    job = service.jobs.get(job_id, request.state.owner)
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    if job.done and after >= job.events.last:
        return Response(status_code=204)
    return EventStream(_event_bytes(service, job, after))


@router.get("/v1/records/{key}", response_model=Record)
async def get_record(
    service: ServiceDep,
    key: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The item's key.")],
) -> Response:
    """The record of an item, by its key."""
    text = service.store.result(key)
    if text is None:
        raise ApiError(
            404,
            "record_not_found",
            "no record of that key is stored",
            remedy="take the key from a record or a job",
        )
    return Response(text, media_type="application/json")


# What can be said of a video without asking the engine.


class _Png(Response):
    media_type = "image/png"


@router.post("/v1/budget", openapi_extra=body_schema(BudgetRequest))
async def post_budget(request: Request, service: ServiceDep) -> Plan:
    """What frames cost in tokens, and the largest size that fits; of a video or of a size."""
    async with _body(request, service, BudgetRequest) as (fields, video):
        size = fields.source
        if video is not None:
            work = partial(service.probe, video.path)
            size = (await service.run_decode(request.state.client, work)).size
        assert size is not None
        options = fields.options()
        return await asyncio.to_thread(
            plan,
            size,
            fields.prompt,
            frames=options.frames,
            context=options.context or DEFAULT_CONTEXT,
            reserve=options.reserve,
            target=options.target,
            family=fields.model,
            size=options.size,
            max_side=options.max_side,
        )


@router.post("/v1/facts", openapi_extra=body_schema(FactsRequest))
async def post_facts(request: Request, service: ServiceDep) -> Facts:
    """What can be measured about a video without a model; what is not sure is left out."""
    async with _body(request, service, FactsRequest) as (_, video):
        assert video is not None
        work = partial(service.videos.analyse, video.path, detail="full", isolated=True)
        return (await service.run_decode(request.state.client, work)).facts


@router.post("/v1/hints", response_class=_Png, openapi_extra=body_schema(HintsRequest))
async def post_hints(request: Request, service: ServiceDep) -> Response:
    """The frames that the engine would be shown, at the size that it would see, as one picture."""
    async with _body(request, service, HintsRequest) as (fields, video):
        assert video is not None
        engine = service.engines.get(fields.engine)
        if engine.trouble is not None:
            raise engine.trouble  # known already; asking again would hold a place of the queue

        async def work() -> Prepared:
            profile = await profile_of(engine.engine)
            return await prepare(
                video.path,
                fields.prompt,
                fields.options(),
                profile,
                service.videos,
                with_frames=True,
            )

        prepared = await service.run_decode(request.state.client, work)
        if prepared.error is not None:
            raise prepared.error
        sheet = await asyncio.to_thread(sheet_png, prepared.frames)
    return _Png(sheet)


# The engines.

_Label = Annotated[
    str | None, Query(max_length=100, description="Which one; the first where none is named.")
]


@router.get("/v1/engine")
async def get_engine(service: ServiceDep, engine: _Label = None) -> EngineResponse:
    """Who answers. Wakes no engine."""
    return _engine_response(service.engines.get(engine))


@router.get("/v1/engines")
async def list_engines(service: ServiceDep) -> EnginesResponse:
    """All engines of this server, the one that answers by itself first. Wakes no engine."""
    return EnginesResponse(engines=[_engine_response(one) for one in service.engines])


@router.post("/v1/engine/sleep")
async def sleep_engine(service: ServiceDep, engine: _Label = None) -> EngineResponse:
    """Have the engine give its GPU memory back; the next request wakes it."""
    found = service.engines.get(engine)
    await found.sleep()
    return _engine_response(found)


@router.post("/v1/engine/wake")
async def wake_engine(service: ServiceDep, engine: _Label = None) -> EngineResponse:
    """Wake the engine before it is needed."""
    found = service.engines.get(engine)
    await found.wake()
    return _engine_response(found)


def _engine_response(engine: PooledEngine) -> EngineResponse:
    return EngineResponse(
        label=engine.label,
        waiting=engine.queue.waiting,
        running=engine.queue.running,
        trouble=failure_of(engine.trouble) if engine.trouble else None,
        state=engine.state,
        can_sleep=engine.can_sleep,
        **(dataclasses.asdict(engine.info) if engine.info else {}),
    )


# Monitoring.


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the server answers at all."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(service: ServiceDep) -> dict[str, str]:
    """Whether work sent now would be done: the first engine answers, results can be written."""
    if service.stopping:
        raise stopping_error()
    if not await service.store.writable():
        raise ApiError(
            503, "no_room", "the database cannot be written", remedy="make room", retry_after=10
        )
    engine = service.engines.first
    if not engine.answers:
        trouble = engine.trouble
        raise ApiError(
            503,
            trouble.code if trouble else "engine_starting",
            hide_paths(trouble.message) if trouble else "the engine has not answered yet",
            remedy=hide_paths(trouble.remedy) if trouble else "wait",
            retry_after=5,
        )
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(service: ServiceDep) -> Response:
    """Counters for Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)
