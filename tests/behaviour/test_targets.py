"""The command that shows targets, and the example of each contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import promptlift
from promptlift.cli.main import cli
from promptlift.errors import PromptliftError
from promptlift.targets import TARGET_NAMES, all_targets, target

OWN = """name = "studio"
encoder = "t5"
limit = 90
unit = "T5 tokens"
source = "x:1"
min_words = 5
"""


def ran(*arguments: object) -> tuple[int, str]:
    """Exit code and output of the command."""
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    if isinstance(result.exception, PromptliftError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


@pytest.mark.parametrize("name", TARGET_NAMES)
def test_every_contract_has_an_example_that_passes(name: str, tmp_path: Path) -> None:
    """Made of its short prompt, without an error or anything cleaned, within length and limit."""
    goal = target(name)
    assert goal.examples
    for example in goal.examples:
        (tmp_path / "prompt.txt").write_text(example.prompt, encoding="utf-8")
        code, said = ran("check", tmp_path, "--target", name, "--prompt", example.short, "--json")
        assert code == 0, said
        review = promptlift.check(example.prompt, short_prompt=example.short, target=name)
        assert review.verdict == "ok"
        assert [one for one in review.findings if one.severity == "warning"] == []


def test_the_command_lists_targets_and_shows_one() -> None:
    """A line each, and all of one; both as JSON too."""
    code, said = ran("targets")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == list(TARGET_NAMES)
    said = ran("targets", "ltx-2.5")[1]
    assert all(
        part in said for part in ("150 to 220 words", "the camera has to be told", "Example")
    )
    assert json.loads(ran("targets", "ltx-2.5", "--json")[1])["limit"] == 1024
    assert len(json.loads(ran("targets", "--json")[1])) == len(all_targets())


def test_a_target_of_the_users_own(tmp_path: Path, clips: Path) -> None:
    """It is shown, runs, and the record names it; what is wrong with a file is one line."""
    file = tmp_path / "studio.toml"
    file.write_text(OWN)
    assert "90 T5 tokens" in ran("targets", file)[1]
    code, said = ran(
        "run", next(clips.glob("*.mp4")), "a red car", "--target", file, "--json", "-q"
    )
    assert code == 0, said
    assert json.loads(said)["target"].startswith("studio@")
    file.write_text(OWN + "color = 1\n")
    assert ran("targets", file)[0] == 2
    assert "color" in ran("run", next(clips.glob("*.mp4")), "a red car", "--target", file)[1]
    assert ran("targets", tmp_path / "none.toml")[0] == 2


def test_a_run_says_how_to_switch_the_generators_own_extension_off(clips: Path) -> None:
    """Once, with the result; nothing where there is none."""
    said = ran("run", next(clips.glob("*.mp4")), "a red car", "--target", "wan-2.5")[1]
    assert said.count('"prompt_extend": false') == 1
    assert "prompt_extend" not in ran("run", next(clips.glob("*.mp4")), "a red car")[1]


@pytest.mark.parametrize(
    ("name", "short", "camera", "is_named"),
    [
        ("ltx-2", "a woman walks on a pier", "The camera pans to the right.", True),
        ("ltx-2", "a woman walks on a pier", "The camera remains static.", False),
        ("ltx-2", "a woman walks, camera pans right", "The camera pans to the right.", False),
        ("ltx-2.5", "a woman walks on a pier", "Gulls cry.", True),
        ("ltx-2.5", "a woman walks on a pier", "The camera remains static.", False),
        ("wan-2.2", "a woman walks on a pier", "The camera pans to the right.", False),
    ],
)
def test_what_a_target_wants_of_the_camera_is_minded(
    name: str, short: str, camera: str, is_named: bool
) -> None:
    """A remark where it is left out that has to be told, or invented that must not be."""
    text = f"A woman in a gray coat walks along a wooden pier. {camera}"
    review = promptlift.check(text, short_prompt=short, target=name)
    assert [one.severity for one in review.findings if one.name == "camera"] == [
        "warning"
    ] * is_named
