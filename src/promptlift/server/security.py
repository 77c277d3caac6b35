"""Who may send requests: API keys, sessions, hosts, origins and rates; headers of answers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptlift.server.config import ServerConfig
from promptlift.server.errors import ApiError

__all__ = [
    "COOKIE",
    "SESSION_SECONDS",
    "ApiKeyAuth",
    "RateLimiter",
    "SecurityMiddleware",
    "media_type",
]

_OPEN_PATHS = {
    *("/healthz", "/readyz", "/openapi.json"),
    *("/", "/batch", "/compare", "/history", "/page/enter"),  # they ask for the key themselves
}
_OPEN_FOLDER = "/page/static/"
COOKIE: Final = "promptlift-session"
SESSION_SECONDS: Final = 12 * 3600

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_MOST_CLIENTS = 10_000
_BURST_SECONDS = 10
_SMALL_BODY = 2**20
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


class ApiKeyAuth:
    """Checks API keys, of which it holds digests only, and sessions of browsers.

    A browser cannot send a key with every picture. It gets a signed cookie instead, which says
    whose key was given and until when. It is not the key, ends after half a day or with the
    server, and is worth nothing anywhere else.

    Args:
        keys: Any of them is accepted; none at all where no key is needed.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]
        self._secret = secrets.token_bytes(32)

    def owner(self, headers: Mapping[str, str]) -> str | None:
        """A short name of the key that a request brings; empty where none is needed.

        Every key is compared, and in constant time, so that the time says nothing.

        Returns:
            None where it brings none that fits.
        """
        if not self._digests:
            return ""
        scheme, _, value = headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer"
        given = _digest(value.strip() if bearer else headers.get("x-api-key", ""))
        found: str | None = None
        for digest in self._digests:
            if hmac.compare_digest(digest, given):
                found = digest.hex()[:12]
        return self._session_owner(headers.get("cookie", "")) if found is None else found

    def issue_session(self, owner: str) -> str:
        """A session of an owner, as a cookie's value."""
        text = f"{owner}.{int(time.time()) + SESSION_SECONDS}"
        return f"{text}.{self._mac(text)}"

    def _session_owner(self, cookies: str) -> str | None:
        text, _, mac = cookie_parser(cookies).get(COOKIE, "").rpartition(".")
        if not hmac.compare_digest(self._mac(text).encode(), mac.encode("utf-8", "replace")):
            return None
        owner, _, until = text.rpartition(".")
        return owner if int(until) > time.time() else None

    def _mac(self, text: str) -> str:
        return hmac.new(self._secret, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class RateLimiter:
    """A token bucket for each client: so many a second, and ten seconds' worth at once.

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


class SecurityMiddleware:
    """The outermost layer: checks each request before anything else sees it, and limits its body.

    It leaves ``owner`` and ``client`` in the request's state. Starlette's own limit of a body
    knows neither slowness nor problems.

    Args:
        app: The application.
        config: The limits, and the names of the server.
        auth: Checks keys and sessions.
        on_end: Called at each request's end with its scope, the status and the seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        config: ServerConfig,
        auth: ApiKeyAuth,
        on_end: Callable[[Scope, int, float], None],
    ) -> None:
        self._app = app
        self._config = config
        self._auth = auth
        self._on_end = on_end
        self._rates = RateLimiter(config.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer with what is wrong."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 499  # as proxies count what went away without an answer

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.get("headers", ())
                names = {name for name, _ in given}
                message["headers"] = [*given, *(one for one in _HEADERS if one[0] not in names)]
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._check(scope, headers)
            await self._app(scope, self._limited(scope, headers, receive), send_with_headers)
        except ApiError as error:
            answer = error.response({"Connection": "close"})
            await answer(scope, receive, send_with_headers)
        finally:
            self._on_end(scope, status, time.monotonic() - began)

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """A way to the body that ends where it is too large, or comes too slowly."""
        config, close = self._config, {"Connection": "close"}
        small = media_type(headers) == "application/json" or not scope["path"].startswith("/v1/")
        most = _SMALL_BODY if small else config.upload_bytes + _SMALL_BODY
        too_large = ApiError(
            413,
            "too_large",
            f"the request is larger than the {most:,} bytes that are taken here",
            remedy="send a smaller request, or raise --upload-mib",
            headers=close,
        )
        too_slow = ApiError(
            408,
            "too_slow",
            "the request came too slowly",
            remedy="retry the request",
            retry_after=1,
            headers=close,
        )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise too_large
        size, began, over = 0, time.monotonic(), False

        async def limited() -> Message:
            nonlocal size, over
            if over:  # what comes now is that the client goes away, which may take any time
                return await receive()
            try:
                async with asyncio.timeout(config.body_seconds):
                    message = await receive()
            except TimeoutError:
                raise too_slow from None
            size += len(message.get("body", b""))
            if size > most:
                raise too_large
            late = time.monotonic() - began - config.body_seconds
            if late > 0 and size < late * config.body_rate:
                raise too_slow
            over = not message.get("more_body", False)
            return message

        return limited

    def _check(self, scope: Scope, headers: Headers) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        if not self._config.keys:  # a key keeps a foreign name's page out as well
            _check_host(headers, (self._config.host, *self._config.allow_hosts))
        if scope["method"] not in _SAFE_METHODS:
            _check_origin(headers)
        owner = self._auth.owner(headers)
        if wait := self._rates.take(owner or address):
            raise ApiError(
                429,
                "rate_limit",
                "this client sends more requests than the server takes from one",
                remedy="send them more slowly, or raise --rate",
                retry_after=max(1, math.ceil(wait)),
            )
        path = scope["path"]
        if owner is None and path not in _OPEN_PATHS and not path.startswith(_OPEN_FOLDER):
            raise ApiError(
                401,
                "unauthorised",
                "the API key is missing or invalid",
                remedy="send the header Authorization: Bearer KEY, pass --server-key-env NAME to "
                "`promptlift run`, or use Client(url, api_key)",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scope.setdefault("state", {}).update(owner=owner or "", client=f"{owner}/{address}")


def media_type(headers: Headers) -> str:
    """The media type of a body, in lower case and without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_host(headers: Headers, hosts: Iterable[str]) -> None:
    """Refuse a foreign name: it may be a page's, made to point at this machine."""
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        name = ""
    if name in ("localhost", *map(str.lower, hosts)):
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        raise ApiError(
            421,
            "unknown_host",
            "this server is not called by that name",
            remedy="use its address, or start it with --allow-host and the name",
        ) from None


def _check_origin(headers: Headers) -> None:
    """Refuse what a page of another site makes a browser do."""
    origin = headers.get("origin")
    foreign = headers.get("sec-fetch-site") not in (None, "same-origin", "none")
    if origin is not None:
        authority = origin.partition("://")[2].lower()
        foreign = foreign or not authority or authority != headers.get("host", "").lower()
    if foreign:
        raise ApiError(
            403,
            "foreign_origin",
            "the request was made by a page of another site",
            remedy="use the server's own page, or a program that is no browser",
        )
