"""How many requests may be in flight, found out while they are answered, and how many bytes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import anyio

__all__ = ["AdaptiveLimit", "ByteBudget"]

_GROWTH = 1.05
_CUT = 0.8
_CALM_SECONDS = 15.0
_START = 8
_WORTH = 1.15  # times faster, for a doubling; a twentieth shows in no rate
_AGAIN = 10  # rounds until a growth that did not pay is tried again


class AdaptiveLimit:
    """Limits requests in flight to what the engine serves well.

    The first request goes alone, so that what is set up wrongly shows before the second is sent.
    Then the limit doubles with every clean round in which it held work back, as long as that makes
    the answers come faster: most servers never say that they are busy, and what waits in their
    queue only grows old. After the first doubling that does not pay, or the first "busy", it grows
    by a twentieth, and tries that again now and then. Busy (status 429) cuts it by a fifth, at most
    once in 15 seconds: the answers to what was sent before a cut say nothing about what comes
    after. Other failures do not shrink it: a broken server is the circuit breaker's business.

    Args:
        most: It never lets more through.
        start: What it begins with after the first request; None for a start that is doubled.
        clock: Gives seconds.
    """

    def __init__(
        self, most: int, start: int | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.most = most
        self._clock = clock
        self._places = anyio.CapacityLimiter(1)
        self._opened = False
        self._level = float(min(most, start or _START))
        self._doubling = True
        self._passed = 0
        self._saturated = False
        self._began = clock()
        self._rate = 0.0
        self._steady = 0
        self._cut_at = -math.inf

    @property
    def now(self) -> int:
        """How many requests may be in flight at present."""
        return int(self._places.total_tokens)

    @property
    def in_flight(self) -> int:
        """How many are in flight."""
        return self._places.borrowed_tokens

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for one request; first come, first served."""
        if self._places.available_tokens <= 0:
            self._saturated = True
        async with self._places:
            yield

    def answered(self) -> None:
        """Note that the engine took a request, whatever it made of it."""
        if not self._opened:
            self._opened = True
            self._began = self._clock()
            self._apply()
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
        self._apply()

    def _apply(self) -> None:
        self._places.total_tokens = max(1, int(self._level))

    def _end_round(self) -> None:
        """As many were answered as may be in flight: see whether more should be."""
        now = self._clock()
        rate = self._passed / max(now - self._began, 1e-9)
        if self._saturated and self._level < self.most:
            self._weigh(rate)
        self._passed, self._began = 0, now
        self._saturated = self._places.statistics().tasks_waiting > 0

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
        self._apply()


class ByteBudget:
    """Bounds the bytes of frames in memory.

    How many bytes an item has is known when it is prepared. Until then as many are reserved as
    recent items had.

    Args:
        most: Bytes that may be held. An item that alone has more passes when no other holds any.

    Attributes:
        held: Bytes that are held or reserved now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._typical = most // 16
        self._order = asyncio.Lock()
        self._freed = asyncio.Event()

    async def reserve(self) -> int:
        """Wait for room for one item, first come, first served; gives the bytes reserved."""
        async with self._order:
            while self.held and self.held + self._typical > self.most:
                self._freed.clear()
                await self._freed.wait()
            self.held += self._typical
            return self._typical

    def settle(self, reserved: int, size: int) -> int:
        """Hold the bytes that an item has instead of those reserved; gives them."""
        self._typical = max(size, (self._typical + size) // 2)
        self.release(reserved - size)
        return size

    def release(self, size: int) -> None:
        """Give bytes back."""
        self.held -= size
        self._freed.set()
