"""Choose among the wordings and write the text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from promptlift.core.compose.grammar import capitalise, count_words, user_sentences, words
from promptlift.core.compose.said import is_english
from promptlift.core.compose.sentences import statements
from promptlift.core.lexicon import ENGLISH_FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptlift.core.compose.sentences import Statement
    from promptlift.core.facts import Facts

__all__ = ["MAX_WORDS", "MIN_WORDS", "compose"]

MIN_WORDS = 60
"""What is aimed at where enough was said and measured; a text is never padded to reach it."""

MAX_WORDS = 150
"""The length up to which sentences are added to the user's own."""

_AIM = 100
# Of how many wordings, drawn by the seed, the best is taken: more of them read better, and
# fewer differ more from one item to the next.
_DRAWN = 4
# Which sections go in first where there is little room: what a generator cannot guess.
_PRIORITY = ("motion", "light", "palette", "cuts", "sharpness")
# Words whose return nobody notices.
_COMMON = ENGLISH_FUNCTION_WORDS | {"mainly", "mostly", "view", "frame", "scene"}


def compose(prompt: str, facts: Facts | None, *, seed: str = "", max_words: int = MAX_WORDS) -> str:
    """Write a prompt from the user's words and the facts.

    The user's words come first, whole and in his order. What was measured follows, as far as he
    has not spoken of it himself and as far as there is room. A prompt in another language than
    English stays as it is: what it says cannot be compared with the facts, and a text in two
    languages serves no text encoder.

    Args:
        prompt: The user's words; empty for a text from the facts alone.
        facts: What was measured; None if nothing was.
        seed: Settles the wording; the same seed gives the same text on every machine.
        max_words: The length in words up to which sentences are added.

    Returns:
        One paragraph; empty where nothing was said and nothing was measured.
    """
    said = user_sentences(prompt)
    if facts is None or not is_english(prompt):
        return said
    found = statements(said, facts)
    text = _written(said, _choose(found, said, seed or said, max_words))
    if count_words(text) < min(MIN_WORDS, max_words):
        longer = [statement.longer() for statement in found]
        text = _written(said, _choose(longer, said, seed or said, max_words))
    return text


def _written(said: str, chosen: dict[str, str]) -> str:
    """The text: the user's words, then the sentences in the order of `statements`."""
    order = list(chosen)
    if not said:  # a text needs something to begin with: what the camera does
        order.sort(key=lambda section: section != "motion")
    return " ".join(filter(None, (said, *(chosen[section] for section in order))))


def _choose(found: Sequence[Statement], said: str, seed: str, max_words: int) -> dict[str, str]:
    """A sentence for each section that there is room for, in the order of `found`."""
    length, used = count_words(said), set(_stems(said))
    openings: set[str] = set()
    chosen: dict[str, str] = {}
    waiting = sorted(found, key=lambda statement: _PRIORITY.index(statement.section))
    for index, statement in enumerate(waiting):
        fitting = [w for w in statement.wordings if length + count_words(w) <= max_words]
        fresh = [wording for wording in fitting if _is_fresh(wording, openings)]
        if not fitting:
            continue
        drawn = sorted(fresh or fitting, key=lambda wording: _draw(seed, wording))
        share = max(0, _AIM - length) / (len(waiting) - index)
        best = min(
            drawn[: min(_DRAWN, 1 + len(drawn) // 3)],
            key=lambda wording: _cost(wording, used, share),
        )
        chosen[statement.section] = f"{capitalise(best)}."
        length += count_words(best)
        used.update(_stems(best))
        openings.update(_openings(best))
    return {s.section: chosen[s.section] for s in found if s.section in chosen}


def _is_fresh(wording: str, openings: set[str]) -> bool:
    """Whether it begins as no sentence before it did, and has no notable word twice."""
    stems = _stems(wording)
    return len(set(stems)) == len(stems) and openings.isdisjoint(_openings(wording))


def _openings(wording: str) -> set[str]:
    """The first two words of each sentence, which should not come back."""
    return {" ".join(words(sentence)[:2]) for sentence in wording.split(". ")}


def _cost(wording: str, used: set[str], share: float) -> float:
    """Low for a wording of about the right length that repeats no word."""
    stems = _stems(wording)
    return len(used.intersection(stems)) + 0.1 * abs(count_words(wording) - share)


def _stems(text: str) -> list[str]:
    """The notable words, cut so that "moderate" and "moderately" are one."""
    return [word[:6] for word in words(text) if word not in _COMMON]


def _draw(seed: str, wording: str) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}\0{wording}".encode()).digest()
    return int.from_bytes(digest[:6]) / (1 << 48)
