"""The generators that prompts are written for, their limits, and the estimate of a length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptlift.errors import OptionError
from promptlift.targets import TARGETS, estimate_tokens, target
from promptlift.tokens.text import estimate

_CORPUS = Path(__file__).parents[1] / "corpus"


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_CORPUS / name).read_text("utf-8").splitlines()]


def _counted(name: str) -> list[Any]:
    """Those that the encoders' own tokenizers have counted."""
    return [case for case in _lines(name) if "tokens" in case]


def test_every_target_says_where_its_limit_comes_from_and_advises_what_fits() -> None:
    """A source names a file and a line, and the longest prompt advised is within the limit."""
    assert len(TARGETS) == 11
    for name, item in TARGETS.items():
        assert item.name == name
        assert ":" in item.source
        assert 0 < item.min_words < item.max_words
        # English takes 1.3 tokens a word in these encoders.
        assert item.max_words * 1.3 <= item.limit


@pytest.mark.parametrize("name", ["Cosmos-Transfer1", "cosmos_transfer1", " cosmos transfer1 "])
def test_case_blanks_and_underscores_do_not_matter(name: str) -> None:
    """A target is found however its name is typed."""
    assert target(name).name == "cosmos-transfer1"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("cosmos-tranfer1", "cosmos-transfer1"), ("hunyuanvideo", "hunyuan-video"), ("ltx2", "ltx-2")],
)
def test_a_misspelt_name_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    """The error quotes what was typed and asks whether the nearest name was meant."""
    with pytest.raises(OptionError) as caught:
        target(typed)
    assert repr(typed) in caught.value.message
    assert caught.value.remedy == f"did you mean {meant!r}"


@pytest.mark.parametrize("encoder", ["t5", "qwen2.5", "llama3", "gemma3"])
def test_the_estimate_is_never_below_the_truth_on_prose(encoder: str) -> None:
    """On paragraphs in 25 languages and on every good answer, the real tokenizers count less.

    The true counts in the corpus were made once with the encoders' own tokenizers.
    """
    for case in _counted("token_counts.jsonl") + _counted("good.jsonl"):
        text = case.get("text") or case["answer"]
        assert estimate(text, encoder) >= case["tokens"][encoder], text[:60]


@pytest.mark.parametrize("encoder", ["t5", "qwen2.5", "llama3", "gemma3"])
def test_the_estimate_of_english_is_not_far_above_the_truth(encoder: str) -> None:
    """English prompts are not rejected for an estimate that is half as long again."""
    for case in _counted("good.jsonl"):
        if case["answer"].isascii():
            assert estimate(case["answer"], encoder) <= 1.5 * case["tokens"][encoder] + 1


def test_a_prompt_of_the_advised_length_passes_by_estimate() -> None:
    """For every target, English of the most words advised is estimated within the limit."""
    words = " ".join(case["answer"] for case in _lines("good.jsonl") if case["answer"].isascii())
    for item in TARGETS.values():
        prompt = " ".join(words.split()[: item.max_words])
        assert estimate_tokens(prompt, item) <= item.limit, item.name
