"""``/v1/jobs``: work that outlives the connection, and the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from promptlift.core.record import Failure
from promptlift.server.events import as_sse
from promptlift.server.intake import body_schema
from promptlift.server.jobs import Job
from promptlift.server.models import JobOut, JobsOut, UpsampleAsked
from promptlift.server.queue import stopping
from promptlift.server.routes.common import EventStream, Serving, problems
from promptlift.server.routes.upsample import final_event, take_wish
from promptlift.server.service import Service
from promptlift.server.wishes import Done

__all__ = ["router"]

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As it was given.")]


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=JobOut,
    responses=problems(404, 415, 507),
    openapi_extra=body_schema(UpsampleAsked),
)
async def accept(request: Request, service: Serving, response: Response) -> JobOut:
    """Leave a job with the server.

    Once this answers, the job is on the server's disk: a restart goes on with it.
    """
    wish = await take_wish(request, service)
    try:
        wish.asked.options()
        job = await service.jobs.accept(wish, request.state.owner, request.state.client)
    except BaseException:
        service.worker.let_go(wish)
        raise
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _out(service, job, record=False)


@router.get("/v1/jobs", response_model=JobsOut, responses=problems())
async def newest(
    request: Request,
    service: Serving,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobsOut:
    """The last jobs of this key."""
    found = service.jobs.newest(request.state.owner, limit)
    return JobsOut(jobs=[_out(service, job, record=False) for job in found])


@router.get("/v1/jobs/{job_id}", response_model=JobOut, responses=problems(404))
async def look(request: Request, service: Serving, job_id: JobId) -> JobOut:
    """How far a job is; its record, once it has one."""
    return _out(service, service.jobs.get(job_id, request.state.owner), record=True)


@router.delete("/v1/jobs/{job_id}", response_model=JobOut, responses=problems(404))
async def cancel(request: Request, service: Serving, job_id: JobId) -> JobOut:
    """Take a job out, or end it; one that has ended stays as it is."""
    job = service.jobs.get(job_id, request.state.owner)
    await service.jobs.cancel(job)
    return _out(service, job, record=False)


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": (
                "The events so far and to come; `record` or `error` is the last. `attempt` and "
                "`piece` tell the answer as it is written, before any review; they have no id, "
                "and who comes back is told the draft from its beginning."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "The last event was received before."},
        **problems(404),
    },
)
async def events(
    request: Request,
    service: Serving,
    job_id: JobId,
    last_event_id: Annotated[
        str | None, Header(max_length=20, description="Go on after this event.")
    ] = None,
) -> Response:
    """What a job tells while it runs."""
    job = service.jobs.get(job_id, request.state.owner)
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    if job.over and after >= job.feed.last:
        return Response(status_code=204)
    return EventStream(_follow(service, job, after))


async def _follow(service: Service, job: Job, after: int) -> AsyncGenerator[bytes, None]:
    async for event in job.feed.follow(after):
        yield as_sse(event)
    record = service.jobs.record(job)
    failure = job.error if job.over else stopping().failure
    if failure is None and record is None:
        failure = _LOST
    yield as_sse(final_event(job.feed.last, Done(job.key, record, failure)))


_LOST = Failure(
    code="record_not_found",
    message="the journal has no record of this job any more",
    remedy="send it again",
    retryable=False,
)


def _out(service: Service, job: Job, *, record: bool) -> JobOut:
    return JobOut(
        id=job.id,
        state=job.state,
        created=job.created,
        ended=job.ended,
        video=job.wish.name,
        prompt=job.wish.asked.prompt,
        key=job.key,
        error=job.error,
        record=service.jobs.record(job) if record else None,
    )
