"""Bodies are counted and timed as they arrive; requests are counted by client."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptlift.server.errors import Refusal, problem

__all__ = ["BodyLimits", "Rates", "slow_down"]

SMALL_BODY = 2**20
_ROOM_FOR_FIELDS = 2**20
_DRAINED_BYTES = 2**20
_DRAIN_SECONDS = 0.5
_MOST_CLIENTS = 10_000
_BURST_SECONDS = 10


class Rates:
    """A bucket of tokens for each client: so many a second, and ten seconds' worth at once.

    Args:
        rate: Requests a second; 0 for no limit.
        clock: Seconds, ascending.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = max(1.0, rate * _BURST_SECONDS)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Count one request.

        Returns:
            0 where it is within the limit, else the seconds until the next one would be.
        """
        if not self._rate:
            return 0.0
        now = self._clock()
        left, since = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


def slow_down(seconds: float) -> Refusal:
    """The answer to a client that asks too often."""
    return Refusal(
        429,
        "rate_limit",
        "this client sends more requests than the server takes from one",
        remedy="send them more slowly, or raise --rate",
        retry_after=max(1, math.ceil(seconds)),
    )


class BodyLimits:
    """Ends a request whose body is too large, or comes too slowly.

    Args:
        app: The application.
        upload_bytes: Most bytes of a file; a body of anything else may have a mebibyte.
        seconds: To wait for more.
        rate: Fewest bytes a second on average, after the first wait.
    """

    def __init__(self, app: ASGIApp, *, upload_bytes: int, seconds: float, rate: float) -> None:
        self._app = app
        self._upload_bytes = upload_bytes
        self._seconds = seconds
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a guarded way to its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._most(scope), self._seconds, self._rate)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                await body.drain()
                if not body.over:
                    # What is left of the body must not be taken for the next request.
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            body.check_length(scope)
            await self._app(scope, body.receive, watched)
        except Refusal as refusal:
            if started:
                raise
            answer = problem(refusal.status_code, refusal.failure, headers=refusal.headers)
            await answer(scope, receive, watched)

    def _most(self, scope: Scope) -> int:
        kind = _header(scope, b"content-type").partition(b";")[0].strip().lower()
        if kind == b"application/json" or not scope["path"].startswith("/v1/"):
            return SMALL_BODY
        return self._upload_bytes + _ROOM_FOR_FIELDS


class _Body:
    """One request's body as it comes in."""

    def __init__(self, receive: Receive, most: int, seconds: float, rate: float) -> None:
        self._receive = receive
        self._most = most
        self._seconds = seconds
        self._rate = rate
        self._had = 0
        self._since = time.monotonic()
        self.over = False

    def check_length(self, scope: Scope) -> None:
        """Refuse at once what says itself that it is too large."""
        said = _header(scope, b"content-length")
        if said.isdigit():
            if int(said) > self._most:
                raise self._too_large()
            self.over = int(said) == 0
        else:
            self.over = not _header(scope, b"transfer-encoding")

    async def receive(self) -> Message:
        """The next piece of the body; after the last, what the connection says."""
        if self.over:
            return await self._receive()
        try:
            async with asyncio.timeout(self._seconds):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self.over = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read a little of what nobody wants: a client that still writes hears no answer."""
        left = _DRAINED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self.over and left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self.over = not message.get("more_body", False)

    def _count(self, size: int) -> None:
        self._had += size
        if self._had > self._most:
            raise self._too_large()
        spent = time.monotonic() - self._since
        if spent > self._seconds and self._had < (spent - self._seconds) * self._rate:
            raise _too_slow()

    def _too_large(self) -> Refusal:
        return Refusal(
            413,
            "too_large",
            f"the request is larger than the {self._most:,} bytes that are taken here",
            remedy="send a smaller one",
        )


def _too_slow() -> Refusal:
    return Refusal(
        408, "too_slow", "the request came too slowly", remedy="send it again", retry_after=1
    )


def _header(scope: Scope, name: bytes) -> bytes:
    found: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return found
