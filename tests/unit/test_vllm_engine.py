"""`VllmEngine` with an engine of its own, on a stub of vLLM: starts, deaths, sleep, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.base import Request, Sleeps
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.engines.vllm.state import process_start
from promptlift.errors import ConfigEngineError, TransientEngineError
from vllm_stub.make import Stub, make_stub
from vllm_stub.server import ANSWER

REQUEST = Request(text="Test prompt", frames=())


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """A stub of vLLM, and a state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PROMPTLIFT_VLLM_PYTHON", raising=False)
    return make_stub(tmp_path / "stub")


@asynccontextmanager
async def engine_of(
    stub: Stub, *, settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[VllmEngine]:
    """An engine of our own, closed at the end."""
    engine = VllmEngine(stub.settings(**(settings or {})), **options)
    try:
        yield engine
    finally:
        await engine.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens within seconds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def pid_of(engine: VllmEngine) -> int:
    """The engine's process id."""
    assert engine.own is not None
    state = engine.own.current()
    assert state is not None
    return state.engine_pid


def test_it_starts_answers_and_ends(stub: Stub) -> None:
    """The first request starts it, closing ends it; the key opens it, and the address does not."""
    stages: list[str] = []

    async def use() -> int:
        async with engine_of(stub, progress=lambda stage, _: stages.append(stage)) as engine:
            assert await engine.waiting() is None
            assert stub.calls() == []
            info = await engine.describe()
            assert (info.name, info.model, info.version) == ("vllm", "tiny", "vllm 0.32.0")
            assert (info.context, info.family, info.max_images) == (9216, "pixtral", 2)
            assert info.revision
            assert (await engine.complete(REQUEST)).text == ANSWER
            assert await engine.waiting() == 0
            assert engine.own is not None
            state = engine.own.current()
            assert state is not None
            assert state.key not in str(state)
            assert state.is_healthy()
            assert not replace(state, key="guess").is_healthy()
            pid = pid_of(engine)
            assert process_start(pid) is not None
            await engine.close()
            with pytest.raises(ConfigEngineError, match="closed"):
                await engine.complete(REQUEST)
        return pid

    assert process_start(asyncio.run(use())) is None
    assert stub.calls() == ["start", "/v1/chat/completions"]
    assert stages


def test_requests_in_flight_are_sent_again(stub: Stub) -> None:
    """When the engine dies over one of several, a new one answers them all."""
    stub.behave(deaths=1)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            first = pid_of(engine)
            answers = await asyncio.gather(*(engine.complete(REQUEST) for _ in range(5)))
            assert [answer.text for answer in answers] == [ANSWER] * 5
            assert pid_of(engine) != first

    asyncio.run(use())
    assert stub.count("start") == 2


def test_a_request_that_kills_every_engine_is_given_up(stub: Stub) -> None:
    """Restarts are bounded, and the error says what happened."""
    stub.behave(deaths=100)

    async def use() -> None:
        async with engine_of(stub, settings={"retries": 0}) as engine:
            await engine.complete(REQUEST)

    with pytest.raises(TransientEngineError, match="died 3 times while it worked on this request"):
        asyncio.run(use())
    assert stub.count("start") == 3


def test_a_cancelled_start_leaves_nothing(stub: Stub) -> None:
    """Whoever gives up waiting ends what was being started."""
    stub.behave(slow=600)

    async def give_up() -> None:
        async with engine_of(stub) as engine:
            starting = asyncio.create_task(engine.describe())
            await until(lambda: stub.count("start") == 1)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert stub.processes() == []

    asyncio.run(give_up())


def test_fifty_requests_wake_it_once(stub: Stub) -> None:
    """Asleep it is asked nothing, not even who it is; all that come at once wait for one wake."""

    async def use() -> None:
        async with engine_of(stub) as engine:
            assert isinstance(engine, Sleeps)
            assert not engine.can_sleep(), "it does not run yet"
            assert not await engine.sleep()
            awake = await engine.describe()
            assert engine.can_sleep()
            assert await engine.sleep()
            assert await engine.sleep(), "twice does no harm"
            assert engine.asleep()
            assert await engine.describe() == awake
            assert engine.asleep()
            answers = await asyncio.gather(*(engine.complete(REQUEST) for _ in range(50)))
            assert [answer.text for answer in answers] == [ANSWER] * 50
            assert not engine.asleep()

    asyncio.run(use())
    assert stub.count("/sleep") == stub.count("/wake_up") == stub.count("start") == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_requests_while_it_falls_asleep_are_answered(stub: Stub, cancelled: bool) -> None:
    """They wait until it sleeps, also where whoever wanted that gave up, and wake it."""
    stub.behave(drowsy=0.5)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            falling = asyncio.create_task(engine.sleep())
            await until(lambda: stub.count("/sleep") == 1)
            if cancelled:
                falling.cancel()
            answers = await asyncio.gather(*(engine.complete(REQUEST) for _ in range(3)))
            assert [answer.text for answer in answers] == [ANSWER] * 3
            await asyncio.wait([falling])
            assert falling.cancelled() is cancelled

    asyncio.run(use())
    assert stub.count("/wake_up") == 1


def test_it_does_not_sleep_while_it_works(stub: Stub) -> None:
    """A request keeps it awake until it is answered."""
    stub.behave(thinks=0.5)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            asked = asyncio.create_task(engine.complete(REQUEST))
            await until(lambda: stub.count("/v1/chat/completions") == 1)
            assert not await engine.sleep()
            assert (await asked).text == ANSWER
            assert await engine.sleep()

    asyncio.run(use())
    assert stub.calls()[-2:] == ["/v1/chat/completions", "/sleep?level=1&mode=wait"]


def test_one_that_does_not_wake_is_replaced(stub: Stub) -> None:
    """Another process may have its memory meanwhile; a new one is started, and says so."""
    stub.behave(deaf=1)

    async def use() -> None:
        async with engine_of(stub) as engine:
            await engine.describe()
            await engine.sleep()
            assert (await engine.complete(REQUEST)).text == ANSWER

    asyncio.run(use())
    assert stub.count("start") == 2
