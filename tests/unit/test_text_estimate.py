"""Counting text: estimates lie above what real tokenizers make of it; the vocabulary is found."""

from __future__ import annotations

import json
import random
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.errors import ConfigEngineError
from promptlift.tokens import estimate_text_tokens
from promptlift.tokens.tekken import TEKKEN, load_counter

CORPUS = Path(__file__).parents[1] / "corpus" / "token_counts.jsonl"
COUNTED = [json.loads(line) for line in CORPUS.read_text().splitlines()]


@pytest.mark.parametrize("entry", COUNTED, ids=lambda entry: entry["language"])
def test_prose_in_any_language_costs_no_more(entry: dict[str, object]) -> None:
    """The same paragraph in 25 languages, by Qwen's, Llama 3's and Gemma 3's own tokenizers."""
    text, counts = entry["text"], entry["tokens"]
    assert isinstance(text, str)
    assert isinstance(counts, dict)
    estimated = estimate_text_tokens(text)
    assert all(estimated >= counts[name] for name in ("qwen2.5", "llama3", "gemma3"))
    assert estimated >= load_counter()(text)


def test_english_is_not_taken_for_much_more() -> None:
    """For English prose the estimate stays below three times the truth."""
    english = next(entry for entry in COUNTED if entry["language"] == "en")
    assert estimate_text_tokens(english["text"]) < 3 * english["tokens"]["qwen2.5"]


@pytest.mark.parametrize(
    "alphabet", [string.ascii_lowercase, string.ascii_uppercase, string.ascii_letters]
)
def test_words_that_are_no_words_cost_no_more(alphabet: str) -> None:
    """Random letters, of which vocabularies make least, are still below."""
    chance = random.Random(3)
    count = load_counter()
    for length in (3, 5, 8, 13, 40):
        words = ("".join(chance.choices(alphabet, k=length)) for _ in range(200))
        text = " ".join(words)
        assert estimate_text_tokens(text) >= count(text)


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=80))
def test_any_text_but_letters_is_bounded_by_its_bytes(text: str) -> None:
    """Marks, digits, white space and other scripts cost a byte each, which nothing exceeds."""
    other = "".join(c for c in text if c not in string.ascii_letters)
    assert load_counter()(other) <= estimate_text_tokens(other)
    assert 1 <= estimate_text_tokens(text) <= 1 + 4 * max(len(text), 1) * 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where mistral-common's data is looked for: a folder without any."""
    (tmp_path / "mistral_common" / "data").mkdir(parents=True)
    (tmp_path / "mistral_common" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mistral_common", raising=False)
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "cache"))
    load_counter.cache_clear()
    yield tmp_path / "mistral_common" / "data"
    load_counter.cache_clear()


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"config": {}}'])
def test_a_missing_or_damaged_vocabulary_is_named(folder: Path, content: bytes | None) -> None:
    """Without mistral-common's file the error says so and how to get it."""
    if content is not None:
        (folder / TEKKEN).write_bytes(content)
    with pytest.raises(ConfigEngineError, match=rf"{TEKKEN} is (not installed|damaged).*pip"):
        load_counter()


@pytest.mark.parametrize("place", [0, -1])
def test_a_damaged_copy_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """The vocabulary's copy in the user's cache is checked each time it is read."""
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path))
    load_counter.cache_clear()
    assert load_counter()("Test prompt") == 2
    copy = tmp_path / "tekken.bin"
    good = copy.read_bytes()
    bad = bytearray(good)
    bad[place] ^= 0x40
    copy.write_bytes(bad)
    load_counter.cache_clear()
    assert load_counter()("Test prompt") == 2
    assert copy.read_bytes() == good
    load_counter.cache_clear()
