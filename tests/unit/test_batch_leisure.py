"""Reviews wait for requests: what comes from the engine is dealt with between any two of them."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from promptlift.batch.runner.breaker import Breaker
from promptlift.batch.runner.leisure import Leisure
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine
from promptlift.engines.base import Completion, EngineInfo, Request


def test_one_goes_on_at_a_time_in_their_order() -> None:
    """Between two of them the loop goes round several times, so that others have their turns."""

    async def run() -> None:
        leisure, order, rounds = Leisure(), list[tuple[int, int]](), [0]

        async def one(number: int) -> None:
            await leisure.wait()
            order.append((number, rounds[0]))

        async def count() -> None:
            while len(order) < 4:
                rounds[0] += 1
                await asyncio.sleep(0)

        await asyncio.gather(*(one(number) for number in range(4)), count())
        assert [number for number, _ in order] == [0, 1, 2, 3]
        at = [passed for _, passed in order]
        assert min(later - earlier for earlier, later in pairwise(at)) >= 5

    asyncio.run(run())


def test_who_gives_up_waiting_holds_up_nobody() -> None:
    """A run that is broken off in the middle leaves no lock behind."""

    async def run() -> None:
        leisure = Leisure()
        tasks = [asyncio.create_task(leisure.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.wait_for(tasks[2], 5)

    asyncio.run(run())


class _AtOnce:
    """An engine that answers as many as it is asked at once, when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()

    async def describe(self) -> EngineInfo:
        """Nobody in particular."""
        return EngineInfo("x", "x", "", "", None, None, 8)

    async def complete(self, request: Request) -> Completion:
        """Answer when it is time."""
        self.asked += 1
        await self.answer.wait()
        return Completion("text", "stop")

    async def close(self) -> None:
        """Nothing is held."""


def test_the_next_requests_are_sent_before_the_first_review() -> None:
    """Four answers come at once: all four places are taken again before anything is reviewed."""

    async def run() -> None:
        limit = Limit(4, 4)
        limit.answered()  # the first request, which goes alone, is over
        engine = _AtOnce()
        patient = PatientEngine(engine, limit, Breaker(1.0, lambda _: None))
        seen: list[int] = []

        async def item() -> None:
            await patient.complete(Request("x", ()))
            seen.append(engine.asked)

        tasks = [asyncio.create_task(item()) for _ in range(8)]
        await asyncio.sleep(0.01)
        assert engine.asked == 4
        engine.answer.set()
        await asyncio.gather(*tasks)
        assert seen[0] == 8

    asyncio.run(run())
