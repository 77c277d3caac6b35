"""Patterns that are looked for in every answer and found in few, and what spares the looking.

`re` tries a pattern that ignores case at every place of a text. Most of ours cannot match without
one of a few strings, and whether a string is in a text is known a hundred times sooner. These
strings are read off the pattern itself, so that nobody has to keep them true to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

# The standard library's own reading of a pattern. It is private there; `needles` says so itself
# when it cannot be used, and then every pattern is looked for.
from re import _parser as parser
from typing import Any

__all__ = ["Sought", "needles"]

_LIGHTEST = 3  # fewer letters are in every text; marks and signs are rare
_HEAVY_ENOUGH = 6
_MOST = 40


class Sought:
    """A compiled pattern that first looks whether it can match at all; finds what `re` finds.

    Args:
        pattern: As for `re.compile`.
        flags: The same.

    Attributes:
        pattern: The compiled pattern.
        needles: See `needles`.
    """

    def __init__(self, pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> None:
        self.pattern = re.compile(pattern, flags)
        self.needles = needles(pattern, flags)

    def may_match(self, text: str) -> bool:
        """Whether the text has what no match can do without."""
        folded = _folded(text)
        return not self.needles or any(needle in folded for needle in self.needles)

    def search(self, text: str) -> re.Match[str] | None:
        """The first match; None for none."""
        return self.pattern.search(text) if self.may_match(text) else None

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All matches, from the left."""
        return self.pattern.finditer(text) if self.may_match(text) else iter(())

    def sub(self, new: str | Callable[[re.Match[str]], str], text: str) -> str:
        """The text with all matches replaced."""
        return self.pattern.sub(new, text) if self.may_match(text) else text


def needles(pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> tuple[str, ...]:
    """Strings of which every match of a pattern has at least one, once case is folded.

    Returns:
        The strings; none where none worth looking for can be told.
    """
    try:
        found = _of_all(parser.parse(pattern, flags))
    except (AttributeError, TypeError, ValueError):
        return ()
    # What holds another of them is found with it.
    least = {one for one in found if not any(other != one and other in one for other in found)}
    return tuple(sorted(least)) if _is_worthy(found) and len(least) <= _MOST else ()


def _folded(text: str) -> str:
    """Without case, and with one i for the four that `re` takes for the same."""
    return text.casefold().replace("i\u0307", "i").replace("\u0131", "i")


def _of_all(parts: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    """Of things that all match, one after the other: the best strings of any of them."""
    candidates: list[frozenset[str]] = []
    run = ""
    for kind, value in parts:
        if kind is parser.LITERAL:
            run += _folded(chr(value))
            continue
        if kind is not parser.AT:  # an anchor takes no room
            candidates += [frozenset({run}), _of_one(kind, value)]
            run = ""
    return max([*candidates, frozenset({run})], key=_worth)


def _of_one(kind: Any, value: Any) -> frozenset[str]:
    if kind is parser.BRANCH:
        every = [_of_all(branch) for branch in value[1]]
        return frozenset().union(*every) if all(map(_is_worthy, every)) else frozenset()
    if kind is parser.SUBPATTERN:
        return _of_all(value[-1])
    if kind is parser.ATOMIC_GROUP:
        return _of_all(value)
    repeats = (parser.MAX_REPEAT, parser.MIN_REPEAT, parser.POSSESSIVE_REPEAT)
    if kind in repeats and value[0] > 0:
        return _of_all(value[2])
    return frozenset()


def _is_worthy(strings: frozenset[str]) -> bool:
    return bool(strings) and min(map(_weight, strings)) >= _LIGHTEST


def _worth(strings: frozenset[str]) -> tuple[int, int]:
    """What is rare is worth most, and few are soon looked for."""
    if not _is_worthy(strings):
        return 0, 0
    return min(_HEAVY_ENOUGH, *map(_weight, strings)), -len(strings)


def _weight(string: str) -> int:
    return sum(1 if char.isalnum() or char == " " else _LIGHTEST for char in string)
