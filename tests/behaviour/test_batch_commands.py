"""``promptlift batch`` as an operator calls it: run, status, show, retry, export and report."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loaders.desk import Desk, lay, make_clips
from loaders.run_dirs import PROMPTS, Maker, make_run_of_ended_process, make_videos, mixed_rows
from promptlift.cli.main import _run
from promptlift.cosmos import SpecRows
from promptlift.store import Index
from stubs.openai_server import StubServer

TRANSFER1 = {"video_path": "assets/rgb.mp4", "edge": {"control_weight": 1.0}}
Capture = pytest.CaptureFixture[str]


def batch(*arguments: str | Path) -> int:
    """The exit code of ``promptlift batch`` with these arguments."""
    return _run(["batch", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and ``run``: a run in which everything has happened that may."""
    made = tmp_path_factory.mktemp("made")
    make_run_of_ended_process(made)
    return made


def key_of(folder: Path, number: int) -> str:
    """The key of a row."""
    key = Index(folder / "run").key_of(mixed_rows(folder)[number].digest)
    assert key is not None
    return key


def test_run_then_mend_then_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A failed row is named with what to do; retry needs nothing but the folder."""
    monkeypatch.chdir(tmp_path)
    clip, _ = make_videos(tmp_path)
    listing = tmp_path / "in.csv"
    listing.write_text("video,prompt\nclip0.mp4,a red balloon\nlate.mp4,a red balloon drifts\n")
    run = ("run", listing, "-o", "run", "--engine", "embedded")
    assert batch(*run) == 1
    err = capsys.readouterr().err
    assert "promptlift: done: 2 of 2 finished, 1 fit to use, 1 failed in " in err
    assert "promptlift: why they failed: promptlift batch status run" in err
    clip.rename("late.mp4")
    assert batch("retry", "run", "--quiet") == 0
    assert batch(*run, "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert batch("status", "run") == 0
    assert "run: finished\n  2 rows\n           2  ok         100.0%\n" in capsys.readouterr().out


def test_a_template_from_a_file_is_kept_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A retry needs no file; another content is another run; a row opens no file."""
    monkeypatch.chdir(tmp_path)
    make_videos(tmp_path)
    template, listing = tmp_path / "mine.j2", tmp_path / "in.jsonl"
    template.write_text("{{ short_prompt }}")
    rows = [
        {"video": "clip0.mp4", "prompt": "a red balloon\ndrifts"},
        {"video": "clip0.mp4", "prompt": "x", "options": {"template": "mine.j2"}},
    ]
    listing.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    run = ("run", listing, "-o", "run", "--engine", "embedded", "--quiet", "--template")
    assert batch(*run, template) == 1
    template.unlink()
    assert batch("retry", "run", "--quiet") == 1
    template.write_text("Do it: {{ short_prompt }}")
    assert batch(*run, template) == 2
    assert "template is mine.j2@" in capsys.readouterr().err
    with Index(tmp_path / "run") as index:
        records = [json.loads(index.raw_record(key)) for key, _ in index.items()]
    fine, wrong = sorted(records, key=lambda record: bool(record["error"]))
    assert fine["short_prompt"] == "a red balloon\ndrifts"
    assert fine["template"].startswith("mine.j2@")
    assert "there is no template 'mine.j2'" in wrong["error"]["message"]


CAPTION = (
    "A red balloon drifts over a green hill on a bright day. Its string swings below it, and the "
    "shadow slides along the grass toward a row of birches. Small white clouds stand far behind, "
    "the light is clear, and the leaves turn softly in the wind while the balloon climbs."
)


def test_captions_lie_beside_the_videos(tmp_path: Path, capsys: Capture) -> None:
    """Each video gets its text; one that somebody wrote is kept, and nothing is asked twice."""
    first, second = make_videos(tmp_path)
    folder = first.parent
    (folder / "damaged.mp4").unlink()
    second.with_suffix(".txt").write_text("written by hand")
    with StubServer(reply=CAPTION) as server:
        engine = ("--engine", "openai", "--base-url", server.base_url)
        run = ("run", folder, "-o", tmp_path / "run", "--caption", *engine)
        assert batch(*run) == 0
        assert first.with_suffix(".txt").read_text() == f"{CAPTION}\n"
        assert second.with_suffix(".txt").read_text() == "written by hand"
        err = capsys.readouterr().err
        assert "1 caption beside the videos" in err
        assert "1 file with another text kept" in err
        asked = sum(one.asked is not None for one in server.received)
        assert batch(*run, "--overwrite") == 0
        assert second.with_suffix(".txt").read_text() == f"{CAPTION}\n"
        assert sum(one.asked is not None for one in server.received) == asked
    assert batch("run", tmp_path / "in.jsonl", "-o", tmp_path / "other", "--caption") == 2


def test_prompts_alone_are_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Lines of text, with the same rows again in CSV: what was done is not done again."""
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("a cat on a sofa\ntwo dogs\n")
    assert batch("run", "in.txt", "-o", "run", "--engine", "embedded") == 0
    assert "2 of 2 finished, 0 fit to use, 2 unchanged" in capsys.readouterr().err
    assert batch("run", "in.txt", "-o", "run", "--engine", "embedded") == 0
    assert batch("status", "run") == 0
    assert batch("report", "run", "-o", "report.html") == 0
    assert batch("export", "run", "-o", "out.jsonl") == 0
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [(line["prompt"], line["status"]) for line in lines] == [
        ("a cat on a sofa", "unchanged"),
        ("two dogs", "unchanged"),
    ]


def test_pictures_are_part_of_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """In CSV and JSON lines; a changed picture is another item, an unchanged one is not done again.

    The rows share the first frame, and differ in the others.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        Image.new("RGB", (64, 48), {"a": "red", "b": "green", "c": "blue"}[name]).save(
            f"{name}.png"
        )
    rows = "run,a.png,,\nrun,a.png,b.png,\nrun,a.png,,b.png;c.png\n"
    Path("in.csv").write_text(f"prompt,image,last_image,references\n{rows}")
    run = ("run", "in.csv", "-o", "run", "--engine", "embedded")
    assert batch(*run) == 0
    assert "3 of 3 finished" in capsys.readouterr().err
    assert batch("export", "run", "-o", "out.jsonl") == 0
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len({line["key"] for line in lines}) == 3
    assert [line["references"] for line in lines] == [None, None, "b.png;c.png"]
    roles = [[one["role"] for one in line["record"]["pictures"]] for line in lines]
    assert roles == [[], ["last"], ["reference", "reference"]]
    Image.new("RGB", (64, 48), "black").save("b.png")
    assert batch(*run) == 0
    assert batch("export", "run", "-o", "again.jsonl") == 0
    again = [json.loads(line)["key"] for line in Path("again.jsonl").read_text().splitlines()]
    assert [old["key"] == new for old, new in zip(lines, again, strict=True)] == [
        True,
        False,
        False,
    ]
    Path("bad.jsonl").write_text(
        '{"last_image": "b.png", "prompt": "run"}\n{"image": 3, "prompt": "x"}\n'
    )
    assert batch("run", "bad.jsonl", "-o", "bad", "--engine", "embedded") == 1
    assert batch("export", "bad", "-o", "bad.out.jsonl") == 0
    said = [
        json.loads(line)["error_message"] for line in Path("bad.out.jsonl").read_text().splitlines()
    ]
    assert "is given without --image or a video" in said[0]
    assert said[1] == "image is 3"


def test_rows_that_nothing_is_added_to_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Without a model they keep their words, a state of its own that is no failure: nothing is
    asked again, the export has them, and the same rows with a model are done by it.
    """
    monkeypatch.chdir(tmp_path)
    make_videos(tmp_path)
    rows = ["a red balloon", "ein roter Ballon steigt über die Hügel", "remove the balloon"]
    listing = tmp_path / "in.csv"
    listing.write_text("video,prompt\n" + "".join(f"clip0.mp4,{row}\n" for row in rows))
    run = ("run", listing, "-o", "run")
    assert batch(*run, "--engine", "embedded") == 0
    err = capsys.readouterr().err
    assert "3 of 3 finished, 1 fit to use, 2 unchanged in " in err
    assert "promptlift doctor" in err
    assert batch("status", "run") == 0
    out = capsys.readouterr().out
    assert "run: finished\n" in out
    assert "2  unchanged   66.7%  the short prompt itself" in out
    assert "seed" not in out
    assert "retry" not in out
    assert batch("retry", "run", "--what", "all", "-q") == 0
    assert batch("export", "run", "-o", "out.jsonl", "-q", "--only", "unchanged") == 0
    found = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [(one["long_prompt"], one["status"]) for one in found] == [
        (row, "unchanged") for row in rows[1:]
    ]
    assert batch("show", "run", found[0]["id"]) == 0
    assert "it is in German" in capsys.readouterr().out
    assert batch("report", "run", "-o", "run.html", "--no-frames") == 0
    with StubServer() as server:
        engine = ("--engine", "openai", "--base-url", server.base_url, "--on-reject", "best")
        batch(*run, *engine, "--accept-changes", "-q")
        assert len(server.chats) >= 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv", "-o", "run"], "cannot read 'none.csv'"),
        (["in.csv"], "Missing option '--output'"),
        (["in.csv", "-o", "run", "--engines", "1:2"], "--engines needs --ray. Pass --ray"),
    ],
)
def test_runs_that_make_no_sense(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    arguments: list[str],
    message: str,
) -> None:
    """One line and exit code 2, before anything is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("video\na.mp4\n")
    assert batch("run", *arguments) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_status_says_how_it_stands_and_what_to_do(folder: Path, capsys: Capture) -> None:
    """Counts, each reason with a row and a remedy, the processes, the next commands; on stdout."""
    run = folder / "run"
    assert batch("status", run) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{run}: not running; work is left\n  10 rows\n" in out
    assert "         3  ok          30.0%\n" in out
    assert "failed: engine_transient: 1 row; a rerun tries again\n" in out
    assert "  later: the engine at port 8000 is gone\n  -> start it again\n" in out
    assert "rejected: refusal: 1 row\n" in out
    assert ": killed: or its machine is gone" in out
    assert ": ended: done\n" in out
    assert "The last line of 1 part was torn by a kill" in out
    assert f"promptlift batch retry {run} " in out
    assert "the same `promptlift batch run` command again" in out
    assert batch("status", run, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["rows"] == {"ok": 3, "repaired": 1, "rejected": 1, "failed": 5}
    assert [values[name] for name in ("state", "total", "fit", "left")] == ["unfinished", 10, 4, 1]
    assert values["complete"]
    assert values["inputs"] == {"rows.jsonl": 10}
    assert [writer["life"] for writer in values["writers"]] == ["killed", "ended"]
    assert all(len(group["examples"]) == 1 for group in values["groups"])
    assert values["groups"][1]["examples"][0]["id"] == "later"
    assert [(group["status"], group["code"]) for group in values["groups"]] == [
        *(("failed", "engine_item"), ("failed", "engine_transient"), ("failed", "spec")),
        *(("failed", "video_not_found"), ("failed", "video_unreadable"), ("rejected", "refusal")),
    ]


def test_status_of_a_live_run(tmp_path: Path, capsys: Capture) -> None:
    """How fast it is and when it may be over; nothing is suggested while it works."""
    rows = mixed_rows(tmp_path)[7:9]
    counts = {"in_flight": 7, "seconds": 2.0, "now": {"failed": 1}}
    maker = Maker(tmp_path / "run")
    maker.write(rows, do=lambda row: row.number == 8, end=None, counts=counts)
    assert batch("status", maker.run_dir) == 0
    out = capsys.readouterr().out
    assert ": running\n  2 rows\n" in out
    assert "missing     50.0%  no result yet" in out
    assert "  now 30 rows/min, about 2 s left\n" in out
    assert ": live: 7 in flight, 30 rows/min" in out
    assert "next" not in out


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: Capture) -> None:
    """One line and exit code 2, from each of the commands."""
    none, out = str(tmp_path / "none"), tmp_path / "out"
    for arguments in (
        ["status", none],
        ["show", none, "x"],
        ["export", none, "-o", f"{out}.csv"],
        ["report", none, "-o", f"{out}.html"],
        ["retry", none],
    ):
        assert batch(*arguments) == 2
        err = capsys.readouterr().err
        assert err.startswith("promptlift: error: ")
        assert none in err
        assert err.count("\n") == 1


def test_show_an_item(folder: Path, capsys: Capture) -> None:
    """By the id of its row or digits of its key: what went in, what it cost, the long prompt."""
    assert batch("show", folder / "run", "first") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"first: ok\n  key      {key_of(folder, 0)}\n")
    assert f"prompt   {PROMPTS[0]}\n" in out
    assert f"video    {folder / 'clip0.mp4'}\n" in out
    assert "camera   left\n  take     1\n" in out
    assert "\n\nA red hot-air balloon drifts" in out
    assert batch("show", folder / "run", key_of(folder, 0)[:8]) == 0
    out = capsys.readouterr().out
    assert "input    row 1 of rows.jsonl\n  input    row 4 of rows.jsonl\n" in out
    assert batch("show", folder / "run", "nobody") == 2
    assert "no row has the id 'nobody', and no key begins with it" in capsys.readouterr().err


def test_show_what_went_wrong(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    """A rejected item has each answer and what it failed; a failed one its error and remedy."""
    broken = mixed_rows(folder)[9].id
    wanted = {
        "refused": [
            "check    refusal failed: ",
            "answer 2, seed 1, failed: refusal\nI'm sorry",
        ],
        "later": ["engine_transient: the engine at port 8000 is gone (a rerun tries again)"],
        broken: ["spec: line 10 is no JSON object", "video    (none)"],
    }
    for item, texts in wanted.items():
        assert batch("show", folder / "run", item) == 0
        out = capsys.readouterr().out
        assert all(text in out for text in texts), out
    Maker(tmp_path / "run").write(mixed_rows(folder), do=lambda row: False)
    batch("show", tmp_path / "run", "first")
    assert capsys.readouterr().out.startswith("first: missing\n  key      not asked yet\n")


def test_export_names_the_file_and_counts(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    """The path on stdout, the counts on stderr; rows without a result come when asked for."""
    out = tmp_path / "prompts.csv"
    assert batch("export", folder / "run", "-o", out) == 0
    assert capsys.readouterr() == (
        f"{out}\n",
        "promptlift: 10 rows: 5 failed, 3 ok, 1 repaired, 1 rejected\n",
    )
    out = tmp_path / "a.txt"
    only = ("--only", "ok, failed", "--form", "jsonl")
    assert batch("export", folder / "run", "-o", out, "-q", *only) == 0
    assert capsys.readouterr().err == ""
    lines = out.read_text().splitlines()
    assert len(lines) == 8
    batch("show", folder / "run", "first", "--json")
    assert json.loads(capsys.readouterr().out) == json.loads(lines[0])
    assert batch("export", folder / "run", "-o", out, "-q", "--no-record", *only) == 0
    assert "record" not in json.loads(out.read_text().splitlines()[0])
    run, out = tmp_path / "run", tmp_path / "a.jsonl"
    Maker(run).write(mixed_rows(folder)[:3], do=lambda row: row.number == 0)
    assert batch("export", run, "-o", out) == 0
    assert "2 rows without a result left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--only", "good"],
            "'good' is none of ok, repaired, unchanged, rejected, failed, missing",
        ),
        ([], "pass --output FILE"),
        (["-o", "a.xml"], "the form of 'a.xml' is not clear from its name"),
        (["-o", "a.csv", "--in-place"], "--in-place needs --form cosmos"),
        (["--form", "cosmos", "--in-place", "-o", "x"], "use either --in-place or --output"),
        (["--form", "cosmos", "-o", "x"], "came from no Cosmos spec"),
        (["-o", "a.csv", "--input", "x"], "the run has no input 'x'. Name one that it has"),
    ],
)
def test_exports_that_make_no_sense(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    arguments: list[str],
    message: str,
) -> None:
    """Each is refused with what is wrong, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert batch("export", folder / "run", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder with videos, and the current one."""
    (tmp_path / "clips").mkdir()
    monkeypatch.chdir(tmp_path)
    return lay(make_clips(tmp_path / "clips"), tmp_path)


def spec_run(desk: Desk, spec: Path, *, upto: int = 99) -> str:
    """A run over the prompts of a spec."""
    rows = list(SpecRows([spec]).rows())
    Maker(desk.folder / "run").write(rows, source=str(spec), do=lambda row: row.number < upto)
    return str(desk.folder / "run")


def test_results_go_back_into_cosmos_specs(desk: Desk, capsys: Capture) -> None:
    """The spec in its own format with the long prompts, beside it."""
    lines: list[dict[str, Any]] = [
        {"name": str(n), "prompt": prompt, **TRANSFER1} for n, prompt in enumerate(PROMPTS[:2])
    ]
    spec = desk.put("spec.jsonl", lines)
    run = spec_run(desk, spec)
    assert batch("export", run, "--form", "cosmos") == 0
    told, spec = map(Path, capsys.readouterr().out.splitlines())
    assert (told.name, spec.name) == ("spec.upsampled.promptlift.json", "spec.upsampled.jsonl")
    made = [json.loads(line) for line in spec.read_text().splitlines()]
    assert [line["name"] for line in made] == ["0", "1"]
    assert all(line["prompt"].lower().startswith(p) for line, p in zip(made, PROMPTS, strict=False))
    assert all(len(line["prompt"].split()) > 20 for line in made)


def test_a_spec_that_has_changed_is_told_of(desk: Desk, capsys: Capture) -> None:
    """It is not written, and the exit code says so."""
    spec = desk.put("spec.jsonl", [{"name": "0", "prompt": PROMPTS[0], **TRANSFER1}])
    run = spec_run(desk, spec)
    spec.unlink()
    assert batch("export", run, "--form", "cosmos", "-o", "out") == 1
    assert "spec.jsonl" in capsys.readouterr().err


def test_report_writes_a_page(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    """Its path goes to stdout; with --no-frames no video is opened."""
    out = tmp_path / "run.html"
    assert batch("report", folder / "run", "-o", out) == 0
    assert capsys.readouterr() == (f"{out}\n", "")
    page = out.read_text(encoding="utf-8")
    assert "data:image/jpeg" in page
    assert "killed" in page
    assert batch("report", folder / "run", "-o", out, "--no-frames") == 0
    page = out.read_text(encoding="utf-8")
    assert "<img" not in page
    assert "No frames" not in page
    assert "Sample of results" in page


def test_reading_a_run_changes_nothing(tmp_path: Path) -> None:
    """All commands leave the folder as it is, to the byte and to the time of change."""
    run = make_run_of_ended_process(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    time.sleep(0.01)
    assert batch("status", run) == batch("show", run, "first") == 0
    assert batch("export", run, "-o", tmp_path / "a.jsonl") == 0
    assert batch("report", run, "-o", tmp_path / "a.html", "--no-frames") == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
