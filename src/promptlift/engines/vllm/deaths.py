"""How often an engine may die before it is left dead."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Deaths"]

_CALM = 600.0


class Deaths:
    """Counts deaths that follow each other; one after ten quiet minutes is the first again.

    Args:
        bearable: How many may follow each other.
        clock: Gives seconds.
    """

    def __init__(self, bearable: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._bearable = bearable
        self._clock = clock
        self._recent: list[float] = []
        self.total = 0

    def another(self) -> bool:
        """Count one more; whether the engine is to be started again."""
        now = self._clock()
        self._recent = [then for then in self._recent if now - then < _CALM] + [now]
        self.total += 1
        return len(self._recent) <= self._bearable
