"""What does not hurry waits for what does: reviews for requests, which keep the engine busy."""

from __future__ import annotations

import asyncio

__all__ = ["Leisure"]

_ROUNDS = 8  # of the event loop: what an answer takes from the socket to the next request


class Leisure:
    """Lets one after the other go on, each when the event loop has gone round a few times.

    A review keeps the loop for milliseconds. Where many answers come at once, each would be read
    only after the reviews of those before it, and the places of all of them at the engine would be
    empty so long. So all are read first, and what waits for a place is sent; then there is one
    review, and then whatever has come meanwhile.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Wait for one's turn."""
        async with self._turn:
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)
