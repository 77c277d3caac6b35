"""An export holds every row in order and in one shape, and is there whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from loaders.run_dirs import OPTIONS, PROMPTS, Maker, make_run, make_videos, mixed_rows
from promptlift.batch.export import (
    COLUMNS,
    ExportColumns,
    Exported,
    export,
    json_line,
    results_with_records,
)
from promptlift.batch.rows import Row
from promptlift.batch.status import STATUSES, RowResult, RowStatus
from promptlift.errors import OptionError, OutputError
from promptlift.options import Options
from promptlift.store.run_dir import open_run
from promptlift.testing import FakeEngine
from promptlift.types import Size

OK: tuple[RowStatus, ...] = ("ok",)
REJECTED: tuple[RowStatus, ...] = ("rejected",)
LISTING = "promptlift-sidecars.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and ``run``: a run in which everything has happened that may. Only to be read."""
    made = tmp_path_factory.mktemp("made")
    make_run(made)
    return made


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos for runs that a test makes itself."""
    made = tmp_path_factory.mktemp("videos")
    make_videos(made)
    return made


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def exported(run: Path, **how: Any) -> list[dict[str, Any]]:
    """What an export as JSON lines holds."""
    path = run.parent / f"{os.urandom(4).hex()}.jsonl"
    export(run, path, **how)
    found = lines_of(path)
    path.unlink()
    return found


def test_rows_come_in_the_order_and_the_shape_of_the_input(folder: Path) -> None:
    """Failed and rejected rows too; rows of one item share its result; all have all columns."""
    found = exported(folder / "run")
    assert [line["status"] for line in found] == [
        *("ok", "ok", "repaired", "ok", "rejected"),
        *("failed", "failed", "failed", "failed", "failed"),
    ]
    assert [line["prompt"] for line in found] == [row.prompt for row in mixed_rows(folder)]
    first, same = found[0], found[3]
    assert (first["id"], same["id"]) == ("first", "the same again")
    assert (first["key"], first["record"]) == (same["key"], same["record"])
    assert {tuple(line) for line in found} == {(*COLUMNS, "camera", "take", "record")}
    assert "record" not in exported(folder / "run", record=False)[0]


def test_columns_agree_with_the_record(folder: Path) -> None:
    """What a data set needs stands beside the record."""
    line = exported(folder / "run")[0]
    record, tokens = line["record"], line["record"]["tokens"]
    assert line["long_prompt"] == record["prompt"]
    assert (line["model"], line["revision"], line["target"]) == ("scripted", "1", record["target"])
    assert line["completion_tokens"] == tokens["completion"]
    assert (line["target_tokens"], line["prompt_tokens"]) == (tokens["target"], tokens["actual"])
    assert (line["seed"], line["attempts"], line["schema_version"]) == (0, 1, 1)
    assert line["seconds"] == pytest.approx(sum(record["timings"].values()))
    assert (line["failed_checks"], line["camera"], line["take"]) == ([], "left", 1.0)
    assert {line[name] for name in line if name.startswith("error")} == {None}


def test_a_failure_says_why_and_what_to_do(folder: Path) -> None:
    """Code, message and remedy of failures, and of the check that failed first."""
    found = {line["id"]: line for line in exported(folder / "run")}
    later, refused = found["later"], found["refused"]
    assert (later["error_code"], later["error_retryable"]) == ("engine_transient", True)
    assert (later["error_remedy"], later["long_prompt"]) == ("start it again", None)
    assert (refused["error_code"], refused["failed_checks"][0]) == ("refusal", "refusal")
    assert refused["error_message"]
    assert refused["error_remedy"]
    assert refused["error_retryable"] is None
    assert found["gone"]["error_code"] == "video_not_found"


def test_only_some_statuses(folder: Path, videos: Path, tmp_path: Path) -> None:
    """The others are counted; rows without a result are left out until asked for."""
    fit = exported(folder / "run", only=("ok", "repaired"))
    assert [line["id"] for line in fit][::3] == ["first", "the same again"]
    failed = exported(folder / "run", only=("failed",))
    assert {line["status"] for line in failed} == {"failed"}
    assert list(fit[0]) == list(failed[0])
    maker = Maker(tmp_path / "run")
    maker.write(mixed_rows(videos)[:3], do=lambda row: row.number != 1, end=None)
    made = export(maker.run_dir, tmp_path / "a.jsonl")
    assert (made.written.total(), made.left_out) == (2, {"missing": 1})
    found = exported(maker.run_dir, only=STATUSES)
    assert [line["status"] for line in found] == ["ok", "missing", "repaired"]
    assert (found[1]["record"], found[1]["long_prompt"]) == (None, None)
    assert found[1]["camera"] == "right"


def test_a_damaged_result_is_missing(videos: Path, tmp_path: Path) -> None:
    """Damaged before the export or while it goes on; the other rows are as they were."""
    maker = Maker(tmp_path / "run")
    part = maker.write(mixed_rows(videos)[:3])
    whole = part.read_bytes()
    damaged = whole.replace(b'"short_prompt":"a robot arm', b'"short_prompt":XX robot arm', 1)
    part.write_bytes(damaged)
    found = exported(maker.run_dir, only=STATUSES)
    assert [line["status"] for line in found] == ["ok", "missing", "repaired"]
    part.write_bytes(whole)
    made = Exported()
    with open_run(maker.run_dir) as run:
        rows = results_with_records(run, STATUSES, made)
        assert next(rows)[0].status == "ok"
        part.write_bytes(damaged)
        rest = [(result.status, record is None) for result, record in rows]
        assert rest == [("missing", True), ("repaired", False)]
    assert made.written == {"ok": 1, "missing": 1, "repaired": 1}


def test_results_of_other_settings_are_left_out(videos: Path, tmp_path: Path) -> None:
    """After a change of settings only what was done again is there; changed back, all is."""
    rows = mixed_rows(videos)[:3]
    run = tmp_path / "run"
    Maker(run).write(rows)
    Maker(run, options=OPTIONS.merged({"seed": 7})).write(rows, do=lambda row: row.number == 1)
    found = exported(run, only=STATUSES)
    assert [line["status"] for line in found] == ["missing", "ok", "missing"]
    assert found[1]["seed"] == 7
    Maker(run).write(rows)
    assert [line["seed"] for line in exported(run)] == [0, 0, 0]


def test_results_of_any_settings_are_recognised(videos: Path, tmp_path: Path) -> None:
    """Every option that an answer depends on comes back from the run's folder, and from a row."""
    options = Options(
        frames=3,
        strategy="fps",
        fps=Fraction(3, 2),
        exact=True,
        size=Size(64, 48),
        context=3000,
        template="verbatim/1",
        controls=("edge", "depth"),
        target="cosmos-predict2.5",
        temperature=0.2,
        seed=9,
        on_reject="best",
    )
    clip = str(videos / "clip0.mp4")
    own = {"fps": "30000/1001", "template": "instruct/2", "seed": 3, "size": "32x32"}
    rows = [Row.of(0, clip, PROMPTS[0]), Row.of(1, clip, PROMPTS[1], options=own)]
    maker = Maker(tmp_path / "run", options=options)
    part = maker.write(rows)
    found = exported(maker.run_dir, only=STATUSES)
    assert [(line["status"], line["seed"]) for line in found] == [("ok", 9), ("ok", 3)]
    # The video was replaced while it was worked on: the record knows what was used.
    lines = part.read_bytes().splitlines(True)
    part.write_bytes(b"".join(line for line in lines if b'"kind":"video"' not in line))
    assert [line["status"] for line in exported(maker.run_dir)] == ["ok", "ok"]


def test_inputs_stand_beside_each_other(videos: Path, tmp_path: Path) -> None:
    """All of them by default, one by its name."""
    rows = mixed_rows(videos)
    maker = Maker(tmp_path / "run")
    maker.write(rows[:2], source="b.jsonl")
    maker.write(rows[2:3], source="a.jsonl")
    assert [line["id"] for line in exported(maker.run_dir)][::2] == ["tidied", rows[1].id]
    assert [line["id"] for line in exported(maker.run_dir, source="a.jsonl")] == ["tidied"]


def test_parquet_holds_the_same_as_json_lines(folder: Path, tmp_path: Path) -> None:
    """Column by column, with types that do not depend on the rows."""
    from pyarrow import parquet

    export(folder / "run", tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    for name, kind in COLUMNS.items():
        assert str(table.schema.field(name).type).startswith(kind.replace("strings", "list"))
    found = table.to_pylist()
    for line in found:
        line["record"] = json.loads(line["record"])
    assert found == exported(folder / "run")
    export(folder / "run", tmp_path / "b.parquet", only=REJECTED)
    assert parquet.read_schema(tmp_path / "b.parquet") == table.schema


def test_tables_hold_the_same_without_the_record(folder: Path, tmp_path: Path) -> None:
    """Empty for null, names of checks with spaces between."""
    export(folder / "run", tmp_path / "a.tsv")
    with (tmp_path / "a.tsv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, delimiter="\t"))
    assert list(found[0]) == [*COLUMNS, "camera", "take"]
    for line, other in zip(found, exported(folder / "run"), strict=True):
        for column, text in line.items():
            value = other[column]
            if isinstance(value, list):
                assert text.split() == value
            elif isinstance(value, bool):
                assert text == str(value).lower()
            else:
                assert text == ("" if value is None else str(value)), column


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    """Texts and names of columns that a spreadsheet would run begin with an apostrophe."""
    cells = ["=HYPERLINK(1)", "+1", "@SUM(A1)", "\t=1", "\r=1", "fine - really"]
    rows = [
        Row.of(number, "/v.mp4", cell, id=cell, extra={"=cmd": cell, "n": -5})
        for number, cell in enumerate(cells)
    ]
    maker = Maker(tmp_path / "run")
    maker.write(rows, do=lambda row: False)
    export(maker.run_dir, tmp_path / "a.csv", only=STATUSES)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    for column in ("id", "prompt", "'=cmd"):
        assert [line[column] for line in found] == [*(f"'{cell}" for cell in cells[:5]), cells[5]]
    assert {line["n"] for line in found} == {"-5"}


@pytest.mark.parametrize(
    ("values", "kind", "cells"),
    [
        ([1, 2.5, None], "double", [1.0, 2.5, None]),
        ([True, False], "bool", [True, False]),
        ([2**63], "json", [str(2**63)]),
        ([1, "1"], "json", ["1", '"1"']),
        ([["a"], {"ü": 1}], "json", ['["a"]', '{"ü":1}']),
        ([math.nan, 1.5], "double", [None, 1.5]),
        (["\ud800"], "string", ["\ufffd"]),
    ],
)
def test_a_column_of_the_input_has_one_type(values: list[Any], kind: str, cells: list[Any]) -> None:
    """It follows from all values, and nothing is lost but what no JSON can hold."""
    rows = [Row.of(n, "/v.mp4", "p", extra={"it": value}) for n, value in enumerate(values)]
    columns = ExportColumns(rows)
    assert columns.types["it"] == kind
    lines = [columns.line(RowResult(row, "in", None, "missing"), None) for row in rows]
    assert [line["it"] for line in lines] == cells
    assert [type(line["it"]) for line in lines] == [type(cell) for cell in cells]
    for line in lines:
        assert json.loads(json_line(line)) == line


def test_names_of_the_input_that_are_taken() -> None:
    """``status`` of the input becomes ``input_status``; options of a row are carried as well."""
    row = Row.of(
        *(0, "/v.mp4", "p"),
        options={"seed": 3, "controls": ["edge"]},
        extra={"status": "mine", "input_status": "theirs", "record": 1, "camera": "left"},
    )
    line = ExportColumns([row]).line(RowResult(row, "in", None, "missing"), None)
    assert (line["status"], line["input_status"]) == ("missing", "theirs")
    assert (line["input_input_status"], line["input_record"]) == ("mine", 1)
    assert (line["camera"], line["record"]) == ("left", None)
    assert (line["input_seed"], line["seed"], line["controls"]) == (3, None, '["edge"]')


def test_paths_that_are_not_utf8_are_marked(tmp_path: Path) -> None:
    """Bytes that no text can hold, in every form."""
    maker = Maker(tmp_path / "run")
    maker.write([Row.of(0, os.fsdecode(b"/videos/\xff.mp4"), "p")], do=lambda row: False)
    for name in ("a.jsonl", "a.parquet", "a.csv"):
        export(maker.run_dir, tmp_path / name, only=STATUSES)
        assert "\ufffd".encode() in (tmp_path / name).read_bytes()
    export(maker.run_dir, tmp_path / "a", only=STATUSES)


def test_sidecars_are_texts_and_records(folder: Path, tmp_path: Path) -> None:
    """The prompt for rows that have one, the record for all, and a listing of both."""
    out = tmp_path / "out"
    export(folder / "run", out)
    names = {line["id"]: line["files"] for line in lines_of(out / LISTING)}
    assert names["first"] == ["first.txt", "first.json"]
    assert names["refused"] == ["refused.json"]
    assert (out / "first.txt").read_text(encoding="utf-8").startswith("A red hot-air balloon")
    assert json.loads((out / "first.json").read_text(encoding="utf-8"))["status"] == "ok"
    assert names[mixed_rows(folder)[1].id] == ["clip1.txt", "clip1.json"]
    found = {path.name for path in out.iterdir()}
    assert found == {LISTING, *(name for files in names.values() for name in files)}
    export(folder / "run", tmp_path / "texts", record=False)
    assert not list((tmp_path / "texts").glob("*.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "texts"]


def test_sidecars_replace_nothing(folder: Path, tmp_path: Path) -> None:
    """They go into a new folder or an empty one, never among other files."""
    (tmp_path / "empty").mkdir()
    export(folder / "run", tmp_path / "empty")
    assert (tmp_path / "empty" / "first.txt").exists()
    before = sorted(path.name for path in (tmp_path / "empty").iterdir())
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "empty", tmp_path / "file"):
        with pytest.raises(OutputError, match="is no empty folder"):
            export(folder / "run", path, form="sidecars")
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == before


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["take 1", "a/b", "../../x", "..."], ["take 1", "a_b-DIGEST", "_.._x-DIGEST", "_-DIGEST"]),
        (["日本", "x" * 300, "é" * 200], ["日本", "x" * 96 + "-DIGEST", "é" * 48 + "-DIGEST"]),
        (["same", "same", "same", "SAME"], ["same", "same-DIGEST", "same-DIGEST-2", "SAME-DIGEST"]),
    ],
)
def test_names_of_sidecars(tmp_path: Path, ids: list[str], names: list[str]) -> None:
    """Readable where they can be, safe on every file system, never the same twice."""
    engine = FakeEngine(lambda request: "x", context=4096)
    rows = [Row.of(number, "/no.mp4", "p", id=one) for number, one in enumerate(ids)]
    maker = Maker(tmp_path / "run", engine=engine)
    maker.write(rows)
    export(maker.run_dir, tmp_path / "out", only=STATUSES)
    files = [line["files"][0] for line in lines_of(tmp_path / "out" / LISTING)]
    assert files == [
        f"{name.replace('DIGEST', row.digest[:8])}.json"
        for name, row in zip(names, rows, strict=True)
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a"])
def test_an_export_that_fails_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With no room for it, what was there stays, whole, and nothing is left beside it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / name
    (out.touch if out.suffix else out.mkdir)()
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="cannot write"):
        export(folder / "run", out)
    assert out.read_bytes() == b"" if out.is_file() else list(out.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_cannot_be_exported_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that says nothing known, a missing package, a folder that is no run."""
    with pytest.raises(OptionError, match=r"form of 'a.json' is not clear"):
        export(tmp_path / "none", tmp_path / "a.json")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(OptionError, match=r"promptlift\[parquet\]"):
        export(tmp_path / "none", tmp_path / "a.PARQUET")
    with pytest.raises(OptionError, match="is not the folder of a run"):
        export(tmp_path / "none", tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []
