"""An engine of our own, on a stand-in for vLLM: starts, failed starts, deaths, the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.base import Request, Sleeps
from promptlift.engines.vllm import VllmEngine
from promptlift.engines.vllm.control import healthy
from promptlift.engines.vllm.deaths import Deaths
from promptlift.engines.vllm.log import Stage
from promptlift.engines.vllm.state import process_identity
from promptlift.errors import ConfigEngineError, TransientEngineError
from vllm_stub.make import Stub, make_stub
from vllm_stub.server import ANSWER

REQUEST = Request(text="Test prompt", frames=())


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own, and no GPU."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PROMPTLIFT_VLLM_PYTHON", raising=False)


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    """A stand-in for vLLM."""
    return make_stub(tmp_path / "stub")


@asynccontextmanager
async def engine_of(stub: Stub, **options: Any) -> AsyncIterator[VllmEngine]:
    """An engine of our own, ended at the end."""
    engine = VllmEngine(stub.settings(), use_running=False, **options)
    try:
        yield engine
    finally:
        await engine.close()


def pid_of(engine: VllmEngine) -> int:
    """The engine's process id."""
    assert engine.own is not None
    assert engine.own.running is not None
    return engine.own.running.process.pid


def count(stub: Stub, path: str) -> int:
    """How often the engine was asked for something, or started."""
    return sum(call.partition("?")[0] == path for call in stub.calls())


def test_it_starts_answers_and_ends(stub: Stub) -> None:
    """The first request starts it, and closing ends it; the model is the one of the folder."""
    heard: list[Stage] = []

    async def use() -> int:
        async with engine_of(stub, progress=lambda stage, _: heard.append(stage)) as engine:
            assert engine.own is None
            info = await engine.describe()
            assert (info.name, info.model, info.version) == ("vllm", "tiny", "vllm 0.32.0")
            assert (info.context, info.family, info.max_images) == (9216, "pixtral", 2)
            assert info.revision
            assert (await engine.complete(REQUEST)).text == ANSWER
            pid = pid_of(engine)
            assert process_identity(pid) is not None
        return pid

    pid = asyncio.run(use())
    assert process_identity(pid) is None
    assert stub.calls() == ["start", "/v1/chat/completions"]
    assert heard[0] in ("start", "load"), "it is looked at now and then, and starts fast"
    assert heard[-1] == "ready"


def test_items_in_flight_are_sent_again(stub: Stub) -> None:
    """When the engine dies over one of many, a new one answers them all, at the same address."""
    stub.behave(deaths=1)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            first = pid_of(engine)
            answers = await asyncio.gather(*(engine.complete(REQUEST) for _ in range(5)))
            assert [answer.text for answer in answers] == [ANSWER] * 5
            assert pid_of(engine) != first

    asyncio.run(use())
    assert stub.calls().count("start") == 2


def test_a_request_that_kills_every_engine_is_given_up(stub: Stub) -> None:
    """Restarts are bounded, and the error says what happened."""
    stub.behave(deaths=100)

    async def use() -> None:
        async with engine_of(stub, restarts=2) as engine:
            await engine.complete(REQUEST)

    with pytest.raises(TransientEngineError, match="died 3 times while it worked on this request"):
        asyncio.run(use())
    assert stub.calls().count("start") == 3


def test_a_caller_may_try_again_by_itself(stub: Stub) -> None:
    """Without retries a failure of an engine that is there is told after one request."""
    stub.behave(failures=5)

    async def use() -> None:
        async with engine_of(stub, retries=0) as engine:
            with pytest.raises(TransientEngineError, match="503"):
                await engine.complete(REQUEST)

    asyncio.run(use())
    assert stub.calls() == ["start", "/v1/chat/completions"]


def test_it_says_how_many_requests_wait(stub: Stub) -> None:
    """The gauge is the engine's; before there is an engine there is none, and none is started."""

    async def use() -> None:
        async with engine_of(stub) as engine:
            assert await engine.waiting() is None
            assert engine.own is None
            await engine.describe()
            assert await engine.waiting() == 0
            await engine.close()
            assert await engine.waiting() is None

    asyncio.run(use())


def test_a_port_that_was_taken_meanwhile_is_no_failure(stub: Stub) -> None:
    """Another one is chosen, up to twice."""
    stub.behave(taken=2)

    async def use() -> str:
        async with engine_of(stub) as engine:
            return (await engine.complete(REQUEST)).text

    assert asyncio.run(use()) == ANSWER
    assert stub.calls().count("start") == 3


def test_ports_that_are_always_taken_are_one(stub: Stub) -> None:
    """After the third the cause is said."""
    stub.behave(taken=9)
    with pytest.raises(ConfigEngineError, match="another process took its port"):
        asyncio.run(_describe(stub))


def test_a_failed_start_says_why(stub: Stub) -> None:
    """The cause comes from the log, which is kept and named."""
    stub.behave(fail="torch.OutOfMemoryError: CUDA out of memory")
    with pytest.raises(ConfigEngineError, match="did not start: out of memory") as raised:
        asyncio.run(_describe(stub))
    log = Path(raised.value.remedy.rpartition(" ")[2])
    assert "CUDA out of memory" in log.read_text()


def test_a_start_that_takes_too_long_is_ended(stub: Stub) -> None:
    """The time is the user's; nothing is left of the start."""
    stub.behave(slow=600)
    engine = VllmEngine(stub.settings(start_timeout=1), use_running=False)
    with pytest.raises(ConfigEngineError, match="took more than 1 s"):
        asyncio.run(engine.describe())


def test_a_cancelled_start_leaves_nothing(stub: Stub) -> None:
    """Who gives up waiting ends what was being started."""
    stub.behave(slow=600)

    async def give_up() -> None:
        async with engine_of(stub) as engine:
            starting = asyncio.create_task(engine.describe())
            while "start" not in stub.calls():
                await asyncio.sleep(0.02)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting

    asyncio.run(give_up())
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _runs(path, stub)]
    assert left == []


def test_a_closed_engine_stays_closed(stub: Stub) -> None:
    """Closing twice is no error; using it afterwards is, and starts nothing."""

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.close()
            with pytest.raises(ConfigEngineError, match="closed"):
                await engine.complete(REQUEST)

    asyncio.run(use())
    assert stub.calls() == []


def test_the_key_opens_and_its_absence_does_not(stub: Stub) -> None:
    """The address alone is not enough."""

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            assert engine.own is not None
            assert engine.own.running is not None
            endpoint = engine.own.running.endpoint
            assert healthy(endpoint)
            assert not healthy(type(endpoint)(endpoint.port, "guess"))

    asyncio.run(use())


def test_fifty_requests_wake_it_once(stub: Stub) -> None:
    """Asleep it is asked nothing; all that come at once wait for the one wake, and are answered."""

    async def use() -> None:
        async with engine_of(stub) as engine:
            assert isinstance(engine, Sleeps)
            assert not engine.can_sleep(), "it is not there yet"
            assert not await engine.sleep()
            await engine.describe()
            assert engine.can_sleep()
            assert await engine.sleep()
            assert await engine.sleep(), "twice is no harm"
            assert engine.asleep()
            answers = await asyncio.gather(*(engine.complete(REQUEST) for _ in range(50)))
            assert [answer.text for answer in answers] == [ANSWER] * 50
            assert not engine.asleep()

    asyncio.run(use())
    assert count(stub, "/sleep") == count(stub, "/wake_up") == 1
    assert count(stub, "start") == 1


def test_whoever_only_asks_who_answers_lets_it_sleep(stub: Stub) -> None:
    """The same is told asleep as awake, as often as a server likes."""

    async def use() -> None:
        async with engine_of(stub) as engine:
            awake = await engine.describe()
            await engine.sleep()
            assert [await engine.describe() for _ in range(5)] == [awake] * 5
            assert engine.asleep()

    asyncio.run(use())
    assert count(stub, "/wake_up") == 0


def test_what_comes_while_it_falls_asleep_is_answered(stub: Stub) -> None:
    """It waits until the engine sleeps, and wakes it."""
    stub.behave(drowsy=0.5)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            falling = asyncio.create_task(engine.sleep())
            while not count(stub, "/sleep"):
                await asyncio.sleep(0.01)
            answers = await asyncio.gather(*(engine.complete(REQUEST) for _ in range(3)))
            assert [answer.text for answer in answers] == [ANSWER] * 3
            assert await falling

    asyncio.run(use())
    assert count(stub, "/wake_up") == 1


def test_who_gives_up_does_not_leave_it_half_asleep(stub: Stub) -> None:
    """A sleep that nobody waits for any more is finished before the next request is let in."""
    stub.behave(drowsy=0.5)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            falling = asyncio.create_task(engine.sleep())
            while not count(stub, "/sleep"):
                await asyncio.sleep(0.01)
            falling.cancel()
            assert (await engine.complete(REQUEST)).text == ANSWER
            with pytest.raises(asyncio.CancelledError):
                await falling

    asyncio.run(use())
    assert stub.calls()[-1] == "/v1/chat/completions"
    assert count(stub, "/wake_up") == 1


def test_it_does_not_sleep_while_it_works(stub: Stub) -> None:
    """Whatever asks it keeps it awake until it has its answer."""
    stub.behave(thinks=0.5)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            asked = asyncio.create_task(engine.complete(REQUEST))
            while not count(stub, "/v1/chat/completions"):
                await asyncio.sleep(0.01)
            assert not await engine.sleep()
            assert (await asked).text == ANSWER
            assert await engine.sleep()

    asyncio.run(use())
    assert stub.calls()[-2:] == ["/v1/chat/completions", "/sleep?level=1&mode=wait"]


def test_one_that_dies_asleep_is_started_again(stub: Stub) -> None:
    """It is no sleep any more, and the next request is answered by another engine."""

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            await engine.sleep()
            os.killpg(pid_of(engine), signal.SIGKILL)
            while engine.asleep():
                await asyncio.sleep(0.02)
            assert not engine.can_sleep()
            assert (await engine.complete(REQUEST)).text == ANSWER
            assert await engine.sleep()

    asyncio.run(use())
    assert count(stub, "start") == 2
    assert count(stub, "/wake_up") == 0


def test_one_that_does_not_wake_is_replaced(stub: Stub) -> None:
    """Its memory may be taken by another meanwhile; a new one is started, and says if it cannot."""
    stub.behave(deaf=1)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            await engine.sleep()
            assert (await engine.complete(REQUEST)).text == ANSWER

    asyncio.run(use())
    assert count(stub, "start") == 2


def test_one_that_was_not_to_sleep_cannot(stub: Stub) -> None:
    """It says so, and is not asked to."""

    async def use() -> None:
        engine = VllmEngine(stub.settings(sleep=False), use_running=False)
        try:
            await engine.describe()
            assert not engine.can_sleep()
            assert not await engine.sleep()
        finally:
            await engine.close()

    asyncio.run(use())
    assert count(stub, "/sleep") == 0


def test_deaths_are_forgotten_after_a_calm() -> None:
    """Three deaths in a row are too many where two are bearable; spread over a day they are not."""
    now = [0.0]
    row = Deaths(2, clock=lambda: now[0])
    assert [row.another(), row.another(), row.another()] == [True, True, False]
    day = Deaths(2, clock=lambda: now[0])
    for _ in range(5):
        assert day.another()
        now[0] += 3600
    assert day.total == 5


async def _describe(stub: Stub) -> None:
    async with engine_of(stub) as engine:
        await engine.describe()


def _runs(cmdline: Path, stub: Stub) -> bool:
    try:
        return str(stub.model).encode() in cmdline.read_bytes()
    except OSError:
        return False
