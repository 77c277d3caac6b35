"""English words: their lemmas, their usual part of speech, and which nouns name the same thing.

The table is packed from Princeton WordNet 3.0 by ``benchmarks/make_lexicon.py``; its licence lies
beside it. Its lines are sorted, so that one is found by bisection and nothing is parsed but what
is asked for; their fields are separated by tabs. The line of a word has its usual part of speech,
all its parts of speech, its lemma where that is another word, and its senses that can be seen, as
rank and synset. The line of a synset has its kind, the synset that it is a kind of, and its names.
"""

from __future__ import annotations

import zlib
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from promptlift.language import ENGLISH_FUNCTION_WORDS, word_set

__all__ = [
    "ENDINGS",
    "akin",
    "ancestors",
    "is_noun",
    "is_person",
    "is_thing",
    "is_word",
    "lemma",
    "names_of",
    "noun_kind",
    "part_of_speech",
    "synonyms",
    "visible_kind",
]

ENDINGS = {
    "n": ("s", "ses:s", "xes:x", "zes:z", "ches:ch", "shes:sh", "men:man", "ies:y"),
    "v": ("s", "ies:y", "es:e", "es", "ed:e", "ed", "ing:e", "ing"),
    "a": ("er", "est", "er:e", "est:e"),
}
"""Endings of regular forms by part of speech, and what takes their place (man 7 morphy)."""

_MOST_SENSES = 2  # what a noun means in a later sense is seldom meant
_MOST_STEPS = 24  # the longest chain of hypernyms in WordNet has fewer
_SHORTEST_PART = 3  # letters of a word in a compound


class _Word(NamedTuple):
    part: str  # the usual part of speech
    parts: str
    lemma: str
    senses: dict[int, str]  # synsets by rank


class _Synset(NamedTuple):
    kind: str
    parent: str  # empty for none
    names: list[str]


@cache
def _table() -> bytes:
    packed = files("promptlift.review").joinpath("lexicon.txt.z").read_bytes()
    return zlib.decompress(packed)


def _fields(key: str) -> list[str]:
    """The fields after the first of the line that begins with a key; none without such a line."""
    table, start = _table(), f"{key}\t".encode()
    low, high = 0, len(table)
    while low < high:
        line = max(low, table.rfind(b"\n", low, (low + high) // 2) + 1)
        end = table.index(b"\n", line) + 1
        low, high = (end, high) if table[line:end] < start else (low, line)
    if not table.startswith(start, low):
        return []
    return table[low : table.index(b"\n", low)].decode("ascii").split("\t")[1:]


@lru_cache(maxsize=16384)
def _word(word: str) -> _Word | None:
    if not (fields := _fields(word)):
        return None
    part, parts, root, *senses = fields
    by_rank = dict(sense.split(":") for sense in senses)
    return _Word(part, parts, root, {int(rank): synset for rank, synset in by_rank.items()})


@lru_cache(maxsize=16384)
def _synset(key: str) -> _Synset:
    kind, parent, *names = _fields(key)
    return _Synset(kind, parent, names)


def _senses(noun: str) -> dict[int, str]:
    found = _word(noun)
    return found.senses if found else {}


@lru_cache(maxsize=8192)
def lemma(word: str) -> str:
    """The dictionary form of an English word: ``man`` for "men", ``run`` for "running"."""
    word = word.lower()
    if found := _word(word):
        return found.lemma or word
    if word in ENGLISH_FUNCTION_WORDS:
        return word
    if base := _regular_base(word):
        return base
    is_plural = len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if is_plural and word.isalpha() else word


def _regular_base(word: str) -> str:
    """The word in the table that a word is a regular form of; empty where there is none."""
    for part, endings in ENDINGS.items():
        for ending in endings:
            old, _, new = ending.partition(":")
            base = word.removesuffix(old) + new
            if word.endswith(old) and (found := _word(base)) and part in found.parts:
                return base
    return ""


@lru_cache(maxsize=8192)
def is_word(word: str) -> bool:
    """Whether a word in small letters is English, in any of its forms or as a compound."""
    if word in ENGLISH_FUNCTION_WORDS or _word(word) or _regular_base(word):
        return True
    parts = range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1)
    is_compound = any(_word(word[:at]) and is_word(word[at:]) for at in parts)
    return is_compound or (word.endswith("ly") and _word(word[:-2]) is not None)


def part_of_speech(word: str) -> str:
    """What a lemma mostly is: ``n``, ``v``, ``a`` or ``r`` (adverb); empty where not known.

    Nouns are known where they name what can be seen.
    """
    found = _word(word)
    return found.part if found else ""


def is_noun(noun: str) -> bool:
    """Whether the first sense of a lemma is something that can be seen."""
    return 1 in _senses(noun)


def noun_kind(noun: str) -> str:
    """The kind of a noun's first sense, as WordNet's lexicographers file it.

    Returns:
        ``animal``, ``artifact``, ``body``, ``event``, ``food``, ``group``, ``location``,
        ``object``, ``person``, ``phenomenon``, ``plant``, ``shape`` or ``substance``; empty for
        what cannot be seen or is not known.
    """
    first = _senses(noun).get(1)
    return _synset(first).kind if first else ""


def visible_kind(noun: str) -> str:
    """The kind of the first sense of a noun that can be seen, as `noun_kind` names it."""
    senses = _senses(noun)
    rank = min(senses, default=_MOST_SENSES + 1)
    return _synset(senses[rank]).kind if rank <= _MOST_SENSES else ""


def is_thing(noun: str) -> bool:
    """Whether any sense of a lemma, or of two words, is something that can be seen."""
    return bool(_senses(noun))


@lru_cache(maxsize=16384)
def is_person(noun: str) -> bool:
    """Whether a lemma mostly names a person or people."""
    if " " in noun:
        return is_person(noun.rsplit(" ", 1)[1])
    if noun in _PEOPLE or noun in _SPIRITS or noun in _ALSO or noun_kind(noun) != "person":
        return noun in _PEOPLE
    # A toaster proposes toasts by its first sense, and a chameleon changes its mind: where the
    # second is a device or an animal, that is meant.
    second = _senses(noun).get(2)
    return second is None or _synset(second).kind not in ("artifact", "animal")


_SPIRITS = word_set(
    "creature spirit soul presence subject star focus hybrid prey viewer observer hob"
)
_PEOPLE = word_set("person people crowd audience couple man individual figure passersby")


@lru_cache(maxsize=16384)
def synonyms(noun: str) -> frozenset[str]:
    """Other names of what a noun means in its first sense that can be seen."""
    senses = _senses(noun)
    return frozenset(_synset(senses[min(senses)]).names) if senses else frozenset()


@lru_cache(maxsize=16384)
def names_of(noun: str) -> frozenset[str]:
    """All names that a noun stands for: itself, synonyms of any sense, what it is a kind of."""
    same = {name for synset in _senses(noun).values() for name in _synset(synset).names}
    return frozenset({noun, *same, *ancestors(noun)})


# What these are in common use, and by no sense of WordNet's.
_ALSO_CALLED = {
    "cat": "kitten kitty",
    "dog": "puppy pup",
    "horse": "foal",
    "cow": "calf",
    "sheep": "lamb",
    "bear": "cub",
    "pig": "piglet",
    "chicken": "chick",
    "duck": "duckling",
    "deer": "fawn",
    "rabbit": "bunny",
    "boat": "yacht",
    "phone": "smartphone",
    "watch": "smartwatch",
    "sea": "ocean",
    "ocean": "sea",
    "beach": "seashore shore",
    "highway": "motorway",
}
_ALSO = {word: noun for noun, words in _ALSO_CALLED.items() for word in words.split()}


@lru_cache(maxsize=8192)
def ancestors(noun: str) -> tuple[str, ...]:
    """What a noun is by its first sense, nearest first: ``armchair``: chair, seat, furniture."""
    found = [_ALSO[noun]] if noun in _ALSO else []
    synset = _senses(noun).get(1)
    for _ in range(_MOST_STEPS):
        synset = _synset(synset).parent if synset else None
        if not synset:
            break
        found += _synset(synset).names
    return tuple(found)


@lru_cache(maxsize=65536)
def akin(first: str, second: str) -> bool:
    """Whether two nouns can name the same thing: synonyms, or one is a kind of the other.

    Synonyms are those of any sense; what a noun is a kind of goes by its first.
    """
    if first == second or first in ancestors(second) or second in ancestors(first):
        return True
    return not set(_senses(first).values()).isdisjoint(_senses(second).values())
