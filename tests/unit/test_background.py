"""Sync calls served by an event loop in a thread."""

from __future__ import annotations

import asyncio
import threading

from promptlift.background import BackgroundLoop


async def where() -> tuple[str, int]:
    """Name of the thread and identity of the loop that runs this."""
    return threading.current_thread().name, id(asyncio.get_running_loop())


def test_calls_share_one_loop_in_one_thread() -> None:
    """Two calls run on the same loop, so that connections survive between them."""
    loop = BackgroundLoop()
    assert loop.run(where()) == loop.run(where())
    loop.stop()


def test_works_inside_a_running_loop() -> None:
    """A notebook has a loop of its own; a sync call works there as well."""

    async def notebook() -> str:
        loop = BackgroundLoop()
        try:
            return loop.run(where())[0]
        finally:
            loop.stop()

    assert asyncio.run(notebook()) == "promptlift"


def test_stopping_ends_the_thread_and_may_be_done_twice() -> None:
    """No thread is left, and a later call starts a new one."""
    loop = BackgroundLoop()
    before = threading.active_count()
    loop.run(where())
    loop.stop()
    loop.stop()
    assert threading.active_count() == before
    assert loop.run(where())[0] == "promptlift"
    loop.stop()
