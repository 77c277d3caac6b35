"""The connections to one server: how they are opened, kept, and guarded."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from promptlift import __version__
from promptlift.engines.wire.address import Address
from promptlift.errors import ConfigEngineError

__all__ = ["open_connections"]

_CONNECT_TIMEOUT = 10.0
# vLLM and others close what lies idle for five seconds, and a request that goes out in that very
# moment is lost. So it is closed here before.
_KEPT = 4.0


def open_connections(address: Address, key: str | None, timeout: float) -> httpx2.AsyncClient:
    """A client for one server that gives away nothing but what it is told to send.

    Redirects are not followed and cookies not kept, so that a frame goes nowhere that the user
    did not name. How many requests are under way is for the caller to bound: a pool with a bound
    of its own would only hide the wait for a place in it.

    Args:
        address: Where the server is.
        key: Its key; None for none.
        timeout: Seconds for each read and write.

    Raises:
        ConfigEngineError: The host's name cannot be one, or what the environment says of proxies
            or certificates cannot be used.
    """
    headers = {"accept": "application/json", "user-agent": f"promptlift/{__version__}"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    try:
        httpx2.URL(address.base)
        return httpx2.AsyncClient(
            headers=headers,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            mounts=_no_proxy(address),
            verify=_trusted(address),
            limits=httpx2.Limits(
                max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEPT
            ),
            timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT), pool=None),
        )
    except (ValueError, ImportError, OSError, httpx2.InvalidURL):
        # What is wrong may hold a proxy's password, so it is not repeated.
        pass
    raise ConfigEngineError(
        f"no connection to {address.host} can be set up",
        remedy="check the host's name, and in the environment HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, "
        "SSL_CERT_FILE and SSL_CERT_DIR",
    )


def _trusted(address: Address) -> ssl.SSLContext | bool:
    """Whom to trust: the machine's authorities; nobody where nothing is ever encrypted.

    To read the authorities takes longer than the rest of setting up.
    """
    if address.loopback and address.base.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return True


def _no_proxy(address: Address) -> dict[str, None] | None:
    """A proxy, if the environment names one, cannot reach this machine's own addresses."""
    return {f"all://{address.name}": None} if address.loopback else None
