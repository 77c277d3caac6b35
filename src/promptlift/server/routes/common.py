"""What the routes share: the service, who asks, and what may be answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from promptlift.server.models import ProblemOut
from promptlift.server.service import Service

__all__ = ["EventStream", "Serving", "problems", "while_connected"]

_MEANINGS = {
    401: "No key, or none that fits.",
    403: "Not allowed.",
    404: "Not there.",
    408: "The body came too slowly.",
    409: "Not in this state.",
    410: "Cancelled.",
    413: "Too large.",
    415: "Neither JSON nor a form.",
    421: "Not a name of this server.",
    422: "The request or the video is at fault.",
    429: "Too many requests; see Retry-After.",
    500: "Something broke inside the server.",
    502: "The engine refuses this.",
    503: "The engine or the server cannot answer now.",
    504: "The time was over.",
    507: "No room.",
}
_ALWAYS = (401, 403, 408, 413, 421, 422, 429, 500, 503)


async def _service(request: Request) -> Service:
    # FastAPI would have a thread do what is no coroutine, for every request.
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with these problems besides the usual ones."""
    return {
        status: {"model": ProblemOut, "description": _MEANINGS[status]}
        for status in sorted({*_ALWAYS, *statuses})
    }


class EventStream(StreamingResponse):
    """Server-sent events, for as long as somebody reads them.

    What gives them is ended with the connection, also while it waits for a slow reader; left to
    the garbage collector, the work behind it would go on for a while.
    """

    def __init__(self, source: AsyncGenerator[bytes, None]) -> None:
        super().__init__(
            source, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._source.aclose()


async def while_connected(request: Request, work: asyncio.Future[Any]) -> bool:
    """Wait for work, but no longer than the client does.

    Returns:
        Whether the work is done, somehow; if not, the client is gone.
    """
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    return work.done()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
