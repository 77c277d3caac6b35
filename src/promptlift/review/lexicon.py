"""English words: their lemmas, their usual part of speech, and which nouns name the same thing.

The table is packed from Princeton WordNet 3.0 by ``benchmarks/make_lexicon.py``; its licence lies
beside it. Its first three lines are ``v``, ``a`` and ``r`` with the words that are mostly verbs,
adjectives and adverbs. Each other line is a synset: a letter for its kind, the number of the line
of what it is a kind of, and its lemmas, with their rank where the sense is not their first.
"""

from __future__ import annotations

import lzma
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["akin", "ancestors", "is_noun", "lemma", "noun_kind", "part_of_speech"]

_MOST_STEPS = 24  # the longest chain of hypernyms in WordNet has fewer


class _Table(NamedTuple):
    parts_of_speech: dict[str, str]
    synsets: list[tuple[str, int, list[str]]]  # kind, parent (-1 for none), names
    senses: dict[str, list[tuple[int, int]]]  # rank and synset, by lemma


@cache
def _table() -> _Table:
    packed = files("promptlift.review").joinpath("lexicon.txt.xz").read_bytes()
    lines = lzma.decompress(packed).decode("ascii").splitlines()
    parts_of_speech: dict[str, str] = {}
    for line in lines[:3]:
        parts_of_speech.update(dict.fromkeys(line[2:].split(), line[0]))
    table = _Table(parts_of_speech, [], {})
    for number, line in enumerate(lines[3:]):
        head, *words = line.split()
        names = []
        for word in words:
            name, _, rank = word.replace("_", " ").partition(":")
            names.append(name)
            table.senses.setdefault(name, []).append((int(rank or 1), number))
        table.synsets.append((head[0], int(head[1:] or -1), names))
    return table


@lru_cache(maxsize=8192)
def lemma(word: str) -> str:
    """The dictionary form of an English word: ``man`` for "men", ``run`` for "running"."""
    import simplemma

    return str(simplemma.lemmatize(word.lower(), lang="en"))


def part_of_speech(word: str) -> str:
    """What a lemma mostly is: ``n``, ``v``, ``a`` or ``r`` (adverb); empty where not known."""
    table = _table()
    return table.parts_of_speech.get(word) or ("n" if word in table.senses else "")


def is_noun(noun: str) -> bool:
    """Whether the first sense of a lemma is something that can be seen."""
    return _synset(noun) >= 0


def noun_kind(noun: str) -> str:
    """The kind of a noun's first sense, as WordNet's lexicographers file it.

    Returns:
        ``animal``, ``artifact``, ``body``, ``event``, ``food``, ``group``, ``location``,
        ``object``, ``person``, ``phenomenon``, ``plant``, ``shape`` or ``substance``; empty for
        what cannot be seen or is not known.
    """
    synset = _synset(noun)
    return "" if synset < 0 else _KINDS[_table().synsets[synset][0]]


_KINDS = {
    "a": "animal",
    "b": "body",
    "e": "event",
    "f": "food",
    "g": "group",
    "l": "location",
    "n": "phenomenon",
    "o": "object",
    "p": "person",
    "s": "shape",
    "t": "artifact",
    "u": "substance",
    "v": "plant",
}


def _synset(noun: str) -> int:
    """Line of a noun's first sense; -1 where that is nothing to be seen."""
    return dict(_table().senses.get(noun, ())).get(1, -1)


@lru_cache(maxsize=8192)
def ancestors(noun: str) -> tuple[str, ...]:
    """What a noun is by its first sense, nearest first: ``armchair``: chair, seat, furniture."""
    table, synset, found = _table(), _synset(noun), list[str]()
    for _ in range(_MOST_STEPS):
        synset = table.synsets[synset][1] if synset >= 0 else -1
        if synset < 0:
            break
        found += table.synsets[synset][2]
    return tuple(found)


@lru_cache(maxsize=65536)
def akin(first: str, second: str) -> bool:
    """Whether two nouns can name the same thing: synonyms, or one is a kind of the other.

    Synonyms are those of any sense; what a noun is a kind of goes by its first.
    """
    if first == second or first in ancestors(second) or second in ancestors(first):
        return True
    senses = _table().senses
    return not {synset for _, synset in senses.get(first, ())}.isdisjoint(
        synset for _, synset in senses.get(second, ())
    )
