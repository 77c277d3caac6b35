"""The sweep on the real engine: what it counts is what was predicted, in every row."""

from __future__ import annotations

import asyncio
import json

import pytest

from promptlift.core.tokens import PIXTRAL
from promptlift.engines.vllm import VllmEngine, VllmSettings
from promptlift.sweep import LADDER, Row, measure, predict
from promptlift.sweep.pictures import drawn
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

CONTEXT = 4096


@pytest.fixture(scope="module")
def measured(machine: Machine) -> list[Row]:
    """Every size of the ladder, sent bare to an engine with the context that NVIDIA gives it."""
    rows = predict([PIXTRAL], [2], LADDER, prompt="Test prompt", context=CONTEXT, reserve=300)
    settings = VllmSettings(
        model=str(machine.model), python=str(machine.python), context=CONTEXT, fast_start=True
    )

    async def sweep() -> list[Row]:
        engine = VllmEngine(settings, use_running=False)
        try:
            seen = measure(engine, rows, drawn, prompt="Test prompt", keep_answers=True)
            return [row async for row in seen]
        finally:
            await engine.close()

    return asyncio.run(sweep())


def test_counted_equals_predicted_in_every_row(measured: list[Row]) -> None:
    """Not one of the seventeen sizes differs, those that are refused included."""
    counted = {str(row.size): row.measured.tokens for row in measured if row.measured}
    assert counted == {str(row.size): row.tokens for row in measured}
    assert len(counted) == len(LADDER)


def test_what_is_predicted_to_fail_is_refused(measured: list[Row]) -> None:
    """And nothing else: 720p, 1080p and 960x704, with vLLM's own words for it."""
    refused = {str(row.size) for row in measured if row.measured and not row.measured.answered}
    assert refused == {str(row.size) for row in measured if row.verdict == "fails"}
    assert refused == {"960x704", "1280x704", "1280x720", "1920x1080"}
    for row in measured:
        assert row.measured is not None
        if row.measured.error is not None:
            assert f"maximum context length is {CONTEXT} tokens" in row.measured.error
            assert str(row.tokens) in row.measured.error
        else:
            assert row.measured.text == REPLY


def test_the_command_measures_the_engine_that_is_up(ready: Machine) -> None:
    """One frame and two, in the engine's own larger context: all pass, and all counts agree."""
    sizes = "320x180,333x777,640x480,1280x720,1920x1080"
    asked = ("sweep", "--engine", "vllm", "--sizes", sizes, "-n", "1", "-n", "2", "--answers")
    done = ready.command(*asked, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == 10
    for row in rows:
        assert row["counted_tokens"] == row["predicted_tokens"]
        assert (row["context"], row["bare_request"], row["answered"]) == (9216, "passes", True)
        assert row["answer"] == REPLY
