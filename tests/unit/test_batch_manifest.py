"""What a run's manifest keeps, and when a run may go on beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.batch.manifest import Manifest, ManifestEngine, differences, ensure
from promptlift.errors import OptionError, OutputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def manifest(
    settings: dict[str, Any] | None = None,
    *,
    model: str = "pixtral",
    revision: str = "r1",
    template: str = "t1",
) -> Manifest:
    """A manifest of a run with these settings."""
    engine = ManifestEngine(name="vllm", model=model, revision=revision)
    return Manifest(settings=settings or {"seed": 0}, engine=engine, template=template)


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """The file is readable JSON with the schema in it, and reading gives what was written."""
    written = manifest({"seed": 0, "box": [0.0, 0.5, 1.0, 1.0], "prompt": "é\udcff", "at": None})
    written.write(tmp_path)
    assert Manifest.read(tmp_path) == written
    fields = json.loads((tmp_path / "manifest.json").read_text())
    assert list(fields) == ["schema", "promptlift", "made_at", "settings", "engine", "template"]
    assert fields["schema"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_folder_without_a_manifest_has_none(tmp_path: Path) -> None:
    """Neither an empty folder, nor a missing one, nor a file in its place is an error."""
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "no", tmp_path / "file"):
        assert Manifest.read(place) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', "\xff", "null"])
def test_a_file_that_is_no_manifest_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    """Nothing is guessed from a damaged manifest, and nobody is left with a traceback."""
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(OptionError, match=r"manifest\.json.*no result is lost"):
        Manifest.read(tmp_path)


def test_a_manifest_of_a_newer_format_names_its_version(tmp_path: Path) -> None:
    """A format that this version does not know is refused even if other fields are strange."""
    (tmp_path / "manifest.json").write_text('{"schema": 2, "promptlift": "9.9"}')
    with pytest.raises(OptionError, match=r"promptlift 9\.9, in a format"):
        Manifest.read(tmp_path)


def test_fields_of_a_newer_version_in_this_format_are_passed_over(tmp_path: Path) -> None:
    """What a newer version adds does not keep an older one from finishing the run."""
    fields = json.loads(manifest().model_dump_json(by_alias=True)) | {"colour": "blue"}
    (tmp_path / "manifest.json").write_text(json.dumps(fields))
    found = Manifest.read(tmp_path)
    assert found is not None
    assert differences(found, manifest()) == []


def test_a_manifest_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in its place is not a damaged manifest, and its removal is not advised."""
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(OptionError, match=r"cannot read .*manifest\.json.*Is a directory"):
        Manifest.read(tmp_path)


def test_a_manifest_cannot_be_written_where_there_is_no_folder(tmp_path: Path) -> None:
    """The error is that of any output."""
    with pytest.raises(OutputError, match="there is no folder"):
        manifest().write(tmp_path / "no")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"seed": 0}, {"seed": 1}, "seed is 1 here and 0 in the folder"),
        ({"frames": 8}, {}, "frames is not set here and 8 in the folder"),
        ({}, {"control": "depth"}, "control is depth here and not set in the folder"),
        ({"exact": True}, {"exact": 1}, "exact is 1 here and true in the folder"),
        (
            {"sampling": {"seed": 1, "top_p": 0.5}},
            {"sampling": {"seed": 1, "top_p": 0.6}},
            "sampling.top_p is 0.6 here and 0.5 in the folder",
        ),
        ({"box": [0, 1]}, {"box": [0, 2]}, "box is [0, 2] here and [0, 1] in the folder"),
        ({"p": "a b"}, {"p": "é b"}, 'p is "é b" here and "a b" in the folder'),
        ({"p": "y" * 99}, {"p": "x"}, f"p is x here and {'y' * 59}… in the folder"),
    ],
)
def test_differences_are_phrases(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    """Each says the name, the value here and the value there, nested ones by their path."""
    assert differences(manifest({"a": 1, **old}), manifest({"a": 1, **new})) == [said]


def test_who_answers_and_how_it_is_asked_are_settings_too() -> None:
    """Model, revision and template are compared beside the options."""
    assert differences(manifest(), manifest(model="m", revision="", template="t2")) == [
        "model is m here and pixtral in the folder",
        "revision is not set here and r1 in the folder",
        "template is t2 here and t1 in the folder",
    ]


def test_what_does_not_change_an_answer_is_no_difference() -> None:
    """Time, version, the order of options, a null and the way a number is written are none."""
    old = manifest({"seed": 1, "frames": None, "temperature": 1})
    new = manifest({"temperature": 1.0, "seed": 1}).model_copy(
        update={"promptlift": "9.9", "made_at": 0.0}
    )
    assert differences(old, new) == []


@given(settings=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_a_manifest_does_not_differ_from_itself_after_the_disk(settings: dict[str, Any]) -> None:
    """Whatever JSON the settings are, writing and reading is not a change."""
    old = manifest(settings)
    back = Manifest.model_validate_json(json.dumps(old.model_dump(by_alias=True)))
    assert differences(old, back) == []
    assert differences(back, old) == []


def test_a_first_run_leaves_its_manifest_and_a_second_keeps_it(tmp_path: Path) -> None:
    """The same settings go on, and the file stays as the first run wrote it."""
    first = ensure(tmp_path, manifest())
    before = (tmp_path / "manifest.json").read_bytes()
    assert ensure(tmp_path, manifest().model_copy(update={"made_at": 0.0})) == first
    assert ensure(tmp_path, manifest(), accept_changes=True) == first
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_other_settings_stop_the_run_until_they_are_accepted(tmp_path: Path) -> None:
    """The error names every difference and the ways out; accepting makes the new ones hold."""
    ensure(tmp_path, manifest())
    before = (tmp_path / "manifest.json").read_bytes()
    other = manifest({"seed": 1}, model="m")
    with pytest.raises(OptionError, match="seed is 1 here and 0 in the folder; model is m") as e:
        ensure(tmp_path, other)
    assert "--accept-changes" in e.value.remedy
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert ensure(tmp_path, other, accept_changes=True) == other
    assert ensure(tmp_path, other) == other
    with pytest.raises(OptionError, match="seed is 0 here and 1"):
        ensure(tmp_path, manifest())


BEGIN = """
import sys
from pathlib import Path
from promptlift.batch.journal import open_folder
from promptlift.batch.manifest import Manifest, ManifestEngine, ensure

engine = ManifestEngine(name="vllm", model="m", revision="")
run_dir = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
    folder = run_dir / str(number)
    open_folder(folder)
    ensure(folder, Manifest(settings={"seed": 0}, engine=engine, template="t"))
print("both")
"""


def test_two_runs_that_begin_at_once_both_go_on(tmp_path: Path) -> None:
    """Two processes race for fifty empty folders; neither fails, and each folder is whole."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        assert child.communicate(timeout=60) == ("both\n", "")
    for number in range(50):
        folder = tmp_path / str(number)
        assert Manifest.read(folder) is not None
        names = ["inputs", "manifest.json", "segments"]
        assert sorted(path.name for path in folder.iterdir()) == names
