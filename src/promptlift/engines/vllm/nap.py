"""The sleep of an engine of our own: which process sleeps, and that it is woken once."""

from __future__ import annotations

import threading

from promptlift.engines.vllm.control import sleep, wake
from promptlift.engines.vllm.launch import Running
from promptlift.errors import EngineError

__all__ = ["Nap"]

_LEVEL = 1  # the weights stay in main memory, from which they are back within a second or so


class Nap:
    """Remembers which engine was put to sleep. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None

    def holds(self, running: Running) -> bool:
        """Whether that engine sleeps; one that was started after it does not."""
        return self._pid == running.process.pid

    def begin(self, running: Running) -> None:
        """Put it to sleep, once it has answered what it works on.

        Raises:
            TransientEngineError: It does not answer.
            ConfigEngineError: It was started without the ability to sleep.
        """
        with self._lock:
            if not self.holds(running):
                sleep(running.endpoint, _LEVEL, running.plan.installation.version)
                self._pid = running.process.pid

    def end(self, running: Running) -> None:
        """Wake it where it sleeps. One that does not wake is ended: the next start replaces it."""
        with self._lock:
            if self.holds(running):
                self._pid = None
                try:
                    wake(running.endpoint, _LEVEL)
                except EngineError:
                    running.process.stop()
