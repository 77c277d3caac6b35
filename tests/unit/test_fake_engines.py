"""The shipped fakes: what tests of other parts rely on them to do."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from promptlift.core.sampling import Sampling
from promptlift.core.video import Frame
from promptlift.engines.base import Completion, Request
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from promptlift.testing import Delay, FakeEngine, FaultyEngine

if TYPE_CHECKING:
    from promptlift.engines.base import Engine


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


def test_replies_come_in_order_and_the_last_stays() -> None:
    """A script of two replies answers a third call with the second."""
    engine = FakeEngine(["One.", "Two."])
    texts = [completion.text for completion in ask(engine, request(), request(), request())]
    assert texts == ["One.", "Two.", "Two."]


def test_a_function_answers_from_the_request() -> None:
    """A reply may depend on what was asked."""
    engine = FakeEngine(lambda asked: asked.text.upper())
    assert ask(engine, request("a cup"))[0].text == "A CUP"


def test_a_whole_completion_is_given_as_it_is() -> None:
    """A scripted completion is neither cut nor counted again."""
    scripted = Completion("Half a sen", "length", 4000, 96)
    assert ask(FakeEngine([scripted]), request(max_tokens=1)) == [scripted]


def test_requests_are_kept() -> None:
    """Every request is there to be looked at, refused ones included."""
    engine = FakeEngine(max_images=1)
    first, refused = request("one"), request("two", images=2)
    ask(engine, first)
    with pytest.raises(ItemEngineError):
        ask(engine, refused)
    assert engine.requests == [first, refused]


def test_text_and_images_are_counted_with_the_given_functions() -> None:
    """The prompt's tokens are those of the text and of each picture."""
    engine = FakeEngine(["ab"], count_text=len, count_image=lambda size: size.width)
    (completion,) = ask(engine, request("12345", images=2))
    assert (completion.prompt_tokens, completion.completion_tokens) == (5 + 2 * 32, 2)


def test_an_answer_over_max_tokens_is_cut() -> None:
    """What is over the limit is cut at a word, and the finish reason says so."""
    (completion,) = ask(FakeEngine(["one two three four"]), request(max_tokens=2))
    assert completion.text == "one two"
    assert completion.finish_reason == "length"
    assert completion.completion_tokens == 2


def test_the_context_is_kept() -> None:
    """Prompt and answer together may fill the context, and not one token more."""
    engine = FakeEngine(["Fine."], context=12)
    assert ask(engine, request("one two", max_tokens=10))
    with pytest.raises(ItemEngineError, match="12"):
        ask(engine, request("one two three", max_tokens=10))


def test_close_is_remembered() -> None:
    """A test can see that the engine was closed, through the faulty one too."""
    inner = FakeEngine()
    assert not inner.closed
    asyncio.run(FaultyEngine(inner).close())
    assert inner.closed


@pytest.mark.parametrize("kind", [TransientEngineError, ItemEngineError, ConfigEngineError])
def test_a_scripted_error_is_raised_once(kind: type[EngineError]) -> None:
    """The call that has the error raises it and does not reach the engine; the next one does."""
    inner = FakeEngine(["Fine."])
    engine = FaultyEngine(inner, [kind("it broke", remedy="try again")])
    with pytest.raises(kind, match="it broke"):
        ask(engine, request())
    assert inner.requests == []
    assert ask(engine, request())[0].text == "Fine."


def test_answers_are_spoiled_on_cue() -> None:
    """Cut, empty and looping answers come in the order of the script, then sound ones."""
    engine = FaultyEngine(FakeEngine(["The arm lifts the cup."]), ["cut", "empty", "loop", None])
    cut, empty, loop, sound = ask(engine, *[request(max_tokens=40)] * 4)
    assert (cut.text, cut.finish_reason) == ("The arm", "length")
    assert empty.text == ""
    assert loop.text == " ".join(["The arm lifts the"] * 10)
    assert (sound.text, sound.finish_reason) == ("The arm lifts the cup.", "stop")


def test_a_delay_lets_others_overtake() -> None:
    """A delayed answer is right, and comes after one that was asked for later."""
    done: list[str] = []

    def fault(asked: Request) -> Delay | None:
        return Delay(0.05) if asked.text == "slow" else None

    async def session() -> None:
        engine = FaultyEngine(FakeEngine(lambda asked: asked.text), fault)

        async def one(text: str) -> None:
            done.append((await engine.complete(request(text))).text)

        await asyncio.gather(one("slow"), one("quick"))

    asyncio.run(session())
    assert done == ["quick", "slow"]
