"""A batch on the real vLLM: every row costs what was predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptlift.store.index import Index
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
    return ["batch", "run", str(listed), "-o", str(run_dir), *answers]


def records(run_dir: Path) -> list[dict[str, Any]]:
    """All results of a run."""
    with Index(run_dir) as index:
        return [json.loads(index.raw_record(key)) for key, _ in index.items()]


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
    parts = (tmp_path / "run" / "parts").iterdir()
    lines = sum(part.read_text().count('"kind":"result"') for part in parts)
    assert lines == ROWS, "the second run asked nothing"
