"""Loaded by vLLM itself: every request must carry the key, whatever its path.

vLLM asks for its API key under /v1 only. The endpoints that put it to sleep and that call any
method of its workers lie elsewhere, and on a shared machine everybody can reach loopback. The
standard library alone, because it runs in whatever environment vLLM lives in.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Gate"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class Gate:
    """ASGI middleware that answers 401 unless the bearer token is VLLM_API_KEY.

    Args:
        app: What lies behind the gate.
    """

    def __init__(self, app: _App) -> None:
        self._app = app
        self._expected = f"Bearer {os.environ['VLLM_API_KEY']}".encode()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Let a request through, or turn it away."""
        if scope["type"] == "http" and not self._may_pass(scope):
            head = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 401, "headers": head})
            await send({"type": "http.response.body", "body": b'{"error": "Unauthorized"}'})
            return
        await self._app(scope, receive, send)

    def _may_pass(self, scope: _Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)
