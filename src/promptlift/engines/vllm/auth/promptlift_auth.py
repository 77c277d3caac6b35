"""Middleware that vLLM loads: every request must carry the key, whatever its path.

vLLM checks its API key under /v1 only. The endpoints that put it to sleep and that call any
method of its workers are elsewhere, and on a shared machine every user can reach loopback. It
uses the standard library alone, because it runs in the environment that vLLM is installed in.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["AuthMiddleware"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class AuthMiddleware:
    """ASGI middleware that answers 401 unless the bearer token is VLLM_API_KEY.

    Args:
        app: The application to protect.
    """

    def __init__(self, app: _App) -> None:
        self._app = app
        self._expected = f"Bearer {os.environ['VLLM_API_KEY']}".encode()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass a request on, or answer it with 401."""
        if scope["type"] == "http" and not self._is_authorized(scope):
            head = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 401, "headers": head})
            await send({"type": "http.response.body", "body": b'{"error": "Unauthorized"}'})
            return
        await self._app(scope, receive, send)

    def _is_authorized(self, scope: _Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)
