"""Counting from the sorted table, against the encoder that is built from the whole of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from promptlift.tokenizers import tekken
from promptlift.tokenizers.bpe import Table, ascii_counter

WORDS = [
    "A",
    "robot",
    "arm's",
    "gripper",
    "hands",
    "over",
    "12",
    "cups,",
    "(softly-lit)",
    "kitchenware/unboxing;",
    "HDRI",
]
CHARACTERS = [chr(code) for code in range(128)]
SMALL = Table.of(
    r"\p{N}|.", [b"a", b"b", b"c", b"ab", b"bc", b"abc", b"aa", b"aaaa", b"\xff", b"\xff\x00"]
)


@pytest.fixture(scope="module")
def table() -> Table:
    """The real vocabulary."""
    return tekken._vocabulary()


@pytest.fixture(scope="module")
def count(table: Table) -> Callable[[str], int | None]:
    """The counter under test."""
    counter = ascii_counter(table)
    assert counter is not None
    return counter


@pytest.fixture(scope="module")
def encoded(table: Table) -> Callable[[str], int]:
    """The number of tokens that tiktoken makes of a text."""
    encoder = tekken._encoder(table)
    return lambda text: len(encoder.encode_ordinary(text))


def texts(seed: int) -> Iterator[str]:
    """Sentences, noise, and noise of the characters at which words are cut."""
    rng = random.Random(seed)
    for _ in range(400):
        yield " ".join(rng.choices(WORDS, k=rng.randint(0, 40)))
        yield "".join(rng.choices(CHARACTERS, k=rng.randint(0, 60)))
        yield "".join(rng.choices("abcXYZ 019.,'\n\r\t/-_\x0b\x1c", k=rng.randint(0, 80)))
        yield "".join(rng.choices("etaoinshrdlu", k=rng.randint(0, 64)))


@pytest.mark.parametrize("seed", range(4))
def test_ascii_texts_have_as_many_tokens_as_the_encoder_makes(
    seed: int, count: Callable[[str], int | None], encoded: Callable[[str], int]
) -> None:
    """Sentences, codes and noise are counted, and to the token."""
    counted = 0
    for text in texts(seed):
        tokens = count(text)
        assert tokens is None or tokens == encoded(text), repr(text)
        counted += tokens is not None
    assert counted > 1500


@pytest.mark.parametrize("text", ["café", "咖啡", "“quoted”", "\ud800", "x" * 65, "-" * 1000])
def test_other_texts_are_left_to_the_encoder(
    text: str, count: Callable[[str], int | None], encoded: Callable[[str], int]
) -> None:
    """What is not ASCII, or one very long word, is not guessed at; the whole counter counts it."""
    assert count(text) is None
    assert tekken.load_counter()(text) == encoded(text)


def test_a_long_text_of_short_words_is_counted(
    count: Callable[[str], int | None], encoded: Callable[[str], int]
) -> None:
    """Only the words must be short."""
    text = "The arm turns, slowly. " * 500
    assert count(text) == encoded(text)


def test_a_vocabulary_that_cuts_words_otherwise_has_no_counter() -> None:
    """The shortcut is for one pattern, and says so for another."""
    assert ascii_counter(SMALL) is None


def test_the_table_knows_the_rank_of_each_token_and_of_nothing_else() -> None:
    """Tokens are found by their bytes, whatever their order was."""
    assert [SMALL.rank(token) for token in (b"a", b"abc", b"\xff\x00", b"aaaa")] == [0, 5, 9, 7]
    assert [SMALL.rank(token) for token in (b"", b"aaa", b"ca", b"\xff\x01", b"\x00")] == [None] * 5
    assert SMALL.tokens()[b"bc"] == 4
    assert len(SMALL.tokens()) == 10


def test_a_table_is_the_same_after_packing() -> None:
    """The copy on disk gives the table back; cut or of another version, nothing."""
    packed = tekken._pack(SMALL, b"stamp")
    assert tekken._unpack(packed, b"stamp") == SMALL
    assert tekken._unpack(packed, b"other") is None
    assert tekken._unpack(packed[:-1], b"stamp") is None


def test_pairs_are_merged_by_rank_and_from_the_left(count: Callable[[str], int | None]) -> None:
    """Without a pair to merge each byte is a token."""
    known = replace(SMALL, pattern=tekken._vocabulary().pattern)
    counter = ascii_counter(known)
    assert counter is not None
    assert counter("abc") == 1
    assert counter("aaa") == 2
    assert counter("abab") == 2
    assert counter("cab") == 2
    assert counter("cba") == 3
    assert counter("") == count("") == 0
