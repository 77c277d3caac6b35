"""The embedded engine: the composer behind the port."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from promptlift.engines.base import Completion, Request
from promptlift.engines.no_model import (
    MIN_WORDS,
    EmbeddedEngine,
    _count_words,
    user_sentences,
)
from promptlift.errors import ItemEngineError
from promptlift.facts import Facts
from promptlift.types import Sampling
from wording.cases import OFFICE, facts

REQUEST = Request(text="unread", frames=(), short_prompt=OFFICE, facts=facts(), key="k")


def complete(request: Request) -> Completion:
    """One answer of a fresh engine."""
    return asyncio.run(EmbeddedEngine().complete(request))


def test_it_answers_from_prompt_and_facts() -> None:
    """The user's sentence comes first, what was measured follows, and the reason is "stop"."""
    completion = complete(REQUEST)
    assert completion.text.startswith(user_sentences(OFFICE) + " ")
    assert _count_words(completion.text) >= MIN_WORDS
    assert completion.finish_reason == "stop"
    assert completion.prompt_tokens is None
    assert completion.completion_tokens is None


def test_key_and_seed_settle_the_wording() -> None:
    """Other keys and other seeds give other wordings; a retry with a new seed is thus no repeat."""
    by_key = {complete(replace(REQUEST, key=f"key {n}")).text for n in range(8)}
    by_seed = {complete(replace(REQUEST, sampling=Sampling(seed=n))).text for n in range(8)}
    assert len(by_key) >= 6
    assert len(by_seed) >= 6


def test_max_tokens_limits_what_is_added() -> None:
    """A small limit leaves the user's words alone; a middling one leaves room for some."""
    texts = [complete(replace(REQUEST, sampling=Sampling(max_tokens=n))).text for n in (1, 70, 300)]
    assert texts[0] == user_sentences(OFFICE)
    lengths = [_count_words(text) for text in texts]
    assert lengths[0] < lengths[1] <= 70 / 1.5 < lengths[2]


@pytest.mark.parametrize("measured", [None, Facts()])
def test_nothing_said_and_nothing_measured_is_refused(measured: Facts | None) -> None:
    """There is nothing to compose from, and the error says what to do."""
    with pytest.raises(ItemEngineError, match="nothing to compose from") as caught:
        complete(replace(REQUEST, short_prompt=" ", facts=measured))
    assert "promptlift doctor" in caught.value.remedy
