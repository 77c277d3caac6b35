"""One item at a time is prepared, and none holds the others up for long."""

from __future__ import annotations

import asyncio

from promptlift.server.turns import Turn, Turns


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_after_the_other_in_the_order_of_their_coming() -> None:
    """The next goes on when a turn is ended, and not before; ending it twice lets in one only."""

    async def work() -> None:
        turns, begun = Turns(), list[int]()

        async def item(number: int) -> Turn:
            turn = await turns.take()
            begun.append(number)
            return turn

        tasks = [asyncio.create_task(item(number)) for number in range(3)]
        await settled()
        assert begun == [0]
        first = await tasks[0]
        first.end()
        first.end()
        await settled()
        assert begun == [0, 1]
        (await tasks[1]).end()
        (await tasks[2]).end()
        assert begun == [0, 1, 2]

    asyncio.run(work())


def test_a_turn_that_takes_long_ends_by_itself() -> None:
    """A video that is decoded keeps nobody else from the engine."""

    async def work() -> None:
        turns = Turns()
        held = await turns.take()
        async with asyncio.timeout(10):
            other = await turns.take()
        other.end()
        held.end()  # over already: no second one may go on beside the next
        third = await turns.take()
        waiting = asyncio.create_task(turns.take())
        await settled()
        assert not waiting.done()
        third.end()
        (await waiting).end()

    asyncio.run(work())


def test_who_is_gone_before_its_turn_leaves_it_to_the_next() -> None:
    """A request that is cancelled while it waits takes no turn along."""

    async def work() -> None:
        turns = Turns()
        first = await turns.take()
        gone, next_one = (asyncio.create_task(turns.take()) for _ in range(2))
        await settled()
        gone.cancel()
        first.end()
        (await next_one).end()
        (await turns.take()).end()

    asyncio.run(work())
