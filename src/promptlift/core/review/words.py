"""Reading English text as words: spelling, stems, what is denied, what counts as the same."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

from promptlift.core.lexicon import ENGLISH_FUNCTION_WORDS, word_set
from promptlift.core.review.synonyms import SYNONYMS
from promptlift.core.review.vocabulary import COLORS, IRREGULAR, NUMBERS

__all__ = ["Index", "Word", "denied_groups", "read", "stem"]

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*[a-z%]*|[^\W\d_]+(?:['’][^\W\d_]+)?|[.,;:!?]", re.IGNORECASE)
_NEGATORS = word_set("no not without never nor neither none cannot lacking nobody")
# After these, "of" or "from" denies what follows: "free of traffic", "an absence of wind".
_NEGATOR_NOUNS = word_set("free devoid empty absence lack clear bereft")
_ABSENT = word_set("absent missing nowhere gone")
_NOBODY = "nobody"
_SCOPE = 6  # words that one denial reaches over
_SCOPE_ENDS = word_set(". , ; : ! ? but while as with only")
_DETERMINERS = word_set("a an the this these his her its their two three four five one")
_VOWELS = frozenset("aeiouy")


@dataclass(frozen=True, slots=True)
class Word:
    """One word or mark of a text.

    Attributes:
        text: Lower-case, as written.
        stem: What it is compared by.
        negated: Whether the text denies it.
        is_content: Whether it carries meaning of its own: no grammar, no mark.
        number: The whole number that it stands for; None for another word.
        colors: The families of color that it names; empty for another word.
    """

    text: str
    stem: str
    negated: bool
    is_content: bool
    number: int | None
    colors: frozenset[str]


@lru_cache(maxsize=8192)  # answers are made of the same few thousand words
def _as_word(text: str, negated: bool) -> Word:
    root = stem(text)
    return Word(
        text,
        root,
        negated,
        is_content=text[0].isalnum() and text not in ENGLISH_FUNCTION_WORDS,
        number=_as_number(text, root),
        colors=COLORS.get(text) or COLORS.get(root) or frozenset(),
    )


def _as_number(text: str, root: str) -> int | None:
    if text.isdecimal():
        return int(text) if len(text) < 7 else None
    return NUMBERS.get(text, NUMBERS.get(root))


def read(text: str) -> list[Word]:
    """Split a text into words and marks and see which of them it denies."""
    tokens = [token.lower().replace("’", "'") for token in _TOKEN.findall(text)]
    return list(map(_as_word, tokens, _negated(tokens)))


def _negated(tokens: list[str]) -> list[bool]:
    denied = [False] * len(tokens)
    left = 0
    for at, token in enumerate(tokens):
        if _denies(tokens, at):
            left = _SCOPE
            denied[at] = token == _NOBODY
        elif token in _SCOPE_ENDS or _starts_afresh(tokens, at):
            left = 0
        elif left:
            denied[at] = True
            left -= 1
        if token in _ABSENT:
            denied[max(0, at - 4) : at] = [True] * min(4, at)
    return denied


def _denies(tokens: list[str], at: int) -> bool:
    token = tokens[at]
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    if token in _NEGATORS:
        # "not only a dog", "no longer", "no fewer than" deny nothing that is in the picture.
        return following not in ("only", "just", "longer", "fewer", "less", "far", "long")
    if token.endswith("n't"):
        return True
    return token in ("of", "from") and at > 0 and tokens[at - 1] in _NEGATOR_NOUNS


def _starts_afresh(tokens: list[str], at: int) -> bool:
    return tokens[at] == "and" and at + 1 < len(tokens) and tokens[at + 1] in _DETERMINERS


def denied_groups(words: list[Word]) -> list[list[Word]]:
    """List what a text denies outright: "no people or red cars" gives people, and red cars."""
    groups: list[list[Word]] = []
    texts = [word.text for word in words]
    for at in range(len(words)):
        if _denies(texts, at):
            groups += _denied_after(words, texts, at)
    return groups


def _denied_after(words: list[Word], texts: list[str], at: int) -> list[list[Word]]:
    groups: list[list[Word]] = [[words[at]] if texts[at] == _NOBODY else []]
    for next_at in range(at + 1, min(len(words), at + 1 + 2 * _SCOPE)):
        word = words[next_at]
        if word.is_content and not _denies(texts, next_at):
            groups[-1].append(word)
        elif word.text in ("or", "nor", "and") and not _starts_afresh(texts, next_at):
            groups.append([])
        elif groups[-1] or not word.text.isalpha():
            break
    return [group for group in groups if group]


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Cut a lower-case English word to what its forms and both spellings have in common.

    A light stemmer: plurals, -ing, -ed, -ly, -ic, British -ise and -our. It need not give words,
    only the same result for forms of the same word.
    """
    word = word.removesuffix("'s").removesuffix("'")
    word = IRREGULAR.get(word, word)
    word = _singular(word)
    word = IRREGULAR.get(word, word)
    for suffix in ("ing", "ed"):
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) > 2 and _VOWELS & set(rest):
            word = _single_end(rest)
            break
    if word.endswith("ly") and len(word) > 5:
        word = word[:-2]
    if word.endswith("ise") and len(word) > 5:
        word = word[:-3] + "ize"
    if word.endswith("ic") and len(word) > 5:
        word = word[:-2]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    if word.endswith("s") and len(word) > 3 and word[-2] not in "sui":
        return word[:-1]
    return word


def _single_end(word: str) -> str:
    doubled = len(word) > 2 and word[-1] == word[-2]
    if doubled and (word[-1] not in "aeiouylsz" or (word[-1] == "l" and len(word) > 5)):
        return word[:-1]
    return word


_GROUPS: dict[str, set[int]] = {}
for _number, _group in enumerate(SYNONYMS):
    for _word in _group:
        _GROUPS.setdefault(stem(_word), set()).add(_number)

_SHORTEST_PREFIX = 4
_LONGEST_ENDING = 5
_LONGEST_WORD = 40  # longer runs of letters are no words


class Index:
    """What a text affirms, ready to be asked for words."""

    def __init__(self, words: list[Word]) -> None:
        affirmed = [word for word in words if not word.negated]
        self.stems = {word.stem for word in affirmed}
        self.texts = {word.text for word in affirmed}
        self._sorted = sorted(self.stems)
        self._groups = {number for stem in self.stems for number in _GROUPS.get(stem, ())}
        self._joined = " ".join(word.text for word in affirmed)

    def has(self, wanted: str) -> bool:
        """Whether the text affirms a word: itself, a form, a compound with it, or a synonym."""
        root = stem(wanted)
        if len(root) > _LONGEST_WORD:
            return root in self.stems
        return (
            root in self.stems
            or not self._groups.isdisjoint(_GROUPS.get(root, ()))
            or self._has_relative(root)
            or (len(wanted) > _SHORTEST_PREFIX and wanted in self._joined)
            or self._has_parts(wanted)
        )

    def _has_relative(self, root: str) -> bool:
        """Find "dancer" for "dance", and "driv(e)" for "driver"."""
        if len(root) < _SHORTEST_PREFIX:
            return False
        at = bisect_left(self._sorted, root)
        if at < len(self._sorted):
            next_stem = self._sorted[at]
            if next_stem.startswith(root) and len(next_stem) <= len(root) + _LONGEST_ENDING:
                return True
        shortest = max(_SHORTEST_PREFIX, len(root) - 3)
        return any(root[:length] in self.stems for length in range(shortest, len(root)))

    def _has_parts(self, wanted: str) -> bool:
        """Find "table top" for "tabletop"."""
        return len(wanted) > 6 and any(
            wanted[:at] in self.texts and wanted[at:] in self.texts
            for at in range(3, len(wanted) - 2)
        )
