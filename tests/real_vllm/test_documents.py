"""A JSON prompt from the real vLLM, which holds the model to the schema while it writes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from promptlift.engines.vllm.engine import VllmEngine
from promptlift.options import Options
from promptlift.pipeline import upsample_item
from promptlift.record import Record
from promptlift.testing import synthetic_video
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_an_answer_has_the_form(up: Machine, tmp_path: Path) -> None:
    """The tiny model's words are nonsense; their form, and what code sets, are right."""
    assert up.status()
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=3, fps=25, size=(320, 180))
    options = Options(target="cosmos3", reserve=800, attempts=1, on_reject="best", max_side=64)

    async def ask() -> Record:
        engine = VllmEngine()
        try:
            return (await upsample_item(clip, "a red balloon", engine, options)).record
        finally:
            await engine.close()

    record = asyncio.run(ask())
    (attempt,) = record.attempts
    assert attempt.finish_reason == "stop"
    assert record.document is not None
    assert record.document["resolution"] == {"W": 1280, "H": 720}
    assert (record.document["duration"], record.document["fps"]) == ("3s", 24)
    assert record.review is not None
    faults = {finding.name for finding in record.review.findings if finding.severity == "error"}
    assert faults.isdisjoint({"syntax", "missing_key", "null", "wrong_type", "wrong_time"})
    assert faults.isdisjoint({"late_end", "video_format"})
