"""How the review reads English: spelling, forms, denials, synonyms, and the camera."""

from __future__ import annotations

import pytest

from promptlift.core.facts import Camera, Confident, Facts
from promptlift.core.review import Review, clean, review
from promptlift.core.review.artefact import artefact
from promptlift.core.review.camera import camera_contradiction, camera_moves
from promptlift.core.review.english import english_problem
from promptlift.core.review.words import Index, denied_groups, read, stem
from promptlift.core.targets import target

_DOG = "A wet dog runs along the beach at dawn, and small waves roll in behind it."


def _reviewed(answer: str, short_prompt: str = "", **options: object) -> Review:
    given: dict[str, object] = {"finish_reason": "stop", "target": target(), **options}
    return review(answer, short_prompt=short_prompt, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("colour", "color"), ("grey", "gray"), ("tyres", "tire"), ("centre", "center")),
        *(("hands", "handing"), ("driving", "drives"), ("drove", "driven"), ("running", "ran")),
        *(("robotic", "robots"), ("women", "woman"), ("people", "person"), ("boxes", "box")),
        *(
            ("organise", "organizes"),
            ("slowly", "slow"),
            ("carries", "carrying"),
            ("dog's", "dogs"),
        ),
        *(("buses", "bus"), ("knives", "knife"), ("stopped", "stopping"), ("travelled", "travel")),
    ],
)
def test_forms_and_both_spellings_of_a_word_share_a_stem(one: str, other: str) -> None:
    """British and American spelling, and the forms of a word, are compared as one."""
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("car", "card"), ("glass", "gas"), ("bus", "bush"), ("red", "ring"), ("man", "woman")],
)
def test_different_words_keep_different_stems(one: str, other: str) -> None:
    """The stemmer does not run words together that merely look alike."""
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("two red cars, no people", [["people"]]),
        ("a street without any cars or people", [["cars"], ["people"]]),
        ("the man is not smiling", [["smiling"]]),
        ("it doesn't rain", [["rain"]]),
        ("a street free of traffic, a dog", [["traffic"]]),
        ("no red cars and a dog", [["red", "cars"]]),
        ("not only a dog", []),
        ("a dog runs", []),
    ],
)
def test_denials_are_found_and_end_where_they_end(text: str, denied: list[list[str]]) -> None:
    """A denial holds for what follows it, up to a comma or a new thing, and no further."""
    assert [[word.text for word in group] for group in denied_groups(read(text))] == denied


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *(("a jointed manipulator", "arm"), ("a mug of espresso", "coffee"), ("a dancer", "dance")),
        *(("they drive", "driver"), ("a table top", "tabletop"), ("a coffeecup", "coffee")),
        *(("a wet lorry in drizzle", "rain"), ("she passes it", "hands")),
    ],
)
def test_a_paraphrase_keeps_a_word(text: str, word: str) -> None:
    """Synonyms, relatives and compounds count as the word."""
    assert Index(read(text)).has(word)


def test_a_denied_word_is_not_kept() -> None:
    """What an answer denies it does not have."""
    assert not Index(read("there is no dog here")).has("dog")


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
    assert english_problem(answer, prompt) == ""


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
    assert says in english_problem(answer, prompt)


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("The camera pans slowly to the left.", {"move", "pan left"}),
        ("The camera pans from left to right.", {"move", "pan right"}),
        ("The camera glides to the right.", {"move", "pan right"}),
        ("The camera tilts up.", {"move", "tilt up"}),
        ("The shot pushes in on her face.", {"move", "forward"}),
        ("The camera pulls back.", {"move", "backward"}),
        ("The camera remains static.", {"static"}),
        ("A locked-off shot.", {"static"}),
        ("The camera does not pan left.", {"static"}),
        ("A man turns left and pulls a pan from the oven.", set()),
    ],
)
def test_what_a_text_says_of_the_camera(text: str, moves: set[str]) -> None:
    """Moves are read where the camera is their subject, with their direction."""
    assert camera_moves(text) == moves


def test_the_users_word_on_the_camera_goes_over_the_measurement() -> None:
    """A prompt that asks for a pan may have it, though the clip is static; else it may not."""
    facts = Facts(camera=Confident[Camera](value=Camera(moves=("static",)), confidence=0.9))
    answer = f"{_DOG} The camera pans to the left."
    asked = _reviewed(answer, "a dog runs on the beach, camera pans left", facts=facts)
    unasked = _reviewed(answer, "a dog runs on the beach", facts=facts)
    assert asked.verdict == "ok"
    assert unasked.failed == ("unfaithful",)


def test_a_shaking_camera_contradicts_nothing() -> None:
    """Shake is no direction, and a text about a hand-held camera may put it in many ways."""
    assert camera_contradiction({"static"}, ["shake"]) == ""


def test_milder_signs_count_where_a_control_video_was_shown() -> None:
    """A sketch is an artefact of an edge video and a style of any other."""
    text = "A dog runs along a beach like a sketch."
    assert artefact(text) == ""
    assert "sketch" in artefact(text, control="edge")
    assert artefact(text, "a pencil sketch of a dog", control="edge") == ""


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


def test_an_estimated_length_says_so() -> None:
    """Without the target's tokenizer the detail marks the count as estimated."""
    check = next(c for c in _reviewed(_DOG).checks if c.name == "too_long")
    assert "estimated" in check.detail


def test_what_is_wrapped_too_deeply_is_rejected_and_left_alone() -> None:
    """Cleaning gives up after some rounds; what it could not finish is no prompt."""
    answer = "Prompt: " * 20 + _DOG
    assert clean(answer).text == answer
    assert "meta" in _reviewed(answer).failed


def test_quotation_marks_inside_the_text_stay() -> None:
    """Only marks that enclose the whole answer are wrapping."""
    answer = '"Stop," she says to the small dog, and the dog on the beach replies "woof."'
    assert clean(answer).text == answer
