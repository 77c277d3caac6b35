"""Which words of the short prompt the long one keeps, as pieces that a template can mark."""

from __future__ import annotations

import re
from typing import NamedTuple

from promptlift.core.lexicon import ENGLISH_FUNCTION_WORDS
from promptlift.core.review.words import stem

__all__ = ["Pair", "Piece", "pair"]

_WORD = re.compile(r"[^\W_]+")


class Piece(NamedTuple):
    """A part of a text and what it is: ``kept``, ``lost``, or nothing in particular."""

    text: str
    kind: str = ""


class Pair(NamedTuple):
    """Both prompts in pieces.

    Attributes:
        short: The user's words; those that are not in the long prompt are ``lost``.
        long: The long prompt; the user's words in it are ``kept``.
        kept: How many of the user's words are kept.
        said: How many words of meaning the user wrote.
    """

    short: list[Piece]
    long: list[Piece]
    kept: int
    said: int


def pair(short: str, long: str) -> Pair:
    """Set both side by side; grammar words count for nothing, and endings do not matter."""
    said, told = _stems(short), _stems(long)
    both = said & told
    return Pair(
        short=_pieces(short, kept=both, lost=said - told),
        long=_pieces(long, kept=both, lost=set()),
        kept=len(both),
        said=len(said),
    )


def _stems(text: str) -> set[str]:
    found = (word.lower() for word in _WORD.findall(text))
    return {stem(word) for word in found if word not in ENGLISH_FUNCTION_WORDS}


def _pieces(text: str, *, kept: set[str], lost: set[str]) -> list[Piece]:
    pieces, place = [], 0
    for match in _WORD.finditer(text):
        word = match[0].lower()
        root = stem(word)
        kind = "kept" if root in kept else "lost" if root in lost else ""
        if not kind or word in ENGLISH_FUNCTION_WORDS:
            continue
        pieces += [Piece(text[place : match.start()]), Piece(match[0], kind)]
        place = match.end()
    pieces.append(Piece(text[place:]))
    return [piece for piece in pieces if piece.text]
