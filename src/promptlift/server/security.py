"""Who may come in, what a browser is told, and what a page of somebody else must not do."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptlift.server.errors import Refusal, problem
from promptlift.server.limits import Rates, slow_down
from promptlift.server.sessions import Sessions

__all__ = ["OPEN_PATHS", "Door", "Guard"]

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/openapi.json"})
"""What needs no key; everything else does."""

_SAFE = {"GET", "HEAD", "OPTIONS"}
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


class Door:
    """Knows the keys, as digests only, and the sessions of browsers that have shown one.

    Args:
        keys: Any of them opens; none at all for a door that stands open.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]
        self.sessions = Sessions()

    def owner(self, headers: Mapping[str, str]) -> str | None:
        """Whose key a request brings: a short name of it; empty where none is needed.

        Every key is compared, and in constant time, so that the time says nothing.

        Returns:
            None where it brings none that fits.
        """
        if not self._digests:
            return ""
        given = _digest(_key(headers))
        found: str | None = None
        for digest in self._digests:
            if hmac.compare_digest(digest, given):
                found = digest.hex()[:12]
        return self.sessions.owner(headers.get("cookie", "")) if found is None else found


def _key(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class Guard:
    """The outermost layer: looks at each request before anything else does.

    Args:
        app: The application.
        door: Knows the keys.
        hosts: Names that the server is called by; None to take any.
        rates: Counts requests by client.
        most: Requests that may be under way at once.
        open_paths: Paths that need no key.
        seen: Told of each request's end: its scope, with the time of its beginning, and status.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Door,
        hosts: frozenset[str] | None,
        rates: Rates,
        most: int,
        open_paths: frozenset[str] = OPEN_PATHS,
        seen: Callable[[Scope, int], None] | None = None,
    ) -> None:
        self._app = app
        self._door = door
        self._hosts = hosts
        self._rates = rates
        self._most = most
        self._open_paths = open_paths
        self._seen = seen
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["began"] = time.monotonic()
        status = 499  # as proxies count what went away without an answer

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = message.get("headers", ())
                names = {name for name, _ in said}
                more = [header for header in _HEADERS if header[0] not in names]
                message["headers"] = [*said, *more]
            await send(message)

        self._under_way += 1
        try:
            self._look(scope)
            await self._app(scope, receive, dressed)
        except Refusal as refusal:
            headers = {**(refusal.headers or {}), "Connection": "close"}
            await problem(refusal.status_code, refusal.failure, headers=headers)(
                scope, receive, dressed
            )
        finally:
            self._under_way -= 1
            if self._seen is not None:
                self._seen(scope, status)

    def _look(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else ""
        if self._under_way > self._most:
            raise _too_many()
        self._check_host(headers)
        _check_origin(scope["method"], headers)
        owner = self._door.owner(headers)
        if wait := self._rates.take(owner or address):
            raise slow_down(wait)
        if owner is None and scope["path"] not in self._open_paths:
            raise _locked()
        scope.setdefault("state", {}).update(owner=owner or "", client=f"{owner}/{address}")

    def _check_host(self, headers: Headers) -> None:
        """A name that is not ours may be a page's, made to point at this machine."""
        if self._hosts is None:
            return
        name = _host_name(headers.get("host", ""))
        if not (name in self._hosts or name == "localhost" or _is_address(name)):
            raise Refusal(
                421,
                "unknown_host",
                "this server is not called by that name",
                remedy="use its address, or start it with --allow-host and the name",
            )


def _check_origin(method: str, headers: Headers) -> None:
    """Refuse what a page of another site makes a browser do."""
    if method in _SAFE:
        return
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    foreign = site not in (None, "same-origin", "none")
    if origin is not None and _authority(origin) != headers.get("host", "").lower():
        foreign = True
    if foreign:
        raise Refusal(
            403,
            "foreign_origin",
            "the request was made by a page of another site",
            remedy="use the server's own page, or a program that is no browser",
        )


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _locked() -> Refusal:
    refusal = Refusal(
        401,
        "unauthorised",
        "the request brings no key that fits",
        remedy="send the header Authorization: Bearer KEY",
    )
    refusal.headers = {"WWW-Authenticate": "Bearer"}
    return refusal


def _too_many() -> Refusal:
    return Refusal(
        503,
        "too_many_requests_open",
        "more requests are under way than the server takes at once",
        remedy="try again",
        retry_after=2,
    )
