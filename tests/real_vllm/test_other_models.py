"""Models in Hugging Face's format: served from their folder, and counted by formula."""

from __future__ import annotations

import asyncio
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from promptlift.core.sampling import Sampling
from promptlift.core.tokens import family
from promptlift.core.video import Frame, Size
from promptlift.engines.base import EngineInfo, Request
from promptlift.engines.vllm import VllmEngine, VllmSettings
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

SIZES = [Size(320, 180), Size(640, 480), Size(1280, 720)]
MAKER = Path(__file__).with_name("qwen.py")


def _request(size: Size, frames: int) -> Request:
    pixels = np.zeros((size.height, size.width, 3), np.uint8)
    frame = Frame(Fraction(0), pixels, wanted=Fraction(0))
    return Request(text="Test prompt", frames=(frame,) * frames, sampling=Sampling(max_tokens=4))


@pytest.mark.parametrize(("kind", "name"), [("qwen2_5_vl", "qwen2.5-vl"), ("qwen3_vl", "qwen3-vl")])
def test_qwen_is_served_and_counted(machine: Machine, tmp_path: Path, kind: str, name: str) -> None:
    """The family is read from the folder, and each picture costs what its formula says."""
    folder = tmp_path / f"tiny-{kind}"
    subprocess.run([str(machine.python), str(MAKER), str(folder), kind], check=True)
    settings = VllmSettings(model=str(folder), python=str(machine.python), fast_start=True)

    async def count() -> tuple[EngineInfo, list[int | None]]:
        engine = VllmEngine(settings, use_running=False)
        try:
            told = [
                (await engine.complete(_request(size, frames))).prompt_tokens
                for size in SIZES
                for frames in (1, 2)
            ]
            return await engine.describe(), told
        finally:
            await engine.close()

    info, told = asyncio.run(count())
    assert (info.family, info.context) == (name, 9216)
    for size, one, two in zip(SIZES, told[::2], told[1::2], strict=True):
        assert one is not None
        assert two is not None
        assert two - one == family(name).image(size)
