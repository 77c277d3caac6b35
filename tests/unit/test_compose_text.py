"""The composed text reads well: its length, its grammar, the user's words, the same every time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptlift.engines.no_model import (
    MAX_WORDS,
    MIN_WORDS,
    _count_words,
    compose,
    user_sentences,
    words,
)
from promptlift.facts import Camera, Facts
from promptlift.review import review
from promptlift.targets import TARGETS
from wording.cases import NEUTRAL_PROMPTS, OFFICE, any_facts, facts


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a robot waves", "A robot waves."),
        ("a robot waves!", "A robot waves!"),
        ("make it rainy", "Make it rainy."),
        ("a robot, a table, a cup,", "A robot, a table, a cup."),
        ("a robot says “hello.”", "A robot says “hello.”"),
        ('"a robot waves"', '"A robot waves".'),
        ("  a robot\n  waves\tat us \n", "A robot waves at us."),
        ("a robot waves\r\n\r\nthe crowd cheers", "A robot waves. the crowd cheers."),
        ("- a robot\n- a table\n- a cup", "A robot, a table, a cup."),
        ("1. pick up the cup\n2. put it down", "Pick up the cup, put it down."),
        ("a robot waves! 🤖", "A robot waves! 🤖"),
        ("iPhone on a desk", "iPhone on a desk."),
        ("A man walks. he stops. He waits", "A man walks. he stops. He waits."),
        ("a 3.5 m crane", "A 3.5 m crane."),
        ("机器人把咖啡递给女士", "机器人把咖啡递给女士。"),
        ("ذراع روبوت؟", "ذراع روبوت؟"),
        ("", ""),
        ("...", ""),
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


def test_a_very_long_prompt_stays_as_it_is() -> None:
    """Fifty thousand characters come back whole, quickly, with nothing added."""
    prompt = "a robot stacks crates in a hall, and then " * 1200
    assert len(prompt) > 50_000
    assert compose(prompt, facts()) == user_sentences(prompt)


def test_a_long_prompt_gets_only_what_fits() -> None:
    """A prompt of 125 words gets a sentence or two, and the whole stays within the limit."""
    prompt = " ".join(["the robot stacks crates"] * 31) + " neatly"
    text = compose(prompt, facts())
    assert _count_words(prompt) == 125
    assert 125 < _count_words(text) <= MAX_WORDS


@pytest.mark.parametrize(
    "prompt",
    [
        "机器人把咖啡递给一位女士",
        "роботизированная рука передаёт чашку",
        "un brazo robótico entrega una taza de café a una mujer en una oficina moderna",
        "un bras robotisé tend une tasse de café à une femme dans un bureau",
    ],
)
def test_other_languages_stay_by_themselves(prompt: str) -> None:
    """What is said in another language cannot be compared with the facts, so none is added."""
    assert compose(prompt, facts()) == user_sentences(prompt)


@settings(max_examples=120)
@given(
    measured=any_facts(complete=True, kinds=("rgb",)),
    prompt=st.sampled_from(NEUTRAL_PROMPTS),
    seed=st.text(max_size=4),
)
def test_complete_facts_give_a_text_of_the_right_length(
    measured: Facts, prompt: str, seed: str
) -> None:
    """With every fact and a prompt that leaves all open, a text has 60 to 150 words."""
    assert MIN_WORDS <= _count_words(compose(prompt, measured, seed=seed)) <= MAX_WORDS


@settings(max_examples=120)
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


@settings(max_examples=120)
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
    for piece in re.split(r"[,;]\s", text):  # "dark red, red" is a list
        assert not [one for one, other in pairwise(words(piece)) if one == other]
    assert not re.search(r"\ba [aeiou]", text, re.IGNORECASE)
    assert not re.search(r"\ban [^aeiou]", text, re.IGNORECASE)


def test_the_same_seed_gives_the_same_text_in_another_process() -> None:
    """The wording does not depend on Python's hash seed or on what ran before."""
    code = (
        "from promptlift.engines.no_model import compose\n"
        "from promptlift.facts import *\n"
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


def test_seeds_vary_the_wording() -> None:
    """Forty seeds give at least twenty-five different texts for one clip."""
    texts = {compose(OFFICE, facts(), seed=str(seed)) for seed in range(40)}
    assert len(texts) >= 25
