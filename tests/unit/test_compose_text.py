"""The composed text reads well: its length, its grammar, the user's words, the same every time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptlift.core.compose import MAX_WORDS, MIN_WORDS, compose
from promptlift.core.compose.grammar import (
    capitalise,
    count_words,
    join,
    user_sentences,
    words,
)
from promptlift.core.facts import Camera, Facts, Palette
from promptlift.core.review import review
from promptlift.core.targets import TARGETS
from wording.cases import NEUTRAL_PROMPTS, OFFICE, any_facts, facts
from wording.golden import CASES, GOLDEN, written

# --- the user's words


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a robot waves", "A robot waves."),
        ("A robot waves.", "A robot waves."),
        ("a robot waves!", "A robot waves!"),
        ("can you make it rain?", "Can you make it rain?"),
        ("make it rainy", "Make it rainy."),
        ("a robot, a table, a cup,", "A robot, a table, a cup."),
        ("a robot waves -", "A robot waves."),
        ("a robot waves;  ", "A robot waves."),
        ("a robot waves…", "A robot waves…"),
        ("a robot says “hello.”", "A robot says “hello.”"),
        ('"a robot waves"', '"A robot waves".'),
        ("a robot (red)", "A robot (red)."),
        ("  a robot\n  waves\tat us \n", "A robot waves at us."),
        ("a robot waves\r\n\r\nthe crowd cheers", "A robot waves. the crowd cheers."),
        ("- a robot\n- a table\n- a cup", "A robot, a table, a cup."),
        ("1. pick up the cup\n2. put it down", "Pick up the cup, put it down."),
        ("a robot waves 🤖", "A robot waves 🤖."),
        ("a robot waves! 🤖", "A robot waves! 🤖"),
        ("🤖 waves", "🤖 Waves."),
        ("iPhone on a desk", "iPhone on a desk."),
        ("3 robots wave", "3 robots wave."),
        ("A man walks. he stops. He waits", "A man walks. he stops. He waits."),
        ("a 3.5 m crane", "A 3.5 m crane."),
        ("机器人把咖啡递给女士", "机器人把咖啡递给女士。"),
        ("ロボットが歩く。", "ロボットが歩く。"),
        ("робот машет", "Робот машет."),
        ("ذراع روبوت؟", "ذراع روبوت؟"),
        ("ß and ﬁ", "ß and ﬁ."),
        ("", ""),
        (" \n\t ", ""),
        ("...", ""),
        ("—", ""),
    ],
)
def test_a_prompt_becomes_sentences(prompt: str, expected: str) -> None:
    """A capital and an end are put where they lack, and not a word is changed."""
    assert user_sentences(prompt) == expected


@given(prompt=st.text(max_size=200))
@example(prompt="a\x85b\u2028c")
@example(prompt="-\n-\n-")
def test_the_users_words_are_kept_whatever_they_are(prompt: str) -> None:
    """Any text goes through: its words come out, case aside, in order; twice changes nothing."""
    said = user_sentences(prompt)
    marks = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)
    if not marks.search(prompt):
        assert [word.casefold() for word in re.findall(r"[^\W_]+", said)] == [
            word.casefold() for word in re.findall(r"[^\W_]+", prompt)
        ]
    assert "\n" not in said
    assert user_sentences(said) == said


@settings(max_examples=50, deadline=None)
@given(prompt=st.text(max_size=80), measured=any_facts(), seed=st.text(max_size=3))
def test_the_users_words_come_first_and_whole(prompt: str, measured: Facts, seed: str) -> None:
    """Whatever is added stands after the user's own sentences."""
    assert compose(prompt, measured, seed=seed).startswith(user_sentences(prompt))


def test_a_very_long_prompt_stays_as_it_is() -> None:
    """Fifty thousand characters come back whole, quickly, with nothing added."""
    prompt = "a robot stacks crates in a hall, and then " * 1200
    assert len(prompt) > 50_000
    assert compose(prompt, facts()) == user_sentences(prompt)


def test_a_long_prompt_gets_only_what_fits() -> None:
    """A prompt of 125 words gets a sentence or two, and the whole stays within the limit."""
    prompt = " ".join(["the robot stacks crates"] * 31) + " neatly"
    text = compose(prompt, facts())
    assert count_words(prompt) == 125
    assert 125 < count_words(text) <= MAX_WORDS


@pytest.mark.parametrize(
    "prompt",
    [
        "机器人把咖啡递给一位女士",
        "ロボットアームがコーヒーを渡す",
        "роботизированная рука передаёт чашку",
        "ذراع روبوت تقدم كوب قهوة",
        "un brazo robótico entrega una taza de café a una mujer en una oficina moderna",
        "ein Roboter reicht einer Frau eine Tasse Kaffee und lächelt",
        "un bras robotisé tend une tasse de café à une femme dans un bureau",
        "żółty robot podnosi skrzynię",
    ],
)
def test_other_languages_stay_by_themselves(prompt: str) -> None:
    """What is said in another language cannot be compared with the facts, so none is added."""
    assert compose(prompt, facts()) == user_sentences(prompt)


@pytest.mark.parametrize(
    "prompt", ["a crème brûlée in a café", "robot arm, coffee cup", "Zoë reads"]
)
def test_english_with_foreign_letters_is_english(prompt: str) -> None:
    """Borrowed words and names do not make a prompt foreign."""
    assert count_words(compose(prompt, facts())) >= MIN_WORDS


# --- length


@settings(max_examples=120, deadline=None)
@given(
    measured=any_facts(complete=True, kinds=("rgb",)),
    prompt=st.sampled_from(NEUTRAL_PROMPTS),
    seed=st.text(max_size=4),
)
def test_complete_facts_give_a_text_of_the_right_length(
    measured: Facts, prompt: str, seed: str
) -> None:
    """With every fact and a prompt that leaves all open, a text has 60 to 150 words."""
    assert MIN_WORDS <= count_words(compose(prompt, measured, seed=seed)) <= MAX_WORDS


def test_few_facts_give_a_short_text() -> None:
    """A text is not padded: with nothing measured it is the user's sentence alone."""
    assert compose(OFFICE, None) == user_sentences(OFFICE)
    assert compose(OFFICE, Facts()) == user_sentences(OFFICE)
    assert compose("", Facts()) == ""
    assert compose("", None) == ""


@pytest.mark.parametrize("limit", [1, 20, 40, 60, 90])
def test_a_lower_limit_is_kept(limit: int) -> None:
    """Fewer words may be asked for; only the user's own may pass the limit."""
    length = count_words(compose(OFFICE, facts(), max_words=limit))
    assert length <= max(limit, count_words(OFFICE))


# --- fit for use


@settings(max_examples=120, deadline=None)
@given(
    measured=any_facts(complete=True),
    prompt=st.sampled_from(("", *NEUTRAL_PROMPTS, "a man runs at night", "make it rainy")),
    seed=st.text(max_size=4),
)
def test_a_composed_text_passes_the_review(measured: Facts, prompt: str, seed: str) -> None:
    """What is composed from facts is fit for use as it is: nothing to reject, nothing to repair."""
    text = compose(prompt, measured, seed=seed)
    target = TARGETS["cosmos-transfer1"]
    verdict = review(text, finish_reason="stop", short_prompt=prompt, target=target, facts=measured)
    assert verdict.verdict == "ok", verdict.checks
    assert verdict.text == text


# --- grammar


@settings(max_examples=120, deadline=None)
@given(
    measured=any_facts(),
    prompt=st.sampled_from(("", *NEUTRAL_PROMPTS)),
    seed=st.text(max_size=4),
)
def test_the_english_is_sound(measured: Facts, prompt: str, seed: str) -> None:
    """Sentences begin with a capital and end with one full stop; no word stands twice in a row."""
    text = compose(prompt, measured, seed=seed)
    assert not re.search(r"[{}]|\s{2}|\s[.,;]|[.,;]{2}|\.\w", text)
    for sentence in re.split(r"(?<=[.])\s", text) if text else []:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
    assert not [one for one, other in pairwise(words(text)) if one == other]
    assert not re.search(r"\ba [aeiou]", text, re.IGNORECASE)
    assert not re.search(r"\ban [^aeiou]", text, re.IGNORECASE)


@settings(max_examples=120, deadline=None)
@given(measured=any_facts(complete=True, kinds=("rgb",)), seed=st.text(max_size=4))
def test_no_sentence_frame_comes_back(measured: Facts, seed: str) -> None:
    """No two sentences of a text begin with the same two words."""
    sentences = re.split(r"(?<=[.])\s", compose("", measured, seed=seed))
    openings = [tuple(words(sentence)[:2]) for sentence in sentences]
    assert len(set(openings)) == len(openings)


@pytest.mark.parametrize(
    ("dominant", "verb"), [(("gray",), r"\w+s\b"), (("gray", "brown"), r"\w+[^s]\b")]
)
def test_verbs_agree_with_the_colours(dominant: tuple[str, ...], verb: str) -> None:
    """One colour dominates; two dominate."""
    palettes = (Palette(dominant=dominant), Palette(dominant=dominant, accents=("red",)))
    texts = " ".join(
        compose(OFFICE, facts(palette=palette), seed=str(seed))
        for palette in palettes
        for seed in range(40)
    )
    subject = join(dominant).capitalize()
    verbs = re.findall(rf"{subject} (\w+)", texts)
    assert verbs
    assert all(re.fullmatch(verb, found) for found in verbs)
    assert ("main colors are" in texts) == (len(dominant) > 1)
    assert ("main color is" in texts) == (len(dominant) == 1)


def test_an_empty_prompt_begins_with_the_camera() -> None:
    """A text from facts alone needs a beginning, and takes what the camera does."""
    for seed in map(str, range(20)):
        first = compose("", facts(), seed=seed).split(". ")[0].lower()
        assert re.search("camera|view|shot|framing", first)


@pytest.mark.parametrize(
    ("items", "expected"),
    [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")],
)
def test_lists_are_joined(items: tuple[str, ...], expected: str) -> None:
    """Commas, then "and"."""
    assert join(items) == expected


def test_capitals_leave_numbers_and_names_alone() -> None:
    """Only a first letter is raised, and only where that is right."""
    assert capitalise("“so it is”") == "“So it is”"
    assert capitalise("eBay") == "eBay"
    assert capitalise("2 cups") == "2 cups"
    assert capitalise("") == ""


def test_words_are_counted() -> None:
    """Hyphens and apostrophes join; an ideograph is a word."""
    assert count_words("a well-lit room isn't dark") == 5
    assert count_words("机器人 walks") == 4


# --- the same every time


def test_the_same_seed_gives_the_same_text_in_another_process() -> None:
    """The wording does not depend on Python's hash seed or on what ran before."""
    code = (
        "from promptlift.core.compose import compose\n"
        "from promptlift.core.facts import *\n"
        "camera = Camera(moves=('forward', 'pan left'), strength='slow')\n"
        "c = Confident(value=camera, confidence=1)\n"
        "print(compose('a car turns', Facts(camera=c, cuts=()), seed='x'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    measured = facts(
        kind=None, movement=None, light=None, palette=None, sharpness=None,
        camera=Camera(moves=("forward", "pan left"), strength="slow"),
    )  # fmt: skip
    assert ran.stdout.strip() == compose("a car turns", measured, seed="x")


def test_one_take_is_not_said_of_a_clip_that_was_not_seen_as_a_whole() -> None:
    """Where nobody looked for cuts the camera is still told, but not that nothing is cut."""
    for seed in range(40):
        whole = compose(OFFICE, facts(), seed=str(seed))
        parts = compose(OFFICE, facts(cuts=None), seed=str(seed))
        assert re.search(r"\b(take|shot|unbroken|uncut|continuous|moment)\b", whole)
        assert not re.search(r"\b(take|shot|unbroken|uncut|continuous|moment)\b", parts)


def test_seeds_vary_the_wording() -> None:
    """Forty seeds give at least twenty-five different texts for one clip."""
    texts = {compose(OFFICE, facts(), seed=str(seed)) for seed in range(40)}
    assert len(texts) >= 25


def test_the_texts_are_the_ones_that_were_read() -> None:
    """The texts in the golden file were read by a person; a change shows up in review.

    To write it anew after a change of the phrase book (and its `REVISION`), run
    ``python -m wording.golden`` with ``PYTHONPATH=tests``, and read what changed.
    """
    assert GOLDEN.read_text(encoding="utf-8") == written()
    assert len(CASES) >= 20
    assert Path(GOLDEN).stat().st_size > 5_000
