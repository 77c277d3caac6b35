"""A batch on the real vLLM: counts as predicted, and an engine that is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from promptlift.batch.journal import Index
from promptlift.engines.vllm.state import read_state
from promptlift.testing import synthetic_video
from real_vllm.checkpoint import REPLY
from real_vllm.conftest import Machine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

SIZES = [(320, 180), (640, 480), (1280, 720)]
ROWS = 24


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Rows over three clips of three sizes."""
    for number, size in enumerate(SIZES):
        synthetic_video(tmp_path / f"{number}.mp4", seconds=0.5, size=size)
    rows = [
        {"video": f"{number % len(SIZES)}.mp4", "prompt": f"a balloon over {number} dunes"}
        for number in range(ROWS)
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def arguments(listed: Path, run_dir: Path) -> list[str]:
    """The batch, with whatever the tiny model says taken as the result."""
    answers = ("--attempts", "1", "--on-reject", "best", "--engine", "vllm")
    return ["batch", str(listed), "-o", str(run_dir), *answers]


def records(run_dir: Path) -> list[dict[str, Any]]:
    """All results of a run."""
    with Index.load(run_dir) as index:
        return [index.record(stored.key) for stored in index.places()]


def test_every_row_costs_what_was_predicted(ready: Machine, listed: Path, tmp_path: Path) -> None:
    """Each record holds the model's own words and its count of the prompt, as foretold."""
    done = ready.command(*arguments(listed, tmp_path / "run"))
    assert done.returncode in (0, 1), done.stderr
    found = records(tmp_path / "run")
    assert len(found) == ROWS
    for record in found:
        assert record["attempts"][0]["text"] == REPLY
        assert record["tokens"]["actual"] == record["tokens"]["predicted"]
        assert record["error"] is None
    ready.command(*arguments(listed, tmp_path / "run"))
    segments = (tmp_path / "run" / "segments").iterdir()
    lines = sum(segment.read_text().count('"kind":"result"') for segment in segments)
    assert lines == ROWS, "the second run asked nothing"


def test_an_engine_that_is_killed_costs_no_row(
    ready: Machine, listed: Path, tmp_path: Path
) -> None:
    """When vLLM is killed in the middle of a batch it is started again, and the batch goes on."""
    run_dir = tmp_path / "run"
    state = read_state()
    assert state is not None
    assert state.engine_pid is not None
    limited = (*arguments(listed, run_dir), "--concurrency", "2", "--patience", "5m")
    with subprocess.Popen(
        [sys.executable, "-m", "promptlift", *limited],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"XDG_STATE_HOME": str(ready.state_home)},
    ) as batch:
        deadline = time.monotonic() + 120
        while not _results(run_dir) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(state.engine_pid, signal.SIGKILL)
        _, said = batch.communicate(timeout=600)
    while batch.returncode == 75:  # patience was over before vLLM was up again
        done = ready.command(*limited)
        batch.returncode = done.returncode
    assert batch.returncode in (0, 1), said
    found = records(run_dir)
    assert len(found) == ROWS
    assert all(record["error"] is None for record in found)


def _results(run_dir: Path) -> int:
    return Index.load(run_dir).counts().total() if run_dir.exists() else 0
