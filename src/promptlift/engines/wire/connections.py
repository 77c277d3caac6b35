"""The connections to one server: how they are opened, kept, and guarded."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from promptlift import __version__
from promptlift.engines.wire.address import Address
from promptlift.errors import ConfigEngineError

__all__ = ["Connections"]

_CONNECT_TIMEOUT = 10.0
# vLLM and others close what lies idle for five seconds, and a request that goes out in that very
# moment is lost. So it is closed here before.
_KEPT = 4.0
# The library's pool looks at each of its connections whenever a request begins or ends, and asks
# the system about each that is idle: with 64 in one pool that was a sixth of a request's cost.
_IN_A_LANE = 8


class Connections:
    """The connections to one server, in lanes: pools of a few each, as many as are needed.

    They give away nothing but what they are told to send. Redirects are not followed and cookies
    not kept, so that a frame goes nowhere that the user did not name. How many requests are under
    way is for the caller to bound: a pool with a bound of its own would only hide the wait for a
    place in it.

    Args:
        address: Where the server is.
        key: Its key; None for none.
        timeout: Seconds for each read and write.

    Raises:
        ConfigEngineError: The host's name cannot be one, or what the environment says of proxies
            or certificates cannot be used.
    """

    def __init__(self, address: Address, key: str | None, timeout: float) -> None:
        try:
            httpx2.URL(address.base)
            trusted = _trusted(address)
            self._open = partial(_opened, address, key, timeout, trusted)
            self._lanes = [_Lane(self._open())]
        except (ValueError, ImportError, OSError, httpx2.InvalidURL):
            # What is wrong may hold a proxy's password, so it is not repeated.
            pass
        else:
            return
        raise ConfigEngineError(
            f"no connection to {address.host} can be set up",
            remedy="check the host's name, and in the environment HTTP_PROXY, HTTPS_PROXY, "
            "ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
        )

    @contextmanager
    def lane(self) -> Iterator[httpx2.AsyncClient]:
        """A client for one request; the earliest with room, so that late lanes fall idle first."""
        lane = next((lane for lane in self._lanes if lane.busy < _IN_A_LANE), None)
        if lane is None:
            lane = _Lane(self._open())
            self._lanes.append(lane)
        lane.busy += 1
        try:
            yield lane.client
        finally:
            lane.busy -= 1

    async def aclose(self) -> None:
        """Close them all; safe to call twice."""
        await asyncio.gather(*(lane.client.aclose() for lane in self._lanes))


class _Lane:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.busy = 0


def _opened(
    address: Address, key: str | None, timeout: float, trusted: ssl.SSLContext
) -> httpx2.AsyncClient:
    headers = {"accept": "application/json", "user-agent": f"promptlift/{__version__}"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return httpx2.AsyncClient(
        headers=headers,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        mounts=_no_proxy(address),
        verify=trusted,
        limits=httpx2.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEPT
        ),
        timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT), pool=None),
    )


def _trusted(address: Address) -> ssl.SSLContext:
    """Whom to trust: the machine's authorities; nobody where nothing is ever encrypted.

    To read the authorities takes longer than the rest of setting up.
    """
    if address.loopback and address.base.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.create_ssl_context()


def _no_proxy(address: Address) -> dict[str, None] | None:
    """A proxy, if the environment names one, cannot reach this machine's own addresses."""
    return {f"all://{address.name}": None} if address.loopback else None
