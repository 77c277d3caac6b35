"""Stub servers that run for as long as the tests do, and one whose answers can be held back."""

from __future__ import annotations

import atexit
import functools
import threading

from stubs.openai_checks import Asked
from stubs.openai_server import StubServer

__all__ = ["GatedServer", "running"]


@functools.cache
def running(style: str) -> StubServer:
    """The server of a style; its answers hold what follows the last colon of the question."""
    server = StubServer(style, reply=_echo).start()
    atexit.register(server.stop)
    return server


class GatedServer(StubServer):
    """A server that answers while its gate is open, and ``free`` times while it is shut."""

    def __init__(self) -> None:
        super().__init__(reply=self._answer)
        self.gate = threading.Event()
        self.gate.set()
        self.free = threading.Semaphore(0)

    @property
    def asked(self) -> list[str]:
        """The texts of all chat requests so far."""
        return [one.asked.text for one in self.chats if one.asked is not None]

    def _answer(self, asked: Asked) -> str:
        if not self.free.acquire(blocking=False):
            self.gate.wait(60)
        said = asked.text.rpartition(": ")[2]
        return (
            f"{said}. It all happens in one take. The light is even and soft, the shadows are "
            "short, and the colours of the grass and of the sky stay as they are from the first "
            "moment to the last, while the wind moves the leaves a little."
        )


def _echo(asked: Asked) -> str:
    said = asked.text.rpartition(": ")[2]
    return f"{said}. Seen from a fixed camera, everything happens in one take."
