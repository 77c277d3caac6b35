"""An answer that streams: the same answer, and never more than a draft before its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from promptlift.engines.base import Completion, Request
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.openai import client as client_module
from promptlift.engines.openai.client import read_events
from promptlift.engines.settings import OpenAISettings
from promptlift.errors import TransientEngineError
from promptlift.options import Options
from promptlift.pipeline import upsample_item
from promptlift.record import Record
from promptlift.testing import synthetic_video
from promptlift.types import Frame, Sampling
from stubs.openai_server import ANSWER, StubServer

T = TypeVar("T")
GOOD = (
    "A red balloon drifts over the hills at sunset. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right. The camera pans gently."
)
PROMPT = "a red balloon drifts over the hills at sunset"
STYLES = ["vllm-0.32", "sglang", "llama-server", "hosted"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(client_module, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(client_module, "_JITTER", 0.0)


def question(**sampling: int) -> Request:
    """A request with one picture."""
    image = np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)
    frames = (Frame(Fraction(0), image, wanted=Fraction(0)),)
    return Request("what is seen?", frames, sampling=Sampling(seed=5, **sampling))


def using(
    server: StubServer, use: Callable[[OpenAIEngine], Awaitable[T]], timeout: float = 30.0
) -> T:
    """Make an engine for a server, use it, and close it; the server must have no complaint."""

    async def session() -> T:
        engine = OpenAIEngine(OpenAISettings(base_url=server.base_url, timeout=timeout))
        try:
            return await use(engine)
        finally:
            await engine.close()

    try:
        return asyncio.run(session())
    finally:
        assert server.violations == []


def streamed(
    server: StubServer, pieces: list[str], timeout: float = 30.0, **sampling: int
) -> Completion:
    """An answer, whose pieces are added to a list."""
    request = question(**sampling)
    return using(server, lambda engine: engine.stream(request, pieces.append), timeout)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("max_tokens", [300, 4])
def test_the_pieces_are_the_answer(style: str, max_tokens: int) -> None:
    """Text, reason and token counts are those of the whole answer, cut or not."""
    pieces: list[str] = []
    with StubServer(style) as server:
        streaming = streamed(server, pieces, max_tokens=max_tokens)
        request = question(max_tokens=max_tokens)
        assert streaming == using(server, lambda engine: engine.complete(request))
        asked = [chat.body.get("stream_options") for chat in server.chats]
    assert "".join(pieces) == streaming.text
    assert len(pieces) == len(streaming.text.split())
    assert asked == [{"include_usage": True}, None]


@pytest.mark.parametrize("fault", ["no-usage", "no-done"])
def test_what_some_servers_leave_out_does_no_harm(fault: str) -> None:
    """Without usage the tokens are not known; the last mark may be missing after all else."""
    pieces: list[str] = []
    with StubServer(faults=[fault]) as server:
        completion = streamed(server, pieces)
    assert (completion.text, completion.finish_reason) == (ANSWER, "stop")
    assert "".join(pieces) == ANSWER
    assert (completion.completion_tokens is None) == (fault == "no-usage")


@pytest.mark.parametrize(
    "fault",
    [
        *("cut", "error", "no-json", "no-end"),
        *("503", "html", "reset"),
    ],
)
def test_what_breaks_off_may_pass_later(fault: str) -> None:
    """It is for the caller to try again; what came before is no answer."""
    pieces: list[str] = []
    with StubServer(faults=[fault]) as server:
        with pytest.raises(TransientEngineError):
            streamed(server, pieces)
        assert len(server.chats) == 1
    assert ANSWER.startswith("".join(pieces))
    assert bool(pieces) == (fault in ("cut", "error", "no-json", "no-end"))


@pytest.mark.parametrize("fault", ["hang", "drip", "slow", None])
def test_a_stream_has_the_bounds_of_a_call(fault: str | None) -> None:
    """Silence before the first piece or after some, or pieces that never end: time is up."""
    with (
        StubServer(faults=[fault], reply="word " * 500, piece_seconds=0.05) as server,
        pytest.raises(TransientEngineError, match="within"),
    ):
        streamed(server, [], timeout=0.5)


@pytest.mark.parametrize(
    ("server", "forms", "texts"),
    [
        (StubServer(streams="whole"), [True, True], ["", ""]),
        (StubServer(streams="refused"), [True, False, True, False], ["", ""]),
        # The limit's newer name is found first.
        (StubServer("hosted", new_limit_only=True), [True, True, True], [ANSWER, ANSWER]),
    ],
    ids=["whole", "refused", "new limit"],
)
def test_a_server_that_does_not_stream_answers_all_the_same(
    server: StubServer, forms: list[bool], texts: list[str]
) -> None:
    """Its answer comes whole."""
    pieces: list[list[str]] = [[], []]

    async def use(engine: OpenAIEngine) -> list[Completion]:
        return [await engine.stream(question(), each.append) for each in pieces]

    with server:
        assert [answer.text for answer in using(server, use)] == [ANSWER, ANSWER]
        assert ["stream" in chat.body for chat in server.chats] == forms
    assert ["".join(each) for each in pieces] == texts


def test_only_the_text_of_the_first_choice_counts() -> None:
    """Reasoning and other choices are no text, and the text can be encoded."""
    deltas = [{"reasoning_content": "hm"}, {"content": None}, None, {"content": "a 😀"}]
    deltas += [{"content": "b\ud83d"}]
    pieces: list[str] = []

    async def chunks() -> AsyncIterator[object]:
        for delta in deltas:
            yield {"choices": [{"index": 0, "delta": delta}]}
        yield {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}

    completion = asyncio.run(read_events(chunks(), pieces.append))
    assert (completion.text, completion.finish_reason) == ("a 😀b\ufffd", "stop")
    assert pieces == ["a 😀", "b\ufffd"]


# ---- in an item


def record_of(clip: Path, server: StubServer, told: list[str | None] | None) -> Record:
    """The record of one item, without what depends on the clock."""

    async def work(engine: OpenAIEngine) -> Record:
        options = Options(template="verbatim/1", reserve=200)
        on_text = None if told is None else told.append
        outcome = await upsample_item(clip, PROMPT, engine, options, on_text=on_text)
        return outcome.record

    record = using(server, work)
    attempts = tuple(one.model_copy(update={"seconds": 0.0}) for one in record.attempts)
    return record.model_copy(update={"timings": {}, "attempts": attempts})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a balloon."""
    return synthetic_video(tmp_path_factory.mktemp("clips") / "balloon.mp4", seconds=1)


def _next(replies: Iterator[str], _: object) -> str:
    return next(replies)


def test_a_record_is_the_same_with_somebody_listening(clip: Path) -> None:
    """Rejected answers are asked again as ever, and each attempt is told from its beginning."""
    loop = "A red balloon drifts over the hills at sunset. " + "The sky is orange. " * 20
    records, told = [], list[str | None]()
    for listener in (None, told):
        with StubServer(reply=partial(_next, iter([loop, GOOD]))) as server:
            records.append(record_of(clip, server, listener))
    assert records[0] == records[1]
    assert [one.verdict for one in records[0].attempts] == ["rejected", "ok"]
    assert told[0] is None
    again = told.index(None, 1)
    assert "".join(filter(None, told[1:again])) == records[0].attempts[0].text
    assert "".join(filter(None, told[again:])) == GOOD


@pytest.mark.parametrize("fault", ["cut", "no-end", "503"])
def test_a_broken_stream_is_asked_for_as_a_whole(clip: Path, fault: str) -> None:
    """The record is as if nothing had been told, and what was told is void."""
    told: list[str | None] = []
    with StubServer(reply=GOOD, faults=[fault]) as server:
        record = record_of(clip, server, told)
        assert ["stream" in chat.body for chat in server.chats] == [True, False]
    with StubServer(reply=GOOD) as server:
        assert record == record_of(clip, server, None)
    assert (told[0], told[-1]) == (None, None)
