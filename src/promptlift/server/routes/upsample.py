"""``POST /v1/upsample``: one video, one prompt, one record."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from promptlift.core.record import Record
from promptlift.server.errors import Refusal, problem, status_of, status_of_code
from promptlift.server.events import Event, Feed, as_sse
from promptlift.server.intake import body_schema, read_asked
from promptlift.server.models import UpsampleAsked
from promptlift.server.queue import Ticket, stopping
from promptlift.server.routes.common import EventStream, Serving, problems, while_connected
from promptlift.server.service import Service
from promptlift.server.wishes import Done, Wish

__all__ = ["answered", "final_event", "router", "take_wish"]

router = APIRouter(tags=["upsample"])


@router.post(
    "/v1/upsample",
    response_model=Record,
    responses={
        200: {
            "description": (
                "The record; or, with stream=1, the events of the work. `attempt` and `piece` tell "
                "the answer as it is written, before any review: an `attempt` voids the pieces "
                "before it. `text` is the reviewed answer, `record` or `error` the last event."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(404, 410, 415, 502, 504, 507),
    },
    openapi_extra=body_schema(UpsampleAsked),
)
async def upsample(
    request: Request,
    service: Serving,
    stream: Annotated[bool, Query(description="Send the stages and the text as events.")] = False,
) -> Response:
    """Turn a video and a short prompt into the long prompt, and wait for it.

    The same video, prompt and options are answered from the journal without asking the engine,
    unless `fresh`. If the client goes away, the work ends.
    """
    wish = await take_wish(request, service)
    feed = Feed(followed=stream)
    try:
        known = await service.worker.known(wish)
        if known is not None:
            ticket = None
        else:
            ticket = service.submit(wish, request.state.client, feed)
            ticket.done.add_done_callback(lambda _: service.worker.let_go(wish))
    except BaseException:
        service.worker.let_go(wish)
        raise
    if known is not None:
        service.worker.let_go(wish)
    if stream:
        return EventStream(_events(feed, ticket, known))
    if ticket is None:
        assert known is not None
        return answered(known)
    if not await while_connected(request, ticket.done):
        ticket.cancel()
        return Response(status_code=499)  # nobody reads it
    return answered(_outcome(ticket))


async def take_wish(request: Request, service: Service) -> Wish:
    """Read what is asked; the video is held until the worker lets it go.

    Raises:
        Refusal: The request is at fault.
        VideoError: The file is no video.
    """
    asked, upload = await read_asked(request, UpsampleAsked, service.uploads)
    if upload is not None:
        if asked.upload_id is not None or asked.path is not None:
            service.uploads.let_go(upload.id)
            raise Refusal(
                422, "invalid", "the form names another video", remedy="send one video or name one"
            )
        asked = asked.model_copy(update={"upload_id": upload.id})
    owner = request.state.owner
    wish = Wish(asked, owner, service.worker.place(asked, owner).name)
    if upload is None:
        service.worker.hold(wish)
    return wish


def answered(done: Done) -> Response:
    """A record, or the problem with its record."""
    if done.failure is None:
        assert done.record is not None
        headers = {"X-Promptlift-From-Journal": "yes"} if done.cached else {}
        return Response(done.text, headers=headers, media_type="application/json")
    status = status_of(done.error) if done.error else status_of_code(done.failure.code)
    headers = {"Retry-After": "5"} if done.failure.retryable else {}
    return problem(status, done.failure, headers=headers, record=done.record)


def final_event(number: int, done: Done) -> Event:
    """How the work ended."""
    if done.failure is None:
        assert done.record is not None
        return Event(number, "record", done.text)
    record = done.record.model_dump(mode="json") if done.record else None
    return Event(number, "error", json.dumps({**done.failure.model_dump(), "record": record}))


async def _events(
    feed: Feed, ticket: Ticket[Done] | None, known: Done | None
) -> AsyncGenerator[bytes, None]:
    if ticket is not None:
        ticket.done.add_done_callback(lambda _: feed.close())
        try:
            async for event in feed.follow():
                yield as_sse(event)
            known = _outcome(ticket)
        finally:
            ticket.cancel()
    assert known is not None
    yield as_sse(final_event(feed.last, known))


def _outcome(ticket: Ticket[Done]) -> Done:
    """What became of work that is over; only the server's end takes it out."""
    if ticket.done.cancelled():
        return Done(failure=stopping().failure)
    try:
        return ticket.done.result()
    except Refusal as refusal:
        return Done(failure=refusal.failure)
