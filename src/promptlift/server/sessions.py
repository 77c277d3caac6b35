"""Sessions of browsers, which cannot send a key with every picture: a signed cookie.

The cookie says whose key was shown and until when, with a MAC by a secret of this process. It is
not the key, ends after half a day or with the server, and is worth nothing anywhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import cookie_parser

__all__ = ["COOKIE", "SESSION_SECONDS", "Sessions"]

COOKIE: Final = "promptlift-session"
SESSION_SECONDS: Final = 12 * 3600


class Sessions:
    """Gives sessions and knows its own.

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._secret = secrets.token_bytes(32)
        self._clock = clock

    def issue(self, owner: str) -> str:
        """A session of an owner, as a cookie's value."""
        said = f"{owner}.{int(self._clock()) + SESSION_SECONDS}"
        return f"{said}.{self._mac(said)}"

    def owner(self, cookies: str) -> str | None:
        """Whose session a ``Cookie`` header brings; None where it brings none that holds."""
        said, _, mac = cookie_parser(cookies).get(COOKIE, "").rpartition(".")
        if not hmac.compare_digest(self._mac(said).encode(), mac.encode("utf-8", "replace")):
            return None
        owner, _, until = said.rpartition(".")
        return owner if int(until) > self._clock() else None

    def _mac(self, said: str) -> str:
        return hmac.new(self._secret, said.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
