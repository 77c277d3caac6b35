"""How the review reads English: spelling, denials, synonyms, and the camera."""

from __future__ import annotations

import pytest

from promptlift.facts import Camera, Confident, Facts
from promptlift.review import Review, clean_answer, review, understand
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
        (
            "1 robot arm hands 1 cup to 1 woman",
            "A robot arm gives a cup to a woman with both hands.",
        ),
        ("a woman at a desk, no other people", "A woman sits at a desk in an empty office."),
        ("a kitchen, 16:9, 24h, 35mm", "A kitchen with white walls lies in soft light."),
        ("one person hands a ball to another", "A man gives a ball to a woman."),
        ("two men talk", "A chef and his friend talk in a kitchen; the friend laughs."),
        ("no cars, only bicycles", "Bicycles roll along a street without a single car."),
        ("a sign reads “Café Luna”", 'A sign that reads "Café Luna" hangs over a door.'),
        ("remove the people from the kitchen", "The kitchen lies empty in the light."),
        ("change the red car to a blue one", "A blue car drives along a quay."),
        ("turn the cars into carriages", "Horse-drawn carriages roll by where cars once drove."),
        ("change the woman into an old man", "An old man with a beard takes the cup."),
        ("a car painted red", "A scarlet car drives along a quay."),
    ],
)
def test_a_faithful_paraphrase_has_no_problem(prompt: str, answer: str) -> None:
    """Numbers, colors, directions and denials may be worded in another way."""
    assert "unfaithful" not in _reviewed(answer, prompt).failed


@pytest.mark.parametrize(
    ("prompt", "answer", "says"),
    [
        ("three cars", "Two cars stand in a yard.", "three cars"),
        ("three cars", "Cars stand in a yard.", "how many"),
        ("a red car", "A car stands in a yard.", "red"),
        ("a red car", "A blue car stands by a red door, far from it on the other side.", "red"),
        ("nobody on the beach", "A man walks on the beach.", "nobody"),
        ("a truck at night", "A truck drives in bright daylight.", "night"),
        ("a dog", "There is no dog.", "dog"),
        ("a bed on the left of a tv", "A bed stands to the right of a TV.", "left"),
        ("a cup on top of a book", "A cup lies under a big book.", "on top of"),
        ("a kite on top of skis", "A kite lies under a pair of sleek, black skis.", "on top of"),
        ("a white wall, no cars", "A car stands before a white wall.", "no cars"),
        ('a sign reads "OPEN 24H"', 'A sign reads "OPEN 24" over a door.', "OPEN 24H"),
        ("remove the people from the kitchen", "Two women cook in a kitchen.", "remove"),
        ("replace the jar with a bottle", "A jar stands on a table.", "bottle"),
        ("make the car blue instead of silver", "A silver car drives by.", "silver"),
        ("a cup on a saucer", "Beside a saucer stands a cup.", "on"),
        ("make the wooden bridge a stone bridge", "A wooden bridge spans a brook.", "stone bridge"),
        ("a man first opens a box, then closes it", "He closes a box. Then he opens it.", "before"),
        (
            "man in a red hat, woman in a blue hat",
            "A man in a blue hat and a woman in a red hat.",
            "red hat",
        ),
        ("make it night", "The street lies in the sun at noon.", "night"),
        ("a vase, static shot", "A vase. The camera pans to the left.", "static"),
        ("zwei Hunde am Strand", "Am Strand laufen drei Hunde durch den Sand.", "2 Hunde"),
        ("一辆红色的汽车", "一辆蓝色的汽车停在街上，夕阳照在车身上。", "red"),
    ],
)
def test_a_contradiction_is_named(prompt: str, answer: str, says: str) -> None:
    """The detail names the user's word that was lost or turned round."""
    (found,) = [c for c in _reviewed(answer, prompt).checks if c.name == "unfaithful"]
    assert not found.passed
    assert says in found.detail


@pytest.mark.parametrize(
    ("prompt", "answer", "kind", "status"),
    [
        ("a woman waves", "A man waves from a balcony.", "object", "changed"),
        ("a dog and a cat", "A dog lies on a rug in the sun.", "object", "missing"),
        ("Emily walks in Paris", "Emily walks through a city in the rain.", "name", "missing"),
        ("a cat, watercolor painting", "A cat sits on a wall.", "style", "missing"),
        ("a train in the rain", "A train crosses a plain on a sunny day.", "time", "changed"),
        ("a red door", "A red door. A man walks past.", "person", "added"),
        ("a red door", "A red door. Suddenly a window shatters.", "event", "added"),
        ('a sign "OPEN"', "A sign says OPEN in big letters.", "quote", "changed"),
    ],
)
def test_what_may_be_meant_is_a_warning(prompt: str, answer: str, kind: str, status: str) -> None:
    """A word that is not found may be there in other words, and an addition may be welcome."""
    result = _reviewed(answer, prompt)
    assert "unfaithful" not in result.failed
    (claim,) = [c for c in result.claims if (c.kind, c.status) == (kind, status)]
    assert claim.found == ("" if claim.found_span is None else answer[slice(*claim.found_span)])
    assert claim.said == "" or claim.said_span is None or prompt[slice(*claim.said_span)]
    warnings = [f.name for f in result.findings if f.severity == "warning"]
    assert kind in warnings


@pytest.mark.parametrize(
    "sentence",
    [
        "She tilts her head up and smiles.",
        "The robot arm pulls back once she holds the cup.",
        "She pulls out a chair and sits down.",
        "A drawer pushes in with a click.",
        "The gripper tilts the cup down to pour.",
        "The robot's head pans left.",
        "She zooms in on her phone.",
        "A security camera moves on its mount.",
        "A bus pulls away from the curb.",
        "A delivery van pulls out ahead of the truck.",
        "It walks toward the camera and leans closer.",
    ],
)
def test_what_others_do_is_no_move_of_the_camera(sentence: str) -> None:
    """Only where the camera itself moves is it held to the measurement."""
    facts = Facts(camera=Confident[Camera](value=Camera(moves=("static",)), confidence=0.9))
    assert "unfaithful" not in _reviewed(f"{_DOG} {sentence}", "a dog", facts=facts).failed
    moved = _reviewed(f"{_DOG} The camera slowly pans to the left.", "a dog", facts=facts)
    assert "unfaithful" in moved.failed


def test_a_request_is_read_once() -> None:
    """Things with their numbers and colors, relations, denials, quotes, names, edits, times."""
    request = understand("Two red cars to the left of a bus in Paris at night, no people, pan left")
    assert [(t.noun, t.number, t.colors) for t in request.things[:2]] == [
        ("car", 2, ("red",)),
        ("bus", None, ()),
    ]
    left = request.relations[0]
    assert (left.kind, left.subject, left.object) == ("left", "car", "bus")
    assert [n.words for n in request.negations] == [("person",)]
    assert [n.text for n in request.names] == ["Paris"]
    assert [t.text for t in request.times] == ["night"]
    assert request.camera == {"pan left", "move"}
    assert request.language == "English"
    lines = understand("0:00-0:02 a door opens\n0:02-0:05 a dog runs out").timed_lines
    assert [(t.start, t.end, t.text) for t in lines] == [
        (0.0, 2.0, "a door opens"),
        (2.0, 5.0, "a dog runs out"),
    ]
    edit = understand("please replace the jar with a bottle").edits[0]
    assert (edit.kind, edit.gone, edit.there) == ("replace", "the jar", "a bottle")
    quotes = understand("«Bar» 「店」 'No Entry' and the dog's bowl").quotes
    assert [q.text for q in quotes] == ["Bar", "店", "No Entry"]


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
    assert clean_answer(answer).text == answer
    assert "meta" in _reviewed(answer).failed
