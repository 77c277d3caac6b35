"""A finished prompt in the form of another target, with and without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import promptlift
from promptlift.cli.main import cli
from promptlift.errors import PromptliftError
from promptlift.record import Record, Reviewed, Video
from promptlift.targets import target
from stubs.openai_server import StubServer

SHORT = 'a red van turns left in the rain, a sign reads "HALL 3"'
PROSE = (
    "The video shows a wide city crossing on a rainy afternoon. A red van rolls up to the stop "
    'line, where a sign reads "HALL 3", and turns left into the side street, its wipers sweeping '
    "across the windshield. Grey clouds leave a soft, even light on the scene, and the wet asphalt "
    "mirrors the lamps in long streaks. Brick facades with dark windows line both sides of the "
    "road, and a row of young trees drips beside a bus shelter."
)
AGAIN = PROSE.replace("The video shows a", "A").replace(" on a rainy", " lies in the rain of an")
CAMERA = "The camera pans slowly to the right."


def record(prompt: str, goal: str, short: str = SHORT, **more: Any) -> Record:
    """The result of an earlier run."""
    review = promptlift.check(prompt, short_prompt=short, target=goal)
    values = {"key": "0" * 64, "status": "ok", "target": goal, "prompt": prompt, **more}
    video = Video(name="clip.mp4")
    return Record(
        short_prompt=short, video=video, review=Reviewed.of(review), promptlift="0", **values
    )


def cosmos3() -> Record:
    """A document of which the caption leaves most to other keys."""
    made = promptlift.render(record(PROSE, "cosmos-transfer1"), target="cosmos3").document
    assert made is not None
    made["temporal_caption"] = "A red van rolls through the rain and turns left."
    made["subjects"] = []
    made["background_setting"] = "A crossing between brick facades"
    made["lighting"]["conditions"] = "Soft grey daylight"
    made["cinematography"] |= {"camera_motion": "Static", "framing": "Wide shot"}
    made["audio_description"] = "Tires hiss on the asphalt."
    for key in ("actions", "segments"):
        made[key][0]["description"] = "The van turns left."
    return record(json.dumps(made), "cosmos3", document=made)


def rendered(tmp_path: Path, source: Record, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    file = tmp_path / "record.json"
    file.write_text(source.model_dump_json(), encoding="utf-8")
    result = CliRunner().invoke(cli, ["render", str(file), *arguments], standalone_mode=False)
    if isinstance(result.exception, PromptliftError):
        return result.exception.exit_code, "", str(result.exception)
    assert result.exception is None, result.exc_info
    return int(result.return_value or 0), result.stdout, result.stderr


def test_prose_stays_and_loses_what_the_target_forbids(tmp_path: Path) -> None:
    """The opening goes, the words in quotation marks stay, and the record names its source."""
    code, out, _ = rendered(tmp_path, record(PROSE, "cosmos-transfer1"), "--target", "plain")
    assert code == 0
    assert out.startswith("The scene shows a wide city crossing")
    assert out[20:].strip() == PROSE[20:]
    source = record(PROSE, "cosmos-transfer1")
    made = promptlift.render(source, target="plain")
    assert (made.status, made.target, made.short_prompt) == ("ok", "plain", SHORT)
    assert made.rendered_from is not None
    assert made.rendered_from.model_dump() == {"key": "0" * 64, "target": "cosmos-transfer1"}
    assert made.key != source.key
    assert made.review is not None
    assert {one.status for one in made.review.claims if one.kind == "quote"} == {"kept"}


@pytest.mark.parametrize(
    ("goal", "prompt", "reason"),
    [
        ("ltx-2.5", PROSE, "it says nothing of the camera"),
        ("ltx-2", f"{PROSE} {CAMERA}", "a motion of the camera that nobody asked for"),
        ("hunyuan-video", PROSE, "it does not end in tags"),
        ("hunyuan-video-1.5", PROSE, "it is to be in Chinese"),
        ("cogvideox", " ".join([PROSE, *(f"Lamp {n} glows." for n in range(200))]), "it has "),
    ],
)
def test_what_only_a_model_can_write_is_one_line(
    tmp_path: Path, goal: str, prompt: str, reason: str
) -> None:
    """It names what is missing, and that a model is needed."""
    code, _, error = rendered(tmp_path, record(prompt, "plain"), "--target", goal)
    assert code == 2
    assert reason in error
    assert "--engine" in error


def test_a_target_in_the_language_that_is_asked_for(tmp_path: Path) -> None:
    """English where the target reads it."""
    arguments = ("--target", "hunyuan-video-1.5", "--language", "English")
    assert rendered(tmp_path, record(PROSE, "plain"), *arguments)[0] == 0


def test_a_document_becomes_a_paragraph(tmp_path: Path) -> None:
    """In order, each thing once, with sound and camera as the target has them."""
    out = rendered(tmp_path, cosmos3(), "--target", "ltx-2.5")[1].strip()
    parts = [
        "A red van rolls",
        "brick facades",
        "grey daylight",
        "The camera is static",
        '"HALL 3"',
    ]
    places = [out.index(part) for part in [*parts, "Tires hiss"]]
    assert places == sorted(places)
    assert "{" not in out
    assert out.count("turns left") == 1
    plain = rendered(tmp_path, cosmos3(), "--target", "plain")[1]
    assert '"HALL 3"' in plain
    assert "Tires hiss" not in plain
    sections = (target("minimax-h3").examples[0].prompt, target("minimax-h3").examples[0].short)
    out = rendered(tmp_path, record(sections[0], "minimax-h3", sections[1]), "--target", "plain")[1]
    assert all(mark not in out for mark in ("[Shot", "<d>", "(S1)", "soundscape", "rings of keys"))
    assert 'says: "somebody moved the statue". The camera cuts' in out


@pytest.mark.parametrize("goal", ["cosmos3", "minimax-h3"])
def test_a_paragraph_becomes_a_document(tmp_path: Path, goal: str) -> None:
    """A valid one that holds all that was said, with a remark that there is no more; and back."""
    code, out, error = rendered(
        tmp_path, record(f"{PROSE} {CAMERA}", "cosmos-transfer1"), "--target", goal, "--json"
    )
    made = Record.model_validate_json(out)
    assert (code, made.status) == (0, "ok")
    assert made.document
    assert "a model (--engine) fills it" in error
    checked = promptlift.check(made.prompt or "", short_prompt=SHORT, target=goal)
    assert checked.verdict == "ok"
    back = promptlift.render(made, target="cosmos-transfer1").prompt or ""
    assert back[10:] == f"{PROSE} {CAMERA}"[10:]


def test_a_lost_claim_is_found(tmp_path: Path) -> None:
    """The short prompt decides; the exit code says so."""
    source = record(PROSE.replace("red", "blue"), "cosmos-transfer1")
    code, out, error = rendered(tmp_path, source, "--target", "plain")
    assert (code, out) == (1, "")
    assert "rejected (color)" in error


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (AGAIN, 0),
        (AGAIN.replace("red", "blue"), 1),
        (AGAIN.replace('"HALL 3"', "its name"), 1),
        (f"{AGAIN} A woman with an umbrella waits.", 1),
    ],
)
def test_a_model_says_it_again_and_adds_nothing(tmp_path: Path, reply: str, code: int) -> None:
    """It is asked once with the finished prompt; the review takes both requests."""
    with StubServer(models=["general"], reply=reply) as server:
        found, out, error = rendered(
            tmp_path,
            cosmos3() if code == 0 else record(PROSE, "cosmos-transfer1"),
            *("--target", "plain", "--engine", "openai", "--base-url", server.base_url),
            *("--attempts", "1", "--json"),
        )
        (asked,) = server.chats
    assert found == code, error
    made = Record.model_validate_json(out)
    assert made.rendered_from is not None
    assert (made.short_prompt, made.status) == (SHORT, "rejected" if code else "ok")
    said = json.dumps(asked.body)
    assert f"to {target('plain').max_words} words" in said
    assert "itself a finished prompt" in said
    assert "stays open" in said


def test_rows_of_an_export_become_json_lines(tmp_path: Path) -> None:
    """Each row gets a record, in order; one that cannot be rendered is a failure of its own."""
    rows = [
        {"id": "a", "record": record(PROSE, "cosmos-transfer1").model_dump(mode="json")},
        {
            "id": "c",
            "record": record(PROSE.replace("red", "blue"), "plain").model_dump(mode="json"),
        },
        {"id": "b", "record": record(PROSE, "plain").model_dump(mode="json") | {"prompt": None}},
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    result = CliRunner().invoke(
        cli, ["render", "-", "--target", "plain"], input=text, standalone_mode=False
    )
    assert result.return_value == 1
    made = [Record.model_validate_json(line) for line in result.stdout.splitlines()]
    assert [one.status for one in made] == ["ok", "rejected", "failed"]
    assert "row 2: rejected: " in result.stderr
    assert "row 3: the record has no prompt" in result.stderr
    assert "3 rows: 1 ok, 1 rejected, 1 failed" in result.stderr


@pytest.mark.parametrize("text", ["a prompt", "{}", "", '{"record": null}'])
def test_what_is_no_record_is_one_line(text: str) -> None:
    """It says where to get one."""
    result = CliRunner().invoke(cli, ["render", "-", "--target", "plain"], input=text)
    assert isinstance(result.exception, PromptliftError)
    assert "promptlift run --json" in str(result.exception)
