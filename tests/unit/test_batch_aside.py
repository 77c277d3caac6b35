"""Small blocking work beside a loop: in order, together, and each with its own end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from promptlift.batch.journal.aside import Aside


def test_what_waits_goes_over_together_and_in_order() -> None:
    """While the thread is held up by one piece, the others gather, and keep their order."""
    order: list[int] = []
    holding = threading.Event()

    async def work() -> None:
        aside = Aside("test")
        first = asyncio.create_task(aside.do(partial(holding.wait, 30)))
        await asyncio.sleep(0)
        others = [asyncio.create_task(aside.do(partial(order.append, n))) for n in range(20)]
        await asyncio.sleep(0)
        holding.set()
        await asyncio.gather(first, *others)
        aside.close()
        aside.close()

    asyncio.run(work())
    assert order == list(range(20))


def test_an_error_is_that_of_its_own_piece() -> None:
    """One that fails is told so, and the rest are done."""
    done: list[str] = []

    async def work() -> None:
        aside = Aside("test")
        pieces: list[Callable[[], object]] = [
            partial(done.append, "a"),
            partial(int, "no number"),
            partial(done.append, "b"),
        ]
        ends = await asyncio.gather(*(aside.do(one) for one in pieces), return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), ValueError, type(None)]
        with pytest.raises(ValueError, match="no number"):
            await aside.do(pieces[1])
        aside.close()

    asyncio.run(work())
    assert done == ["a", "b"]


def test_a_piece_is_done_though_nobody_waits_any_more() -> None:
    """Cancelling ends the waiting, not the work, as a line that is being written must be whole."""
    done: list[str] = []
    holding = threading.Event()

    async def work() -> None:
        aside = Aside("test")
        held = asyncio.create_task(aside.do(partial(holding.wait, 30)))
        waiting = asyncio.create_task(aside.do(partial(done.append, "a")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        holding.set()
        await held
        aside.close()

    asyncio.run(work())
    assert done == ["a"]


def test_what_comes_after_the_end_is_refused_each_time() -> None:
    """Nobody waits for a thread that is gone, the second no more than the first."""

    async def work() -> None:
        aside = Aside("test")
        aside.close()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="after shutdown"):
                await asyncio.wait_for(aside.do(list), timeout=20)

    asyncio.run(work())
