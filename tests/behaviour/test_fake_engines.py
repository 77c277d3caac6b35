"""The shipped fakes: what tests of other parts rely on them to do."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from promptlift.engines import Completion, Request
from promptlift.errors import ItemEngineError
from promptlift.testing import FakeEngine
from promptlift.types import Frame, Sampling

if TYPE_CHECKING:
    from promptlift.engines import Engine


def request(text: str = "Describe this.", *, max_tokens: int = 300, images: int = 0) -> Request:
    """A small request with blank pictures of 32x16."""
    image = np.zeros((16, 32, 3), np.uint8)
    frames = tuple(Frame(Fraction(n), image, wanted=Fraction(n)) for n in range(images))
    return Request(text=text, frames=frames, sampling=Sampling(max_tokens=max_tokens))


def ask(engine: Engine, *requests: Request) -> list[Completion]:
    """Answers one after the other."""

    async def session() -> list[Completion]:
        return [await engine.complete(one) for one in requests]

    return asyncio.run(session())


def test_replies_come_in_order_or_from_a_function() -> None:
    """A script's last reply stays; a completion is neither cut nor counted again."""
    scripted = Completion("Half a sen", "length", 4000, 96)
    engine = FakeEngine(["One.", scripted])
    one, two, three = ask(engine, *[request(max_tokens=1)] * 3)
    assert (one.text, two, three) == ("One.", scripted, scripted)
    assert ask(FakeEngine(lambda asked: asked.text.upper()), request("a cup"))[0].text == "A CUP"


def test_tokens_are_counted_and_limits_kept() -> None:
    """Prompt and answer may fill the context and no more; an answer is cut at a word."""
    counting = FakeEngine(["ab"], count_text=len, count_image=lambda size: size.width)
    (completion,) = ask(counting, request("12345", images=2))
    assert (completion.prompt_tokens, completion.completion_tokens) == (5 + 2 * 32, 2)
    (cut,) = ask(FakeEngine(["one two three four"]), request(max_tokens=2))
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("one two", "length", 2)
    small = FakeEngine(["Fine."], context=12)
    assert ask(small, request("one two", max_tokens=10))
    with pytest.raises(ItemEngineError, match="12"):
        ask(small, request("one two three", max_tokens=10))
