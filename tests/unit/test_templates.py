"""The words that models are given, by target, clip and kind of request."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest

from promptlift.errors import OptionError
from promptlift.facts import Camera, Confident, Facts
from promptlift.options import Options
from promptlift.review.request import EditOrder, Quote, TimedLine, UserRequest
from promptlift.targets import TARGET_NAMES, target
from promptlift.targets.templates import (
    TEMPLATES,
    TemplateInput,
    Turn,
    fixed_by,
    free_under,
)
from promptlift.template_file import read_template
from promptlift.types import Control

HERE = (0, 1)
STATIC = Facts(camera=Confident(value=Camera(moves=("static",)), confidence=0.9))
MOVING = Facts(
    camera=Confident(value=Camera(moves=("forward", "pan left"), strength="slow"), confidence=0.8),
    cuts=(1.25, 2.5),
)
UNSURE = Facts(camera=Confident(value=Camera(moves=("shake",), strength="fast"), confidence=0.6))


def ask(words: str = "a cup on a table", goal: str = "cosmos-transfer1", **given: Any) -> Turn:
    """The turn of the instructing template; fields of the request may be given as well."""
    fields = set(UserRequest.__dataclass_fields__) - {"times"}
    understood = {name: given.pop(name) for name in [*given] if name in fields}
    request = UserRequest(words, **{"language": "English", **understood})
    return TEMPLATES["instruct/2"].render(TemplateInput(request, target(goal), **given))


def test_the_words_for_an_ordinary_clip() -> None:
    """To the letter, for a clip of which all is known."""
    asked = ask(facts=MOVING, times=(Fraction(1), Fraction(3)), duration=Fraction(4))
    assert asked.system == (
        "You turn a short request into one prompt for a video generator. You are shown frames of a "
        "video in order of time and told what is known of it. Write one paragraph of plain English "
        "in the present tense, 60 to 200 words. Begin with the main subject and what it does, and "
        "tell the action step by step in its order; then the setting and where things are; then "
        "light, colours and materials; last the camera, as given below. Write only of concrete "
        "things that can be seen: no feelings, no judgement, no story. Keep the names, numbers, "
        "colours and directions of the request as they are. Say what is there, not what is "
        'missing, unless the request itself does. Never speak of "the image", "the frames" or the '
        "request. No title, no list, no remarks before or after the paragraph."
    )
    assert asked.text == (
        "Frames: 1 at 1.0 s, 2 at 3.0 s of 4.0 s.\n"
        "The shot changes at 1.2 s and 2.5 s.\n"
        "Camera: it moves forward and pans left slowly, as was measured.\n"
        "What the request leaves open is as in the frames. Add no people, objects or events that "
        "are in neither.\n"
        "Request: a cup on a table"
    )


def test_labels_are_told() -> None:
    """What a spec names in the picture is a line of its own."""
    assert (
        "Labels given for the picture: robotic arms, cup.\n"
        in ask(nouns=("robotic arms", "cup")).text
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cosmos-transfer1", "English in the present tense, 60 to 200 words"),
        ("cosmos-predict2.5", "80 to 200 words"),
        ("wan-2.2", "then shot size and camera angle; last the camera"),
        ("wan-2.2", "If the request names a style, begin with it"),
        ("hunyuan-video", "End with two to four tags"),
        ("ltx-2", "Tell the sounds as they occur"),
        ("ltx-2", "seen or heard"),
        ("ltx-2.5", "as labels"),
        ("cogvideox", "60 to 120 words"),
    ],
)
def test_a_target_is_asked_for_what_it_wants(name: str, words: str) -> None:
    """Its window, and the parts that apply to it and to few others."""
    assert words in ask(goal=name).system
    if "words" not in words:
        assert words not in ask(goal="cogvideox").system


@pytest.mark.parametrize("name", TARGET_NAMES)
def test_no_target_makes_a_model_guess_the_camera(name: str) -> None:
    """What was measured is told, an order of the user comes first, and else nothing is said."""
    assert "Camera: it is static, as was measured." in ask(goal=name, facts=STATIC).text
    unknown = "say how it moves" if target(name).camera == "required" else "say nothing of it."
    assert f"Camera: {unknown}" in ask(goal=name).text
    assert f"Camera: {unknown}" in ask(goal=name, facts=UNSURE).text
    ordered = ask(goal=name, facts=STATIC, camera=frozenset({"pan left"})).text
    assert "Camera: as the request orders it." in ordered
    assert "static" not in ordered


@pytest.mark.parametrize(
    ("name", "language", "written", "length"),
    [
        ("wan-2.2", "Chinese", "Chinese", "96 to 320 characters"),
        ("hunyuan-video-1.5", "han", "Chinese", "128 to 480 characters"),
        ("hunyuan-video-1.5", "English", "Chinese", "128 to 480 characters"),
        ("wan-2.2", "German", "English", "60 to 200 words"),
        ("cosmos-transfer1", "Chinese", "English", "60 to 200 words"),
    ],
)
def test_language_is_the_users_where_the_target_reads_it(
    name: str, language: str | None, written: str, length: str
) -> None:
    """The length is in the units of the language."""
    system = ask(goal=name, language=language).system
    assert f"plain {written} in the present tense, {length}." in system


def test_parts_of_a_request_bring_their_lines() -> None:
    """An edit, words in quotation marks, times, a region; and nothing where there is none."""
    plain = ask("a shop").text
    parts: dict[str, dict[str, Any]] = {
        "Describe the result as if it had always been so": {
            "edits": (EditOrder("remove", "people", "", HERE),)
        },
        'letters and quotation marks: "OPEN 24H", “Fin”.': {
            "quotes": (Quote("OPEN 24H", ('"', '"'), HERE), Quote("Fin", ("“", "”"), HERE))
        },
        "keep that order of events, and write no times": {
            "timed_lines": (TimedLine(0, 2, "a door opens", HERE),)
        },
        "one region of a larger picture": {"is_region": True},
    }
    for line, given in parts.items():
        assert line in ask("a shop", **given).text
        assert line not in plain
    assert "30 to 100 words" in ask(is_region=True).system
    quoted = ask(goal="ltx-2", quotes=(Quote("Hi", ('"', '"'), HERE),)).text
    assert "writes or speaks what stands in them" in quoted
    assert ask("0:00 a door\n0:02 a cat").text.endswith("Request:\n0:00 a door\n0:02 a cat")
    assert ask("").text.endswith("Request: describe the scene.")
    assert ask(instruction="Be terse.").system.endswith("\nBe terse.")


@pytest.mark.parametrize("control", get_args(Control))
def test_every_control_fixes_something(control: Control) -> None:
    """No control is without words, and what it fixes is told."""
    assert f"a control that fixes {fixed_by((control,))}:" in ask(controls=(control,)).text


def test_what_is_shown_and_what_is_followed_are_told_apart() -> None:
    """An RGB picture under a depth control is no depth map, and what is open is as it shows."""
    rgb, depth = ask(controls=("depth",)).text, ask(shown="depth", controls=("depth",)).text
    assert "geometry" in rgb
    assert "depth map" not in rgb
    assert "what it leaves open is as in the frames" in rgb
    assert "depth map" in depth
    assert "what it leaves open is yours to choose" in depth
    assert "What the request leaves open is as in the frames" not in rgb + depth


def test_what_is_free_is_what_no_control_fixes() -> None:
    """A blurred copy carries the rough colours into the result; an upscaler leaves nothing free."""
    assert "colours" in free_under(("edge",))
    assert "Materials and fine detail follow" in ask(controls=("blur", "edge")).text
    text = ask(controls=("edge", "upscale")).text
    assert "fixes the whole picture" in text.replace("fix the", "fixes the")
    assert "leaves open" not in text


TEMPLATE = """\
Write {{ target.max_words }} words of {{ language }}. {{ instruction }}
---
{% if frames %}
Frames at {{ frames | join(", ") }} s.
{% endif %}
{% if camera %}The camera {{ camera }}.{% endif %}

{{ short_prompt or "describe it" }} {{ control or "" }}
"""


def test_template_from_a_file(tmp_path: Path) -> None:
    """The part above the dashes is the system turn, and the name tells the content."""
    path = tmp_path / "mine.j2"
    path.write_text(TEMPLATE)
    made = read_template(path)
    given = TemplateInput(UserRequest("a cup"), target(), facts=STATIC, times=(Fraction(1, 2),))
    assert made.render(given) == Turn(
        "Write 200 words of English.", "Frames at 0.5 s.\nThe camera is static.\na cup"
    )
    assert made.takes_instruction
    options = Options(template=path)
    assert options.template == made
    assert pickle.loads(pickle.dumps(options)) == options
    assert made.name.startswith("mine.j2@")


def test_the_template_in_the_guide_works(tmp_path: Path) -> None:
    """It is tried with sample values."""
    guide = Path(__file__).parents[2] / "docs/how-to/templates.md"
    path = tmp_path / "guide.j2"
    path.write_text(guide.read_text().split("```jinja\n")[1].split("```")[0])
    assert Options(template=path).template is not None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ short_promt }}", "'short_promt' is undefined"),
        ("a\n{% if %}", "line 2 fails"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "fails"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("x" * 70_000, "more than 65,536 bytes"),
        ("{% for a in range(9999) %}{{ 'x' * 99 }}{% endfor %}", "more than 100,000 characters"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_wrong_template_is_refused_before_any_work(tmp_path: Path, source: str, said: str) -> None:
    """A misspelt variable, wrong syntax, a way out of the sandbox, or too much of anything."""
    path = tmp_path / "wrong.j2"
    path.write_bytes(source.encode(errors="surrogateescape"))
    with pytest.raises(OptionError, match=said):
        Options(template=path)


def test_a_text_opens_no_file(tmp_path: Path) -> None:
    """Only a path is read, so that a row of a table or a request of a client names no file."""
    path = tmp_path / "mine.j2"
    path.write_text("secret")
    for value in (str(path), {"name": "x", "render": "y"}):
        with pytest.raises(OptionError, match="template"):
            Options(template=value)
    with pytest.raises(OptionError, match=r"there is no template .*missing"):
        Options(template=tmp_path / "missing.j2")
