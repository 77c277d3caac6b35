"""A crew of killable processes that decode one video after another.

`isolated_call` starts a process for each call, and most of its time goes into importing PyAV and
NumPy again. A crew keeps its processes and protects its caller in the same way: a call that
crashes, hangs or hoards takes one process with it, and the next call gets a fresh one.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from promptlift.frames.isolated import Child, IsolationLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["Crew"]

R = TypeVar("R")

_MOST_CALLS = 500
# Whoever has a crew talks to an engine meanwhile, and an answer that waits for the processor costs
# more than a picture that does: pictures are decoded ahead.
_NICENESS = 5


class Crew:
    """Processes that are asked from one event loop, each for one call at a time.

    Processes are started when they are first needed, and replaced when one has crashed, passed a
    limit, was killed because the task that waited for it was cancelled, has done many calls or
    holds much memory: codecs leak, and what they leak would be held against later videos.

    Args:
        workers: How many calls may be under way at once, at least 1.
        limits: What each call may use.
        preload: Names of modules that each process imports as soon as it is started.

    Raises:
        ValueError: There are no workers.
    """

    def __init__(
        self, workers: int, limits: IsolationLimits | None = None, *, preload: Sequence[str] = ()
    ) -> None:
        if workers < 1:
            raise ValueError(f"a crew needs at least 1 worker, not {workers}")
        self._limits = replace(limits or IsolationLimits(), niceness=_NICENESS)
        self._preload = tuple(preload)
        self._workers = workers
        self._closed = False
        self._places = asyncio.Semaphore(workers)
        self._idle = [self._hire() for _ in range(workers)]
        self._active: dict[asyncio.Future[Any], Child] = {}
        # Its own threads, which only wait for pipes: decoding must not take the loop's.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="promptlift-crew")
        self._seconds = 0.0
        self._since = time.monotonic()

    @property
    def workers(self) -> int:
        """How many calls may be under way at once."""
        return self._workers

    @property
    def busy(self) -> int:
        """How many calls are under way."""
        return len(self._active)

    @property
    def seconds_busy(self) -> float:
        """Seconds that the workers have spent on calls so far, all added up."""
        return self._seconds + self.busy * (time.monotonic() - self._since)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def call(self, function: Callable[..., R], /, *args: object, **kwargs: object) -> R:
        """Call a function in one of the processes, once one is free.

        If the task that waits is cancelled, the process is killed: nothing else stops a decoder.

        Args:
            function: A function at the top level of an importable module.
            *args: Its arguments; anything that can be pickled.
            **kwargs: Its arguments by name.

        Returns:
            What the function returned, pickled and back. Arrays are not copied on the way.

        Raises:
            VideoTimeout: The process passed a limit or crashed.
            RuntimeError: The crew was closed before there was an answer.
            Exception: Whatever the function itself raised.
        """
        await self._places.acquire()
        if self._closed:
            self._places.release()
            raise RuntimeError("the crew has been closed")
        child = self._pick()
        call = partial(function, *args, **kwargs)
        work = asyncio.wrap_future(self._threads.submit(_ask, child, call))
        self._begin(work, child)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            child.kill()
            await asyncio.wait([work])
            raise

    async def warm(self) -> None:
        """Start every process that is free, and wait until it has imported what it should."""
        await asyncio.gather(*(self.call(int) for _ in range(self._workers - self.busy)))

    async def close(self) -> None:
        """Kill every process, whatever it does, and wait until all are gone. Safe twice."""
        self._closed = True
        for child in (*self._active.values(), *self._idle):
            child.kill()
        if self._active:
            await asyncio.wait(self._active)
        idle, self._idle = self._idle, []
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, child.end) for child in idle))
        self._threads.shutdown()

    def _hire(self) -> Child:
        return Child(self._limits, self._preload)

    def _pick(self) -> Child:
        """The process that was used last, or a new one in the place of one that has ended.

        It may have ended between calls, by the system's hand: that is not the next video's fault.
        """
        child = self._idle.pop()
        if child.spent:
            child.end()
            return self._hire()
        return child

    def _begin(self, work: asyncio.Future[Any], child: Child) -> None:
        self._count()
        self._active[work] = child
        work.add_done_callback(self._finish)

    def _finish(self, work: asyncio.Future[Any]) -> None:
        """Free the place of a call; its thread is done with it, however the waiting ended."""
        self._count()
        work.exception()  # seen, so that asyncio does not complain where the waiter was cancelled
        child = self._active.pop(work)
        self._idle.insert(0 if child.spent else len(self._idle), child)  # those that run go first
        self._places.release()

    def _count(self) -> None:
        now = time.monotonic()
        self._seconds += self.busy * (now - self._since)
        self._since = now


def _ask(child: Child, call: Callable[[], R]) -> R:
    try:
        return child.ask(call)
    finally:
        if child.calls >= _MOST_CALLS:
            child.end()
