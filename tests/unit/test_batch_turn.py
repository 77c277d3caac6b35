"""One item's turn with the engine: it keeps its slot with an answer; and reaching the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from promptlift.batch.runner import EngineDown
from promptlift.batch.runner.breaker import Breaker
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine
from promptlift.engines.base import EngineInfo, Request
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from promptlift.testing import FakeEngine, FaultyEngine

ASKED = Request(text="a balloon", frames=())
SOON = TransientEngineError("come back", remedy="wait", wait=0.0)
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
    """An engine that takes one request at a time."""
    limit = Limit(1, 1)
    return PatientEngine(FaultyEngine(FakeEngine(), scripted(*errors)), limit, Breaker(60)), limit


@pytest.mark.parametrize("error", [None, REFUSED])
def test_an_answer_keeps_its_slot_until_it_is_left(error: EngineError | None) -> None:
    """What has its answer, or its refusal, and is not written yet holds back the next."""
    engine, limit = narrow(error)

    async def play() -> None:
        first = engine.turn()
        await asyncio.gather(first.complete(ASKED), return_exceptions=True)
        other = asyncio.create_task(engine.complete(ASKED))
        await settle()
        assert not other.done()
        assert limit.in_flight == 1
        assert engine.requests == 1
        await first.leave()
        await other

    asyncio.run(play())
    assert (engine.requests, limit.in_flight) == (2, 0)


def test_a_second_try_of_an_item_waits_for_nobody() -> None:
    """An item that is asked again, for a better answer, does so on the slot that it has."""
    engine, limit = narrow()

    async def play() -> None:
        async with engine.turn() as turn:
            await turn.complete(ASKED)
            waiting = asyncio.create_task(engine.complete(ASKED))
            await settle()
            await turn.complete(ASKED)
            assert (engine.requests, waiting.done()) == (2, False)
        await waiting

    asyncio.run(play())
    assert (engine.requests, limit.in_flight) == (3, 0)


def test_a_failure_that_may_pass_keeps_no_slot() -> None:
    """While one item waits to try again, another is answered."""
    later = TransientEngineError("come back", remedy="wait", wait=3600.0)
    engine, limit = narrow(later)

    async def play() -> None:
        turn = engine.turn()
        first = asyncio.create_task(turn.complete(ASKED))
        await settle()
        assert limit.in_flight == 0
        await engine.complete(ASKED)
        assert not first.done()
        engine.leave()
        with pytest.raises(EngineDown):
            await first

    asyncio.run(play())
    assert limit.in_flight == 0


def test_leaving_twice_gives_one_slot_back() -> None:
    """A turn may be left before its end, and is left there once more."""
    engine, limit = narrow()

    async def play() -> None:
        async with engine.turn() as turn:
            await turn.complete(ASKED)
            await turn.leave()
            await turn.leave()
        assert limit.in_flight == 0

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
