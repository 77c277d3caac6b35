"""vLLM on a GPU: answers at every size, sleeps and gives the memory back, and leaves nothing.

Needs an NVIDIA GPU, and a Python with vLLM in PROMPTLIFT_VLLM_PYTHON. The model is the tiny Pixtral
of ``tests/real_vllm``; PROMPTLIFT_GPU_MODEL names another, such as the real checkpoint's folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptlift.api import Upsampler
from promptlift.engines.base import Request
from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.engines.vllm.launch import GIB, choose_gpu, read_gpus
from promptlift.engines.vllm.owner import bring_up, set_asleep, take_down
from promptlift.engines.vllm.state import EngineState, read_state
from promptlift.testing import synthetic_video
from real_vllm.processes import wait_until_gone

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]

SIZES = [(320, 180), (640, 480), (1280, 720), (1920, 1080)]
MARGIN = GIB // 2
"""What a driver may hold on to, and other programs may take or give meanwhile."""


def free() -> int:
    """Bytes that are free on the GPU that the engine takes."""
    gpu = choose_gpu(read_gpus(), None)
    assert gpu is not None
    return gpu.free


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether it came true within a minute; memory is given back a little late."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
    return condition()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> VllmSettings:
    """The model and the Python to run it with; skips where there is no GPU or no vLLM."""
    python = os.environ.get("PROMPTLIFT_VLLM_PYTHON")
    if not read_gpus():
        pytest.skip("NO GPU WAS TESTED: this machine has none")
    if not python:
        pytest.skip("NO GPU WAS TESTED: PROMPTLIFT_VLLM_PYTHON names no Python that has vLLM")
    model = os.environ.get("PROMPTLIFT_GPU_MODEL")
    if model is None:
        folder = tmp_path_factory.mktemp("checkpoints") / "tiny-pixtral"
        maker = Path(__file__).parents[1] / "real_vllm" / "checkpoint.py"
        subprocess.run([python, str(maker), str(folder)], check=True)
        model = str(folder)
    return VllmSettings(model=model, python=python, fast_start=True)


@pytest.fixture(scope="module")
def up(
    settings: VllmSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EngineState, int]]:
    """An engine that is up, and the memory that was free before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        before = free()
        state = bring_up(settings)
        try:
            yield state, before
        finally:
            take_down()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_size_is_answered_as_predicted(
    up: tuple[EngineState, int], tmp_path: Path, size: tuple[int, int]
) -> None:
    """The prompt's tokens are the predicted ones, at 720p and 1080p as well."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=1, size=size)
    with Upsampler(engine=VllmEngine(), on_reject="best", template="verbatim/1") as upsampler:
        record = upsampler.upsample(clip, "a red balloon drifts over the hills")
    assert record.tokens.predicted == record.tokens.counted == record.tokens.actual


def test_sleep_gives_the_memory_back_and_a_request_wakes(up: tuple[EngineState, int]) -> None:
    """Asleep, nearly all that the engine took is free; the next request is answered as ever."""
    _, before = up
    awake = free()
    assert set_asleep(True).status == "sleeping"
    assert wait_for(lambda: before - free() < 0.2 * (before - awake) + MARGIN)

    async def ask() -> str:
        engine = VllmEngine()
        try:
            return (await engine.complete(Request(text="Test prompt", frames=()))).text
        finally:
            await engine.close()

    assert asyncio.run(ask())
    assert set_asleep(False).status == "ready"
    assert wait_for(lambda: abs(free() - awake) < 0.2 * (before - awake) + MARGIN)


def test_nothing_keeps_memory_after_the_daemon_is_killed(up: tuple[EngineState, int]) -> None:
    """A kill -9 of the owner ends the whole group, and all the memory comes back."""
    state, before = up
    os.kill(state.pid, signal.SIGKILL)
    assert wait_until_gone(state.engine_pid) == []
    assert wait_for(lambda: before - free() < MARGIN)
    assert read_state() is None
