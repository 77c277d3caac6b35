"""Where a server is, and the key it wants."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from promptlift.errors import ConfigEngineError

__all__ = ["Address", "parse_address", "read_key"]

_EXAMPLE = "give an address such as http://localhost:8000/v1"


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API is; holds no credentials.

    Attributes:
        base: URL that the API's paths are put after, without a slash at the end.
        root: URL of the server itself: the base without ``/v1``.
        host: Host and port, to be shown.
        name: The host alone, as URLs spell it.
        loopback: Whether the host is this machine.
    """

    base: str
    root: str
    host: str
    name: str
    loopback: bool


def parse_address(url: str) -> Address:
    """Check a base URL. Where it has no path, ``/v1`` is meant.

    Raises:
        ConfigEngineError: It is no http or https URL, or holds what does not belong in one: a
            user name, a password, a query or a fragment.
    """
    parts = _split(url)
    if parts.username is not None or parts.password is not None:
        raise ConfigEngineError(
            "the base URL has a user name or a password in it",
            remedy="remove them, and name the environment variable that holds the key with "
            "--api-key-env",
        )
    if parts.query or parts.fragment:
        raise ConfigEngineError(
            "the base URL has a query or a fragment (what follows ? or #)", remedy="remove it"
        )
    name = parts.hostname or ""
    path = parts.path.rstrip("/") or "/v1"
    server = f"{parts.scheme}://{parts.netloc}"
    return Address(
        base=server + path,
        root=server + path.removesuffix("/v1"),
        host=parts.netloc,
        name=f"[{name}]" if ":" in name else name,
        loopback=_is_loopback(name),
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.strip().isprintable() or " " in url.strip():
        # A URL that cannot be read may hold a password where none can be recognised.
        shown = "" if "@" in url or "?" in url else f" {url!r}"
        raise ConfigEngineError(f"the base URL{shown} is no http or https URL", remedy=_EXAMPLE)
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def read_key(variable: str | None, key: str | None = None) -> str | None:
    """The API key: from the environment variable of that name, or as given by a program.

    Returns:
        None where neither is given.

    Raises:
        ConfigEngineError: Both are given, the variable is missing or empty, or the key could not
            be sent in a header.
    """
    if variable is not None and key is not None:
        raise ConfigEngineError(
            "both a key and the name of a variable that holds one are given",
            remedy="give one of the two",
        )
    if variable is not None:
        key = os.environ.get(variable, "").strip()
        if not key:
            # Whoever gives the key itself by mistake must not see it in a log.
            shown = variable if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else "given"
            raise ConfigEngineError(
                f"the environment variable {shown} for the API key is not set or is empty",
                remedy="set it, or give the name of the one that holds the key (never the key)",
            )
    if key is not None and not re.fullmatch(r"[!-~]+", key):
        raise ConfigEngineError(
            "the API key is empty or has characters that no key has",
            remedy="check it for spaces, line ends and quotes",
        )
    return key
