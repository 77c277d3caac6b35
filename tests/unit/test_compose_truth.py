"""Nothing is stated that was neither said nor measured, and nothing against the user's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.engines.no_model import compose, user_sentences
from promptlift.facts import Camera, Facts, Light, Movement, Palette
from wording.cases import COLOURS, NEUTRAL_PROMPTS, OFFICE, any_facts, facts, sure

LOOK_WORDS = ("contrast", "palette", "tones", "bright", "dark", "detail", "focus", "colors")


def added(prompt: str, measured: Facts, seed: str = "") -> str:
    """What the composer puts after the user's own words."""
    said = user_sentences(prompt)
    text = compose(prompt, measured, seed=seed)
    assert text.startswith(said)
    return text[len(said) :].strip()


def measured_colours(measured: Facts) -> tuple[str, ...]:
    """Every colour name that was measured."""
    if measured.palette is None:
        return ()
    return measured.palette.value.dominant + measured.palette.value.accents


SPEAKS_OF = {
    "camera": ("camera", "pans", "tilts", "viewpoint", "unbroken", "continuous", "shakes"),
    "movement": ("movement", "motion", "action", "keeps still"),
    "light": ("bright", "dark", "contrast", "warm", "cool", "exposure", "tint"),
    "palette": ("palette", "main color", "accents", "overall tone"),
    "sharpness": ("crisp", "focus", "blur", "sharp", "edges"),
}


@settings(max_examples=250)
@given(
    measured=any_facts(), seed=st.text(max_size=4), prompt=st.sampled_from(("", *NEUTRAL_PROMPTS))
)
def test_nothing_is_said_of_what_was_not_measured(measured: Facts, seed: str, prompt: str) -> None:
    """Over random facts, prompts and seeds, no kind of fact is spoken of that is not there."""
    text = f" {added(prompt, measured, seed).lower()} "
    colours = measured_colours(measured)
    for name in sorted(colours, key=len, reverse=True):
        text = text.replace(name, "")
    missing = [name for name in SPEAKS_OF if getattr(measured, name) is None]
    assert not [(name, word) for name in missing for word in SPEAKS_OF[name] if word in text]
    for colour in set(COLOURS) - {"gray", "white"}:  # "whites and grays look neutral"
        assert f" {colour} " not in text.replace(",", " ").replace(".", " ")


DIRECTIONS = {
    "pan left": "left",
    "pan right": "right",
    "tilt up": "upward",
    "tilt down": "downward",
}


@pytest.mark.parametrize("move", DIRECTIONS)
def test_a_move_is_told_with_its_own_direction(move: str) -> None:
    """A camera that turns one way is never said to turn another."""
    measured = Facts(camera=sure(Camera.model_validate({"moves": [move], "strength": "slow"})))
    for seed in map(str, range(20)):
        text = added(OFFICE, measured, seed)
        assert DIRECTIONS[move] in text
        assert not [way for way in DIRECTIONS.values() if way in text and way != DIRECTIONS[move]]


@pytest.mark.parametrize("kind", ["edge", "depth", "seg", "blur", "lines", "mask", None])
@settings(max_examples=25)
@given(seed=st.text(max_size=4))
def test_the_look_of_a_control_video_is_not_described(kind: str | None, seed: str) -> None:
    """Where the video is a control, or may be one, only motion is added."""
    text = added(OFFICE, facts(kind=kind), seed).lower()
    assert text
    assert not [word for word in LOOK_WORDS if word in text]


@pytest.mark.parametrize(
    ("prompt", "changes", "forbidden"),
    [
        ("a man runs at night", {"light": Light(exposure="bright", contrast="high")}, LOOK_WORDS),
        ("a sunny street", {"light": Light(exposure="very dark", contrast="low")}, LOOK_WORDS),
        ("make it rainy", {}, LOOK_WORDS),
        ("Please turn the room into a palace", {}, LOOK_WORDS),
        ("a street in the style of a watercolour painting", {}, LOOK_WORDS),
        ("a hall in dim red stage lighting", {}, ("neutral", "palette", "gray", "main colors")),
        ("the camera pans left over a harbour", {}, ("fixed", "locked", "static", "framing")),
        ("a static wide shot of a port", {}, ("fixed", "locked", "framing", "viewpoint")),
        ("a montage of city streets", {}, ("continuous", "unbroken", "single")),
        ("a lizard sits motionless", {}, ("movement", "motion", "action")),
        ("a man on the right waves", {}, ("middle of the frame", "center")),
        ("a blurry memory of a beach", {"sharpness": "sharp"}, ("crisp", "clean", "distinct")),
        ("a vivid, colourful market", {}, ("palette", "gray", "neutral")),
        ("a red car waits", {"palette": Palette(dominant=("gray",), accents=("red",))}, (" red ",)),
        (
            "a purple bus",
            {"palette": Palette(dominant=("gray", "tan"))},
            ("palette", "tone", "tan"),
        ),
        (
            "dancers spin wildly",
            {"movement": Movement(amount="little")},
            ("in motion", "small part"),
        ),
    ],
)
@settings(max_examples=25)
@given(seed=st.text(max_size=4))
def test_what_the_user_said_is_his(
    prompt: str, changes: dict[str, Any], forbidden: tuple[str, ...], seed: str
) -> None:
    """A fact that the user's words repeat or contradict is left out, whatever the wording."""
    text = added(prompt, facts(**changes), seed).lower()
    assert not [word for word in forbidden if word in f" {text} "]


@pytest.mark.parametrize(
    ("prompt", "changes", "expected"),
    [
        ("a man runs at night", {"light": Light(exposure="dark", contrast="low")}, "gray"),
        ("a cup by a traffic light", {}, "contrast|light and dark|light to dark"),
        ("a frying pan on a stove", {"camera": Camera(moves=("tilt up",))}, "tilts"),
        (
            "a red car waits",
            {"palette": Palette(dominant=("gray",), accents=("red", "teal"))},
            "teal",
        ),
        ("the camera pans left", {}, "unbroken|continuous"),
    ],
)
def test_what_agrees_or_only_sounds_alike_is_not_lost(
    prompt: str, changes: dict[str, Any], expected: str
) -> None:
    """Words that agree with the facts, or that mean a thing and no light, close nothing else."""
    for seed in map(str, range(12)):
        text = added(prompt, facts(**changes), seed).lower()
        assert any(word in text for word in expected.split("|"))


def test_a_moving_camera_is_left_out_across_cuts() -> None:
    """A pan measured over several shots may belong to one of them, so the cut alone is told."""
    measured = facts(camera=Camera(moves=("pan left",), strength="slow"), cuts=(1.0, 2.5))
    for seed in map(str, range(12)):
        text = added(OFFICE, measured, seed)
        assert "pan" not in text
        assert "twice" in text
