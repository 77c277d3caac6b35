"""An export holds every row in order and in one shape, and is there whole or not at all."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from loaders.run_dirs import OPTIONS, PROMPTS, Maker, make_run, make_videos, mixed_rows
from promptlift.batch.export import COLUMNS, Columns, export
from promptlift.batch.export.export import form_of
from promptlift.batch.export.names import Names
from promptlift.batch.export.text import json_line
from promptlift.batch.journal import Index
from promptlift.batch.outcomes import FINISHED, STATUSES, Outcome, Status
from promptlift.batch.rows import Row
from promptlift.config import Options
from promptlift.core.video import Size
from promptlift.errors import OptionError, OutputError, SpecError, TransientEngineError
from promptlift.testing import FakeEngine

OK: tuple[Status, ...] = ("ok",)
REJECTED: tuple[Status, ...] = ("rejected",)
LIMITED = """
import resource, signal, sys
from pathlib import Path
from promptlift.batch.export import export
from promptlift.errors import OutputError
import pyarrow.parquet
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
try:
    export(Path(sys.argv[1]), Path(sys.argv[2]))
except OutputError as error:
    print(error)
"""


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


def test_every_row_is_there_in_the_order_of_the_input(folder: Path) -> None:
    """Failed and rejected rows too; two rows of one item each have its result."""
    found = exported(folder / "run")
    assert [line["status"] for line in found] == [
        *("ok", "ok", "repaired", "ok", "rejected"),
        *("failed", "failed", "failed", "failed", "failed"),
    ]
    assert [line["prompt"] for line in found] == [row.prompt for row in mixed_rows(folder)]
    first, same = found[0], found[3]
    assert (first["id"], same["id"]) == ("first", "the same again")
    assert first["key"] == same["key"]
    assert first["record"] == same["record"]


def test_one_shape_from_the_first_row(folder: Path) -> None:
    """Every line has every column in the same order: ours, what is carried, the record."""
    found = exported(folder / "run")
    assert {tuple(line) for line in found} == {(*COLUMNS, "camera", "take", "record")}


def test_a_result_is_told_in_columns(folder: Path) -> None:
    """What a data set needs stands beside the record and agrees with it."""
    line = exported(folder / "run")[0]
    record = line["record"]
    assert line["long_prompt"] == record["prompt"]
    assert line["long_prompt"].startswith("A red hot-air balloon")
    assert line["prompt"] == record["short_prompt"]
    assert (line["model"], line["revision"], line["target"]) == ("scripted", "1", record["target"])
    assert line["completion_tokens"] == record["tokens"]["completion"]
    assert line["target_tokens"] == record["tokens"]["target"]
    assert line["prompt_tokens"] == record["tokens"]["actual"]
    assert (line["seed"], line["attempts"], line["schema_version"]) == (0, 1, 1)
    assert line["seconds"] == pytest.approx(sum(record["timings"].values()))
    assert line["failed_checks"] == []
    assert {line[name] for name in line if name.startswith("error")} == {None}
    assert (line["camera"], line["take"]) == ("left", 1.0)


def test_a_failure_says_why_and_what_to_do(folder: Path) -> None:
    """Code, message and remedy of failures, and of the check that failed first."""
    found = {line["id"]: line for line in exported(folder / "run")}
    later = found["later"]
    assert (later["error_code"], later["error_retryable"]) == ("engine_transient", True)
    assert later["error_remedy"] == "start it again"
    assert later["long_prompt"] is None
    refused = found["refused"]
    assert refused["error_code"] == "refusal"
    assert refused["failed_checks"][0] == "refusal"
    assert refused["error_message"]
    assert refused["error_remedy"]
    assert refused["error_retryable"] is None
    assert found["gone"]["error_code"] == "video_not_found"
    broken = exported(folder / "run")[-1]
    assert (broken["error_code"], broken["error_remedy"]) == ("spec", "mend the line")


def test_rows_without_a_result_are_counted_and_come_when_asked_for(
    videos: Path, tmp_path: Path
) -> None:
    """They are left out of what is finished; with all statuses they come with nulls."""
    rows = mixed_rows(videos)[:3]
    maker = Maker(tmp_path / "run")
    maker.write(rows, do=lambda row: row.number != 1, end=None)
    made = export(maker.run_dir, tmp_path / "a.jsonl")
    assert (made.written.total(), made.left_out) == (2, {"missing": 1})
    assert made.complete
    found = exported(maker.run_dir, only=STATUSES)
    assert [line["status"] for line in found] == ["ok", "missing", "repaired"]
    assert found[1]["record"] is None
    assert found[1]["long_prompt"] is None
    assert found[1]["camera"] == "right"


def test_only_some_statuses(folder: Path) -> None:
    """What is not wanted is left out and counted, and the columns stay the same."""
    fit = exported(folder / "run", only=("ok", "repaired"))
    assert [line["id"] for line in fit][::3] == ["first", "the same again"]
    failed = exported(folder / "run", only=("failed",))
    assert {line["status"] for line in failed} == {"failed"}
    assert list(fit[0]) == list(failed[0])


def test_a_row_with_trouble_has_failed_before_it_is_begun(videos: Path, tmp_path: Path) -> None:
    """A line that is no row needs no engine to be called failed."""
    broken = Row.broken(0, "{", SpecError("line 1 is no JSON", remedy="mend it"))
    maker = Maker(tmp_path / "run")
    maker.write([broken], do=lambda row: False, end=None)
    [line] = exported(maker.run_dir)
    assert (line["status"], line["error_code"], line["key"]) == ("failed", "spec", None)
    assert line["error_message"] == "line 1 is no JSON"


def test_a_later_answer_takes_the_place_of_a_failure(videos: Path, tmp_path: Path) -> None:
    """And a later failure does not take the place of an answer."""
    rows = mixed_rows(videos)[:2]

    def away(request: object) -> str:
        raise TransientEngineError("it is away", remedy="wait")

    folders = []
    for name, order in (("a", ("away", "here")), ("b", ("here", "away"))):
        for which in order:
            engine = {"engine": FakeEngine(away, context=4096)} if which == "away" else {}
            maker = Maker(tmp_path / name, **engine)  # type: ignore[arg-type]
            maker.write(rows)
        folders.append(maker.run_dir)
    for run in folders:
        assert [line["status"] for line in exported(run)] == ["ok", "ok"]


def test_a_damaged_result_is_missing(videos: Path, tmp_path: Path) -> None:
    """A line whose sum is wrong is no result; the other rows are as they were."""
    rows = mixed_rows(videos)[:3]
    maker = Maker(tmp_path / "run")
    maker.write(rows)
    [segment] = (maker.run_dir / "segments").iterdir()
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"A robot arm hands", b"A robot arm hends", 1))
    found = exported(maker.run_dir, only=STATUSES)
    assert [line["status"] for line in found] == ["ok", "missing", "repaired"]


def test_a_result_that_is_damaged_while_it_is_exported_is_missing(
    videos: Path, tmp_path: Path
) -> None:
    """The index was whole; the line is not any more when it is read. The export goes on."""
    maker = Maker(tmp_path / "run")
    maker.write(mixed_rows(videos)[:2])
    [segment] = (maker.run_dir / "segments").iterdir()
    seen = []

    def write(rows: Iterable[tuple[Outcome, dict[str, Any] | None]], path: Path) -> None:
        for outcome, record in rows:
            seen.append((outcome.status, record is None))
            data = segment.read_bytes().replace(b"A robot arm hands", b"A robot arm hends")
            segment.write_bytes(data)

    made = export(maker.run_dir, tmp_path, only=STATUSES, write=write)
    assert seen == [("ok", False), ("missing", True)]
    assert made.written == {"ok": 1, "missing": 1}


def test_results_of_other_settings_are_left_out(videos: Path, tmp_path: Path) -> None:
    """After a change of settings only what was done again is there; changed back, all is."""
    rows = mixed_rows(videos)[:3]
    run = tmp_path / "run"
    Maker(run).write(rows)
    Maker(run, options=replace(OPTIONS, seed=7)).write(rows, do=lambda row: row.number == 1)
    found = exported(run, only=STATUSES)
    assert [line["status"] for line in found] == ["missing", "ok", "missing"]
    assert found[1]["seed"] == 7
    Maker(run).write(rows)
    assert [line["seed"] for line in exported(run)] == [0, 0, 0]


def test_results_of_any_settings_are_known_as_the_runs_own(videos: Path, tmp_path: Path) -> None:
    """Every option that an answer depends on comes back from the manifest, and from a row."""
    options = Options(
        frames=3,
        strategy="fps",
        fps=Fraction(3, 2),
        exact=True,
        size=Size(64, 48),
        context=3000,
        reserve=200,
        template="verbatim/1",
        control="rgb",
        controls=("edge", "depth"),
        target="cosmos-predict2.5",
        temperature=0.2,
        seed=9,
        attempts=1,
        on_reject="best",
    )
    clip = str(videos / "clip0.mp4")
    asked = {"fps": "30000/1001", "template": "instruct/1", "seed": 3, "size": "32x32"}
    rows = [Row.of(0, clip, PROMPTS[0]), Row.of(1, clip, PROMPTS[1], options=asked)]
    maker = Maker(tmp_path / "run", options=options)
    maker.write(rows)
    found = exported(maker.run_dir, only=STATUSES)
    assert [(line["status"], line["seed"]) for line in found] == [("ok", 9), ("ok", 3)]


def test_a_video_replaced_while_it_was_worked_on_keeps_its_result(
    videos: Path, tmp_path: Path
) -> None:
    """What the journal notes of the path differs from what was seen: the record decides."""
    rows = mixed_rows(videos)[:1]
    maker = Maker(tmp_path / "run")
    name = maker.write(rows)
    segment = maker.run_dir / "segments" / f"{name}.jsonl"
    kept = [line for line in segment.read_bytes().splitlines(True) if b'"kind":"video"' not in line]
    segment.write_bytes(b"".join(kept))
    assert Index.load(maker.run_dir).latest_content(rows[0].video) is None
    assert [line["status"] for line in exported(maker.run_dir)] == ["ok"]


def test_inputs_stand_beside_each_other(videos: Path, tmp_path: Path) -> None:
    """All of them by default, one by its name; a name that is none is named with those that are."""
    rows = mixed_rows(videos)
    maker = Maker(tmp_path / "run")
    maker.write(rows[:2], source="b.jsonl")
    maker.write(rows[2:3], source="a.jsonl")
    assert [line["id"] for line in exported(maker.run_dir)][::2] == ["tidied", rows[1].id]
    assert [line["id"] for line in exported(maker.run_dir, source="a.jsonl")] == ["tidied"]
    with pytest.raises(OptionError, match=r"no input 'c'.*'a.jsonl', 'b.jsonl'"):
        exported(maker.run_dir, source="c")


def test_parquet_holds_the_same_as_json_lines(folder: Path, tmp_path: Path) -> None:
    """Column by column; the record is JSON text, and no type depends on what a row says."""
    from pyarrow import parquet

    export(folder / "run", tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    kinds = {"string": "string", "int64": "int64", "double": "double", "bool": "bool"}
    for name, kind in COLUMNS.items():
        assert str(table.schema.field(name).type).startswith(kinds.get(kind, "list")), name
    found = table.to_pylist()
    for line in found:
        line["record"] = json.loads(line["record"])
    assert found == exported(folder / "run")


def test_parquet_of_failures_alone_has_the_types_of_all(folder: Path, tmp_path: Path) -> None:
    """A file in which a column is null throughout can be put together with another."""
    from pyarrow import parquet

    schemas = []
    wanted: list[tuple[Status, ...]] = [("failed",), ("ok",), FINISHED, ("missing",)]
    for only in wanted:
        export(folder / "run", tmp_path / "a.parquet", only=only)
        schemas.append(parquet.read_schema(tmp_path / "a.parquet"))
    assert all(schema == schemas[0] for schema in schemas)


def test_csv_holds_the_same_without_the_record(folder: Path, tmp_path: Path) -> None:
    """Empty for null, names of checks with spaces between; the record only when asked for."""
    export(folder / "run", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == [*COLUMNS, "camera", "take"]
    for line, other in zip(found, exported(folder / "run"), strict=True):
        for name, text in line.items():
            value = other[name]
            if isinstance(value, list):
                assert text.split() == value
            elif isinstance(value, bool):
                assert text == str(value).lower()
            else:
                assert text == ("" if value is None else str(value)), name
    export(folder / "run", tmp_path / "b.csv", record=True)
    with (tmp_path / "b.csv").open(encoding="utf-8", newline="") as file:
        assert json.loads(next(csv.DictReader(file))["record"])["status"] == "ok"


def test_without_records(folder: Path) -> None:
    """The column is not there at all."""
    assert "record" not in exported(folder / "run", record=False)[0]


def a_row(number: int = 0, **extra: Any) -> Row:
    """A row that carries something."""
    return Row.of(number, "/v.mp4", "p", id=str(number), extra=extra)


def missing(row: Row) -> Outcome:
    """A row that was not begun."""
    return Outcome(row, "rows.jsonl", None, "missing")


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        ([None, None], "string", [None, None]),
        (["a", None], "string", ["a", None]),
        ([1, 2], "int64", [1, 2]),
        ([1, 2.5, None], "double", [1.0, 2.5, None]),
        ([True, False], "bool", [True, False]),
        ([2**62], "int64", [2**62]),
        ([2**63], "json", [str(2**63)]),
        ([2**62, 0.5], "json", [str(2**62), "0.5"]),
        ([True, 1], "json", ["true", "1"]),
        ([1, "1"], "json", ["1", '"1"']),
        ([["a"], {"b": 1}], "json", ['["a"]', '{"b":1}']),
        (["ü"], "string", ["ü"]),
        ([{"ü": "é"}], "json", ['{"ü":"é"}']),
        ([math.nan, 1.5], "double", [None, 1.5]),
        ([[math.inf]], "json", ["[null]"]),
        (["\ud800"], "string", ["\ufffd"]),
    ],
)
def test_what_is_carried_has_one_kind(values: list[Any], kind: str, told: list[Any]) -> None:
    """A column's kind follows from all its values and nothing is lost but what no JSON can hold."""
    rows = [a_row(number, it=value) for number, value in enumerate(values)]
    columns = Columns(rows)
    assert columns.kinds["it"] == kind
    lines = [columns.line(missing(row), None) for row in rows]
    assert [line["it"] for line in lines] == told
    assert [type(line["it"]) for line in lines] == [type(value) for value in told]
    for line in lines:
        assert json.loads(json_line(line)) == line


def test_a_carried_name_that_is_taken_is_told_as_the_inputs() -> None:
    """``status`` of the input becomes ``input_status``, and gets out of the way of that too."""
    row = a_row(status="mine", input_status="theirs", record=1, camera="left")
    columns = Columns([row, a_row(1)])
    line = columns.line(missing(row), None)
    assert line["status"] == "missing"
    assert line["input_status"] == "theirs"
    assert line["input_input_status"] == "mine"
    assert line["input_record"] == 1
    assert line["camera"] == "left"
    assert line["record"] is None


def test_options_of_a_row_are_carried_too() -> None:
    """What a row asks for stands beside what was used."""
    row = Row.of(0, "/v.mp4", "p", options={"seed": 3, "control": "edge", "controls": ["edge"]})
    line = Columns([row]).line(missing(row), None)
    assert (line["input_seed"], line["seed"]) == (3, None)
    assert (line["control"], line["controls"]) == ("edge", '["edge"]')


def test_paths_that_are_no_utf8_are_told_in_every_form(videos: Path, tmp_path: Path) -> None:
    """Bytes that no text can hold are marked, and the export is still valid."""
    video = os.fsdecode(b"/videos/\xff.mp4")
    maker = Maker(tmp_path / "run")
    maker.write([Row.of(0, video, "p")], do=lambda row: False)
    for name in ("a.jsonl", "a.parquet", "a.csv"):
        export(maker.run_dir, tmp_path / name, only=STATUSES)
        assert "\ufffd".encode() in (tmp_path / name).read_bytes()
    export(maker.run_dir, tmp_path / "a", only=STATUSES)


def test_sidecars_are_texts_and_records(folder: Path, tmp_path: Path) -> None:
    """The prompt for rows that have one, the record for all, and a list of what is whose."""
    export(folder / "run", tmp_path / "out")
    out = tmp_path / "out"
    listed = lines_of(out / "promptlift-sidecars.jsonl")
    names = {line["id"]: line["files"] for line in listed}
    assert names["first"] == ["first.txt", "first.json"]
    assert names["refused"] == ["refused.json"]
    assert (out / "first.txt").read_text(encoding="utf-8").startswith("A red hot-air balloon")
    assert json.loads((out / "first.json").read_text(encoding="utf-8"))["status"] == "ok"
    without_id = mixed_rows(folder)[1]
    assert names[without_id.id] == ["clip1.txt", "clip1.json"]
    found = {path.name for path in out.iterdir()}
    assert found == {"promptlift-sidecars.jsonl", *(n for files in names.values() for n in files)}
    export(folder / "run", out, record=False)
    assert not list(out.glob("*.json"))


def test_sidecars_take_the_place_of_earlier_ones(folder: Path, tmp_path: Path) -> None:
    """What is not in the new export is gone, and nothing is left beside."""
    out = tmp_path / "out"
    export(folder / "run", out)
    export(folder / "run", out, only=REJECTED)
    assert {path.name for path in out.iterdir()} == {"promptlift-sidecars.jsonl", "refused.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_sidecars_keep_modes_and_links(folder: Path, tmp_path: Path) -> None:
    """Private ones stay private, a link to the folder leads there, and no link in it is lost."""
    out, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to("out")
    export(folder / "run", link)
    out.chmod(0o700)
    (out / "first.txt").chmod(0o600)
    export(folder / "run", link)
    assert link.is_symlink()
    assert (out.stat().st_mode & 0o777, (out / "first.txt").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    (out / "first.txt").rename(tmp_path / "moved.txt")
    (out / "first.txt").symlink_to(tmp_path / "moved.txt")
    with pytest.raises(OutputError, match=r"'first.txt', which is no regular file"):
        export(folder / "run", link)


def test_files_of_others_are_never_replaced(folder: Path, tmp_path: Path) -> None:
    """Neither a folder with other things in it, nor a prompt that somebody has changed since."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "first.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"'first.txt', which is not from an earlier export"):
        export(folder / "run", other)
    assert (other / "first.txt").read_text() == "mine"
    out = tmp_path / "out"
    export(folder / "run", out)
    edited = out / "first.txt"
    edited.write_text("better")
    os.utime(edited, ns=(0, (out / "promptlift-sidecars.jsonl").stat().st_mtime_ns + 1))
    with pytest.raises(OutputError, match=r"'first.txt', which was changed since"):
        export(folder / "run", out)
    assert edited.read_text() == "better"
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        export(folder / "run", tmp_path / "file", form="sidecars")


@pytest.mark.parametrize(
    ("given", "video", "names"),
    [
        ("take 1", "", ["take 1"]),
        ("a/b", "", ["a_b-DIGEST"]),
        ("../../etc/passwd", "", ["_.._etc_passwd-DIGEST"]),
        ("con", "", ["_con-DIGEST"]),
        ("Nul.txt", "", ["_Nul.txt-DIGEST"]),
        ("", "", ["_-DIGEST"]),
        ("...", "", ["_-DIGEST"]),
        ("日本", "", ["日本"]),
        ("x" * 300, "", ["x" * 96 + "-DIGEST"]),
        ("é" * 200, "", ["é" * 48 + "-DIGEST"]),
        (None, "/videos/clip 7.mp4", ["clip 7"]),
        ("same", "", ["same", "same-DIGEST", "same-DIGEST-2"]),
        ("same", "", ["same", "same-DIGEST", "same-DIGEST-2", "same-DIGEST-3"]),
    ],
)
def test_names_of_sidecars(given: str | None, video: str, names: list[str]) -> None:
    """Readable where they can be, safe on every file system, never the same twice."""
    row = Row.of(0, video, "p", id=given)
    taken = Names()
    wanted = [name.replace("DIGEST", row.digest[:8]) for name in names]
    assert [taken.name(row) for _ in names] == wanted


def test_names_that_differ_in_capitals_only_are_the_same_to_some_file_systems() -> None:
    """The second gets its digest."""
    taken = Names()
    assert taken.name(Row.of(0, "", "p", id="Clip")) == "Clip"
    other = Row.of(1, "", "p", id="clip")
    assert taken.name(other) == f"clip-{other.digest[:8]}"
    last = Row.of(2, "", "p", id="CLIP")
    assert taken.name(last) == f"CLIP-{last.digest[:8]}"


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv", "a"])
def test_an_export_that_fails_changes_nothing(folder: Path, tmp_path: Path, name: str) -> None:
    """With no room for it, what was there stays, whole, and nothing is left beside it."""
    out = tmp_path / name
    export(folder / "run", out, only=REJECTED)
    before = out.read_bytes() if out.is_file() else sorted(path.name for path in out.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, folder / "run", out],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "cannot write" in done.stdout
    after = out.read_bytes() if out.is_file() else sorted(path.name for path in out.iterdir())
    assert after == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", "jsonl"),
        ("a.PARQUET", "parquet"),
        ("a.csv", "csv"),
        ("prompts", "sidecars"),
    ],
)
def test_the_form_goes_by_the_name(name: str, form: str, tmp_path: Path) -> None:
    """And a name that says nothing known is refused before any work."""
    assert form_of(tmp_path / name) == form
    with pytest.raises(OptionError, match=r"'a.json' should be cannot be told"):
        form_of(tmp_path / "a.json")
    (tmp_path / "v1.2").mkdir()
    assert form_of(tmp_path / "v1.2") == "sidecars"


def test_without_pyarrow_the_extra_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the run is read."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(OptionError, match=r"promptlift\[parquet\]"):
        export(tmp_path / "none", tmp_path / "a.parquet")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """A folder that is not there, a file, a folder of something else."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, why in (("no", "is not there"), ("file", "is a file"), ("folder", "not the folder")):
        with pytest.raises(OptionError, match=why):
            export(tmp_path / name, tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()


def test_another_may_write(folder: Path, tmp_path: Path) -> None:
    """What writes in the place of a form gets each row with its record, and where to."""
    given: list[tuple[str, bool]] = []

    def write(rows: Iterable[tuple[Outcome, dict[str, Any] | None]], path: Path) -> None:
        assert path == tmp_path / "x.anything"
        given.extend((outcome.row.prompt, record is not None) for outcome, record in rows)

    made = export(folder / "run", tmp_path / "x.anything", only=OK, write=write)
    assert given == [(PROMPTS[0], True), (PROMPTS[1], True), (PROMPTS[0], True)]
    assert made.left_out.total() == 7
