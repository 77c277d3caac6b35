"""``status``, ``show``, ``export`` and ``report`` as an operator calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loaders.desk import Desk, lay, make_clips
from loaders.run_dirs import PROMPTS, Maker, make_run, mixed_rows
from promptlift.batch.journal import Index
from promptlift.cli.main import _run
from promptlift.cosmos.rows import SpecRows

TRANSFER1 = {"video_path": "assets/rgb.mp4", "edge": {"control_weight": 1.0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and ``run``: a run in which everything has happened that may, made by a process
    that has ended since.
    """
    made = tmp_path_factory.mktemp("made")
    code = "import sys; from pathlib import Path; from loaders.run_dirs import make_run\n"
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    subprocess.run(
        [sys.executable, "-c", f"{code}make_run(Path(sys.argv[1]))", made],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    return made


def key_of(folder: Path, number: int) -> str:
    """The key of a row."""
    key = Index.load(folder / "run").key_of(mixed_rows(folder)[number].digest)
    assert key is not None
    return key


def test_status_says_how_it_stands_and_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, each reason with a row and a remedy, the writers, the next commands; on stdout."""
    assert _run(["status", str(folder / "run")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{folder / 'run'}: not running; work is left\n  10 rows\n" in out
    assert "         3  ok          30.0%\n" in out
    assert "failed: engine_transient: 1 row; a rerun asks again\n" in out
    assert "  later: the engine at port 8000 is gone\n  -> start it again\n" in out
    assert "rejected: refusal: 1 row\n" in out
    assert ": killed: or its machine is gone" in out
    assert ": ended: done\n" in out
    assert "torn by a kill: the last line of 1 segment" in out
    assert f"promptlift retry {folder / 'run'} " in out
    assert "goes on from here" in out


def test_status_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for programs."""
    assert _run(["status", str(folder / "run"), "--json", "--examples", "1"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == {"ok": 3, "repaired": 1, "rejected": 1, "failed": 5}
    assert (said["state"], said["total"], said["fit"], said["left"]) == ("unfinished", 10, 4, 1)
    assert (said["torn"], said["corrupt"], said["complete"]) == (1, 0, True)
    assert [writer["life"] for writer in said["writers"]] == ["killed", "ended"]
    assert all(len(group["examples"]) == 1 for group in said["groups"])
    assert said["groups"][1]["examples"][0]["id"] == "later"


def test_status_of_a_live_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How fast it is and when it may be over; nothing is suggested while it works."""
    rows = mixed_rows(tmp_path)[7:9]
    maker = Maker(tmp_path / "run")
    counts = {"in_flight": 7, "seconds": 2.0, "now": {"failed": 1}}
    maker.write(rows, do=lambda row: row.number == 8, end=None, counts=counts)
    assert _run(["status", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert ": running\n  2 rows\n" in out
    assert "  now 30 rows/min, about 2 s left\n" in out
    assert ": live: 7 in flight, 30 rows/min" in out
    assert "next" not in out
    _run(["status", str(tmp_path / "run"), "--json"])
    assert json.loads(capsys.readouterr().out)["rate"] == 0.5


def test_status_counts_rows_without_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so where the input was not read to its end."""
    maker = Maker(tmp_path / "run")
    maker.write(mixed_rows(tmp_path)[:4], do=lambda row: False, end="signal")
    [reading] = (tmp_path / "run" / "inputs").iterdir()
    lines = reading.read_bytes().splitlines(True)
    reading.unlink()
    (reading.with_name(f"{reading.stem}.w-1-ab.part")).write_bytes(b"".join(lines[:-2]))
    assert _run(["status", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "3 rows so far; the input was not read to its end" in out
    assert "missing    100.0%  no result yet" in out


def test_what_is_no_run_is_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each of the commands."""
    none = str(tmp_path / "none")
    out = str(tmp_path / "out.html")
    for arguments in (
        ["status", none],
        ["show", none, "x"],
        ["export", none, "-o", f"{out}.csv"],
        ["report", none, "-o", out],
    ):
        assert _run(arguments) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"promptlift: error: the folder {none!r} is not there. Name the")
        assert err.count("\n") == 1


def test_show_an_item_that_went_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the id of its row: what was asked and shown, what it cost, and the long prompt last."""
    assert _run(["show", str(folder / "run"), "first"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"first: ok\n  key      {key_of(folder, 0)}\n")
    assert "input    row 1 of rows.jsonl\n" in out
    assert f"asked    {PROMPTS[0]}\n" in out
    assert f"video    {folder / 'clip0.mp4'} (160x96, 0.50 s, h264)\n" in out
    assert "shown    2 of 160x96: 0.12 s, 0.38 s\n" in out
    assert "camera   left\n  take     1\n" in out
    assert "of 512 tokens\n" in out
    assert "review   9 of 9 checks passed\n\nA red hot-air balloon drifts" in out


def test_show_by_the_beginning_of_a_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every row of the item is named."""
    assert _run(["show", str(folder / "run"), key_of(folder, 0)[:8]]) == 0
    out = capsys.readouterr().out
    assert "input    row 1 of rows.jsonl\n           row 4 of rows.jsonl\n" in out


def test_show_what_went_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rejected item shows each answer and what it failed; a failed one its error and remedy."""
    _run(["show", str(folder / "run"), "refused"])
    out = capsys.readouterr().out
    assert "failed: refusal: " in out
    assert "answer 2, seed 1, failed: refusal, unfaithful\nI'm sorry" in out
    _run(["show", str(folder / "run"), "later"])
    out = capsys.readouterr().out
    assert "engine_transient: the engine at port 8000 is gone (a rerun asks again)" in out
    assert "           -> start it again\n" in out
    _run(["show", str(folder / "run"), mixed_rows(folder)[9].id])
    out = capsys.readouterr().out
    assert "spec: line 10 is no JSON object" in out
    assert "video    (none)" in out


def test_show_an_item_that_was_not_begun(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked is known, and no more."""
    Maker(tmp_path / "run").write(mixed_rows(folder), do=lambda row: False)
    assert _run(["show", str(tmp_path / "run"), "first"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("first: missing\n  key      not asked yet\n")
    _run(["show", str(tmp_path / "run"), mixed_rows(folder)[9].id])
    assert "error    spec: line 10 is no JSON object\n           -> mend" in capsys.readouterr().out


def test_show_as_json_is_the_row_of_an_export(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Column by column, but for those that only other rows carry."""
    _run(["show", str(folder / "run"), "first", "--json"])
    said = json.loads(capsys.readouterr().out)
    _run(["export", str(folder / "run"), "-o", str(tmp_path / "a.jsonl"), "-q"])
    line = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert said == line


def test_show_nothing_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No such id, no such key."""
    assert _run(["show", str(folder / "run"), "nobody"]) == 2
    assert "no row has the id 'nobody', and no key begins so" in capsys.readouterr().err


def test_export_names_the_file_and_counts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path on stdout, the counts on stderr, neither more."""
    out = tmp_path / "prompts.csv"
    assert _run(["export", str(folder / "run"), "-o", str(out)]) == 0
    said, noted = capsys.readouterr()
    assert said == f"{out}\n"
    assert noted == "promptlift: 10 rows: 5 failed, 3 ok, 1 repaired, 1 rejected\n"
    assert _run(["export", str(folder / "run"), "-o", str(out), "-q", "--only", "ok, failed"]) == 0
    assert capsys.readouterr().err == ""
    assert len(out.read_text().splitlines()) == 9


def test_export_tells_of_rows_without_a_result(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are counted, and come with --all."""
    Maker(tmp_path / "run").write(mixed_rows(folder)[:3], do=lambda row: row.number == 0)
    out = tmp_path / "a.jsonl"
    run = str(tmp_path / "run")
    assert _run(["export", run, "-o", str(out)]) == 0
    assert "2 rows without a result left out; --all has them too" in capsys.readouterr().err
    assert _run(["export", run, "-o", str(out), "--all"]) == 0
    assert "3 rows: 2 missing, 1 ok\n" in capsys.readouterr().err
    statuses = [json.loads(line)["status"] for line in out.read_text().splitlines()]
    assert statuses == ["ok", "missing", "missing"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--only", "good"], "'good' is none of ok, repaired, rejected, failed, missing"),
        (["--only", "ok", "--all"], "--only and --all exclude each other"),
        ([], "say where to with --output"),
        (["-o", "a.xml"], "'a.xml' should be cannot be told from its name"),
        (["-o", "a.csv", "--in-place"], "--in-place is for --form cosmos"),
        (["--form", "cosmos", "--in-place", "-o", "x"], "--in-place and --output exclude"),
        (["--form", "cosmos", "-o", "x"], "came from no Cosmos spec"),
        (["-o", "a.csv", "--input", "x"], "the run has no input 'x'. Name one that it has"),
    ],
)
def test_calls_that_make_no_sense(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    why: str,
) -> None:
    """Each is refused with what is wrong, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert _run(["export", str(folder / "run"), *arguments]) == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_forms_that_the_name_does_not_tell(folder: Path, tmp_path: Path) -> None:
    """--form goes before the name, and --no-record leaves the column out."""
    run = str(folder / "run")
    assert _run(["export", run, "-o", str(tmp_path / "a.txt"), "--form", "jsonl", "-q"]) == 0
    assert "record" in json.loads((tmp_path / "a.txt").read_text().splitlines()[0])
    assert _run(["export", run, "-o", str(tmp_path / "b.jsonl"), "--no-record", "-q"]) == 0
    assert "record" not in json.loads((tmp_path / "b.jsonl").read_text().splitlines()[0])
    assert _run(["export", run, "-o", str(tmp_path / "out"), "-q"]) == 0
    assert (tmp_path / "out" / "first.txt").exists()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder with videos, and the current one."""
    (tmp_path / "clips").mkdir()
    monkeypatch.chdir(tmp_path)
    return lay(make_clips(tmp_path / "clips"), tmp_path)


def spec_run(desk: Desk, spec: Path, *, upto: int = 99) -> str:
    """A run over the prompts of a spec."""
    rows = list(SpecRows(spec, form="auto").rows())
    Maker(desk.folder / "run").write(rows, source=str(spec), do=lambda row: row.number < upto)
    return str(desk.folder / "run")


def test_results_go_back_into_cosmos_specs(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """The spec in its own format with the long prompts, beside it."""
    lines: list[dict[str, Any]] = [
        {"name": str(n), "prompt": prompt, **TRANSFER1} for n, prompt in enumerate(PROMPTS[:2])
    ]
    spec = desk.put("spec.jsonl", lines)
    run = spec_run(desk, spec)
    assert _run(["export", run, "--form", "cosmos"]) == 0
    told, spec = map(Path, capsys.readouterr().out.splitlines())
    assert (told.name, spec.name) == (
        "spec.upsampled.promptlift.json",
        "spec.upsampled.jsonl",
    )
    made = [json.loads(line) for line in spec.read_text().splitlines()]
    assert [line["name"] for line in made] == ["0", "1"]
    assert all(line["prompt"].lower().startswith(p) for line, p in zip(made, PROMPTS, strict=False))
    assert all(len(line["prompt"].split()) > 20 for line in made)


def test_a_spec_that_has_changed_is_told_of(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not written, and the exit code says so."""
    spec = desk.put("spec.jsonl", [{"name": "0", "prompt": PROMPTS[0], **TRANSFER1}])
    run = spec_run(desk, spec)
    spec.unlink()
    assert _run(["export", run, "--form", "cosmos", "-o", "out"]) == 1
    assert "spec.jsonl" in capsys.readouterr().err


def test_report_writes_a_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its path goes to stdout; with --no-frames no video is opened."""
    out = tmp_path / "run.html"
    assert _run(["report", str(folder / "run"), "-o", str(out)]) == 0
    assert capsys.readouterr() == (f"{out}\n", "")
    page = out.read_text(encoding="utf-8")
    assert "data:image/jpeg" in page
    assert "killed" in page
    assert _run(["report", str(folder / "run"), "-o", str(out), "--no-frames"]) == 0
    assert "data:image/jpeg" not in out.read_text(encoding="utf-8")


def test_a_run_is_told_of_where_nothing_may_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All commands leave the folder as it is, to the byte and to the time of change."""
    run = make_run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    time.sleep(0.01)
    for arguments in (["status", str(run)], ["show", str(run), "first"]):
        assert _run(arguments) == 0
    assert _run(["export", str(run), "-o", str(tmp_path / "a.jsonl")]) == 0
    assert _run(["report", str(run), "-o", str(tmp_path / "a.html"), "--no-frames"]) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
