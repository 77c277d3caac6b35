"""How many bytes of pictures may be in memory: known before they are decoded."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["ByteBudget"]


class ByteBudget:
    """Bytes that are taken and given back; who finds too few waits his turn.

    What alone is more than there is passes when nobody else holds any.

    Args:
        most: Bytes that may be held.

    Attributes:
        held: Bytes that are held now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Hold so many bytes, when there is room; first come, first served."""
        if not self._queue and self._fits(size):
            self.held += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                self._admit()
            raise

    def give(self, size: int) -> None:
        """Give them back."""
        self.held -= size
        self._admit()

    def _fits(self, size: int) -> bool:
        return not self.held or self.held + size <= self.most

    def _admit(self) -> None:
        while self._queue:
            size, turn = self._queue[0]
            if not turn.done():
                if not self._fits(size):
                    return
                self.held += size
                turn.set_result(None)
            self._queue.popleft()
