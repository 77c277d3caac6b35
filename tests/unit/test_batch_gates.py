"""The gates that items pass: the limit, the byte budget, the breaker, the patient engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from promptlift.batch.policy import wanted
from promptlift.batch.runner import EngineDown
from promptlift.batch.runner.breaker import Breaker
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine
from promptlift.batch.runner.room import ByteBudget
from promptlift.core.tokens import Family
from promptlift.engines.base import Completion, Request
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from promptlift.pipeline.families import family_of
from promptlift.testing import FakeEngine, FaultyEngine

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


class Crowd:
    """Holds slots of a limit until it is told to let go."""

    def __init__(self, most: int, start: int | None = None) -> None:
        self.clock = Clock()
        self.limit = Limit(most, start, self.clock)
        self.through = 0
        self._go = asyncio.Condition()
        self._allowed = 0
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, count: int) -> None:
        """So many more want a slot."""
        self.tasks += [asyncio.create_task(self._hold()) for _ in range(count)]

    async def _hold(self) -> None:
        async with self.limit.slot():
            self.through += 1
            async with self._go:
                await self._go.wait_for(lambda: self._allowed > 0)
                self._allowed -= 1
            self.limit.answered()

    async def answer(self, count: int, seconds: float = 1.0) -> None:
        """So many of those who are through are answered, all together after so long."""
        self.clock.now += seconds
        async with self._go:
            self._allowed += count
            self._go.notify_all()
        await settle()

    async def leave(self) -> None:
        """All go home."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def test_the_first_request_goes_alone() -> None:
    """Until one request was answered no second is sent, so that a wrong setting costs one."""

    async def play() -> None:
        crowd = Crowd(64)
        crowd.come(20)
        await settle()
        assert crowd.limit.in_flight == 1
        await crowd.answer(1)
        assert crowd.limit.in_flight == 8
        await crowd.leave()

    asyncio.run(play())


def test_a_named_concurrency_is_used_from_the_second_request_on() -> None:
    """Who says 12 gets 12 at once, and never more."""

    async def play() -> None:
        crowd = Crowd(12, 12)
        crowd.come(100)
        await settle()
        await crowd.answer(1)
        assert crowd.limit.in_flight == 12
        for _ in range(60):
            await crowd.answer(1)
            assert crowd.limit.in_flight == 12
        await crowd.leave()

    asyncio.run(play())


def test_the_limit_doubles_while_it_is_what_holds_work_back() -> None:
    """8, 16, 32, 64: a clean round in which others had to wait doubles it, up to the most."""

    async def play() -> None:
        crowd = Crowd(64)
        crowd.come(400)
        await settle()
        await crowd.answer(1)
        levels = [crowd.limit.in_flight]
        for _ in range(5):
            await crowd.answer(crowd.limit.in_flight)
            levels.append(crowd.limit.in_flight)
        assert levels == [8, 16, 32, 64, 64, 64]
        await crowd.leave()

    asyncio.run(play())


def test_the_limit_stops_where_more_brings_nothing() -> None:
    """A server that answers 8 a second however many wait in its queue is sent 8 at a time."""

    async def play() -> None:
        crowd = Crowd(256)
        crowd.come(2000)
        await settle()
        await crowd.answer(1)
        levels = []
        for _ in range(12):
            many = crowd.limit.in_flight
            await crowd.answer(many, seconds=many / 8)
            levels.append(crowd.limit.now)
        assert max(levels) == 16, "one doubling was tried"
        assert levels[-1] <= 9
        await crowd.leave()

    asyncio.run(play())


def test_a_server_that_grows_is_found_out() -> None:
    """What did not pay once is tried again after a while: servers get replicas."""

    async def play() -> None:
        crowd = Crowd(256)
        crowd.come(4000)
        await settle()
        await crowd.answer(1)
        for number in range(120):
            many = crowd.limit.in_flight
            await crowd.answer(many, seconds=many / 8 if number < 5 else 1.0)
        assert crowd.limit.now > 12
        await crowd.leave()

    asyncio.run(play())


def test_the_limit_stays_where_nobody_waits() -> None:
    """When the decoders hold the work back, a higher limit would mean nothing."""

    async def play() -> None:
        crowd = Crowd(64)
        crowd.come(1)
        await settle()
        await crowd.answer(1)
        for _ in range(40):
            crowd.come(4)
            await settle()
            await crowd.answer(4)
        assert crowd.limit.now == 8
        await crowd.leave()

    asyncio.run(play())


def test_requests_that_wait_in_the_engine_stop_the_growth() -> None:
    """More in flight would only lengthen the engine's own queue."""

    async def play() -> None:
        crowd = Crowd(64)
        crowd.come(200)
        await settle()
        await crowd.answer(1)
        crowd.limit.held = True
        for _ in range(3):
            await crowd.answer(crowd.limit.in_flight)
        assert crowd.limit.now == 8
        crowd.limit.held = False
        await crowd.answer(8)
        assert crowd.limit.now == 16
        await crowd.leave()

    asyncio.run(play())


def test_busy_cuts_by_a_fifth_once_in_fifteen_seconds() -> None:
    """A storm of refusals to what was sent together is one sign, not fifty."""
    clock = Clock()
    limit = Limit(100, 100, clock)
    limit.answered()
    for _ in range(50):
        limit.busy()
    assert limit.now == 80
    clock.now = 14.9
    limit.busy()
    assert limit.now == 80
    clock.now = 15.0
    limit.busy()
    assert limit.now == 64


def test_after_a_cut_it_grows_slowly() -> None:
    """The engine has shown where its limit is: from there on a twentieth a round."""

    async def play() -> None:
        crowd = Crowd(100, 50)
        crowd.come(1000)
        await settle()
        await crowd.answer(1)
        crowd.limit.busy()
        assert crowd.limit.now == 40
        for _ in range(4):  # the round in which it was cut comes to its end as well
            await crowd.answer(crowd.limit.in_flight)
        assert 42 <= crowd.limit.now <= 50
        await crowd.leave()

    asyncio.run(play())


def test_it_never_falls_below_one() -> None:
    """An engine that is always busy is still asked."""
    clock = Clock()
    limit = Limit(3, 3, clock)
    for _ in range(30):
        clock.now += 20
        limit.busy()
    assert limit.now == 1


def test_who_gives_up_waiting_takes_no_slot() -> None:
    """An item that is cancelled while it waits leaves the way free for the next."""

    async def play() -> None:
        crowd = Crowd(1, 1)
        crowd.come(3)
        await settle()
        crowd.tasks[1].cancel()
        await crowd.answer(1)
        assert (crowd.through, crowd.limit.in_flight) == (2, 1)
        await crowd.answer(1)
        assert crowd.limit.in_flight == 0

    asyncio.run(play())


def test_bytes_are_held_and_given_back_in_turn() -> None:
    """Who comes first is served first, and what is too much alone passes alone."""

    async def play() -> None:
        room, order = ByteBudget(100), list[int]()

        async def take(size: int) -> None:
            await room.take(size)
            order.append(size)

        tasks = [asyncio.create_task(take(size)) for size in (60, 50, 40, 500)]
        await settle()
        assert (order, room.held) == ([60], 60), "40 would fit, but 50 came first"
        room.give(60)
        await settle()
        assert (order, room.held) == ([60, 50, 40], 90)
        room.give(50)
        await settle()
        assert order == [60, 50, 40]
        room.give(40)
        await settle()
        assert (order[-1], room.held) == (500, 500)
        await asyncio.gather(*tasks)

    asyncio.run(play())


def test_who_gives_up_waiting_for_bytes_holds_none() -> None:
    """A cancelled item neither holds bytes nor blocks the queue."""

    async def play() -> None:
        room = ByteBudget(100)
        await room.take(80)
        greedy = asyncio.create_task(room.take(90))
        modest = asyncio.create_task(room.take(20))
        await settle()
        assert not modest.done()
        greedy.cancel()
        await settle()
        assert modest.done()
        assert room.held == 100

    asyncio.run(play())


DOWN = TransientEngineError("nothing listens there", remedy="start it")
SOON = TransientEngineError("come back", remedy="wait", wait=0.0)
BUSY = EngineBusy("slow down", remedy="send less", wait=0.0)


def patient(
    faults: Callable[[Request], EngineError | None], *, patience: float = 60, tries: int = 8
) -> tuple[PatientEngine, Limit, Breaker, list[bool]]:
    """A patient engine whose inner one fails as told."""
    limit, told = Limit(64, 64), list[bool]()
    breaker = Breaker(patience, told.append)
    engine = FaultyEngine(FakeEngine(), faults)
    return PatientEngine(engine, limit, breaker, tries=tries), limit, breaker, told


def scripted(*errors: EngineError | None) -> Callable[[Request], EngineError | None]:
    """These faults in turn, then none."""
    left = list(errors)
    return lambda _: left.pop(0) if left else None


def ask(engine: PatientEngine, times: int = 1) -> list[Completion | BaseException]:
    """Ask at once so many times, and give answers and errors."""

    async def all_of_them() -> list[Completion | BaseException]:
        return await asyncio.gather(
            *(engine.complete(ASKED) for _ in range(times)), return_exceptions=True
        )

    return asyncio.run(all_of_them())


def test_what_may_pass_is_tried_again() -> None:
    """Three failures that may pass, and the fourth try is answered."""
    engine, _, breaker, _ = patient(scripted(SOON, SOON, SOON))
    assert isinstance(ask(engine)[0], Completion)
    assert (engine.requests, engine.repeats, breaker.is_open) == (4, 3, False)


def test_a_refused_item_is_not_tried_again() -> None:
    """An item that the engine refuses is refused, and the engine is known to be there."""
    engine, limit, _, _ = patient(scripted(ItemEngineError("too large", remedy="shrink it")))
    assert isinstance(ask(engine)[0], ItemEngineError)
    assert (engine.requests, limit.now) == (1, 64)


def test_a_wrong_setting_is_not_tried_again() -> None:
    """What would fail for every item fails at once, before a second request is sent."""
    wrong = ConfigEngineError("the key is wrong", remedy="give another")
    engine, limit, _, _ = patient(scripted(wrong))
    assert isinstance(ask(engine)[0], ConfigEngineError)
    assert (engine.requests, limit.now) == (1, 1)


def test_an_item_that_alone_fails_is_given_up() -> None:
    """Where others are answered, a request that fails every time is given up, to be tried later."""
    bad = Request(text="the one that hangs", frames=())
    engine, _, breaker, told = patient(lambda asked: SOON if asked is bad else None, tries=4)

    async def play() -> None:
        async def others() -> None:
            for _ in range(50):
                await engine.complete(ASKED)

        with pytest.raises(TransientEngineError) as caught:
            await asyncio.gather(engine.complete(bad), others())
        assert not isinstance(caught.value, EngineDown)

    asyncio.run(play())
    assert (told, breaker.is_open) == ([], False)


def test_an_engine_that_is_down_is_waited_for() -> None:
    """When nobody is answered the breaker opens; when one is answered all go on."""
    engine, _, breaker, told = patient(scripted(*[SOON] * 11))
    answers = ask(engine, 6)
    assert all(isinstance(answer, Completion) for answer in answers)
    assert told == [True, False]
    assert not breaker.is_open


def test_patience_comes_to_an_end() -> None:
    """An engine that does not come back ends the run, with the words of the last failure."""
    engine, _, _, told = patient(lambda _: SOON, patience=0.0, tries=3)
    answers = ask(engine, 12)
    down = [answer for answer in answers if isinstance(answer, EngineDown)]
    assert len(down) >= 8, "a few may use up their tries before the breaker opens"
    assert "come back" in str(down[0])
    assert "same command again" in str(down[0])
    assert told == [True]


def test_an_engine_that_is_busy_is_sent_less() -> None:
    """A 429 lowers the limit, and the request is answered later."""
    engine, limit, _, _ = patient(scripted(None, BUSY))
    assert isinstance(ask(engine)[0], Completion)
    assert isinstance(ask(engine)[0], Completion)
    assert limit.now == 51


def test_leaving_ends_every_wait() -> None:
    """A run that is told to stop waits for no server that is away."""
    away = TransientEngineError("down", remedy="start it", wait=3600.0)
    engine, _, _, _ = patient(lambda _: away)

    async def play() -> BaseException | Completion:
        task = asyncio.create_task(engine.complete(ASKED))
        await settle()
        engine.leave()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert isinstance(asyncio.run(play()), EngineDown)
    assert isinstance(ask(engine)[0], EngineDown)
    assert engine.requests == 1


def test_a_count_that_fails_is_no_count() -> None:
    """Counting is a help and no duty: where it fails for now the formula is believed."""

    class Counting(FakeEngine):
        async def count(self, request: Request) -> int | None:
            """Fail for now."""
            raise DOWN

    engine = PatientEngine(Counting(), Limit(1), Breaker(1))
    plain = PatientEngine(FakeEngine(), Limit(1), Breaker(1))

    async def both() -> tuple[int | None, int | None]:
        return await engine.count(ASKED), await plain.count(ASKED)

    assert asyncio.run(both()) == (None, None)


def test_what_is_learnt_of_a_model_is_learnt_once() -> None:
    """Items of a batch that begin together measure a model that nobody knows once between them."""
    engine = FakeEngine(family="unknown", count_image=lambda size: 64 + size.pixels // 784)
    gate = PatientEngine(engine, Limit(4, 4), Breaker(1))

    async def through() -> list[Family]:
        who = await gate.describe()
        return await asyncio.gather(*(family_of(gate.turn(), who) for _ in range(3)))

    first, *others = asyncio.run(through())
    assert all(family is first for family in others)
    assert len(engine.requests) == 6, "one without a picture, five with"


Wanted = tuple[bool, bool, bool, bool]


@pytest.mark.parametrize(
    ("state", "retryable", "expected"),
    [
        (None, False, (True, True, True, True)),
        ("failed", True, (True, True, True, True)),
        ("failed", False, (False, True, False, True)),
        ("rejected", False, (False, False, True, True)),
        ("ok", False, (False, False, False, False)),
        ("repaired", False, (False, False, False, False)),
    ],
)
def test_what_is_done_again(state: str | None, retryable: bool, expected: Wanted) -> None:
    """The table of the design, row by row."""
    retries = (None, "failed", "rejected", "all")
    found = tuple(wanted(state, retryable=retryable, retry=retry) for retry in retries)  # type: ignore[arg-type]
    assert found == expected
