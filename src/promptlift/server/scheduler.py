"""A bounded queue that serves its clients in turn."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from promptlift.server.errors import ApiError

__all__ = ["FairQueue", "deadline_error", "stopping_error"]

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Place:
    client: str
    turn: asyncio.Event
    task: asyncio.Task[Any] | None = None


class FairQueue:
    """Work that waits, of which so much runs at once.

    Clients are served in turn, however much each has waiting. While the queue is full, those who
    have nothing in it may still put in one piece each, up to a quarter more.

    Args:
        places: Most pieces that wait.
        workers: Most pieces that run at once.
    """

    def __init__(self, places: int, workers: int) -> None:
        self._places = places
        self._workers = workers
        self._lines: OrderedDict[str, deque[_Place]] = OrderedDict()
        self._running: set[_Place] = set()
        self._open = True
        self._last_work = time.monotonic()
        self.waiting = 0

    @property
    def running(self) -> int:
        """Pieces that run."""
        return len(self._running)

    def idle_for(self) -> float:
        """Seconds since there was something to do; 0 while there is."""
        busy = self.waiting or self._running
        return 0.0 if busy else time.monotonic() - self._last_work

    def submit(
        self,
        client: str,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        seconds: float | None = None,
        force: bool = False,
    ) -> asyncio.Task[T]:
        """Put in a piece of work.

        Args:
            client: Whose it is.
            work: Called when its turn has come.
            seconds: For waiting and work together; None for any time.
            force: Accept it however full the queue is: it was accepted before.

        Returns:
            The work with its wait; cancel it to take it out. It raises an `ApiError` where the
            time is over or the server ends.

        Raises:
            ApiError: The queue is full, or the server is about to end.
        """
        if not self._open:
            raise stopping_error()
        if not force and self.waiting >= self._places:
            most = self._places + max(1, self._places // 4)
            if client in self._lines or self.waiting >= most:
                raise ApiError(
                    429,
                    "queue_full",
                    f"{self.waiting} requests are waiting, and the server takes no more for now",
                    remedy="try again later, or start it with a longer --queue",
                    retry_after=2,
                )
        place = _Place(client, asyncio.Event())
        place.task = task = asyncio.create_task(self._in_turn(place, work, seconds))
        # Not in the task: one that is cancelled before it has begun never comes to its end.
        task.add_done_callback(partial(self._leave, place))
        self._lines.setdefault(client, deque()).append(place)
        self.waiting += 1
        self._dispatch()
        return task

    async def stop(self, grace: float) -> None:
        """Begin nothing more, and give what runs so many seconds to end."""
        self._open = False
        running = [place.task for place in self._running if place.task is not None]
        for line in self._lines.values():
            for place in line:
                assert place.task is not None
                place.task.cancel()
        if running:
            await asyncio.wait(running, timeout=grace)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _in_turn(
        self, place: _Place, work: Callable[[], Coroutine[Any, Any, T]], seconds: float | None
    ) -> T:
        try:
            async with asyncio.timeout(seconds) as limit:
                await place.turn.wait()
                return await work()
        except TimeoutError:
            if limit.expired():
                raise deadline_error() from None
            raise
        except asyncio.CancelledError:
            if self._open:
                raise
            raise stopping_error() from None

    def _dispatch(self) -> None:
        while self._open and self._lines and len(self._running) < self._workers:
            client, line = self._lines.popitem(last=False)
            place = line.popleft()
            if line:
                self._lines[client] = line
            self.waiting -= 1
            self._running.add(place)
            place.turn.set()

    def _leave(self, place: _Place, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved, also where the client is gone
        if place in self._running:
            self._running.discard(place)
            self._last_work = time.monotonic()
        else:
            line = self._lines[place.client]
            line.remove(place)
            self.waiting -= 1
            if not line:
                del self._lines[place.client]
        self._dispatch()


def stopping_error() -> ApiError:
    """The answer while the server ends."""
    return ApiError(
        503, "stopping", "the server is about to end", remedy="try again", retry_after=5
    )


def deadline_error() -> ApiError:
    """The answer where the time is over."""
    return ApiError(
        504,
        "deadline",
        "the time for this request is over",
        remedy="allow more, or send it when less is waiting",
        retry_after=1,
    )
