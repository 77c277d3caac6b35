"""What a refusal means. Status codes and error classes decide, never a text.

====================================  ===========  ==============================
status                                class        why
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

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)

__all__ = ["UnsupportedParameter", "garbled", "refusal", "retry_after", "unreachable"]

_TRANSIENT = frozenset({408, 409, 425})
_CONFIG = frozenset({401, 402, 403, 404, 405, 407})

_TEXTS: dict[int, tuple[str, str]] = {
    401: (
        "does not accept the key, or wants one",
        "name the environment variable that holds the key with --api-key-env",
    ),
    402: ("wants to be paid", "look at the account that the key belongs to"),
    403: ("does not allow this", "check what the key may do, and the model's name"),
    404: (
        "does not have that model or that address",
        "check --model, and --base-url, which for most servers ends in /v1",
    ),
    405: (
        "does not take questions at that address",
        "check --base-url, which for most servers ends in /v1",
    ),
    407: ("is behind a proxy that wants a login", "check the proxy settings"),
    413: (
        "finds the request too large",
        "show fewer or smaller frames, or raise the server's limit on a request's size",
    ),
}
_BY_CLASS: dict[type[EngineError], tuple[str, str]] = {
    ConfigEngineError: ("sends the request elsewhere", "give the address where it moved to"),
    ItemEngineError: ("refuses the request", "show fewer or smaller frames, or shorten the prompt"),
    TransientEngineError: ("failed", "look at the server's log, or try again later"),
    EngineBusy: ("asks to slow down", "send fewer requests at a time, or try again later"),
}


class UnsupportedParameter(ItemEngineError):
    """The API does not know a parameter of the request, and says which in its error's fields."""

    def __init__(self, message: str, *, remedy: str, parameter: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.parameter = parameter


def refusal(status: int, host: str, said: str = "", wait: float | None = None) -> EngineError:
    """The error for an answer with a status that is not 2xx.

    Args:
        status: HTTP status code.
        host: Who answered.
        said: The server's own words, already cleaned; only shown, never looked at.
        wait: Seconds that the server asks to wait; see `retry_after`.
    """
    kind = _class(status, wait)
    what, remedy = _TEXTS.get(status, _BY_CLASS[kind])
    quoted = f": {said}" if said and status not in (401, 403) else ""
    message = f"{host} {what} (status {status}){quoted}"
    if issubclass(kind, TransientEngineError):
        return kind(message, remedy=remedy, wait=wait)
    return kind(message, remedy=remedy)


def _class(status: int, wait: float | None) -> type[EngineError]:
    if status == 429 or (status == 503 and wait is not None):
        return EngineBusy
    if status in _TRANSIENT or status >= 500:
        return TransientEngineError
    return ConfigEngineError if status in _CONFIG or status < 400 else ItemEngineError


def unreachable(host: str, why: str) -> TransientEngineError:
    """The error for a server that does not answer."""
    return TransientEngineError(
        f"{host} {why}", remedy="check that the server runs and that --base-url is its address"
    )


def garbled(host: str) -> TransientEngineError:
    """The error for an answer that is not the API's, as a proxy on the way gives it."""
    return TransientEngineError(
        f"{host} answered with something that is not an answer of this API",
        remedy="check that --base-url is the API's address, which for most servers ends in /v1",
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait; None if it does not say, or not intelligibly.

    The header has seconds or an HTTP date (RFC 9110, section 10.2.3); some APIs give
    milliseconds in ``retry-after-ms``.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
