"""Counting tokens straight from a sorted table of them, without building an encoder first.

An encoder for the 130 thousand tokens of a vocabulary takes a tenth of a second to build, which
is long for a prompt or two. Nearly every word of a prompt is a token by itself; it is found in
the sorted table, and what is none is merged pair by pair, as byte-pair encoding does
(Sennrich, Haddow and Birch, 2016).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, pairwise

__all__ = ["Table", "ascii_counter"]

_LONGEST = 64  # bytes of a word that are merged pair by pair, which takes their square
_MOST_KNOWN = 20_000  # words

# The pattern of tekken_240911, and what it comes to for ASCII. Other texts need the tables of
# Unicode's classes, which Python's own `re` has not.
_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_IN_ASCII = (
    r"[^\r\nA-Za-z0-9]?[A-Z]*[a-z]+"
    r"|[^\r\nA-Za-z0-9]?[A-Z]+[a-z]*"
    r"|[0-9]| ?[^\sA-Za-z0-9]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Table:
    """The tokens of a vocabulary in the order of their bytes.

    Attributes:
        pattern: Cuts a text into words, within which tokens are merged.
        ranks: The rank of each token; the lowest is merged first.
        ends: Where each token ends in `joined`, after a 0 where the first begins.
        joined: All tokens, one after the other.
    """

    pattern: str
    ranks: array[int]
    ends: array[int]
    joined: bytes

    @classmethod
    def of(cls, pattern: str, tokens: list[bytes]) -> Table:
        """Sort tokens that are given in the order of their ranks."""
        ranks = array("I", sorted(range(len(tokens)), key=tokens.__getitem__))
        ends = accumulate((len(tokens[rank]) for rank in ranks), initial=0)
        return cls(pattern, ranks, array("I", ends), b"".join(tokens[rank] for rank in ranks))

    def tokens(self) -> dict[bytes, int]:
        """Every token with its rank."""
        spans = zip(self.ranks, pairwise(self.ends), strict=True)
        return {self.joined[start:end]: rank for rank, (start, end) in spans}

    def rank(self, token: bytes) -> int | None:
        """The rank of a token; None where there is none of these bytes."""
        joined, ends = self.joined, self.ends
        low, high = 0, len(self.ranks)
        while low < high:
            middle = (low + high) // 2
            if joined[ends[middle] : ends[middle + 1]] < token:
                low = middle + 1
            else:
                high = middle
        is_found = low < len(self.ranks) and joined[ends[low] : ends[low + 1]] == token
        return self.ranks[low] if is_found else None


def ascii_counter(table: Table) -> Callable[[str], int | None] | None:
    """A function that counts the tokens of ASCII texts.

    Returns:
        The function, which gives None for a text that it cannot count; or None where it could
        count no text of this vocabulary.
    """
    if table.pattern != _PATTERN:
        return None
    words = re.compile(_IN_ASCII, re.ASCII)
    count_word = lru_cache(_MOST_KNOWN)(partial(_merged, table))

    def count(text: str) -> int | None:
        if not text.isascii():
            return None
        found = words.findall(text)
        if max(map(len, found), default=0) > _LONGEST:
            return None
        return sum(map(count_word, found))

    return count


def _merged(table: Table, word: str) -> int:
    """How many tokens of the vocabulary a word is."""
    coded = word.encode()
    if table.rank(coded) is not None:
        return 1
    parts = [coded[place : place + 1] for place in range(len(coded))]
    while len(parts) > 1:
        ranked = [(table.rank(a + b), place) for place, (a, b) in enumerate(pairwise(parts))]
        best = min(((rank, place) for rank, place in ranked if rank is not None), default=None)
        if best is None:
            break
        _, place = best
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return len(parts)
