"""How many requests may be in flight: found out, not guessed.

The first request goes alone, so that what is set up wrongly shows before the second is sent. Then
the limit doubles with every clean round in which it was what held work back, as long as that makes
the answers come faster: most servers never say that they are busy, and what waits in their queue
only grows old. After the first doubling that does not pay, or the first "busy", it grows by a
twentieth, and tries that again now and then. Busy (status 429) cuts it by a fifth, at most once in
15 seconds: the answers to what was sent before a cut say nothing about what comes after. Other
failures do not shrink it: a broken server is the breaker's business.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

__all__ = ["Limit"]

_GROWTH = 1.05
_CUT = 0.8
_CALM_SECONDS = 15.0
_START = 8
_WORTH = 1.15  # times faster, for a doubling; a twentieth shows in no rate
_AGAIN = 10  # rounds until what did not pay is tried again


class Limit:
    """A gate that lets so many through at a time, and changes how many.

    Args:
        most: It never lets more through.
        start: What it begins with after the first request; None for a start that is doubled.
        clock: Gives seconds.

    Attributes:
        in_flight: How many are through now.
        held: Whether growth is held back, as where requests wait in the engine's own queue.
    """

    def __init__(
        self, most: int, start: int | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.most = most
        self.in_flight = 0
        self.held = False
        self._clock = clock
        self._opened = False
        self._level = float(min(most, start or _START))
        self._doubling = True
        self._passed = 0
        self._saturated = False
        self._began = clock()
        self._rate = 0.0
        self._steady = 0
        self._cut_at = -math.inf
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def now(self) -> int:
        """How many may be in flight at present."""
        return max(1, int(self._level)) if self._opened else 1

    @property
    def queued(self) -> int:
        """How many wait to be let through."""
        return sum(not turn.done() for turn in self._queue)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait to be let through; first come, first served."""
        if self.in_flight >= self.now or self.queued:
            self._saturated = True
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self.in_flight += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.in_flight < self.now:
            turn = self._queue.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def answered(self) -> None:
        """Note that the engine took a request, whatever it made of it."""
        if not self._opened:
            self._opened = True
            self._began = self._clock()
            self._admit()
            return
        self._passed += 1
        if self._passed >= self.now:
            self._end_round()

    def busy(self) -> None:
        """Note that the engine asked to slow down."""
        self._opened = True
        self._passed, self._saturated, self._doubling = 0, False, False
        if self._clock() - self._cut_at >= _CALM_SECONDS:
            self._cut_at = self._clock()
            self._level = max(1.0, self._level * _CUT)

    def _end_round(self) -> None:
        """As many were answered as may be in flight: see whether more should be."""
        now = self._clock()
        rate = self._passed / max(now - self._began, 1e-9)
        if self._saturated and not self.held and self._level < self.most:
            self._weigh(rate)
        self._passed, self._began = 0, now
        self._saturated = bool(self.queued)

    def _weigh(self, rate: float) -> None:
        self._steady += 1
        pays = rate >= self._rate * _WORTH
        if self._doubling and not pays:
            self._doubling = False
            self._level = max(1.0, self._level / 2)
        elif self._doubling or pays or self._steady >= _AGAIN:
            growth = 2 if self._doubling else _GROWTH
            self._level = min(float(self.most), max(self._level * growth, self._level + 1))
            self._rate, self._steady = rate, 0
            self._admit()
