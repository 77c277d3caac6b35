"""How the review reads English: spelling, denials, synonyms, and the camera."""

from __future__ import annotations

import pytest

from promptlift.facts import Camera, Confident, Facts
from promptlift.review import Review, clean, review
from promptlift.targets import target

_DOG = "A wet dog runs along the beach at dawn, and small waves roll in behind it."


def _reviewed(answer: str, short_prompt: str = "", **options: object) -> Review:
    given: dict[str, object] = {"finish_reason": "stop", "target": target(), **options}
    return review(answer, short_prompt=short_prompt, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("two men shake hands", "A man and another man shake hands in front of a white wall."),
        ("a pair of dogs", "Two dogs chase each other over a lawn."),
        ("2 cars", "Two cars stand in a yard."),
        ("three cars", "A red, a blue and a green car: 3 cars stand in a yard."),
        ("a video at 60 fps of a car", "A car drives along a quay."),
        ("the car is red", "A crimson car drives along a quay."),
        ("a grey cat", "A cat with a coat of soft gray fur sits on a wall."),
        ("a red car and a blue truck", "A blue truck follows a red car down a lane."),
        (
            "the car turns left",
            "A car signals, then swings leftward into a lane past the right curb.",
        ),
        ("no camera movement, a dog", "A dog sleeps. The camera stays where it is."),
        ("no red cars, a dog", "A dog sits beside a blue car."),
        ("nobody on the beach", "The beach lies deserted, with no person in sight."),
    ],
)
def test_a_faithful_paraphrase_has_no_problem(prompt: str, answer: str) -> None:
    """Numbers, colors, directions and denials may be worded in another way."""
    assert "unfaithful" not in _reviewed(answer, prompt).failed


@pytest.mark.parametrize(
    ("prompt", "answer", "says"),
    [
        ("three cars", "Two cars stand in a yard.", "three"),
        ("three cars", "Cars stand in a yard.", "number"),
        ("a red car", "A car stands in a yard.", "red"),
        ("a red car", "A blue car stands by a red door, far from it on the other side.", "red"),
        ("a woman waves", "A man waves.", "woman"),
        ("nobody on the beach", "A man walks on the beach.", "nobody"),
        ("a truck at night", "A truck drives in bright daylight.", "night"),
        ("a dog", "There is no dog.", "dog"),
    ],
)
def test_a_contradiction_is_named(prompt: str, answer: str, says: str) -> None:
    """The detail names the user's word that was lost or turned round."""
    (found,) = [c for c in _reviewed(answer, prompt).checks if c.name == "unfaithful"]
    assert not found.passed
    assert says in found.detail


def test_the_users_word_on_the_camera_goes_over_the_measurement() -> None:
    """A prompt that asks for a pan may have it, though the clip is static; else it may not."""
    facts = Facts(camera=Confident[Camera](value=Camera(moves=("static",)), confidence=0.9))
    answer = f"{_DOG} The camera pans to the left."
    asked = _reviewed(answer, "a dog runs on the beach, camera pans left", facts=facts)
    unasked = _reviewed(answer, "a dog runs on the beach", facts=facts)
    assert asked.verdict == "ok"
    assert unasked.failed == ("unfaithful",)


def test_an_answer_in_another_language_is_compared_by_numerals_and_says_so() -> None:
    """Nobody can compare words of two languages here; the check says what it did."""
    result = _reviewed(_DOG, "собака бежит по пляжу")
    check = next(check for check in result.checks if check.name == "unfaithful")
    assert check.passed
    assert "only numerals" in check.detail


@pytest.mark.parametrize(("number", "passed"), [("30", True), ("40", False)])
def test_a_large_numeral_is_held_to_across_languages(number: str, passed: bool) -> None:
    """Whatever the languages, "30" is written "30"."""
    answer = f"A column of {number} soldiers marches in step over a wide parade ground at noon."
    assert ("unfaithful" not in _reviewed(answer, "30 солдат маршируют").failed) is passed


@pytest.mark.parametrize(("tokens", "passed"), [(512, True), (513, False)])
def test_a_counted_length_is_held_to_the_limit_exactly(tokens: int, passed: bool) -> None:
    """The limit itself still fits; one more token does not, and a count is no estimate."""
    result = _reviewed(_DOG, count_tokens=lambda _: tokens)
    check = next(check for check in result.checks if check.name == "too_long")
    assert check.passed is passed
    assert str(tokens) in check.detail
    assert "estimated" not in check.detail


def test_what_is_wrapped_too_deeply_is_rejected_and_left_alone() -> None:
    """Cleaning gives up after some rounds; what it could not finish is no prompt."""
    answer = "Prompt: " * 20 + _DOG
    assert clean(answer).text == answer
    assert "meta" in _reviewed(answer).failed
