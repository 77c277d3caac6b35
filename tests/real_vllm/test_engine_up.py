"""The engine that `promptlift engine up` leaves: its answers, its counts, its sleep, its deaths."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from promptlift.api import Upsampler
from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.engines.vllm.launch import is_torchrun_variable
from promptlift.engines.vllm.state import EngineState, read_state
from promptlift.record import Record
from promptlift.testing import synthetic_video
from promptlift.types import Frame
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import TORCHRUN, Machine
from real_vllm.processes import group_members, wait_until_gone

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

SIZES = [(320, 180), (640, 480), (1280, 720)]


def _state() -> EngineState:
    state = read_state()
    assert state is not None
    return state


def _request(width: int = 320, height: int = 180) -> Request:
    frame = Frame(Fraction(0), np.zeros((height, width, 3), np.uint8), wanted=Fraction(0))
    return Request(text="Test prompt", frames=(frame, frame))


async def _ask_once(request: Request) -> str:
    async with _engine() as engine:
        return (await engine.complete(request)).text


@asynccontextmanager
async def _engine() -> AsyncIterator[VllmEngine]:
    """The engine as `--engine vllm` makes it, closed at the end."""
    engine = VllmEngine()
    try:
        yield engine
    finally:
        await engine.close()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("context", [None, 4096])
def test_every_size_is_answered_and_counted(
    up: Machine, tmp_path: Path, size: tuple[int, int], context: int | None
) -> None:
    """Two frames of any size go through, in the engine's context as in NVIDIA's 4096.

    The answer is the model's word for word, and the prompt costs exactly what was predicted.
    """
    clip = tmp_path / "clip.mp4"
    synthetic_video(clip, seconds=1, size=size)

    async def lift() -> Record:
        async with (
            _engine() as engine,
            Upsampler(engine=engine, context=context, attempts=1, on_reject="best") as upsampler,
        ):
            return await upsampler.upsample_async(clip, "a red balloon over the dunes")

    record = asyncio.run(lift())
    assert record.attempts[0].text == REPLY
    assert record.tokens.predicted == record.tokens.actual
    assert record.tokens.actual is not None
    assert record.tokens.actual + 300 <= (context or 9216)
    assert record.engine is not None
    assert (record.engine.name, record.engine.version) == ("vllm", "vllm 0.32.0")


def test_full_frames_are_more_than_nvidia_allows(up: Machine) -> None:
    """Two untouched frames of 1280x720 take 4685 tokens: too many for 4096, and answered here."""

    async def ask() -> tuple[str, int | None, int | None]:
        async with _engine() as engine:
            done = await engine.complete(_request(1280, 720))
            return done.text, done.prompt_tokens, await engine.count(_request(1280, 720))

    assert asyncio.run(ask()) == (REPLY, 4685, 4685)


class _Boaster:
    """The engine, with a context that it does not have, and no way to count before sending."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine

    async def describe(self) -> EngineInfo:
        return dataclasses.replace(await self._engine.describe(), context=12_000)

    async def complete(self, request: Request) -> Completion:
        return await self._engine.complete(request)

    async def close(self) -> None:
        await self._engine.close()


def test_a_forced_overflow_is_repaired(up: Machine, tmp_path: Path) -> None:
    """A plan for more than the engine has is refused by it; smaller frames then go through."""
    clip = tmp_path / "clip.mp4"
    synthetic_video(clip, seconds=1, size=(1024, 1024))
    # Two frames of 4160 tokens and these words are more than 9216.
    words = "a red balloon over the dunes " + "in the evening light " * 250

    async def lift() -> Record:
        async with (
            _engine() as engine,
            Upsampler(engine=_Boaster(engine), attempts=1, on_reject="best") as upsampler,
        ):
            return await upsampler.upsample_async(clip, words)

    record = asyncio.run(lift())
    assert record.attempts[-1].text == REPLY
    assert record.plan is not None
    assert record.plan.size.width < 1024
    assert record.tokens.actual is not None
    assert record.tokens.actual < 9216


def test_torchrun_stays_outside(up: Machine) -> None:
    """It was started by a worker of torchrun, and got none of torchrun's variables."""
    inside = psutil.Process(_state().engine_pid).environ()
    assert not [name for name in inside if is_torchrun_variable(name, inside[name])]
    assert not TORCHRUN.keys() & inside.keys()
    assert inside["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"


def test_the_key_is_kept(up: Machine) -> None:
    """The key is on no command line, and no path is open without it."""
    state = _state()
    for pid in group_members(state.engine_pid):
        assert state.key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert state.key not in Path(state.log).read_text()
    assert state.key not in up.command("engine", "status", "--json").stdout
    stranger = dataclasses.replace(state, key="guess")
    for method, path in (("GET", "/metrics"), ("POST", "/sleep"), ("POST", "/collective_rpc")):
        answer = stranger.call(method, path)
        assert answer is not None
        assert answer.status_code == 401


def test_sleep_and_wake(up: Machine) -> None:
    """It sleeps and wakes; a request to a sleeping engine wakes it."""
    assert up.command("engine", "sleep").returncode == 0
    assert up.status()["status"] == "sleeping"
    assert asyncio.run(_ask_once(_request())) == REPLY
    assert up.status()["status"] == "ready"
    up.command("engine", "sleep")
    assert up.command("engine", "wake").returncode == 0
    assert up.status()["status"] == "ready"
    assert asyncio.run(_ask_once(_request())) == REPLY


def test_death_in_flight_is_survived(up: Machine) -> None:
    """The engine is killed while requests are under way: each of them is still answered."""
    before = _state()

    async def keep_asking(engine: VllmEngine) -> list[str]:
        answers = [(await engine.complete(_request(1280, 720))).text]
        while _state().restarts == before.restarts:
            answers.append((await engine.complete(_request(640, 480))).text)
        return answers

    async def kill_meanwhile() -> list[str]:
        async with _engine() as engine:
            await engine.complete(_request())
            asking = [asyncio.create_task(keep_asking(engine)) for _ in range(4)]
            await asyncio.sleep(0.5)
            os.kill(before.engine_pid, signal.SIGKILL)
            return [answer for answers in await asyncio.gather(*asking) for answer in answers]

    answers = asyncio.run(kill_meanwhile())
    assert len(answers) >= 4
    assert set(answers) == {REPLY}
    assert _state().restarts == before.restarts + 1
    assert wait_until_gone(before.engine_pid) == []
