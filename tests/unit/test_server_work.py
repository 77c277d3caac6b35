"""One job after another: what is asked, what is answered from the journal, what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptlift.engines.base import Completion, Request
from promptlift.errors import (
    ConfigEngineError,
    ItemEngineError,
    PromptliftError,
    TransientEngineError,
)
from promptlift.pipeline.sights import Sights
from promptlift.server.events import Feed
from promptlift.server.lanes import Lanes
from promptlift.server.ledger import Ledger
from promptlift.server.metrics import Metrics
from promptlift.server.models import UpsampleAsked
from promptlift.server.paths import AllowedPaths, content_of
from promptlift.server.settings import Settings
from promptlift.server.uploads import Uploads
from promptlift.server.wishes import Done, Wish
from promptlift.server.work import Worker
from promptlift.testing import FakeEngine, FaultyEngine, synthetic_video

ANSWER = (
    "A cat crosses the lawn. The light is even and soft, the shadows are short, and the colours of "
    "the grass and of the sky stay as they are from the first moment to the last, while the wind "
    "moves the leaves a little."
)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip below the allowed folder."""
    (tmp_path / "clips").mkdir()
    return synthetic_video(tmp_path / "clips/c.mp4", seconds=0.3, size=(64, 48), motion="static")


def scene(folder: Path, engine: Any, play: Callable[[Worker], Any]) -> Any:
    """Play something with a worker whose journal is in a folder."""

    async def run() -> Any:
        ledger = Ledger(folder / "journal")
        settings = Settings(data=folder)

        async def inspect(path: Path) -> Any:
            raise AssertionError(path)

        async def content(path: Path) -> str:
            return content_of(path)

        worker = Worker(
            Lanes(Settings(data=folder, engine=engine)),
            Sights(),
            ledger=ledger,
            uploads=Uploads(folder / "uploads", settings, inspect),
            paths=AllowedPaths([folder / "clips"]),
            metrics=Metrics({}),
            content_of=content,
            seconds=60,
            log_prompts=False,
        )
        try:
            return await play(worker)
        finally:
            ledger.close()

    return asyncio.run(run())


def wish(prompt: str = "A cat crosses the lawn", **asked: Any) -> Wish:
    """A wish about the clip."""
    return Wish(UpsampleAsked(path="c.mp4", prompt=prompt, **asked), "", "c.mp4")


def test_the_same_is_asked_once_and_kept_over_a_restart(tmp_path: Path, clip: Path) -> None:
    """At once, one after the other, and by the next process; another seed is other work."""
    engine = FakeEngine([ANSWER])

    async def play(worker: Worker) -> list[Done]:
        both = await asyncio.gather(*(worker.do(wish(), Feed()) for _ in range(3)))
        return [*both, await worker.do(wish(), Feed())]

    first = scene(tmp_path, engine, play)
    assert [done.cached for done in first] == [False, True, True, True]
    again = scene(tmp_path, engine, play)
    assert all(done.cached for done in again)
    assert len(engine.requests) == 1
    assert {done.record.prompt for done in first + again} == {ANSWER}

    async def other(worker: Worker) -> Done:
        return await worker.do(wish(seed=7), Feed())

    assert not scene(tmp_path, engine, other).cached
    assert len(engine.requests) == 2


@pytest.mark.parametrize(
    ("error", "asked_again"),
    [
        (ItemEngineError("too much", remedy="less"), False),
        (TransientEngineError("busy", remedy="wait"), True),
        (ConfigEngineError("no model", remedy="name one"), True),
    ],
)
def test_only_what_would_be_the_same_again_is_kept(
    tmp_path: Path, clip: Path, error: PromptliftError, asked_again: bool
) -> None:
    """The class of a failure decides, as in a batch."""
    fake = FakeEngine([ANSWER], family=None, context=None)
    # The engine is asked for less after a refusal only where it takes tokens, which this does not.
    engine = FaultyEngine(fake, [error])  # type: ignore[list-item]

    async def play(worker: Worker) -> list[Done]:
        return [await worker.do(wish(), Feed()) for _ in range(2)]

    first, second = scene(tmp_path, engine, play)
    assert first.failure is not None
    assert first.failure.code == error.code
    assert first.record is not None
    assert first.record.error == first.failure
    assert second.cached == (not asked_again)
    assert (second.failure is None) == asked_again


def test_a_defect_costs_one_job(tmp_path: Path, clip: Path) -> None:
    """It is a failure like others, with nothing of its trace; the next job is done."""
    replies = iter([ANSWER])

    def reply(request: Request) -> str:
        if "lawn" in request.text:
            raise KeyError(str(tmp_path))
        return next(replies)

    async def play(worker: Worker) -> list[Done]:
        return [
            await worker.do(wish(), Feed()),
            await worker.do(wish("A cat crosses a street", on_reject="best"), Feed()),
        ]

    broken, fine = scene(tmp_path, FakeEngine(reply), play)
    assert broken.failure.code == "internal"
    assert str(tmp_path) not in str(broken)
    assert fine.failure is None


def test_what_is_known_is_told_without_asking_who_answers(tmp_path: Path, clip: Path) -> None:
    """An engine that sleeps is not woken for it; before the first meeting nothing is known."""

    class Counting(FakeEngine):
        described = 0

        async def describe(self) -> Any:
            self.described += 1
            return await super().describe()

    engine = Counting([ANSWER])

    async def play(worker: Worker) -> None:
        assert await worker.known(wish()) is None
        await worker.do(wish(), Feed())
        before = engine.described
        done = await worker.do(wish(), Feed())
        known = await worker.known(wish())
        assert engine.described == before
        assert done.cached
        assert known is not None
        assert known.record == done.record
        assert await worker.known(wish(fresh=True)) is None

    scene(tmp_path, engine, play)


def test_who_keeps_up_is_told_the_whole_draft(tmp_path: Path, clip: Path) -> None:
    """Also the words that come together with the end of the answer."""

    class Quick(FakeEngine):
        async def stream(self, request: Request, told: Callable[[str], None]) -> Completion:
            whole = await self.complete(request)
            for word in whole.text.split(" "):
                told(f"{word} ")
            return whole

    async def play(worker: Worker) -> tuple[Done, str]:
        feed = Feed()

        async def follow() -> str:
            told = [event async for event in feed.follow()]
            pieces = (json.loads(one.data) for one in told if one and one.name == "piece")
            return "".join(piece["piece"] for piece in pieces)

        following = asyncio.create_task(follow())
        done = await worker.do(wish(), feed)
        feed.close()
        return done, await following

    done, draft = scene(tmp_path, Quick([ANSWER]), play)
    assert draft == f"{done.record.attempts[-1].text} " == f"{ANSWER} "
