"""A review as it is shown: both texts in pieces, each with what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

from promptlift.review.result import Claim, ClaimStatus, TextSpan

__all__ = ["STATUS_SIGNS", "MarkedText", "MarkedTexts", "marked_texts"]

Mark: TypeAlias = ClaimStatus | Literal[""]

STATUS_SIGNS: dict[ClaimStatus, str] = {"changed": "≠", "missing": "✕", "added": "+", "kept": "✓"}
"""A sign for each status, the most important status first: no status is shown by colour alone."""


class MarkedText(NamedTuple):
    """A piece of a text, and what became of it; empty for what no claim is about."""

    text: str
    mark: Mark = ""


class MarkedTexts(NamedTuple):
    """Both prompts in pieces, which give the texts letter by letter when put together.

    Attributes:
        short: The short prompt: ``kept``, ``changed`` or ``missing``.
        long: The long prompt: ``kept``, ``changed`` or ``added``.
    """

    short: list[MarkedText]
    long: list[MarkedText]


def marked_texts(claims: Iterable[Claim], short: str, long: str) -> MarkedTexts:
    """Mark the words of each claim in both texts.

    Of claims about the same words the one about fewer words counts, then the more important one.
    Spans that do not fit the texts mark nothing; without claims both texts are plain.

    Args:
        claims: Of the review.
        short: The short prompt.
        long: The long prompt, or the answer that it was cleaned from.
    """
    in_short, in_long = [], []
    for claim in claims:
        said, span = claim.said, claim.said_span
        if span and claim.kind == "color":  # its span is the noun's
            said = said.partition(" ")[0]
            start = short.rfind(said, 0, max(0, *span))
            span = span if start < 0 else (start, start + len(said))
        # What is said may be in other words than the prompt, such as "2 dogs".
        in_short.append((_place(short, said, span) or span, claim.status))
        in_long.append((_place(long, claim.found, claim.found_span), claim.status))
    return MarkedTexts(_pieces(short, in_short), _pieces(long, in_long))


def _place(text: str, words: str, span: TextSpan | None) -> TextSpan | None:
    """Where words stand: at their span or, in an answer before cleaning, after it."""
    start = -1 if span is None or not words else text.find(words, max(0, span[0]))
    return None if start < 0 else (start, start + len(words))


def _pieces(text: str, places: list[tuple[TextSpan | None, ClaimStatus]]) -> list[MarkedText]:
    marks: list[Mark] = [""] * len(text)
    ranks = [*STATUS_SIGNS][::-1]
    fitting = [
        (span, status) for span, status in places if span and 0 <= span[0] < span[1] <= len(text)
    ]
    fitting.sort(key=lambda one: (one[0][0] - one[0][1], ranks.index(one[1])))
    for (start, end), status in fitting:
        marks[start:end] = [status] * (end - start)
    for at, letter in enumerate(text):  # a mark does not end with a space
        if letter.isspace() and marks[at - 1 : at] != marks[at + 1 : at + 2]:
            marks[at] = ""
    pieces = groupby(zip(text, marks, strict=True), key=lambda one: one[1])
    return [MarkedText("".join(letter for letter, _ in run), mark) for mark, run in pieces]
