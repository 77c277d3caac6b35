"""The HTTP client of an OpenAI-compatible server: connections, retries, and errors by status.

====================================  ===========  ==============================
status                                error        why
====================================  ===========  ==============================
400, 413, 422, other 4xx              item         this request is refused
3xx, 401, 402, 403, 404, 405, 407     config       every request would be
408, 409, 425, 5xx                    transient    the same request may pass later
429, 503 with ``Retry-After``         busy         the same, with less at a time
====================================  ===========  ==============================

RFC 9110 gives 503 for overload and for maintenance alike. A server that says when to come back is
taken to be overloaded: sending less for a while does no harm where it was maintenance, and not to
send less keeps an overload up. Without that, 503 is what a proxy says of a server that is not
there, or a server that is still loading its model, and how much is sent does not matter.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx2

from promptlift import __version__
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)

__all__ = ["HttpClient", "UnsupportedParameter", "read_key"]

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
# vLLM and others close connections that were idle for five seconds; a request that is sent in that
# moment is lost. So they are closed here earlier.
_KEEPALIVE_SECONDS = 4.0
_PATIENCE_SECONDS = 900.0  # for one call with all its attempts and pauses
_FIRST_PAUSE, _LONGEST_PAUSE, _JITTER = 0.5, 29.0, 1.0
_MAX_QUOTE = 300


def _read_base_url(url: str) -> SplitResult:
    """Check a base URL. Without a path, ``/v1`` is assumed."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if "@" in url or "?" in url or "#" in url:
        # It may hold a password or a key, and is not repeated.
        raise ConfigEngineError(
            "the base URL has a user name, a password, a query or a fragment (@, ? or #) in it",
            remedy="remove them, and name the environment variable that holds the key with "
            "--api-key-env",
        )
    if not valid or not url.isprintable() or " " in url:
        raise ConfigEngineError(
            f"the base URL {url!r} is no http or https URL",
            remedy="give an address such as http://localhost:8000/v1",
        )
    return parts._replace(path=parts.path.rstrip("/") or "/v1")


def read_key(variable: str | None, key: str | None = None) -> str | None:
    """The API key: the value of the environment variable of that name, else the given key.

    Raises:
        ConfigEngineError: The variable is missing or empty, or the key cannot be sent in a header.
    """
    if variable is not None:
        key = os.environ.get(variable, "").strip()
        if not key:
            # Somebody may have given the key itself, which must not get into a log.
            shown = variable if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else "given"
            raise ConfigEngineError(
                f"the environment variable {shown} for the API key is not set or is empty",
                remedy="set it; pass the name of the variable, never the key itself",
            )
    if key is not None and not re.fullmatch(r"[!-~]+", key):
        raise ConfigEngineError(
            "the API key is empty or has characters that no key has",
            remedy="check it for spaces, line ends and quotes",
        )
    return key


class HttpClient:
    """Sends JSON to one server and gives JSON back, or raises an `EngineError`.

    Redirects are not followed and cookies are not stored, so that frames go nowhere but to the
    server that the user named. The caller bounds the number of requests at a time; each has a
    connection of its own, which is reused.

    Args:
        base_url: The API's address; without a path, ``/v1`` is assumed.
        key: Its key; None for none.
        timeout: Seconds for one attempt, from connecting to the last byte.
        retries: Attempts after the first, for errors that may pass.

    Attributes:
        base: URL that the API's paths are put after, without a slash at the end.
        root: URL of the server itself: the base without ``/v1``.
        host: Host and port, for messages.

    Raises:
        ConfigEngineError: The address is no http or https URL, or has a user name, a password, a
            query or a fragment; or the environment's proxies or certificates cannot be used.
    """

    def __init__(self, base_url: str, key: str | None, *, timeout: float, retries: int) -> None:
        parts = _read_base_url(base_url)
        self.base = parts.geturl()
        self.root = self.base.removesuffix("/v1")
        self.host = parts.netloc
        self._key = key
        self._timeout = timeout
        self._attempts = retries + 1
        self._closed = False
        headers = {"accept": "application/json", "user-agent": f"promptlift/{__version__}"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        http = None
        with suppress(ValueError, ImportError, OSError, httpx2.InvalidURL):
            httpx2.URL(self.base)  # raises where the host's name is not valid
            http = httpx2.AsyncClient(
                headers=headers,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                follow_redirects=False,
                # A proxy that the environment names cannot reach this machine's own addresses.
                trust_env=parts.hostname not in ("localhost", "127.0.0.1", "::1"),
                # Loading the authorities takes longer than all the rest; plain HTTP needs none.
                verify=httpx2.create_ssl_context() if parts.scheme == "https" else False,
                limits=httpx2.Limits(
                    max_connections=None,
                    max_keepalive_connections=None,
                    keepalive_expiry=_KEEPALIVE_SECONDS,
                ),
                timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS), pool=None),
            )
        if http is None:
            # Raised here, as the error that was suppressed may hold a proxy's password.
            raise ConfigEngineError(
                f"no connection to {self.host} can be set up",
                remedy="check the host's name, and in the environment HTTP_PROXY, HTTPS_PROXY, "
                "ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
            )
        self._http = http

    async def call(
        self,
        url: str,
        body: Mapping[str, object] | None = None,
        *,
        read: Callable[[object], T],
        absent: Container[int] = (),
        within: float | None = None,
        read_events: Callable[[AsyncIterator[object]], Awaitable[T]] | None = None,
    ) -> T | None:
        """GET a URL, or POST a body to it.

        Args:
            url: A path of the API, or a whole URL of the same server.
            body: JSON object to send; None to GET.
            read: Converts the answer's JSON value (its text where it is no JSON); raises
                `ValueError` where it is not the API's answer, and the call is tried again.
            absent: Status codes that mean that the server has no such page; not tried again.
            within: Seconds for a single attempt without retries.
            read_events: Converts the JSON values of server-sent events as they come, where the
                server answers with such; asked once, as what has come is passed on already.

        Returns:
            What `read` returned; None for a status in `absent`.

        Raises:
            EngineError: The server refused, or did not answer in time.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        attempts = self._attempts if within is None and read_events is None else 1
        outcome: T | EngineError | None = None
        for attempt in range(attempts):
            limit = within or self._timeout
            outcome = await self._attempt(url, body, read, limit, absent, read_events)
            if not isinstance(outcome, TransientEngineError):
                break
            pause = outcome.wait
            if pause is None:
                pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
            # A random part keeps requests that failed together from coming back together.
            pause += random.uniform(0, _JITTER)  # noqa: S311 - no secret
            if attempt + 1 == attempts or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._closed = True
        await self._http.aclose()

    async def _attempt(
        self,
        url: str,
        body: Mapping[str, object] | None,
        read: Callable[[object], T],
        limit: float,
        absent: Container[int],
        read_events: Callable[[AsyncIterator[object]], Awaitable[T]] | None,
    ) -> T | EngineError | None:
        """One request.

        Errors are returned: raised in a handler they would have the HTTP library's exception as
        their context, with the request in it, and with that the key.
        """
        if self._closed:
            return ConfigEngineError("the engine is closed", remedy="make a new one")
        url = self.base + url if url.startswith("/") else url
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        if read_events is not None:
            headers["accept"] = "text/event-stream"
        sending = self._http.stream(
            "GET" if body is None else "POST", url, content=content, headers=headers
        )
        try:
            # The library's timeout is for each read: a byte now and then would never reach it.
            async with asyncio.timeout(limit), sending as answer:
                media = answer.headers.get("content-type", "")
                if read_events and answer.is_success and media.startswith("text/event-stream"):
                    return await read_events(_json_events(answer))
                await answer.aread()
            if answer.is_success:
                return read(_json_or_text(answer))
            return None if answer.status_code in absent else self._refusal(answer)
        except (TimeoutError, httpx2.TimeoutException):
            return self._unreachable(f"did not answer within {limit:.3g} s")
        except httpx2.TransportError as error:
            return self._broken_connection(error)
        except (ValueError, RecursionError, httpx2.HTTPError):
            return TransientEngineError(
                f"{self.host} answered with something that is not an answer of this API",
                remedy="check that --base-url is the API's address, which for most servers ends "
                "in /v1",
            )

    def _refusal(self, answer: httpx2.Response) -> EngineError:
        """The error for an answer with a status that is not 2xx."""
        status, wait = answer.status_code, _retry_after(answer.headers.get("retry-after", ""))
        value = _json_or_text(answer)
        fields = value if isinstance(value, dict) else {}
        error = fields["error"] if isinstance(fields.get("error"), dict) else fields
        kind: type[EngineError] = ItemEngineError
        if status == 429 or (status == 503 and wait is not None):
            kind = EngineBusy
        elif status in _TRANSIENT or status >= 500:
            kind = TransientEngineError
        elif status in _CONFIG or status < 400:
            kind = ConfigEngineError
        what, remedy = _BY_STATUS.get(status, _BY_CLASS[kind])
        message = f"{self.host} {what} (status {status})"
        words = error.get("message")
        # Servers repeat the key, whole or in part, when they refuse it.
        if isinstance(words, str) and status not in (401, 403):
            message += f": {self._quote(words)}"
        if issubclass(kind, TransientEngineError):
            return kind(message, remedy=remedy, wait=wait)
        if status == 400 and error.get("code") == "unsupported_parameter":
            return UnsupportedParameter(message, remedy=remedy, parameter=str(error.get("param")))
        return kind(message, remedy=remedy)

    def _quote(self, words: str) -> str:
        """The server's own words for a message: short, printable, without the key."""
        shown = words.replace(self._key, "***") if self._key else words
        printable = "".join(letter if letter.isprintable() else " " for letter in shown)
        short = " ".join(printable.split()).rstrip(".")
        return short if len(short) <= _MAX_QUOTE else f"{short[:_MAX_QUOTE]}..."

    def _broken_connection(self, error: httpx2.TransportError) -> EngineError:
        causes: list[type[BaseException]] = []
        cause: BaseException | None = error
        while cause is not None:
            causes.append(type(cause))
            cause = cause.__cause__ or cause.__context__
        if ssl.SSLCertVerificationError in causes:
            return ConfigEngineError(
                f"the TLS certificate of {self.host} cannot be verified",
                remedy="check the address and this machine's clock; for a private authority set "
                "SSL_CERT_FILE to its certificate",
            )
        if ConnectionRefusedError in causes:
            return self._unreachable("refuses connections")
        return self._unreachable("cannot be reached, or closed the connection")

    def _unreachable(self, why: str) -> TransientEngineError:
        return TransientEngineError(
            f"{self.host} {why}",
            remedy="check that the server is running and that --base-url is its address",
        )


def _json_or_text(answer: httpx2.Response) -> object:
    """The JSON value of an answer whatever media type it claims, else its text."""
    with suppress(ValueError):
        value: object = json.loads(answer.content)
        return value
    return answer.text


async def _json_events(answer: httpx2.Response) -> AsyncIterator[object]:
    """The JSON values of a stream of server-sent events, up to ``[DONE]`` or its end."""
    async for event in httpx2.EventSource(answer):
        if event.data.strip() == "[DONE]":
            return
        if event.data:
            yield json.loads(event.data)


# ---- errors


class UnsupportedParameter(ItemEngineError):
    """The API does not know a parameter of the request; its error's fields say which."""

    def __init__(self, message: str, *, remedy: str, parameter: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.parameter = parameter


_TRANSIENT = frozenset({408, 409, 425})
_CONFIG = frozenset({401, 402, 403, 404, 405, 407})
_BY_STATUS: dict[int, tuple[str, str]] = {
    401: (
        "does not accept the key, or wants one",
        "name the environment variable that holds the key with --api-key-env",
    ),
    403: ("does not allow this", "check what the key may do, and the model's name"),
    404: (
        "does not have that model or that address",
        "check --model, and --base-url, which for most servers ends in /v1",
    ),
    413: (
        "finds the request too large",
        "show fewer or smaller frames, or raise the server's limit on a request's size",
    ),
}
_BY_CLASS: dict[type[EngineError], tuple[str, str]] = {
    ConfigEngineError: (
        "refuses every request, or sends it elsewhere",
        "check --base-url, which for most servers ends in /v1, and the key's account",
    ),
    ItemEngineError: ("refuses the request", "show fewer or smaller frames, or shorten the prompt"),
    TransientEngineError: ("failed", "look at the server's log, or try again later"),
    EngineBusy: ("asks to slow down", "send fewer requests at a time, or try again later"),
}


def _retry_after(value: str) -> float | None:
    """Seconds of a ``Retry-After`` header, which has seconds or a date (RFC 9110, 10.2.3).

    None where the server does not say, or not clearly.
    """
    try:
        seconds = float(value)
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
