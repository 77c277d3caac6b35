"""Items are prepared one after the other, so that the engine hears of the first of many at once."""

from __future__ import annotations

import asyncio

__all__ = ["Turn", "Turns"]

_LONGEST_S = 0.02


class Turns:
    """Lets one item at a time be prepared, in the order in which they come.

    To prepare an item for the engine takes the event loop milliseconds. Those that come together
    would be prepared side by side, a step of each after a step of the others, and the engine would
    have nothing to do until nearly all of them are ready. Whoever has to wait for something else,
    such as a video that is decoded, holds nobody up for longer than a moment. Belongs to one event
    loop.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore()

    async def take(self) -> Turn:
        """Wait for one's turn; it must be ended."""
        await self._free.acquire()
        return Turn(self._free)


class Turn:
    """One item's turn, which ends by itself after a moment.

    Args:
        free: What the others wait for.
    """

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._over = False
        self._timer = asyncio.get_running_loop().call_later(_LONGEST_S, self.end)

    def end(self) -> None:
        """Let the next one go on; safe to call twice."""
        if not self._over:
            self._over = True
            self._timer.cancel()
            self._free.release()
