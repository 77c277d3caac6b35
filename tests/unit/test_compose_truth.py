"""Nothing is stated that was neither said nor measured, and nothing against the user's words."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.core.compose import compose
from promptlift.core.compose.grammar import user_sentences
from promptlift.core.compose.sentences import statements
from promptlift.core.facts import Camera, Facts, Light, Movement, Palette

if TYPE_CHECKING:
    from collections.abc import Iterator
from wording.cases import COLOURS, MOVES, NEUTRAL_PROMPTS, OFFICE, any_facts, facts, literal, sure
from wording.claims import unfounded

_RED_AND_TEAL = {"palette": Palette(dominant=("gray",), accents=("red", "teal"))}
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


@settings(max_examples=250, deadline=None)
@given(
    measured=any_facts(), seed=st.text(max_size=4), prompt=st.sampled_from(("", *NEUTRAL_PROMPTS))
)
def test_every_phrase_has_its_fact(measured: Facts, seed: str, prompt: str) -> None:
    """Over random facts, prompts and seeds, every word added is one that a fact allows."""
    text = added(prompt, measured, seed)
    assert unfounded(text, measured, measured_colours(measured)) == []


def single_facts() -> Iterator[Facts]:
    """Every value of every kind of fact, with the others left out."""
    for exposure, contrast, temperature in product(
        literal(Light, "exposure"),
        literal(Light, "contrast"),
        (*literal(Light, "temperature"), None),
    ):
        light = Light(exposure=exposure, contrast=contrast, temperature=temperature)
        yield Facts(kind=sure("rgb"), light=sure(light))
    for amount, where in product(literal(Movement, "amount"), (*literal(Movement, "where"), None)):
        movement = Movement(amount=amount, where=where)
        yield Facts(movement=sure(movement))
        yield Facts(movement=sure(movement), camera=sure(Camera(moves=("static",))))
    for moves, strength in product(
        [*permutations(MOVES, 1), *permutations(MOVES, 2)], ("slow", "moderate", "fast", None)
    ):
        camera = Camera.model_validate({"moves": moves, "strength": strength})
        yield Facts(camera=sure(camera))
    for cuts in range(1, 7):
        camera = Camera(moves=("static",))
        yield Facts(camera=sure(camera), cuts=tuple(map(float, range(cuts))))
    for sharpness in ("sharp", "soft", "blurred"):
        yield facts(sharpness=sharpness, camera=None, movement=None, light=None, palette=None)
    for dominant, accents in product([(), ("gray",), ("tan", "teal")], [(), ("red",)]):
        yield Facts(kind=sure("rgb"), palette=sure(Palette(dominant=dominant, accents=accents)))


def test_every_wording_of_every_fact_is_true() -> None:
    """Without chance: each wording that the phrase book has for a fact claims that fact alone."""
    seen = 0
    for measured, prompt in product(single_facts(), ("", OFFICE)):
        for statement in statements(prompt, measured):
            for wording in statement.wordings:
                assert unfounded(wording, measured, measured_colours(measured)) == [], wording
                seen += 1
    assert seen > 2_000


def test_the_checker_finds_what_was_not_measured() -> None:
    """The checker finds claims without their fact, and words that are on no list."""
    nothing = Facts()
    assert unfounded("The camera pans slowly to the left.", nothing) != []
    assert unfounded("Gray leads the palette.", nothing) != []
    assert unfounded("A woman smiles.", facts()) == ["woman", "smiles"]
    assert unfounded("The camera stays fixed.", facts()) == []
    assert unfounded("The camera stays fixed.", facts(camera=Camera(moves=("shake",)))) != []


@given(measured=any_facts(), seed=st.text(max_size=4))
def test_colours_that_were_not_measured_are_never_named(measured: Facts, seed: str) -> None:
    """No colour of the list appears that is not among the measured ones."""
    text = f" {added(OFFICE, measured, seed).lower()} "
    for name in measured_colours(measured):
        text = text.replace(name, "")
    for colour in set(COLOURS) - {"gray", "white"}:  # "whites and grays look neutral"
        assert f" {colour} " not in text.replace(",", " ").replace(".", " ")


@pytest.mark.parametrize("kind", ["edge", "depth", "seg", "blur", "lines", "mask", None])
@settings(max_examples=25, deadline=None)
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
        ("a boat at sunset", {}, LOOK_WORDS),
        ("make it rainy", {}, LOOK_WORDS),
        ("Please turn the room into a palace", {}, LOOK_WORDS),
        ("a street in the style of a watercolour painting", {}, LOOK_WORDS),
        ("a town under snow", {}, LOOK_WORDS),
        ("a hall in dim red stage lighting", {}, ("neutral", "palette", "gray", "main colors")),
        ("a kitchen in blue light", {}, ("neutral", "palette", "gray", "bright", "exposure")),
        ("the camera pans left over a harbour", {}, ("fixed", "locked", "static", "framing")),
        ("a harbour, static camera", {}, ("fixed", "locked", "static", "framing")),
        ("a static wide shot of a port", {}, ("fixed", "locked", "framing", "viewpoint")),
        ("an aerial view of a port", {}, ("fixed", "locked", "static", "framing")),
        ("a handheld shot of a cat", {}, ("fixed", "locked", "static", "framing")),
        ("a montage of city streets", {}, ("continuous", "unbroken", "single")),
        ("a lizard sits motionless", {}, ("movement", "motion", "action")),
        ("a man on the right waves", {}, ("middle of the frame", "center")),
        ("a blurry memory of a beach", {"sharpness": "sharp"}, ("crisp", "clean", "distinct")),
        ("a crisp winter morning", {}, ("palette", "exposure", "outlines", "focus")),
        ("a vivid, colourful market", {}, ("palette", "gray", "neutral")),
        ("a cold cellar", {}, ("neutral", "warm", "cool")),
        ("a red car waits", {"palette": Palette(dominant=("gray",), accents=("red",))}, (" red ",)),
        ("a purple bus", {}, ("red",)),
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
@settings(max_examples=25, deadline=None)
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
        ("a woman with dark hair reads", {}, "gray"),
        ("a cup on the dark table", {}, "gray"),
        ("a cup by a traffic light", {}, "contrast|light and dark|light to dark"),
        ("a frying pan on a stove", {"camera": Camera(moves=("tilt up",))}, "tilts"),
        ("put the lid on the pot", {}, "gray"),
        (
            "a red car waits",
            {"palette": Palette(dominant=("gray",), accents=("red", "teal"))},
            "teal",
        ),
        ("the camera pans left", {}, "unbroken|continuous"),
        ("a purple bus", {}, "gray"),
    ],
)
def test_what_agrees_or_only_sounds_alike_is_not_lost(
    prompt: str, changes: dict[str, Any], expected: str
) -> None:
    """Words that agree with the facts, or that mean a thing and no light, close nothing else."""
    for seed in map(str, range(12)):
        text = added(prompt, facts(**changes), seed).lower()
        assert any(word in text for word in expected.split("|"))


def test_a_still_scene_is_said_to_be_still_only_where_the_user_said_nothing() -> None:
    """Beside an action that the user speaks of, "nothing moves" would belittle it."""
    still = facts(movement=Movement(amount="none"))
    assert any("still" in added("", still, str(seed)) for seed in range(3))
    assert not any("still" in added(OFFICE, still, str(seed)) for seed in range(12))


def test_a_moving_camera_is_left_out_across_cuts() -> None:
    """A pan measured over several shots may belong to one of them, so the cut alone is told."""
    measured = facts(camera=Camera(moves=("pan left",), strength="slow"), cuts=(1.0, 2.5))
    for seed in map(str, range(12)):
        text = added(OFFICE, measured, seed)
        assert "pan" not in text
        assert "twice" in text


def test_no_single_take_is_claimed_where_none_was_measured() -> None:
    """Without a measured camera (a still, say) nothing is said of takes and shots."""
    for seed in map(str, range(12)):
        text = added(OFFICE, facts(camera=None), seed)
        assert not [word for word in ("take ", "unbroken", "continuous") if word in text]
