"""What the routes share: the service, who asks, and what may be answered."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Request

from promptlift.server.models import ProblemOut
from promptlift.server.service import Service

__all__ = ["Serving", "problems", "while_connected"]

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


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with these problems besides the usual ones."""
    return {
        status: {"model": ProblemOut, "description": _MEANINGS[status]}
        for status in sorted({*_ALWAYS, *statuses})
    }


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
