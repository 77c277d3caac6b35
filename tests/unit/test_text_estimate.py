"""The estimate of a text's tokens lies above what real tokenizers make of it."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.tokens import estimate_text_tokens
from promptlift.tokens.tekken import load_counter

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
