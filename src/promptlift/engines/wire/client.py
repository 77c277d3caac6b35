"""One server, spoken to over HTTP, with retries in time and within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Mapping
from functools import partial
from typing import TypeVar

import httpx2
import stamina
from pydantic_core import PydanticSerializationError, to_json

from promptlift.engines.wire.address import Address
from promptlift.engines.wire.connections import Connections
from promptlift.engines.wire.failures import (
    UnsupportedParameter,
    garbled,
    refusal,
    retry_after,
    unreachable,
)
from promptlift.engines.wire.fields import field, string
from promptlift.engines.wire.streaming import values
from promptlift.errors import ConfigEngineError, EngineError, TransientEngineError

__all__ = ["Client"]

T = TypeVar("T")

_WAIT_INITIAL, _WAIT_MAX, _WAIT_JITTER = 0.5, 30.0, 1.0
_SAID_LENGTH = 300
_BROKEN = (TimeoutError, ValueError, RecursionError, httpx2.HTTPError)


class _Failed(Exception):
    """One attempt failed; carries what to raise if it was the last."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(str(error))
        self.error = error


class Client:
    """Sends JSON and gives JSON back, or an `EngineError`.

    As many requests as a caller has under way go out at once, each over a connection that is kept
    for the next.

    Args:
        address: Where the server is.
        key: Its key; None for none.
        timeout: Seconds for one attempt, from connecting to the last byte.
        patience: Seconds for a call with all its attempts and waits.
        retries: Attempts after the first, for failures that may pass.

    Raises:
        ConfigEngineError: There is no way to such an address, or to any, from this environment.
    """

    def __init__(
        self, address: Address, key: str | None, *, timeout: float, patience: float, retries: int
    ) -> None:
        self.address = address
        self._timeout = timeout
        self._patience = patience
        self._attempts = retries + 1
        self._closed = False
        self._key = key
        self._connections = Connections(address, key, timeout)

    async def call(
        self,
        url: str,
        body: Mapping[str, object] | None = None,
        *,
        read: Callable[[object], T],
        absent: Container[int] = (),
        within: float | None = None,
    ) -> T | None:
        """GET a URL, or POST a body to it.

        Args:
            url: At or below the address.
            body: What to send as JSON; None to GET.
            read: Makes what is wanted of the answer's JSON value, or of its text where it is
                none; a `ValueError` says that it is not the API's answer, and the call is tried
                again.
            absent: Status codes that mean "there is no such thing here"; never tried again.
            within: Seconds for a single attempt, where the answer is not worth another.

        Returns:
            What `read` made of the answer; None for a status in `absent`.

        Raises:
            EngineError: Refused, or no answer within the bounds.
        """
        patience = self._patience if within is None else within
        deadline = time.monotonic() + patience
        once = partial(self._once, url, body, read, absent, deadline)
        try:
            if within is not None or self._attempts == 1:
                return await once()
            return await self._tried(once, deadline)
        except _Failed as failed:
            error = failed.error
        # Outside of the handler: what the library raises holds the request, and that the key.
        raise error

    async def _tried(self, once: Callable[[], Awaitable[T]], deadline: float) -> T:
        def pause(error: Exception) -> bool | float:
            return isinstance(error, _Failed) and _pause(error.error, deadline)

        try:
            return await once()
        except _Failed as failed:
            last = failed
        retrying = stamina.retry_context(
            on=pause,
            attempts=self._attempts,
            timeout=self._patience,
            wait_initial=_WAIT_INITIAL,
            wait_max=_WAIT_MAX,
            wait_jitter=_WAIT_JITTER,
        )
        # Most calls need one attempt, for which nothing is set up; here it is told as the first.
        told = False
        async for attempt in retrying:
            with attempt:
                if not told:
                    told = True
                    raise last
                if time.monotonic() >= deadline:
                    raise last  # the wait took what time there was
                try:
                    return await once()
                except _Failed as failed:
                    last = failed
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def stream(
        self,
        url: str,
        body: Mapping[str, object],
        *,
        pieces: Callable[[AsyncIterator[object]], Awaitable[T]],
        whole: Callable[[object], T],
    ) -> T:
        """POST a body and read what comes while it comes; once, as long as one attempt.

        Args:
            url: At or below the address.
            body: What to send as JSON.
            pieces: Makes what is wanted of the JSON values of the server-sent events, as `whole`.
            whole: Makes it of the answer's JSON value, where no events come; a `ValueError` says
                that it is not the API's answer.

        Raises:
            EngineError: Refused, or no whole answer within the bounds.
        """
        try:
            return await self._streamed(url, body, pieces, whole)
        except _Failed as failed:
            error = failed.error
        # Outside of the handler, as above.
        raise error

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._closed = True
        await self._connections.aclose()

    async def _once(
        self,
        url: str,
        body: Mapping[str, object] | None,
        read: Callable[[object], T],
        absent: Container[int],
        deadline: float,
    ) -> T | None:
        self._check_open()
        limit = max(0.0, min(self._timeout, deadline - time.monotonic()))
        try:
            # The library's timeout is for each read, and a slow drip of bytes never reaches it.
            async with asyncio.timeout(limit):
                answer = await self._send(url, body)
            if answer.is_success:
                return read(_value(answer))
            if answer.status_code in absent:
                return None
            failed = _Failed(self._refusal(answer))
        except _BROKEN as broken:
            failed = self._broken(broken, limit)
        raise failed

    async def _streamed(
        self,
        url: str,
        body: Mapping[str, object],
        pieces: Callable[[AsyncIterator[object]], Awaitable[T]],
        whole: Callable[[object], T],
    ) -> T:
        self._check_open()
        limit = min(self._timeout, self._patience)
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        content = _content(body)
        try:
            with self._connections.lane() as http:
                sending = http.stream("POST", url, content=content, headers=headers)
                async with asyncio.timeout(limit), sending as answer:
                    media = answer.headers.get("content-type", "")
                    if answer.is_success and media.startswith("text/event-stream"):
                        return await pieces(values(answer.aiter_bytes()))
                    await answer.aread()
            if answer.is_success:
                return whole(_value(answer))
            failed = _Failed(self._refusal(answer))
        except _BROKEN as broken:
            failed = self._broken(broken, limit)
        raise failed

    def _check_open(self) -> None:
        if self._closed:
            raise _Failed(ConfigEngineError("the engine is closed", remedy="make a new one"))

    def _broken(self, error: Exception, limit: float) -> _Failed:
        host = self.address.host
        if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
            return _Failed(unreachable(host, f"did not answer within {limit:.3g} s"))
        if isinstance(error, httpx2.TransportError):
            return _Failed(_disconnected(host, error))
        return _Failed(garbled(host))

    async def _send(self, url: str, body: Mapping[str, object] | None) -> httpx2.Response:
        with self._connections.lane() as http:
            if body is None:
                return await http.get(url)
            return await http.post(
                url, content=_content(body), headers={"content-type": "application/json"}
            )

    def _refusal(self, answer: httpx2.Response) -> EngineError:
        value = _value(answer)
        fault = field(value, "error") or value
        said = self._said(string(field(fault, "message")))
        wait = retry_after(answer.headers)
        error = refusal(answer.status_code, self.address.host, said, wait)
        if answer.status_code == 400 and field(fault, "code") == "unsupported_parameter":
            return UnsupportedParameter(
                error.message, remedy=error.remedy, parameter=string(field(fault, "param"))
            )
        return error

    def _said(self, words: str) -> str:
        """The server's own words, fit to be shown: short, printable, without the key."""
        shown = words.replace(self._key, "***") if self._key else words
        printable = "".join(c if c.isprintable() else " " for c in shown)
        short = " ".join(printable.split()).rstrip(".")
        return short if len(short) <= _SAID_LENGTH else f"{short[:_SAID_LENGTH]}..."


def _content(body: Mapping[str, object]) -> bytes:
    try:
        return to_json(body)  # in half the time, which pictures take
    except PydanticSerializationError:
        # Half a surrogate pair, which no UTF-8 can hold, goes as the escape that JSON has for it.
        return json.dumps(body, separators=(",", ":")).encode("ascii")


def _value(answer: httpx2.Response) -> object:
    """The JSON value of an answer whatever media type it claims, else its text."""
    with contextlib.suppress(ValueError):
        value: object = json.loads(answer.content)
        return value
    return answer.text


def _pause(error: EngineError, deadline: float) -> bool | float:
    """Whether to try again, and after how long: as the server asks, else as stamina backs off."""
    if not isinstance(error, TransientEngineError) or time.monotonic() >= deadline:
        return False
    if error.wait is None:
        return True
    # A crowd that was told the same wait must not come back all at once.
    wait = error.wait + random.uniform(0, _WAIT_JITTER)  # noqa: S311
    return wait if time.monotonic() + wait < deadline else False


def _disconnected(host: str, broken: httpx2.TransportError) -> EngineError:
    causes = tuple(_chain(broken))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ConfigEngineError(
            f"the TLS certificate of {host} cannot be verified",
            remedy="check the address and this machine's clock; for a private authority set "
            "SSL_CERT_FILE to its certificate",
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return unreachable(host, "takes no connection: nothing listens there")
    return unreachable(host, "could not be reached, or broke the connection")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
