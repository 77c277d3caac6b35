"""A bounded queue that serves its clients in turn."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from promptlift.server.errors import ApiError

__all__ = ["FairQueue", "Ticket", "deadline_error", "stopping_error"]

T = TypeVar("T")

_LONGEST_WAIT = 120
_WEIGHT = 0.2


class Ticket(Generic[T]):
    """One piece of work in a queue.

    Attributes:
        client: Whose it is.
        done: Its result, its error, or that it was cancelled.
    """

    def __init__(
        self, queue: FairQueue, client: str, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> None:
        self._queue = queue
        self.client = client
        self.work = work
        self.done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        # The client may be gone; asyncio must not complain that nobody looked at the error.
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.task: asyncio.Task[T] | None = None
        self.expired = False

    def cancel(self) -> None:
        """Take it out of its queue while it waits, or end it while it runs."""
        self._queue.cancel(self)


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
        self._lines: OrderedDict[str, deque[Ticket[Any]]] = OrderedDict()
        self._running: set[Ticket[Any]] = set()
        self._mean_seconds = 1.0
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
    ) -> Ticket[T]:
        """Put in a piece of work.

        Args:
            client: Whose it is.
            work: Called when its turn has come.
            seconds: For waiting and work together; None for any time.
            force: Accept it however full the queue is: it was accepted before.

        Raises:
            ApiError: The queue is full, or the server is about to end.
        """
        if not self._open:
            raise stopping_error()
        if not force and self.waiting >= self._places:
            newcomer = client not in self._lines
            if not newcomer or self.waiting >= self._places + max(1, self._places // 4):
                wait = self._mean_seconds * (self.waiting + 1) / self._workers
                raise ApiError(
                    429,
                    "queue_full",
                    f"{self.waiting} requests are waiting, and the server takes no more for now",
                    remedy="try again later, or start it with a longer --queue",
                    retry_after=min(_LONGEST_WAIT, max(1, math.ceil(wait))),
                )
        ticket = Ticket(self, client, work)
        if seconds is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0.0, seconds), self._expire, ticket)
            ticket.done.add_done_callback(lambda _: timer.cancel())
        self._lines.setdefault(client, deque()).append(ticket)
        self.waiting += 1
        self._dispatch()
        return ticket

    def cancel(self, ticket: Ticket[Any]) -> None:
        """Take out a piece that waits, or end one that runs."""
        if ticket.task is not None:
            ticket.task.cancel()
        else:
            self._take_out(ticket)
            ticket.done.cancel()

    async def stop(self, grace: float) -> None:
        """Begin nothing more, and give what runs so many seconds to end."""
        self._open = False
        for line in self._lines.values():
            for ticket in line:
                ticket.done.cancel()
        self._lines.clear()
        self.waiting = 0
        tasks = [ticket.task for ticket in self._running if ticket.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _expire(self, ticket: Ticket[Any]) -> None:
        if ticket.task is not None:
            ticket.expired = True
            ticket.task.cancel()
        elif not ticket.done.done():
            self._take_out(ticket)
            ticket.done.set_exception(deadline_error())

    def _take_out(self, ticket: Ticket[Any]) -> None:
        line = self._lines.get(ticket.client)
        if line is not None and ticket in line:
            line.remove(ticket)
            self.waiting -= 1
            if not line:
                del self._lines[ticket.client]

    def _dispatch(self) -> None:
        while self._open and self._lines and len(self._running) < self._workers:
            client, line = self._lines.popitem(last=False)
            ticket = line.popleft()
            if line:
                self._lines[client] = line
            self.waiting -= 1
            self._running.add(ticket)
            ticket.task = asyncio.create_task(ticket.work())
            # Not in the task: one that is cancelled before it has begun never comes to its end.
            ticket.task.add_done_callback(partial(self._ended, ticket, time.monotonic()))

    def _ended(self, ticket: Ticket[Any], began: float, task: asyncio.Task[Any]) -> None:
        if ticket.done.done():
            pass
        elif task.cancelled():
            if ticket.expired:
                ticket.done.set_exception(deadline_error())
            else:
                ticket.done.cancel()
        elif error := task.exception():
            ticket.done.set_exception(error)
        else:
            ticket.done.set_result(task.result())
        self._last_work = time.monotonic()
        self._mean_seconds += _WEIGHT * (self._last_work - began - self._mean_seconds)
        self._running.discard(ticket)
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
