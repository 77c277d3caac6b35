"""The engine without a model: what it adds to the user's words, and when it adds nothing."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import pytest

from promptlift.engines.base import Completion, Request
from promptlift.engines.no_model import EmbeddedEngine, noun_phrases
from promptlift.errors import PromptError
from promptlift.facts import Camera, Confident, Facts, Light, Movement, Palette
from promptlift.types import Kind

T = TypeVar("T")

CAMERA = "The camera pans slowly to the right."
LIGHT = "The light is dim and warm."
COLORS = "The colors are mostly dark brown and burgundy, with touches of dark red."
ROBOT = "a robot waves"
STATIC = Camera(moves=("static",))


def sure(value: T, confidence: float = 0.95) -> Confident[T]:
    """A measured value that may be trusted."""
    return Confident(value=value, confidence=confidence)


def facts(**changes: Any) -> Facts:
    """Facts that depart from the ordinary in all respects, with changes."""
    values: dict[str, Any] = {
        "kind": sure("rgb"),
        "camera": sure(Camera(moves=("pan right",), strength="slow")),
        "movement": sure(Movement(amount="some", where="centre")),
        "light": sure(Light(exposure="dark", contrast="high", temperature="warm")),
        "palette": sure(
            Palette(dominant=("dark brown", "black", "burgundy"), accents=("dark red",))
        ),
        "sharpness": sure("blurred"),
        "cuts": (),
    }
    return Facts(**{**values, **changes})


def answer(prompt: str, measured: Facts | None = None, **fields: Any) -> Completion:
    """What the engine answers."""
    request = Request("", (), short_prompt=prompt, facts=measured or facts(), **fields)
    return asyncio.run(EmbeddedEngine().complete(request))


def added(prompt: str, measured: Facts | None = None, **fields: Any) -> str:
    """What it adds to the words, which stand as they were typed; empty for nothing."""
    completion = answer(prompt, measured, **fields)
    assert completion.text.startswith(prompt)
    assert bool(completion.unchanged) is (completion.text == prompt)
    return completion.text.removeprefix(prompt).lstrip(". \n")


def test_what_departs_from_the_ordinary_is_said() -> None:
    """Camera, light and colors, each in a sentence; nothing of contrast, sharpness or cuts."""
    assert answer(ROBOT).text == f"{ROBOT}. {CAMERA} {LIGHT} {COLORS}"
    assert answer("").text == f"{CAMERA} {LIGHT} {COLORS}"


@pytest.mark.parametrize(
    ("camera", "sentence"),
    [
        (STATIC, "The camera is static."),
        (Camera(moves=("pan left",), strength="fast"), "The camera pans quickly to the left."),
        (Camera(moves=("tilt up",), strength="moderate"), "The camera tilts upward."),
        (
            Camera(moves=("forward", "tilt down"), strength="slow"),
            "The camera moves slowly forward while tilting downward.",
        ),
        (Camera(moves=("backward", "shake")), "The camera moves backward while shaking."),
        (Camera(moves=("shake",), strength="slow"), "The camera shakes slightly."),
    ],
)
def test_camera(camera: Camera, sentence: str) -> None:
    """Each move has its verb, its pace and its direction."""
    assert added(ROBOT, facts(camera=sure(camera), light=None, palette=None)) == sentence


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"light": sure(Light(exposure="medium", contrast="low", temperature="neutral"))}, ""),
        ({"light": sure(Light(exposure="medium", contrast="low", temperature="warm"))}, "is warm."),
        (
            {"light": sure(Light(exposure="bright", contrast="low", temperature="cool"))},
            "and cool.",
        ),
        ({"light": sure(Light(exposure="very dark", contrast="low"))}, "The light is very dim."),
        ({"light": sure(Light(exposure="dark", contrast="low"), 0.7)}, ""),
        ({"palette": sure(Palette(dominant=("black", "beige"), accents=("red",)))}, ""),
        ({"palette": sure(Palette(dominant=("black and white",)))}, "is black and white."),
        ({"palette": sure(Palette(dominant=("teal",)))}, "The colors are mostly teal."),
        ({"palette": sure(Palette(dominant=("teal",)), 0.8)}, ""),
    ],
)
def test_the_ordinary_and_the_doubtful_are_not_said(
    changes: dict[str, Any], sentences: str
) -> None:
    """Medium light without a tint, palettes that greys lead and whatever is not certain."""
    alone = {"camera": None, "light": None, "palette": None, **changes}
    text = added(ROBOT, facts(**alone))
    assert text.endswith(sentences) if sentences else not text


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": None},
        {"kind": sure("depth")},
        {"cuts": (1.0,)},
        {"camera": sure(STATIC), "movement": sure(Movement(amount="none")), "light": None,
         "palette": None},
    ],
)  # fmt: skip
def test_what_may_not_hold_for_the_whole_video_is_not_said(changes: dict[str, Any]) -> None:
    """Facts of a control video, of several shots together, and of a picture that keeps still."""
    assert not added(ROBOT, facts(**changes))


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("The camera tilts up at a robot", LIGHT + COLORS),
        ("a robot seen from above in first-person view", LIGHT + COLORS),
        ("a truck drives away into the distance", LIGHT + COLORS),
        ("walking through a warehouse", LIGHT + COLORS),
        ("recorded from a moving vehicle's perspective", LIGHT + COLORS),
        ("a robot at midnight", CAMERA),
        ("a robot at 3 am", CAMERA),
        ("a robot lit by a fireplace", CAMERA),
        ("a robot in heavy rain", CAMERA),
        ("a candle on a table", CAMERA),
        ("a sunlit hall", CAMERA),
        ("two chefs in a bright white modern kitchen", CAMERA),
        ("a watercolour of a robot", CAMERA),
        ("a robot on a winter morning", CAMERA),
        ("a woman in a green room", CAMERA + LIGHT),
        ("a reddish robot", CAMERA + LIGHT),
        ("a robot on grass", CAMERA + LIGHT),
        ("a knight and a slight delay at the counter", CAMERA + LIGHT + COLORS),
    ],
)
def test_what_the_user_speaks_of_is_his(prompt: str, left: str) -> None:
    """Nothing is said of the camera, of light or of colors where his words do."""
    assert added(prompt).replace(". ", ".") == left.replace(". ", ".")


@pytest.mark.parametrize("prompt", ["a robot waves!", "it says “hello.”", "it waves! 🤖", "a cup,"])
def test_an_end_is_put_only_where_there_is_none(prompt: str) -> None:
    """And only a space where there is one."""
    assert answer(prompt).text == f"{prompt} {CAMERA} {LIGHT} {COLORS}"


def test_line_breaks_stay() -> None:
    """What is added to several lines stands on a line of its own."""
    prompt = "0:00-0:02 a door opens\n0:02-0:04 the film captures a robot"
    assert answer(prompt).text == f"{prompt}.\n{CAMERA} {LIGHT} {COLORS}"


@pytest.mark.parametrize(
    ("controls", "left"),
    [
        (("edge",), CAMERA),
        (("depth", "seg"), CAMERA),
        (("edge", "blur"), f"{CAMERA} {LIGHT} {COLORS}"),
        (("upscale",), f"{CAMERA} {LIGHT} {COLORS}"),
    ],
)
def test_geometry_leaves_the_look_to_the_prompt(controls: tuple[Any, ...], left: str) -> None:
    """Where only shapes are followed, the look of the video is what is to be replaced."""
    assert added(ROBOT, controls=controls) == left


@pytest.mark.parametrize("kind", ["edge", "depth", "seg", "blur", "lines", "mask"])
def test_a_control_video_leaves_the_words_as_they_are(kind: Kind) -> None:
    """It shows nothing of the scene's look; the reason names its kind."""
    assert f"control video ({kind})" in answer(ROBOT, source_kind=kind).unchanged
    assert not added(ROBOT, is_region=True)


@pytest.mark.parametrize(
    "prompt",
    [
        "remove the people from the kitchen",
        "Please change the red car to a blue one",
        "make the background a beach",
        "turn the robot into a bear",
    ],
)
def test_an_order_to_change_is_no_description(prompt: str) -> None:
    """The reason says how to word it."""
    assert "describes the result" in answer(prompt).unchanged


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("机器人把咖啡递给一位女士", "han"),
        ("роботизированная рука передаёт чашку", "cyrillic"),
        ("un bras robotisé tend une tasse de café à une femme dans un bureau", "French"),
        ("Roboterarm übergibt Kaffeebecher", "not known to be English"),
    ],
)
def test_other_languages_stay_by_themselves(prompt: str, language: str) -> None:
    """A text in two languages serves no text encoder."""
    assert language in answer(prompt).unchanged


def test_nouns_that_are_given_are_named_unless_the_user_does() -> None:
    """By a synonym too; of persons only where his words name none, who may be the same."""
    nouns = ("robotic arms", "counter", "woman", "cup", "apple")
    nothing: dict[str, Any] = {"facts": None, "nouns": nouns}
    request = Request("", (), short_prompt="a vase is handed over", **nothing)
    text = asyncio.run(EmbeddedEngine().complete(request)).text
    assert text == (
        "a vase is handed over. In view: robotic arms, a counter, a woman, a cup and an apple."
    )
    assert "In view: a counter" in added("Two arms hand a cup to a barista", nouns=nouns)
    assert "a woman" not in added("a nurse waits", nouns=nouns)
    assert "In view" not in added("an armchair", nouns=("chair",))
    assert "robot," not in added("a vase", nouns=("robotic arms", "robot", "cup"))


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("robotic arms . gloves .", ("robotic arms", "gloves")),
        ("a cup, a man; a cup", ("a cup", "a man")),
        ("car building tree", ()),
        ("car", ("car",)),
        ("", ()),
    ],
)
def test_the_words_for_a_detector_are_taken_apart(text: str, nouns: tuple[str, ...]) -> None:
    """By their marks; where they have none, it is not known where one ends."""
    assert noun_phrases(text) == nouns


@pytest.mark.parametrize("measured", [facts(kind=sure("edge")), Facts()])
def test_nothing_said_and_nothing_to_say_is_refused(measured: Facts) -> None:
    """The error is the user's to mend, and says how."""
    with pytest.raises(PromptError, match="yours is empty") as caught:
        answer("", measured)
    assert "promptlift doctor" in caught.value.remedy
