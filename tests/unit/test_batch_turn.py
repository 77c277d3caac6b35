"""One item's turn with the engine, which lasts until its result is written; and reaching it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from promptlift.batch.runner import EngineDown
from promptlift.batch.runner.breaker import Breaker
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine, Turn
from promptlift.batch.runner.unwritten import Unwritten
from promptlift.engines.base import EngineInfo, Request
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from promptlift.testing import FakeEngine, FaultyEngine

ASKED = Request(text="a balloon", frames=())
AWAY = TransientEngineError("nothing listens there", remedy="start it")
REFUSED = ItemEngineError("too large", remedy="shrink it")


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def scripted(*errors: EngineError | None) -> Callable[[Request], EngineError | None]:
    """These faults in turn, then none."""
    left = list(errors)
    return lambda _: left.pop(0) if left else None


def narrow(*errors: EngineError | None) -> tuple[PatientEngine, Limit]:
    """An engine that takes one request at a time, so that two items may be unwritten."""
    limit = Limit(1, 1)
    return PatientEngine(FaultyEngine(FakeEngine(), scripted(*errors)), limit, Breaker(60)), limit


@pytest.mark.parametrize("error", [None, REFUSED])
def test_answers_that_are_not_written_hold_back_the_next(error: EngineError | None) -> None:
    """With an answer, or a refusal, an item counts until its turn is left."""
    engine, limit = narrow(error, error)

    async def play() -> None:
        turns = [engine.turn(), engine.turn()]
        for turn in turns:
            await asyncio.gather(turn.complete(ASKED), return_exceptions=True)
        third = asyncio.create_task(engine.complete(ASKED))
        await settle()
        assert (engine.requests, limit.in_flight, third.done()) == (2, 0, False)
        turns[1].leave()
        await third

    asyncio.run(play())
    assert engine.requests == 3


def test_a_second_try_of_an_item_waits_for_no_other_result() -> None:
    """An item that is asked again, for a better answer, does so within its turn."""
    engine, _ = narrow()

    async def play() -> None:
        with engine.turn() as turn, engine.turn() as other:
            await turn.complete(ASKED)
            await other.complete(ASKED)
            waiting = asyncio.create_task(engine.complete(ASKED))
            await turn.complete(ASKED)
            await other.complete(ASKED)
            assert (engine.requests, waiting.done()) == (4, False)
        await waiting

    asyncio.run(play())
    assert engine.requests == 5


def test_a_failure_that_may_pass_holds_back_nobody() -> None:
    """While some items wait to try again, others are answered."""
    later = TransientEngineError("come back", remedy="wait", wait=3600.0)
    engine, _ = narrow(later, later, later)

    async def play() -> None:
        turns = [engine.turn() for _ in range(3)]
        waiting = [asyncio.create_task(turn.complete(ASKED)) for turn in turns]
        await settle()
        await engine.complete(ASKED)
        assert not any(task.done() for task in waiting)
        engine.leave()
        assert all(
            isinstance(error, EngineDown)
            for error in await asyncio.gather(*waiting, return_exceptions=True)
        )

    asyncio.run(play())


def test_a_turn_that_is_left_twice_lets_one_in() -> None:
    """A turn may be left before its end, and is left there once more."""
    unwritten = Unwritten(Limit(1, 1))
    turn = Turn(narrow()[0], unwritten)

    async def play() -> None:
        with turn:
            await turn.take()
            await turn.take()
            assert unwritten.count == 1
            turn.leave()
        assert unwritten.count == 0

    asyncio.run(play())


@pytest.mark.parametrize(("limit", "most"), [(1, 2), (4, 8), (64, 128)])
def test_twice_as_many_as_may_be_in_flight(limit: int, most: int) -> None:
    """So many items may be unwritten; who comes first is let through first."""
    opened = Limit(limit, limit)
    opened.answered()
    unwritten = Unwritten(opened)
    let_in = []

    async def come(name: int) -> None:
        await unwritten.take()
        let_in.append(name)

    async def play() -> None:
        tasks = [asyncio.create_task(come(name)) for name in range(most + 3)]
        await settle()
        assert let_in == list(range(most))
        unwritten.give()
        await settle()
        assert let_in == list(range(most + 1))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert unwritten.count == most

    asyncio.run(play())


def test_who_gives_up_when_let_through_lets_the_next_in() -> None:
    """A place that nobody comes for any more goes to the next."""
    unwritten = Unwritten(Limit(1, 1))

    async def play() -> None:
        for _ in range(2):
            await unwritten.take()
        first, second = (asyncio.create_task(unwritten.take()) for _ in range(2))
        await settle()
        unwritten.give()
        first.cancel()
        await settle()
        assert (first.cancelled(), second.done(), unwritten.count) == (True, True, 2)

    asyncio.run(play())


class Late(FakeEngine):
    """An engine that is there after so many looks."""

    def __init__(self, looks: int, error: EngineError = AWAY) -> None:
        super().__init__()
        self.looks = looks
        self.error = error

    async def describe(self) -> EngineInfo:
        """Say who it is, or fail."""
        self.looks -= 1
        if self.looks >= 0:
            raise self.error
        return await super().describe()


def test_an_engine_that_is_not_there_yet_is_waited_for() -> None:
    """A run that begins before its engine begins when the engine is there."""
    told = list[bool]()
    engine = PatientEngine(Late(1), Limit(1), Breaker(60, told.append))
    assert asyncio.run(engine.reach()).name == "fake"
    assert told == [True, False]


def test_patience_with_an_engine_that_never_comes_ends() -> None:
    """Then the run ends as it does when an engine goes away."""
    engine = PatientEngine(Late(99), Limit(1), Breaker(0))
    with pytest.raises(EngineDown, match="nothing listens there"):
        asyncio.run(engine.reach())


def test_an_engine_that_refuses_everybody_is_not_waited_for() -> None:
    """A wrong key is no matter of patience."""
    wrong = ConfigEngineError("the key is wrong", remedy="give another")
    engine = PatientEngine(Late(99, wrong), Limit(1), Breaker(60))
    with pytest.raises(ConfigEngineError):
        asyncio.run(engine.reach())


def test_a_run_that_is_stopped_waits_for_no_engine() -> None:
    """Ctrl-C while the engine is away ends the waiting."""
    engine = PatientEngine(Late(99), Limit(1), Breaker(3600))
    engine.leave()
    with pytest.raises(EngineDown, match="stopped"):
        asyncio.run(engine.reach())
