"""One server, spoken to through the openai SDK, with retries in time and within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import openai
import stamina
from pydantic import SecretStr

from promptlift import __version__
from promptlift.engines.wire.address import Address
from promptlift.engines.wire.failures import (
    UnsupportedParameter,
    garbled,
    refusal,
    retry_after,
    unreachable,
)
from promptlift.engines.wire.fields import field, string
from promptlift.errors import ConfigEngineError, EngineError

__all__ = ["Client"]

T = TypeVar("T")

_CONNECT_TIMEOUT = 10.0
_WAIT_INITIAL, _WAIT_MAX, _WAIT_JITTER = 0.5, 30.0, 1.0
_SAID_LENGTH = 300

# The SDK adds headers about the machine, and others from OPENAI_* variables that were set with
# another server in mind. A server gets what it needs and no more.
_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    }
)


class _Failed(Exception):
    """One attempt failed; carries what to raise if it was the last, and how long to wait."""

    def __init__(self, error: EngineError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class Client:
    """Sends JSON and gives JSON back, or an `EngineError`.

    Args:
        address: Where the server is.
        key: Its key; None for none.
        timeout: Seconds for one attempt, from connecting to the last byte.
        patience: Seconds for a call with all its attempts and waits.
        retries: Attempts after the first, for failures that may pass.
    """

    def __init__(
        self, address: Address, key: str | None, *, timeout: float, patience: float, retries: int
    ) -> None:
        self.address = address
        self._key = SecretStr(key or "")
        self._timeout = timeout
        self._patience = patience
        self._attempts = retries + 1
        self._closed = False
        self._sdk = openai.AsyncOpenAI(
            api_key=key or "none",  # given even where unused, or the SDK takes OPENAI_API_KEY
            base_url=address.base,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                follow_redirects=False,  # a frame goes nowhere that the user did not name
                mounts=_no_proxy(address),
                timeout=openai.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT)),
                event_hooks={"request": [self._strip]},
            ),
        )

    async def call(
        self,
        url: str,
        body: Mapping[str, object] | None = None,
        *,
        read: Callable[[object], T],
        absent: Container[int] = (),
    ) -> T | None:
        """GET a URL, or POST a body to it.

        Args:
            url: At or below the address.
            body: What to send as JSON; None to GET.
            read: Makes what is wanted of the answer's JSON value; a `ValueError` says that it
                is not the API's answer, and the call is tried again.
            absent: Status codes that mean "there is no such thing here"; never tried again.

        Returns:
            What `read` made of the answer; None for a status in `absent`.

        Raises:
            EngineError: Refused, or no answer within the bounds.
        """
        if self._closed:
            raise ConfigEngineError("the engine is closed", remedy="make a new one")
        deadline = time.monotonic() + self._patience
        once = partial(self._once, url, body, read, absent, deadline)

        try:
            return await self._tried(once, deadline)
        except _Failed as failed:
            error = failed.error
        # Outside of the handler: the SDK's exception holds the request, and that holds the key.
        raise error

    async def _tried(self, once: Callable[[], Awaitable[T]], deadline: float) -> T:
        def pause(error: Exception) -> bool | float:
            return isinstance(error, _Failed) and _pause(error, deadline)

        retrying = stamina.retry_context(
            on=pause,
            attempts=self._attempts,
            timeout=self._patience,
            wait_initial=_WAIT_INITIAL,
            wait_max=_WAIT_MAX,
            wait_jitter=_WAIT_JITTER,
        )
        last: _Failed | None = None
        async for attempt in retrying:
            with attempt:
                if last is not None and time.monotonic() >= deadline:
                    raise last  # the wait took what time there was
                try:
                    return await once()
                except _Failed as failed:
                    last = failed
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._closed = True
        await self._sdk.close()

    async def _once(
        self,
        url: str,
        body: Mapping[str, object] | None,
        read: Callable[[object], T],
        absent: Container[int],
        deadline: float,
    ) -> T | None:
        limit = max(0.0, min(self._timeout, deadline - time.monotonic()))
        host = self.address.host
        try:
            # The SDK's timeout is for each read, and a slow drip of bytes never reaches it.
            async with asyncio.timeout(limit):
                return read(await self._send(url, body))
        except (TimeoutError, openai.APITimeoutError):
            failed = _Failed(unreachable(host, f"did not answer within {limit:.3g} s"))
        except openai.APIConnectionError as broken:
            failed = _Failed(_disconnected(host, broken))
        except openai.APIStatusError as refused:
            if refused.status_code in absent:
                return None
            failed = _Failed(self._refusal(refused), retry_after(refused.response.headers))
        except (ValueError, RecursionError, openai.APIError):
            failed = _Failed(garbled(host))
        raise failed

    async def _send(self, url: str, body: Mapping[str, object] | None) -> object:
        if body is None:
            answer = await self._sdk.get(url, cast_to=object)
        else:
            answer = await self._sdk.post(url, cast_to=object, body=body)
        # Where the media type is not JSON's, the SDK gives the text.
        with contextlib.suppress(ValueError):
            return json.loads(answer) if isinstance(answer, str) else answer
        return answer

    def _refusal(self, refused: openai.APIStatusError) -> EngineError:
        error = refusal(refused.status_code, self.address.host, self._said(refused.body))
        if refused.status_code == 400 and refused.code == "unsupported_parameter":
            return UnsupportedParameter(
                error.message, remedy=error.remedy, parameter=refused.param or ""
            )
        return error

    def _said(self, body: object) -> str:
        """The server's own words, fit to be shown: short, printable, without the key."""
        words = string(field(body, "message"))
        if key := self._key.get_secret_value():
            words = words.replace(key, "***")
        printable = "".join(c if c.isprintable() else " " for c in words)
        short = " ".join(printable.split()).rstrip(".")
        return short if len(short) <= _SAID_LENGTH else f"{short[:_SAID_LENGTH]}..."

    async def _strip(self, request: Any) -> None:
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        if not self._key.get_secret_value():
            del request.headers["authorization"]
        request.headers["user-agent"] = f"promptlift/{__version__}"


def _no_proxy(address: Address) -> dict[str, None] | None:
    """A proxy, if the environment names one, cannot reach this machine's own addresses."""
    return {f"all://{address.name}": None} if address.loopback else None


def _pause(failed: _Failed, deadline: float) -> bool | float:
    """Whether to try again, and after how long: as the server asks, else as stamina backs off."""
    if not failed.error.retryable or time.monotonic() >= deadline:
        return False
    if failed.wait is None:
        return True
    # A crowd that was told the same wait must not come back all at once.
    wait = failed.wait + random.uniform(0, _WAIT_JITTER)  # noqa: S311
    return wait if time.monotonic() + wait < deadline else False


def _disconnected(host: str, broken: openai.APIConnectionError) -> EngineError:
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
