"""Small blocking work beside an event loop, as many pieces in one go as wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeAlias

__all__ = ["Aside"]

_Piece: TypeAlias = tuple[Callable[[], object], "asyncio.Future[None]"]


class Aside:
    """One thread that does pieces of work in their order.

    To hand a piece to a thread and to hear of its end takes milliseconds while the loop is busy,
    since both want the interpreter. So what waits goes over together, and its end is told together.

    Args:
        name: The thread's.
    """

    def __init__(self, name: str) -> None:
        self._hand = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._waiting: list[_Piece] = []

    async def do(self, work: Callable[[], object]) -> None:
        """Have a piece done, and wait for it; raises what it raises.

        Cancelling it ends the waiting; the piece is done all the same.

        Raises:
            RuntimeError: It is closed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if not self._waiting:
                self._hand.submit(self._do_all)
            self._waiting.append((work, done))
        await asyncio.shield(done)

    def close(self) -> None:
        """Wait until everything is done; safe to call twice."""
        self._hand.shutdown()

    def _do_all(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        ends: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], Exception | None]]]
        ends = {}
        for work, done in waiting:
            ends.setdefault(done.get_loop(), []).append((done, _error_of(work)))
        for loop, those in ends.items():
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, those)


def _error_of(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - it is raised again where it is waited for
        return error
    return None


def _tell(ends: list[tuple[asyncio.Future[None], Exception | None]]) -> None:
    for done, error in ends:
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
