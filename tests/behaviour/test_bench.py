"""``promptlift bench``: the scores hold the stored baseline, and answers of others are scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptlift.cli.main import _run
from promptlift.testing import synthetic_video

BASELINE = Path(__file__).parents[2] / "benchmarks" / "words-baseline.json"


def test_no_score_falls_below_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    """The scores of the data that ships, within a minute; every score is a share."""
    code = _run(["bench", "--json", "--baseline", str(BASELINE)])
    output = capsys.readouterr()
    assert (code, output.err) == (0, "")
    scores = json.loads(output.out)["scores"]
    assert {name.split(".")[0].split()[0] for name in scores} == {
        *("controls", "kept", "grounded", "contract", "richness")
    }
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_score_that_falls_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each that fell is named, also one that is no longer measured."""
    higher = {"grounded.passed": 1.2, "kept.gone": 0.5}
    (tmp_path / "baseline.json").write_text(json.dumps({"scores": higher}))
    assert _run(["bench", "--baseline", str(tmp_path / "baseline.json")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in lines] == list(higher)


def test_outside_answers_and_mutants_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Honest pairs by run, mutants of the ones that pass, and prompts by the folder's target."""
    long = (
        "A red bicycle leans against a brick wall on a quiet street while leaves drift past. "
        "Soft morning light falls from the left over the cobbles."
    )
    rows = [
        {"run": "a-run", "short": "a red bicycle", "long": long},
        {"run": "a-run", "short": "a dog swims", "long": "A brown dog swims across a lake at"},
    ]
    pairs, makers = tmp_path / "pairs", tmp_path / "makers"
    pairs.mkdir()
    (pairs / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (makers / "predict25").mkdir(parents=True)
    (makers / "predict25" / "one.txt").write_text(long)
    arguments = ["bench", "--json", "--data", str(pairs), "--data", str(makers)]
    outputs = []
    for _ in range(2):
        assert _run(arguments) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    scores = outputs[0]["scores"]
    assert scores["a-run.passed"] == 0.5
    assert scores["pairs.color rejected"] == 1
    assert scores["makers/predict25.passed"] == 1
    assert outputs[0]["systems"]["a-run"]["causes"] == {"cut": 500.0}
    assert {"requests.jsonl", "controls.jsonl", "pairs.jsonl"} <= outputs[0]["data"].keys()


def test_an_engine_and_a_run_on_one_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for each in a Markdown table, one answer a row of the run."""
    monkeypatch.chdir(tmp_path)
    synthetic_video(tmp_path / "clip.mp4", seconds=1.5, size=(320, 180))
    Path("rows.jsonl").write_text('{"video": "clip.mp4", "prompt": "a red balloon"}\n')
    assert _run(["batch", "run", "rows.jsonl", "-o", "run", "--engine", "embedded", "-q"]) == 0
    capsys.readouterr()
    arguments = ["--engine", "embedded", "--video", "clip.mp4", "--limit", "3", "--board"]
    assert _run(["bench", "run", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1:3] for line in lines[2:4]] == [
        [" run ", " 1 "],
        [" embedded ", " 3 "],
    ]
    assert "seed 0" in lines[-1]
