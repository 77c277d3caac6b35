"""How many items may be with the engine without a result in the journal."""

from __future__ import annotations

import asyncio
from collections import deque

from promptlift.batch.runner.limit import Limit

__all__ = ["Unwritten"]


class Unwritten:
    """Lets twice as many items through as requests may be in flight.

    With none to spare, an engine that answers many at once would wait for their reviews; without
    a bound, a run whose disk is full would go on asking for what it cannot write down.

    Args:
        limit: How many requests may be in flight.

    Attributes:
        count: Items that were let through and have not been given back.
    """

    def __init__(self, limit: Limit) -> None:
        self.count = 0
        self._limit = limit
        self._queue: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait to be let through; first come, first served."""
        if self._has_room() and not any(not turn.done() for turn in self._queue):
            self.count += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Let the next ones through: a result is written, or the item is given up for now."""
        self.count -= 1
        while self._queue and self._has_room():
            turn = self._queue.popleft()
            if not turn.done():
                self.count += 1
                turn.set_result(None)

    def _has_room(self) -> bool:
        return self.count < 2 * self._limit.now
