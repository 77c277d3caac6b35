"""``promptlift cosmos upsample`` as a user calls it, with the engine that needs no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from loaders import cosmos as rules
from loaders.desk import Desk, lay, make_clips
from promptlift.cli.cosmos import FORMATS, cosmos
from promptlift.cli.main import _run
from promptlift.cosmos.formats import FORMATS as KNOWN

SHORT = "a red hot-air balloon drifts over the hills"
SPEC = {"prompt": SHORT, "input_video_path": "assets/rgb.mp4", "edge": {"control_weight": 1.0}}
STRICT = {"name": "a", "prompt": SHORT, "video_path": "assets/rgb.mp4", "edge": {}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two clips, drawn once."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def desk(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A folder of its own for each test, and the current one."""
    monkeypatch.chdir(tmp_path)
    return lay(clips, tmp_path)


def call(*arguments: str | Path) -> int:
    """Run the command with the embedded engine."""
    return _run(["cosmos", "upsample", "--engine", "embedded", *map(str, arguments)])


def test_the_result_stands_beside_the_spec(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout names the files that were written; stderr says what the spec was taken for, what
    became of the item, and that no model was asked.
    """
    desk.put("spec.json", SPEC)
    assert call("spec.json") == 0
    out, err = capsys.readouterr()
    assert out.split() == ["spec.upsampled.promptlift.json", "spec.upsampled.json"]
    assert "Cosmos-Transfer1 controlnet spec (--format transfer1)" in err
    assert "8 -> " in err
    assert "looking at the video" in err
    assert "no vision-language model is set up" in err
    _, arguments = rules.transfer1_spec(desk.folder / "spec.upsampled.json")
    assert len(arguments["prompt"].split()) > 20


def test_items_that_fail_make_the_exit_code_1(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are done; each failure is one line with spec, line and reason."""
    desk.put("spec.jsonl", [STRICT, {**STRICT, "name": "b", "video_path": "no.mp4"}])
    assert call("spec.jsonl", "-q") == 1
    out, err = capsys.readouterr()
    assert err.startswith(
        "promptlift: error: spec.jsonl: line 2: failed: the video 'no.mp4' is not"
    )
    assert len(err.splitlines()) == 1
    assert "spec.upsampled.jsonl" in out


def test_unusable_specs_make_the_exit_code_2_and_the_others_go_on(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken file, and two that want one place: each is named, and the good one is done."""
    desk.put("bad.json", '{"prompt": "x",}')
    desk.put("good.json", SPEC)
    desk.put("other/good.json", SPEC)
    assert call("bad.json", "good.json", "other/good.json", "-o", "out", "-q") == 2
    _, err = capsys.readouterr()
    bad, clash = err.splitlines()
    assert bad.startswith("promptlift: error: bad.json: not JSON at line 1, column 16")
    assert clash.startswith("promptlift: error: other/good.json: its result would be 'good.json'")
    assert (desk.folder / "out/good.json").exists()


def test_a_second_call_says_that_there_is_nothing_to_do(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and the reason."""
    desk.put("spec.json", SPEC)
    call("spec.json", "--in-place")
    capsys.readouterr()
    assert call("spec.json", "--in-place") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "kept: upsampled already by the engine 'embedded'; --again does it anew" in err


def test_many_items_kept_for_one_reason_are_one_line(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that is done already does not fill the screen."""
    desk.put("spec.jsonl", [{**STRICT, "name": str(n)} for n in range(5)])
    call("spec.jsonl", "-q")
    capsys.readouterr()
    assert call("spec.jsonl") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "kept" in line]
    assert lines[0].startswith("promptlift: spec.jsonl: 5 items: kept: upsampled already")
    assert lines[1:] == ["promptlift: 5 kept"]


def test_a_dry_run_shows_the_change_and_writes_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """A unified diff with the short and the long prompt, and the name of the sidecar."""
    desk.put("spec.json", SPEC)
    assert call("spec.json", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("# would write ")
    assert lines[1] == "--- spec.json"
    assert lines[2].endswith("spec.upsampled.json")
    assert [line[:20] for line in lines if line.startswith(("-  ", "+  "))] == [
        '-    "prompt": "a re',
        '+    "prompt": "A re',
    ]
    assert sorted(path.name for path in desk.folder.iterdir()) == ["assets", "spec.json"]


def test_a_batch_with_its_spec(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its spec or a name the batch's format is open; with either it is done."""
    desk.put("base.json", SPEC)
    desk.put("batch.jsonl", [{"visual_input": "assets/rgb.mp4", "prompt": SHORT}])
    assert call("batch.jsonl", "-q") == 2
    assert "--format transfer1-batch" in capsys.readouterr().err
    assert call("batch.jsonl", "--controlnet-specs", "base.json") == 0
    assert call("batch.jsonl", "--format", "predict1", "-o", "out") == 0


def test_a_review_sheet_is_written_even_for_a_dry_run(desk: Desk) -> None:
    """To be read before anything is changed."""
    desk.put("spec.json", SPEC)
    assert call("spec.json", "--dry-run", "--review-sheet", "sheet.html", "-q") == 0
    page = (desk.folder / "sheet.html").read_text(encoding="utf-8")
    assert "not written (dry run)" in page
    assert page.count("data:image/jpeg;base64,") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--in-place", "-o", "out"], "exclude each other"),
        (["--format", "yaml"], "is not one of"),
        (["--root", "nowhere"], "does not exist"),
        (["--engine", "none"], "no engine 'none'"),
        (["--template", "none/1"], "no template 'none/1'"),
        (["--frames", "0"], "frames is 0"),
    ],
)
def test_mistakes_in_the_call(
    desk: Desk, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Each ends the call with an error instead of failing item by item; nothing is written."""
    desk.put("spec.json", SPEC)
    assert call("spec.json", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (desk.folder / "spec.upsampled.json").exists()


def test_the_formats_of_the_option_are_those_that_are_read() -> None:
    """The list stands in the command so that its help loads no reader."""
    assert tuple(KNOWN) == FORMATS


def test_the_group_lists_its_commands() -> None:
    """The group finds its commands by name and none that is not there."""
    context = click.Context(cosmos)
    assert "upsample" in cosmos.list_commands(context)
    for name in cosmos.list_commands(context):
        assert cosmos.get_command(context, name) is not None
    assert cosmos.get_command(context, "none") is None


def test_the_sidecar_of_the_real_engine_is_a_whole_record(desk: Desk) -> None:
    """Everything that a run on its own would tell is in the sidecar, with the paths."""
    desk.put("spec.json", {**SPEC, "depth": {"input_control": "assets/depth.mp4"}})
    call("spec.json", "-q")
    content: dict[str, Any] = json.loads(
        (desk.folder / "spec.upsampled.promptlift.json").read_text(encoding="utf-8")
    )
    (entry,) = content["items"]
    assert content["format"] == "transfer1"
    assert (entry["status"], entry["look_at"]) == ("done", "rgb")
    assert entry["controls"] == ["edge", "depth"]
    assert entry["video"] == "assets/rgb.mp4"
    assert entry["video_path"] == str((desk.folder / "assets/rgb.mp4").resolve())
    assert entry["record"]["prompt"] == entry["prompt"]
    assert entry["record"]["short_prompt"] == entry["short_prompt"] == SHORT
