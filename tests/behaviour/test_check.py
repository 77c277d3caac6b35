"""``promptlift check``: prompts of any file reviewed without a model, and where each finding is."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from promptlift.cli.main import cli
from promptlift.testing import synthetic_video

ROOT = Path(__file__).parents[2]
GOOD = "A red car turns left at a wide crossing while rain drips from the traffic lights."
CUT = "A red car turns left at a wide crossing while rain drips from the"


def checked(*arguments: object, stdin: str | None = None) -> Result:
    """The result of the command."""
    command = ["check", *map(str, arguments)]
    return CliRunner().invoke(cli, command, input=stdin, standalone_mode=False)


def lines_of(result: Result) -> list[tuple[str, ...]]:
    """File, line, column and the rest of every error."""
    lines = result.stdout.splitlines()
    return [tuple(line.split(":", 3)) for line in lines if ": error " in line]


def test_text_files_and_stdin(tmp_path: Path) -> None:
    """A text is one prompt; the exit code says whether there is an error."""
    (tmp_path / "good.txt").write_text(f"\n  {GOOD}\n")
    (tmp_path / "cut.txt").write_text(CUT)
    good = checked(tmp_path / "good.txt")
    assert (good.return_value, lines_of(good)) == (0, [])
    assert good.stderr.startswith("promptlift: 1 prompt in 1 file: 0 errors, ")
    both = checked(tmp_path)
    assert both.return_value == 1
    assert [(Path(one[0]).name, one[1]) for one in lines_of(both)] == [("cut.txt", "1")]
    assert " error cut: " in both.stdout
    assert "2 prompts in 2 files: 1 error" in both.stderr
    assert lines_of(checked("-", stdin=CUT))[0][0] == "-"


def test_the_short_prompt_comes_from_the_option_or_the_row(tmp_path: Path) -> None:
    """A row's own short prompt is compared, on the line of its prompt; an option wins."""
    rows = [
        {"short_prompt": "a red car turns left", "prompt": GOOD},
        {"short_prompt": "a red car turns left", "prompt": GOOD.replace("red", "blue")},
        {"id": 3, "prompt": "a red car turns left", "long_prompt": GOOD.replace("red", "blue")},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result = checked(path)
    assert result.return_value == 1
    assert {one[1] for one in lines_of(result)} == {"2", "3"}
    assert {one[1] for one in lines_of(checked(path, "--prompt", "a blue car"))} == {"1"}


def test_specs_records_and_nested_json(tmp_path: Path) -> None:
    """A spec gives target and line of each prompt; of a record only the long prompt is read."""
    escaped = "A “red” car\n" + CUT
    region = {"prompt": CUT, "region_definitions_path": [0, 0, 1, 1]}
    spec = {"prompt": GOOD, "input_video_path": "a.mp4", "edge": {}, "regional_prompts": [region]}
    record = {"schema_version": 1, "short_prompt": "a car", "prompt": CUT, "target": "wan-2.2"}
    files: dict[str, Any] = {
        "a_spec.json": spec,
        "b_record.json": record | {"attempts": [{"prompt": CUT}]},
        "c_nested.json": {"scenes": [{"caption": escaped, "negative_prompt": CUT}]},
        "d_other.json": {"name": "not a prompt", "prompt_path": "x", "tags": [CUT]},
        "e_list.json": {"prompts": [GOOD]},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content, indent=1))
    result = checked(tmp_path, "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.return_value == 1
    assert [(Path(one["file"]).name, one["line"], one["verdict"]) for one in found] == [
        ("a_spec.json", 2, "ok"),
        ("a_spec.json", 7, "rejected"),
        ("b_record.json", 4, "rejected"),
        ("c_nested.json", 4, "rejected"),
        ("e_list.json", 3, "ok"),
    ]
    assert found[0]["target"] == "cosmos-transfer1"
    assert found[2]["target"] == "wan-2.2"
    assert all({"findings", "claims", "text"} <= one.keys() for one in found)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"prompt": }', "not JSON at line 1, column 12"),
        ("a.txt", b"caf\xe9", "no UTF-8"),
        ("a.txt", b"word " * 20_000, "which is no prompt"),
        ("a.json", b'{"text": "x"}', "there is no prompt in it"),
        ("a.json", b'{"name": "a", "input_path": "a.mp4", "prompt_path": "b.txt"}', "'b.txt'"),
        ("missing.txt", None, "no such file"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    """The other files are reviewed all the same, and the exit code is 2."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = checked(tmp_path / name, "-", stdin=GOOD)
    assert result.return_value == 2
    error, summary = result.stderr.splitlines()
    assert error.startswith(f"promptlift: error: {tmp_path / name}: ")
    assert message in error
    assert summary.startswith("promptlift: 1 prompt in 1 file")


def test_a_clip_is_measured(tmp_path: Path) -> None:
    """A camera that moves the other way than the clip's is found."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=2, motion="pan")
    for side in ("left", "right"):
        text = f"{GOOD} The camera pans slowly to the {side}."
        (tmp_path / f"{side}.txt").write_text(text)
    result = checked(tmp_path / "left.txt", tmp_path / "right.txt", "--video", clip)
    assert result.return_value == 1
    assert len({one[0] for one in lines_of(result)}) == 1


def test_workflow_commands_are_escaped(tmp_path: Path) -> None:
    """As GitHub asks: percent signs in messages; colons and commas in names too."""
    path = tmp_path / "50%,a:b.txt"
    path.write_text(f"{GOOD} It shows 100% of the")
    lines = checked(path, "--format", "github").stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("::error "))
    properties, _, message = line.removeprefix("::error ").partition("::")
    file, number, _, title = properties.split(",")
    assert file.endswith("50%25%2Ca%3Ab.txt")
    assert (number, title) == ("line=1", "title=promptlift%3A cut")
    assert "100%25 of the" in message


def test_the_action_runs_its_inputs_as_data(tmp_path: Path) -> None:
    """Its last step, run as a runner does, reviews the paths with the options that were given."""
    yaml = importlib.import_module("yaml")
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    assert step["env"] == {
        name.upper(): f"${{{{ inputs.{name} }}}}" for name in ("paths", "prompt", "target", "video")
    }
    assert set(action["inputs"]) == {"paths", "prompt", "target", "video", "python-version"}
    (tmp_path / "a b.txt").write_text(GOOD)
    (tmp_path / "c.txt").write_text(CUT)
    given = {
        "PATHS": "a b.txt\n\nc.txt\n",
        "PROMPT": "a blue car; touch x",
        "TARGET": "",
        "VIDEO": "",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        cwd=tmp_path,
        env={**os.environ, **given, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("::error file=c.txt,")]
    assert "::error file=a b.txt" in done.stdout
    assert "2 prompts in 2 files" in done.stderr
    assert not (tmp_path / "x").exists()


def test_the_hook_is_a_command_of_ours() -> None:
    """Its entry begins with a command, and its pattern finds prompts."""
    yaml = importlib.import_module("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["promptlift", "check"]
    assert hook["language"] == "python"
    assert "check" in CliRunner().invoke(cli, ["--help"]).output
