"""What every engine must do, whatever answers behind it.

To put an engine under test, add one line to `ENGINES`: its name and a `Subject` with a function
that makes a fresh one. The function may call `pytest.skip` where the engine needs something that
is not there, such as a server. What a `Subject` does not promise is not asked of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest

from promptlift.engines import (
    Completion,
    EmbeddedEngine,
    EngineInfo,
    FollowUp,
    LlamaCppEngine,
    LlamaCppSettings,
    OpenAIEngine,
    OpenAISettings,
    Request,
    StreamsText,
)
from promptlift.errors import EngineError, ItemEngineError, PromptError, PromptliftError
from promptlift.facts import Camera, Confident, Facts, Light, Palette
from promptlift.testing import FakeEngine
from promptlift.types import Frame, Sampling
from stubs.gguf_models import pair
from stubs.openai_server import STYLES
from stubs.running import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from promptlift.engines import Engine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine under test.

    Attributes:
        make: Makes a fresh engine.
        deterministic: The same request with the same seed gives the same answer.
        echoes: The answer holds the short prompt word for word.
    """

    make: Callable[[], Engine]
    deterministic: bool = False
    echoes: bool = False


def _echo(request: Request) -> str:
    return f"{request.short_prompt}. Seen from a fixed camera, everything happens in one take."


def _over(style: str) -> Callable[[], Engine]:
    """An engine for a stub server that answers over HTTP as that kind of server does."""
    return lambda: OpenAIEngine(OpenAISettings(base_url=running(style).base_url))


def _llamacpp() -> Engine:
    """An engine with a GGUF model of a megabyte, in this process."""
    pytest.importorskip("xllamacpp", exc_type=ImportError)
    made = pair()
    return LlamaCppEngine(LlamaCppSettings(model=made.model, mmproj=made.mmproj, threads=1))


ENGINES = {
    "embedded": Subject(EmbeddedEngine, deterministic=True, echoes=True),
    "fake": Subject(lambda: FakeEngine(_echo), deterministic=True, echoes=True),
    "fake, scripted": Subject(FakeEngine, deterministic=True),
    **{
        f"openai, over {style}": Subject(_over(style), deterministic=True, echoes=True)
        for style in STYLES
    },
    "llamacpp, a tiny model": Subject(_llamacpp, deterministic=True),
}

FACTS = Facts(
    kind=Confident(value="rgb", confidence=0.9),
    camera=Confident(value=Camera(moves=("static",)), confidence=0.9),
    light=Confident(value=Light(exposure="medium", contrast="high"), confidence=0.9),
    palette=Confident(value=Palette(dominant=("grey",), accents=("dark red",)), confidence=0.9),
)


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each engine in turn."""
    found: Subject = request.param
    return found


def frame(width: int = 64, height: int = 48, time: int = 0) -> Frame:
    """A frame with a gradient, so that it is not one colour."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    return Frame(Fraction(time), image, wanted=Fraction(time))


def request_for(prompt: str = "a robot arm hands over a cup", **changes: Any) -> Request:
    """A request such as the pipeline makes."""
    made = Request(
        text=f"Describe these frames in one paragraph, keeping to: {prompt}",
        frames=(frame(), frame(time=1)),
        short_prompt=prompt,
        facts=FACTS,
        key="0123456789abcdef",
    )
    return replace(made, **changes)


def with_engine(subject: Subject, use: Callable[[Engine], Awaitable[T]]) -> T:
    """Make an engine, use it in an event loop of its own, and close it."""

    async def session() -> T:
        engine = subject.make()
        try:
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(session())


def answer(subject: Subject, *requests: Request) -> list[Completion]:
    """One engine's answers to requests, one after the other."""

    async def use(engine: Engine) -> list[Completion]:
        return [await engine.complete(one) for one in requests]

    return with_engine(subject, use)


def test_it_answers_and_says_who_it_is(subject: Subject) -> None:
    """A text that it ended by itself, possible counts, and the same account before and after."""

    async def use(engine: Engine) -> tuple[EngineInfo, Completion, EngineInfo]:
        before, completion = await engine.describe(), await engine.complete(request_for())
        return before, completion, await engine.describe()

    before, completion, after = with_engine(subject, use)
    assert before == after
    assert before.name
    assert before.model
    assert before.version
    assert before.max_images >= 1
    assert before.context is None or before.context > 0
    assert completion.text.strip()
    assert completion.finish_reason == "stop"
    assert completion.prompt_tokens is None or completion.prompt_tokens > 0
    assert completion.completion_tokens is None or completion.completion_tokens > 0


def test_a_streamed_answer_is_the_whole_one(subject: Subject) -> None:
    """Where an engine streams, the pieces make up the text, and nothing else differs."""
    pieces: list[str] = []

    async def use(engine: Engine) -> tuple[Completion, Completion]:
        if not isinstance(engine, StreamsText):
            pytest.skip("this engine gives whole answers")
        return await engine.stream(request_for(), pieces.append), await engine.complete(
            request_for()
        )

    streamed, whole = with_engine(subject, use)
    assert "".join(pieces) == streamed.text
    assert not subject.deterministic or streamed == whole


def test_the_same_request_gives_the_same_answer(subject: Subject) -> None:
    """Where an engine is deterministic, two fresh ones and one used twice agree."""
    if not subject.deterministic:
        pytest.skip("this engine does not promise the same answer twice")
    first, again = answer(subject, request_for(), request_for())
    (fresh,) = answer(subject, request_for())
    assert first == again == fresh


@pytest.mark.parametrize("size", [(16, 16), (320, 180), (1025, 33)], ids=str)
def test_images_of_any_size_are_accepted(subject: Subject, size: tuple[int, int]) -> None:
    """Small, wide, tall and odd sizes are all answered."""
    (completion,) = answer(subject, request_for(frames=(frame(*size),)))
    assert completion.text.strip()


def test_what_is_said_to_an_answer_is_accepted(subject: Subject) -> None:
    """A request goes on from an earlier answer."""
    (completion,) = answer(subject, request_for(follow_ups=(FollowUp("No.", "Write it again."),)))
    assert completion.text.strip()


def test_no_image_is_accepted(subject: Subject) -> None:
    """A request of text alone is answered."""
    (completion,) = answer(subject, request_for(frames=()))
    assert completion.text.strip()


def test_too_many_images_are_refused(subject: Subject) -> None:
    """One image more than the engine takes is the item's fault, and said so."""

    async def use(engine: Engine) -> None:
        info = await engine.describe()
        if info.max_images > 256:
            pytest.skip("this engine has no limit in practice")
        frames = tuple(frame(16, 16, time) for time in range(info.max_images + 1))
        with pytest.raises(ItemEngineError) as caught:
            await engine.complete(request_for(frames=frames))
        assert caught.value.remedy

    with_engine(subject, use)


def test_a_prompt_over_the_context_is_refused(subject: Subject) -> None:
    """A prompt that cannot fit the context is the item's fault, and never cut in silence."""

    async def use(engine: Engine) -> None:
        info = await engine.describe()
        if info.context is None:
            pytest.skip("this engine has no context to fill")
        with pytest.raises(ItemEngineError):
            await engine.complete(request_for(text="cup " * (info.context + 1)))

    with_engine(subject, use)


def test_twenty_at_once(subject: Subject) -> None:
    """Requests that are under way together each get their own answer."""
    prompts = [f"robot number {number} lifts a cup" for number in range(20)]

    async def use(engine: Engine) -> list[Completion]:
        return await asyncio.gather(*(engine.complete(request_for(one)) for one in prompts))

    completions = with_engine(subject, use)
    assert len(completions) == len(prompts)
    for prompt, completion in zip(prompts, completions, strict=True):
        assert completion.text.strip()
        assert not subject.echoes or prompt.lower() in completion.text.lower()


def test_closing_twice_is_safe(subject: Subject) -> None:
    """A second close does nothing, also where the engine was never used."""

    async def session() -> None:
        engine = subject.make()
        await engine.close()
        await engine.close()

    asyncio.run(session())


@pytest.mark.parametrize(
    "prompt",
    [
        "ロボットアームがコーヒーを渡す",
        "ذراع روبوت تقدم كوب قهوة",
        "a robot 🤖 serves a “crème brûlée” — naïvely",
        "👩\u200d🍳 e\u0301tude in 𝒮cript",
    ],
)
def test_unicode_survives(subject: Subject, prompt: str) -> None:
    """Any script goes through, and comes back case aside, where the engine echoes."""
    (completion,) = answer(subject, request_for(prompt))
    completion.text.encode()
    assert "\ufffd" not in completion.text
    assert not subject.echoes or prompt.lower() in completion.text.lower()


def test_max_tokens_is_kept(subject: Subject) -> None:
    """An engine that counts its answer keeps to the limit, and says when it was cut."""
    short = request_for(sampling=Sampling(max_tokens=8))
    (completion,) = answer(subject, short)
    if completion.completion_tokens is None:
        pytest.skip("this engine counts no tokens")
    assert completion.completion_tokens <= 8
    assert completion.finish_reason == "length"


def test_a_refusal_says_what_to_do(subject: Subject) -> None:
    """An empty request is answered, or refused with an error of the tree that has a remedy."""
    empty = request_for("", text="", frames=(), facts=None)

    async def use(engine: Engine) -> Completion | PromptliftError:
        try:
            return await engine.complete(empty)
        except (EngineError, PromptError) as error:
            return error

    outcome = with_engine(subject, use)
    assert (
        outcome.remedy if isinstance(outcome, PromptliftError) else outcome.finish_reason == "stop"
    )
