"""The embedded engine: the composer behind the port."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import promptlift
from promptlift.core.compose import MIN_WORDS, REVISION
from promptlift.core.compose.grammar import count_words, user_sentences
from promptlift.core.facts import Facts
from promptlift.core.sampling import Sampling
from promptlift.engines.base import Completion, Request
from promptlift.engines.embedded import NO_MODEL_NOTICE, EmbeddedEngine
from promptlift.errors import ItemEngineError
from wording.cases import OFFICE, facts

REQUEST = Request(text="unread", frames=(), short_prompt=OFFICE, facts=facts(), key="k")


def complete(request: Request) -> Completion:
    """One answer of a fresh engine."""
    return asyncio.run(EmbeddedEngine().complete(request))


def test_it_says_what_it_is() -> None:
    """Its revision is the phrase book's, its version promptlift's, and it has no token limits."""
    info = asyncio.run(EmbeddedEngine().describe())
    assert (info.name, info.model, info.revision) == ("embedded", "composer", REVISION)
    assert info.version == promptlift.__version__
    assert info.context is None
    assert info.family is None
    assert info.max_images >= 10_000


def test_it_answers_from_prompt_and_facts() -> None:
    """The user's sentence comes first, what was measured follows, and the reason is "stop"."""
    completion = complete(REQUEST)
    assert completion.text.startswith(user_sentences(OFFICE) + " ")
    assert count_words(completion.text) >= MIN_WORDS
    assert completion.finish_reason == "stop"
    assert completion.prompt_tokens is None
    assert completion.completion_tokens is None


def test_the_template_is_not_read() -> None:
    """What was written for a model changes nothing."""
    assert complete(replace(REQUEST, text="other", system="other")) == complete(REQUEST)


def test_key_and_seed_settle_the_wording() -> None:
    """Other keys and other seeds give other wordings; a retry with a new seed is thus no repeat."""
    by_key = {complete(replace(REQUEST, key=f"key {n}")).text for n in range(8)}
    by_seed = {complete(replace(REQUEST, sampling=Sampling(seed=n))).text for n in range(8)}
    assert len(by_key) >= 6
    assert len(by_seed) >= 6


def test_without_a_key_the_words_settle_the_wording() -> None:
    """A request without a key is answered the same every time."""
    keyless = replace(REQUEST, key="")
    assert complete(keyless) == complete(keyless)


def test_max_tokens_limits_what_is_added() -> None:
    """A small limit leaves the user's words alone; a middling one leaves room for some."""
    texts = [complete(replace(REQUEST, sampling=Sampling(max_tokens=n))).text for n in (1, 70, 300)]
    assert texts[0] == user_sentences(OFFICE)
    lengths = [count_words(text) for text in texts]
    assert lengths[0] < lengths[1] <= 70 / 1.5 < lengths[2]


@pytest.mark.parametrize("measured", [None, Facts()])
def test_nothing_said_and_nothing_measured_is_refused(measured: Facts | None) -> None:
    """There is nothing to compose from, and the error says what to do."""
    with pytest.raises(ItemEngineError, match="nothing to compose from") as caught:
        complete(replace(REQUEST, short_prompt=" ", facts=measured))
    assert "promptlift doctor" in caught.value.remedy


def test_words_alone_are_answered() -> None:
    """Without facts the user's sentence is the answer."""
    assert complete(replace(REQUEST, facts=None)).text == user_sentences(OFFICE)


def test_the_notice_names_the_way_out() -> None:
    """What is told once on stderr says what is missing and where to look."""
    assert NO_MODEL_NOTICE.startswith("no vision-language model is set up: ")
    assert NO_MODEL_NOTICE.endswith("see `promptlift doctor`")
