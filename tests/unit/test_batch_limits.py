"""What bounds the items of a batch: the limit, the byte budget, the breaker, the retries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from promptlift.batch.limits import AdaptiveLimit, ByteBudget
from promptlift.batch.progress import BatchProgress
from promptlift.batch.retrying import CircuitBreaker, EngineDown, RetryingEngine
from promptlift.engines.base import Completion, Request
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    TransientEngineError,
)
from promptlift.testing import FakeEngine
from promptlift.types import EngineInfo
from stubs.faulty_engine import FaultyEngine


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptlift.batch.retrying._FIRST_WAIT", 0.01)


ASKED = Request(text="a balloon", frames=())


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


class Items:
    """Items that want a place of a limit, and are answered when the test says so."""

    def __init__(self, most: int, start: int | None = None) -> None:
        self.clock = Clock()
        self.limit = AdaptiveLimit(most, start, self.clock)
        self._answers = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, count: int) -> None:
        """So many more want a place."""
        self.tasks += [asyncio.create_task(self._hold()) for _ in range(count)]
        await settle()

    async def _hold(self) -> None:
        async with self.limit.place():
            await self._answers.acquire()
            self.limit.answered()

    async def answer(self, count: int | None = None, seconds: float = 1.0) -> int:
        """Answer so many, or all in flight, after so long; gives the limit then."""
        self.clock.now += seconds
        for _ in range(self.limit.in_flight if count is None else count):
            self._answers.release()
        await settle()
        return self.limit.now


Play: TypeAlias = Callable[[Items], Awaitable[None]]


def play(script: Play, most: int, start: int | None = None, *, come: int = 1500) -> None:
    """Let items come, the first of which is answered, and play a script with them."""

    async def work() -> None:
        items = Items(most, start)
        await items.come(come)
        assert items.limit.in_flight == 1, "the first request goes alone"
        await items.answer(1)
        await script(items)
        for task in items.tasks:
            task.cancel()
        await asyncio.gather(*items.tasks, return_exceptions=True)

    asyncio.run(work())


def test_a_named_concurrency_is_used_from_the_second_request_on() -> None:
    """Who says 12 gets 12 at once, and never more."""

    async def script(items: Items) -> None:
        for _ in range(60):
            assert items.limit.in_flight == 12
            await items.answer(1)

    play(script, 12, 12, come=100)


def test_the_limit_doubles_while_it_holds_work_back_and_that_pays() -> None:
    """8, 16, 32, 64: a clean round in which others had to wait doubles it, up to the most."""

    async def script(items: Items) -> None:
        levels = [items.limit.now] + [await items.answer() for _ in range(5)]
        assert levels == [8, 16, 32, 64, 64, 64]

    play(script, 64)


def test_the_limit_stops_where_more_brings_nothing_and_tries_again_later() -> None:
    """A server that answers 8 a second is sent 8 at a time, until it gets a replica."""

    async def script(items: Items) -> None:
        levels = [await items.answer(seconds=items.limit.in_flight / 8) for _ in range(12)]
        assert max(levels) == 16, "one doubling was tried"
        assert levels[-1] <= 9
        for _ in range(108):
            await items.answer()
        assert items.limit.now > 12

    play(script, 256)


def test_the_limit_stays_where_it_holds_nothing_back() -> None:
    """When nobody waits for a place."""

    async def idle(items: Items) -> None:
        for _ in range(40):
            await items.come(4)
            await items.answer()
        assert items.limit.now == 8

    play(idle, 64, come=1)


def test_busy_cuts_by_a_fifth_once_in_fifteen_seconds() -> None:
    """A storm of refusals to what was sent together is one sign; an engine is always asked."""
    clock = Clock()
    limit = AdaptiveLimit(100, 100, clock)
    limit.answered()
    for now, level in [(0.0, 80), (0.0, 80), (14.9, 80), (15.0, 64)]:
        clock.now = now
        limit.busy()
        assert limit.now == level
    for _ in range(30):
        clock.now += 20
        limit.busy()
    assert limit.now == 1


def test_after_a_cut_it_grows_slowly() -> None:
    """The engine has shown where its limit is: from there on a twentieth a round."""

    async def script(items: Items) -> None:
        items.limit.busy()
        assert items.limit.now == 40
        for _ in range(4):  # the round in which it was cut comes to its end as well
            await items.answer()
        assert 42 <= items.limit.now <= 50

    play(script, 100, 50)


def test_bytes_are_reserved_in_turn() -> None:
    """As many items as there is room for by what the last ones took; first come, first served."""

    async def play() -> None:
        budget = ByteBudget(1600)
        reserved = await budget.reserve()
        assert budget.settle(reserved, 400) == 400
        order: list[int] = []

        async def one(number: int) -> None:
            await budget.reserve()
            order.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(5)]
        await settle()
        assert (order, budget.held) == ([0, 1, 2], 1600)
        tasks[3].cancel()
        budget.release(400)
        await settle()
        assert (order, budget.held) == ([0, 1, 2, 4], 1600)

    asyncio.run(play())


DOWN = TransientEngineError("nothing listens there", remedy="start it")
SOON = TransientEngineError("come back", remedy="wait", wait=0.0)
SLOW = TransientEngineError("come back later", remedy="wait", wait=3600.0)
BUSY = EngineBusy("slow down", remedy="send less", wait=0.0)


def retrying(
    faults: Callable[[Request], EngineError | None], *, tries: int = 8
) -> tuple[RetryingEngine, AdaptiveLimit, BatchProgress, list[bool]]:
    """A retrying engine whose inner one fails as told; the list says when the breaker changed."""
    limit, progress, changes = AdaptiveLimit(64, 64), BatchProgress(), list[bool]()
    breaker = CircuitBreaker(60, lambda error: changes.append(error is not None))
    inner = FaultyEngine(FakeEngine(), faults)
    return RetryingEngine(inner, limit, breaker, progress, tries=tries), limit, progress, changes


def scripted(*errors: EngineError | None) -> Callable[[Request], EngineError | None]:
    """These faults in turn, then none."""
    left = list(errors)
    return lambda _: left.pop(0) if left else None


def ask(engine: RetryingEngine, times: int = 1) -> list[Completion | BaseException]:
    """Ask at once so many times, and give answers and errors."""

    async def all_of_them() -> list[Completion | BaseException]:
        return await asyncio.gather(
            *(engine.complete(ASKED) for _ in range(times)), return_exceptions=True
        )

    return asyncio.run(all_of_them())


def test_what_may_pass_is_tried_again() -> None:
    """Three failures that may pass, and the fourth try is answered."""
    engine, _, progress, changes = retrying(scripted(SOON, SOON, SOON))
    assert isinstance(ask(engine)[0], Completion)
    assert (progress.requests, changes) == (4, [])


def test_an_item_that_alone_fails_is_given_up() -> None:
    """Where others are answered, a request that fails every time is given up, to be tried later."""
    bad = Request(text="the one that hangs", frames=())
    engine, _, _, changes = retrying(lambda asked: SOON if asked is bad else None, tries=4)

    async def play() -> None:
        async def others() -> None:
            for _ in range(50):
                await engine.complete(ASKED)

        with pytest.raises(TransientEngineError) as caught:
            await asyncio.gather(engine.complete(bad), others())
        assert not isinstance(caught.value, EngineDown)

    asyncio.run(play())
    assert changes == []


def test_an_engine_that_is_down_is_waited_for() -> None:
    """When nobody is answered the breaker opens; when one is answered all go on."""
    engine, _, _, changes = retrying(scripted(*[SOON] * 11))
    answers = ask(engine, 6)
    assert all(isinstance(answer, Completion) for answer in answers)
    assert changes == [True, False]


def test_an_engine_that_is_busy_is_sent_less() -> None:
    """A 429 lowers the limit, and the request is answered later."""
    engine, limit, _, _ = retrying(scripted(None, BUSY))
    assert isinstance(ask(engine)[0], Completion)
    assert isinstance(ask(engine)[0], Completion)
    assert limit.now == 51


def test_leaving_ends_every_wait() -> None:
    """A run that is told to stop waits for no server that is away."""
    away = TransientEngineError("down", remedy="start it", wait=3600.0)
    engine, _, progress, _ = retrying(lambda _: away)

    async def play() -> BaseException | Completion:
        task = asyncio.create_task(engine.complete(ASKED))
        await settle()
        engine.stop()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert isinstance(asyncio.run(play()), EngineDown)
    assert isinstance(ask(engine)[0], EngineDown)
    assert progress.requests == 1


def test_a_count_that_fails_is_no_count() -> None:
    """Counting is a help and no duty: where it fails for now the formula is believed."""

    class Counting(FakeEngine):
        async def count(self, request: Request) -> int | None:
            """Fail for now."""
            raise DOWN

    engine = RetryingEngine(Counting(), AdaptiveLimit(1), CircuitBreaker(1), BatchProgress())
    assert asyncio.run(engine.count(ASKED)) is None


def test_a_request_that_waits_to_be_sent_again_holds_no_place() -> None:
    """Others are asked meanwhile."""

    async def play() -> None:
        limit, progress = AdaptiveLimit(1), BatchProgress()
        inner = FaultyEngine(FakeEngine(), scripted(SLOW))
        engine = RetryingEngine(inner, limit, CircuitBreaker(60), progress)
        waiting = asyncio.create_task(engine.complete(ASKED))
        await settle()
        assert (progress.requests, limit.in_flight) == (1, 0)
        await engine.complete(ASKED)
        waiting.cancel()

    asyncio.run(play())


class _Late(FakeEngine):
    """An engine that is there after so many looks."""

    def __init__(self, *errors: EngineError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def describe(self) -> EngineInfo:
        """Say who it is, or fail."""
        if self.errors:
            raise self.errors.pop(0)
        return await super().describe()


def test_an_engine_that_is_not_there_yet_is_waited_for() -> None:
    """As long as there is patience; one that refuses everybody is not."""

    async def reach(engine: FakeEngine, patience: float) -> EngineInfo:
        limit = AdaptiveLimit(4)
        return await RetryingEngine(
            engine, limit, CircuitBreaker(patience), BatchProgress()
        ).describe()

    assert asyncio.run(reach(_Late(DOWN, DOWN), 60)).name == "fake"
    with pytest.raises(EngineDown, match="nothing listens there"):
        asyncio.run(reach(_Late(*[DOWN] * 9), 0.0))
    wrong = ConfigEngineError("the key is wrong", remedy="give another")
    with pytest.raises(ConfigEngineError):
        asyncio.run(reach(_Late(wrong), 60))
