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

from promptlift.language import word_set

__all__ = [
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

_MOST_SENSES = 2  # what a noun means in a later sense is seldom meant
_MOST_STEPS = 24  # the longest chain of hypernyms in WordNet has fewer


class _Table(NamedTuple):
    parts_of_speech: dict[str, str]
    synsets: list[tuple[str, int, list[str]]]  # kind, parent (-1 for none), names
    senses: dict[str, list[tuple[int, int]]]  # rank and synset, by lemma


@cache
def _table() -> _Table:
    packed = files("promptlift.review").joinpath("lexicon.txt.xz").read_bytes()
    text = lzma.decompress(packed).decode("ascii").replace(" ", "\t").replace("_", " ")
    lines = text.splitlines()
    parts_of_speech: dict[str, str] = {}
    for line in lines[:3]:
        parts_of_speech.update(dict.fromkeys(line[2:].split("\t"), line[0]))
    table = _Table(parts_of_speech, [], {})
    senses = table.senses
    for number, line in enumerate(lines[3:]):
        head, *names = line.split("\t")
        first = (1, number)
        for at, word in enumerate(names):
            sense = first
            if ":" in word:
                word, rank = word.split(":")
                names[at], sense = word, (int(rank), number)
            if word in senses:
                senses[word].append(sense)
            else:
                senses[word] = [sense]
        table.synsets.append((head[0], int(head[1:] or -1), names))
    return table


@lru_cache(maxsize=8192)
def lemma(word: str) -> str:
    """The dictionary form of an English word: ``man`` for "men", ``run`` for "running"."""
    import simplemma

    return str(simplemma.lemmatize(word.lower(), lang="en"))


@lru_cache(maxsize=8192)
def is_word(word: str) -> bool:
    """Whether a word in small letters is English, in any of its forms."""
    import simplemma

    return simplemma.is_known(word, lang="en") or bool(part_of_speech(lemma(word)))


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


@lru_cache(maxsize=16384)
def _synset(noun: str) -> int:
    """Line of a noun's first sense; -1 where that is nothing to be seen."""
    return dict(_table().senses.get(noun, ())).get(1, -1)


def visible_kind(noun: str) -> str:
    """The kind of the first sense of a noun that can be seen, as `noun_kind` names it."""
    senses = _table().senses.get(noun, ())
    if not senses:
        return ""
    rank, synset = min(senses)
    return _KINDS[_table().synsets[synset][0]] if rank <= _MOST_SENSES else ""


def is_thing(noun: str) -> bool:
    """Whether any sense of a lemma, or of two words, is something that can be seen."""
    return noun in _table().senses


@lru_cache(maxsize=16384)
def is_person(noun: str) -> bool:
    """Whether a lemma mostly names a person or people."""
    if " " in noun:
        return is_person(noun.rsplit(" ", 1)[1])
    if noun in _PEOPLE or noun in _SPIRITS or noun in _ALSO or noun_kind(noun) != "person":
        return noun in _PEOPLE
    # A toaster proposes toasts by its first sense, and a chameleon changes its mind: where the
    # second is a device or an animal, that is meant.
    second = dict(_table().senses[noun]).get(2, -1)
    return second < 0 or _table().synsets[second][0] not in "ta"


_SPIRITS = word_set(
    "creature spirit soul presence subject star focus hybrid prey viewer observer hob"
)
_PEOPLE = word_set("person people crowd audience couple man individual figure passersby")


@lru_cache(maxsize=16384)
def synonyms(noun: str) -> frozenset[str]:
    """Other names of what a noun means in its first sense that can be seen."""
    senses = _table().senses.get(noun, ())
    return frozenset(_table().synsets[min(senses)[1]][2]) if senses else frozenset()


@lru_cache(maxsize=16384)
def names_of(noun: str) -> frozenset[str]:
    """All names that a noun stands for: itself, synonyms of any sense, what it is a kind of."""
    table = _table()
    same = {name for _, line in table.senses.get(noun, ()) for name in table.synsets[line][2]}
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
    table, synset, found = _table(), _synset(noun), list[str]()
    if noun in _ALSO:
        found.append(_ALSO[noun])
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
