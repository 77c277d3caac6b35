"""The context is never overflowed: what the engine counts or refuses is learnt from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from promptlift.engines import Completion, EngineInfo, Request
from promptlift.errors import ConfigEngineError, EngineError, ItemEngineError, TransientEngineError
from promptlift.options import Options
from promptlift.pipeline import Outcome, upsample_item
from promptlift.testing import FakeEngine, synthetic_video
from promptlift.tokens import PIXTRAL, counter_for

PROMPT = "a red balloon drifts over the hills at sunset"
GOOD = (
    "A red balloon drifts over the hills at sunset. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right. The camera pans gently."
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a balloon at sunset, 1280x720."""
    path = tmp_path_factory.mktemp("clips") / "balloon.mp4"
    synthetic_video(path, seconds=0.5, size=(1280, 720), fps=8)
    return path


def true_tokens(request: Request, factor: float = 1.0) -> int:
    """What a request takes where each image takes so many times what Pixtral takes."""
    images = sum(PIXTRAL.image(frame.size) for frame in request.frames)
    chat = PIXTRAL.chat(request.system, request.text, len(request.frames), counter_for(PIXTRAL))
    return int(images * factor) + chat


class Dear(FakeEngine):
    """A server whose images take more than the formula says; it can count, or only refuse."""

    def __init__(self, factor: float) -> None:
        super().__init__([GOOD], context=None)
        self.factor = factor
        self.sent: list[int] = []

    async def describe(self) -> EngineInfo:
        """A Pixtral with the usual context."""
        return EngineInfo("dear", "pixtral-12b", "1", "1", 4096, "pixtral", 16)

    async def complete(self, request: Request) -> Completion:
        """Answer what fits, and refuse the rest as a server does."""
        tokens = true_tokens(request, self.factor)
        self.sent.append(tokens)
        if tokens + request.sampling.max_tokens > 4096:
            raise ItemEngineError(f"{tokens} tokens are too many", remedy="send less")
        return Completion(GOOD, "stop", tokens, 60)


class Counting(Dear):
    """The same with a way to count."""

    def __init__(self, factor: float) -> None:
        super().__init__(factor)
        self.counts = 0

    async def count(self, request: Request) -> int | None:
        """The true number."""
        self.counts += 1
        return true_tokens(request, self.factor)


def do(clip: Path, engine: FakeEngine, **options: object) -> Outcome:
    """Run one item to its end."""
    made = Options(**{"template": "verbatim/1", **options})
    return asyncio.run(upsample_item(clip, PROMPT, engine, made))


def test_a_count_above_the_prediction_shrinks_the_frames(clip: Path) -> None:
    """The engine counts a fifth more: the frames are planned smaller before anything is sent."""
    engine = Counting(1.2)
    record = do(clip, engine).record
    assert record.status == "ok"
    assert record.plan is not None
    assert record.plan.shrinks == 1
    assert len(engine.sent) == 1
    assert engine.sent[0] + 300 <= 4096
    assert record.tokens.counted == record.tokens.actual == engine.sent[0]
    assert record.tokens.predicted is not None
    assert record.tokens.predicted < engine.sent[0]


def test_a_shape_is_counted_once(clip: Path) -> None:
    """Three items of one shape cost one count, whatever their seeds; another shape one more."""
    engine = Counting(1.0)
    for seed in range(3):
        do(clip, engine, seed=seed)
    assert engine.counts == 1
    do(clip, engine, frames=1)
    assert engine.counts == 2


def test_a_refusal_without_a_count_is_tried_smaller(clip: Path) -> None:
    """A server that cannot count refuses the first prompt; a smaller one goes through."""
    engine = Dear(1.2)
    record = do(clip, engine).record
    assert record.status == "ok"
    assert record.plan is not None
    assert record.plan.shrinks == len(engine.sent) - 1 == 1
    assert engine.sent == sorted(engine.sent, reverse=True)


def test_a_hopeless_item_is_given_up_after_two_shrinks(clip: Path) -> None:
    """Three refusals end the item, with the engine's own error and a record."""
    engine = Dear(9.0)
    outcome = do(clip, engine)
    assert isinstance(outcome.error, ItemEngineError)
    assert len(engine.sent) == 3
    assert outcome.record.plan is not None
    assert outcome.record.plan.shrinks == 2


@pytest.mark.parametrize("answer", [None, TransientEngineError("busy", remedy="wait")])
def test_a_count_that_cannot_be_had_is_done_without(clip: Path, answer: EngineError | None) -> None:
    """A server that says it cannot count, or fails to, is asked for the answer all the same."""

    class Silent(Counting):
        async def count(self, request: Request) -> int | None:
            if answer is not None:
                raise answer
            return None

    record = do(clip, Silent(1.0)).record
    assert record.status == "ok"
    assert record.tokens.counted is None


def test_a_cut_answer_gets_the_room_that_is_left(clip: Path) -> None:
    """After a cut answer the next attempt may take what the context has left, up to twice."""

    class Cut(Counting):
        async def complete(self, request: Request) -> Completion:
            self.requests.append(request)
            if request.sampling.max_tokens < 400:
                return Completion(GOOD[:80], "length", 100, 300)
            return Completion(GOOD, "stop", 100, 350)

    engine = Cut(1.0)
    record = do(clip, engine, max_side=512).record
    assert record.status == "ok"
    assert [r.sampling.max_tokens for r in engine.requests] == [300, 600]


class Stranger(FakeEngine):
    """A model of a family that nobody knows; it tells what it counts with each answer."""

    def __init__(self, *, tells: bool = True) -> None:
        super().__init__([GOOD], context=4096, family="unknown")
        self.tells = tells

    async def complete(self, request: Request) -> Completion:
        """Answer, with an image for a token a square of 20 pixels and 7 besides."""
        self.requests.append(request)
        tokens = sum(7 + -(-f.size.width // 20) * -(-f.size.height // 20) for f in request.frames)
        tokens += 4 + len(request.text.split())
        return Completion(GOOD, "stop", tokens if self.tells else None)


def test_an_unknown_model_is_measured_once(clip: Path) -> None:
    """A few tiny requests teach what its images take; the plan is then safe, and not wasteful."""
    engine = Stranger()
    record = do(clip, engine).record
    assert record.status == "ok"
    assert record.tokens.predicted is not None
    assert record.tokens.actual is not None
    assert record.tokens.actual <= record.tokens.predicted
    assert record.tokens.actual > 0.4 * (4096 - 300)
    asked = len(engine.requests)
    do(clip, engine, seed=1)
    assert len(engine.requests) == asked + 1


def test_an_unknown_model_that_does_not_tell_is_named(clip: Path) -> None:
    """Without a family and without counts there is no plan, and the error says what to give."""
    outcome = do(clip, Stranger(tells=False))
    assert isinstance(outcome.error, ConfigEngineError)
    assert "--family" in str(outcome.error)
