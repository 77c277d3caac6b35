"""Stub servers that run for as long as the tests do."""

from __future__ import annotations

import atexit
import functools

from stubs.openai_checks import Asked
from stubs.openai_server import StubServer

__all__ = ["running"]


@functools.cache
def running(style: str) -> StubServer:
    """The server of a style; its answers hold what follows the last colon of the question."""
    server = StubServer(style, reply=_echo).start()
    atexit.register(server.stop)
    return server


def _echo(asked: Asked) -> str:
    said = asked.text.rpartition(": ")[2]
    return f"{said}. Seen from a fixed camera, everything happens in one take."
