"""Which writing system a character belongs to, by the blocks of the Unicode standard.

Python's `unicodedata` does not tell a character's script. The blocks below cover the scripts that
people write prompts in; a letter outside them is ``other``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import lru_cache

__all__ = ["UNSPACED", "dominant_script", "script_counts", "script_of"]

# Scripts that put no space between words.
UNSPACED = frozenset({"han", "kana", "thai", "lao", "khmer", "burmese"})

_TEXTS = 64  # the checks on one answer ask about the same texts ten times

# First and last code point of each block, ascending.
_BLOCKS = (
    (0x0041, 0x024F, "latin"),
    (0x0250, 0x02AF, "latin"),
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0530, 0x058F, "armenian"),
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"),
    (0x0750, 0x077F, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x0980, 0x0DFF, "indic"),
    (0x0E00, 0x0E7F, "thai"),
    (0x0E80, 0x0EFF, "lao"),
    (0x1000, 0x109F, "burmese"),
    (0x10A0, 0x10FF, "georgian"),
    (0x1100, 0x11FF, "hangul"),
    (0x1200, 0x139F, "ethiopic"),
    (0x1780, 0x17FF, "khmer"),
    (0x1C80, 0x1C8F, "cyrillic"),
    (0x1E00, 0x1EFF, "latin"),
    (0x1F00, 0x1FFF, "greek"),
    (0x2C60, 0x2C7F, "latin"),
    (0x2E80, 0x2FDF, "han"),
    (0x3005, 0x3007, "han"),
    (0x3040, 0x30FF, "kana"),
    (0x3130, 0x318F, "hangul"),
    (0x31F0, 0x31FF, "kana"),
    (0x3400, 0x4DBF, "han"),
    (0x4E00, 0x9FFF, "han"),
    (0xA640, 0xA69F, "cyrillic"),
    (0xA720, 0xA7FF, "latin"),
    (0xAC00, 0xD7AF, "hangul"),
    (0xF900, 0xFAFF, "han"),
    (0xFB50, 0xFDFF, "arabic"),
    (0xFE70, 0xFEFE, "arabic"),
    (0xFF21, 0xFF5A, "latin"),
    (0xFF66, 0xFF9F, "kana"),
    (0x20000, 0x3134F, "han"),
)
_STARTS = [first for first, _, _ in _BLOCKS]


@lru_cache(maxsize=4096)
def script_of(char: str) -> str:
    """Name the script of one letter or combining mark.

    Returns:
        A lower-case name such as ``latin`` or ``han``; ``other`` where the block is not known.
    """
    code = ord(char)
    at = bisect_right(_STARTS, code) - 1
    if at < 0 or code > _BLOCKS[at][1]:
        return "other"
    return _BLOCKS[at][2]


def script_counts(text: str) -> Counter[str]:
    """Count the letters of a text by script; anything but a letter is not counted."""
    return Counter(dict(_counted(text)))


@lru_cache(maxsize=_TEXTS)
def _counted(text: str) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for char, number in Counter(filter(str.isalpha, text)).items():
        counts[script_of(char)] += number
    return tuple(counts.items())


@lru_cache(maxsize=_TEXTS)
def dominant_script(text: str) -> str | None:
    """Name the script that most letters of a text are in; None where it has no letter.

    Han and kana count as one where kana is present: that is how Japanese is written.
    """
    counts = script_counts(text)
    if counts["kana"]:
        counts["kana"] += counts.pop("han", 0)
    return max(counts, key=counts.__getitem__) if counts else None
