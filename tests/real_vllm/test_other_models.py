"""A model in Hugging Face's format: served from its folder, and counted by formula."""

from __future__ import annotations

import asyncio
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from promptlift.engines.base import EngineInfo, Request
from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.tokens import family
from promptlift.types import Frame, Sampling, Size
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

SIZES = [Size(320, 180), Size(640, 480), Size(1280, 720)]
MAKER = Path(__file__).with_name("qwen.py")


def _request(size: Size, frames: int) -> Request:
    pixels = np.zeros((size.height, size.width, 3), np.uint8)
    frame = Frame(Fraction(0), pixels, wanted=Fraction(0))
    return Request(text="Test prompt", frames=(frame,) * frames, sampling=Sampling(max_tokens=4))


def test_qwen_is_served_and_counted(machine: Machine, tmp_path: Path) -> None:
    """The family is read from the folder, and each picture costs what its formula says."""
    folder = tmp_path / "tiny-qwen3-vl"
    subprocess.run([str(machine.python), str(MAKER), str(folder)], check=True)
    settings = VllmSettings(model=str(folder), python=str(machine.python), fast_start=True)

    async def count() -> tuple[EngineInfo, list[int | None]]:
        engine = VllmEngine(settings)
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
    assert (info.family, info.context) == ("qwen3-vl", 9216)
    for size, one, two in zip(SIZES, told[::2], told[1::2], strict=True):
        assert one is not None
        assert two is not None
        assert two - one == family("qwen3-vl").image(size)
