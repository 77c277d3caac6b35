"""The items that are under way: begun one by one, finished in any order, each key once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from promptlift.batch.runner.items import Item
from promptlift.batch.runner.tally import Tally
from promptlift.batch.runner.worker import Worker

__all__ = ["Crowd"]


class Crowd:
    """Bounded: who begins an item waits for a place.

    Args:
        places: How many items may be under way.
        worker: Works on each.
        settled: Gives the state of a key that is finished already; None for one that is not.
        tally: Is kept.
        failed: Told of an error that is no single item's.
    """

    def __init__(
        self,
        places: int,
        worker: Worker,
        settled: Callable[[str], Awaitable[str | None]],
        tally: Tally,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._worker = worker
        self._settled = settled
        self._tally = tally
        self._failed = failed
        self._states: dict[bytes, str | None] = {}
        self._followers: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def place(self) -> None:
        """Wait for a place; `begin` takes it."""
        await self._places.acquire()

    def wake(self) -> None:
        """Let whoever waits for a place see that it is over."""
        self._places.release()

    def begin(self, item: Item) -> None:
        """Work on an item, on a place that was waited for."""
        self._tally.in_work += 1
        self._tally.asked += 1
        task = asyncio.create_task(self._through(item))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def finish(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Break off what is under way."""
        for task in self._tasks:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._tally.in_work -= 1
        self._places.release()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)

    async def _through(self, item: Item) -> None:
        named = await self._worker.named(item)
        assert named.key is not None, "it was just named"
        key = bytes.fromhex(named.key)
        if key not in self._states and item.key is None:
            state = await self._settled(named.key)
            if state is not None:
                self._tally.before[state] += 1
                await self._worker.note(named)
                return
        if key in self._states:
            await self._follow(key, named)
        else:
            await self._ask(key, named)

    async def _ask(self, key: bytes, item: Item) -> None:
        self._states[key] = None
        try:
            record = await self._worker.done(item)
        except BaseException:
            del self._states[key]
            raise
        self._states[key] = record.status
        self._tally.settle(record, 1 + self._followers.pop(key, 0))

    async def _follow(self, key: bytes, item: Item) -> None:
        """Another row is the same item: it is answered once, and both are reported."""
        await self._worker.note(item)
        state = self._states.get(key)
        if state is None:
            self._followers[key] += 1
        else:
            self._tally.now[state] += 1
