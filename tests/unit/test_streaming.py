"""An answer that is told while it is written: the same answer, and never more than a draft."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import stamina

from promptlift.config import Options
from promptlift.core.record import Record
from promptlift.core.sampling import Sampling
from promptlift.core.video import Frame
from promptlift.engines.base import Completion, Request, StreamsText
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.vllm import VllmEngine
from promptlift.engines.wire.streaming import read_pieces, values
from promptlift.errors import ConfigEngineError, ItemEngineError, TransientEngineError
from promptlift.pipeline.item import upsample_item
from promptlift.testing import FakeEngine, synthetic_video
from stubs.openai_server import ANSWER, StubServer

T = TypeVar("T")
GOOD = (
    "A red balloon drifts over the hills at sunset. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right. The camera pans gently."
)
PROMPT = "a red balloon drifts over the hills at sunset"
STYLES = ["vllm-0.9.2", "vllm-0.32", "sglang", "llama-server", "hosted"]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retries come at once."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


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
        engine = OpenAIEngine(server.base_url, timeout=timeout)
        try:
            return await use(engine)
        finally:
            await engine.close()

    result = asyncio.run(session())
    assert server.violations == []
    return result


def streamed(server: StubServer, **sampling: int) -> tuple[Completion, list[str]]:
    """An answer, and what was told of it."""
    told: list[str] = []
    request = question(**sampling)
    return using(server, lambda engine: engine.stream(request, told.append)), told


def test_who_offers_it() -> None:
    """Engines behind the API do; an engine that gives whole answers does not."""
    assert isinstance(OpenAIEngine("http://localhost:1/v1"), StreamsText)
    assert isinstance(VllmEngine(), StreamsText)
    assert not isinstance(FakeEngine([GOOD]), StreamsText)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("max_tokens", [300, 4])
def test_the_pieces_are_the_answer(style: str, max_tokens: int) -> None:
    """Text, reason and token counts are those of the whole answer, cut or not."""
    with StubServer(style) as server:
        streaming, told = streamed(server, max_tokens=max_tokens)
        request = question(max_tokens=max_tokens)
        assert streaming == using(server, lambda engine: engine.complete(request))
        assert "".join(told) == streaming.text
        assert len(told) == len(streaming.text.split())
        assert streaming.finish_reason == ("stop" if max_tokens == 300 else "length")
        asked = [chat.body.get("stream_options") for chat in server.chats]
    assert asked == [{"include_usage": True}, None]


@pytest.mark.parametrize("fault", ["no-usage", "no-done"])
def test_what_some_servers_leave_out_does_no_harm(fault: str) -> None:
    """Without usage the tokens are not known; the last mark may be missing after all else."""
    with StubServer(faults=[fault]) as server:
        completion, told = streamed(server)
    assert (completion.text, completion.finish_reason) == (ANSWER, "stop")
    assert "".join(told) == ANSWER
    assert (completion.completion_tokens is None) == (fault == "no-usage")


@pytest.mark.parametrize("fault", ["cut", "error", "no-json", "no-end"])
def test_a_stream_that_breaks_may_pass_later(fault: str) -> None:
    """Whatever breaks off an answer is transient, and what was told stands in no answer."""
    with StubServer(faults=[fault]) as server:
        told: list[str] = []
        with pytest.raises(TransientEngineError):
            using(server, lambda engine: engine.stream(question(), told.append))
        assert "".join(told)
        assert ANSWER.startswith("".join(told))
        assert len(server.chats) == 1, "it is for the caller to try again"


@pytest.mark.parametrize("fault", ["hang", "drip", "slow"])
def test_a_stream_has_the_bounds_of_a_call(fault: str) -> None:
    """Silence before the first piece or after some, or bytes that never end: time is up."""
    with StubServer(faults=[fault]) as server, pytest.raises(TransientEngineError, match="within"):
        using(server, lambda engine: engine.stream(question(), lambda _: None), timeout=0.5)


def test_pieces_that_never_end_have_an_end() -> None:
    """Each piece comes in time, and the whole does not."""
    with (
        StubServer(reply="word " * 500, piece_seconds=0.05) as server,
        pytest.raises(TransientEngineError, match="within"),
    ):
        using(server, lambda engine: engine.stream(question(), lambda _: None), timeout=0.5)


@pytest.mark.parametrize("fault", ["503", "429", "garbage", "html", "json", "reset", "short"])
def test_no_stream_at_all_may_pass_later(fault: str) -> None:
    """A refusal that passes, or something that is no answer, tells nothing."""
    with StubServer(faults=[fault]) as server:
        told: list[str] = []
        with pytest.raises(TransientEngineError):
            using(server, lambda engine: engine.stream(question(), told.append))
    assert told == []


@pytest.mark.parametrize(("status", "kind"), [(401, ConfigEngineError), (422, ItemEngineError)])
def test_a_refusal_is_a_refusal(status: int, kind: type[Exception]) -> None:
    """Who refuses the request in either form has refused it."""
    with StubServer(faults=[str(status)] * 9) as server, pytest.raises(kind):
        using(server, lambda engine: engine.stream(question(), lambda _: None))


@pytest.mark.parametrize("streams", ["whole", "refused"])
def test_a_server_that_does_not_stream_answers_all_the_same(streams: str) -> None:
    """Its answer comes whole; one that refuses is tried once only."""
    with StubServer(streams=streams) as server:
        told: list[str] = []

        async def twice(engine: OpenAIEngine) -> list[Completion]:
            return [await engine.stream(question(), told.append) for _ in range(2)]

        answers = using(server, twice)
        forms = ["stream" in chat.body for chat in server.chats]
    assert [answer.text for answer in answers] == [ANSWER, ANSWER]
    assert told == []
    assert forms == ([True, False, False] if streams == "refused" else [True, True])


def test_the_newer_name_of_the_limit_is_no_refusal_to_stream() -> None:
    """The first answer comes whole while the name is found; the second streams."""
    with StubServer("hosted", new_limit_only=True) as server:
        told: list[str] = []

        async def twice(engine: OpenAIEngine) -> None:
            await engine.stream(question(), told.append)
            assert told == []
            await engine.stream(question(), told.append)

        using(server, twice)
    assert "".join(told) == ANSWER


def parsed(*chunks: bytes) -> list[object]:
    """The values in a stream that arrives in these chunks."""

    async def given() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def read() -> list[object]:
        return [value async for value in values(given())]

    return asyncio.run(read())


def test_lines_are_split_where_events_are() -> None:
    """Chunks end anywhere, also within a character; comments and other fields mean nothing."""
    raw = ': hi\r\n\r\nevent: x\ndata: "a\u2028\x85é"\r\n\r\ndata:2\n\ndata: [DONE]\n\ndata: 3\n\n'
    wire = raw.encode()
    for size in (1, 2, 7, len(wire)):
        chunks = [wire[at : at + size] for at in range(0, len(wire), size)]
        assert parsed(*chunks) == ["a\u2028\x85é", 2]


@pytest.mark.parametrize("raw", [b"data: {\n", b"data: \xff\n", b"x" * ((16 << 20) + 1)])
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    """No JSON, no UTF-8, or more than any answer has."""
    with pytest.raises(ValueError, match=r"."):
        parsed(raw)


def put_together(*deltas: object) -> tuple[Completion, list[str]]:
    """What is made of these pieces."""
    told: list[str] = []

    async def given() -> AsyncIterator[object]:
        for delta in deltas:
            yield {"choices": [{"index": 0, "delta": delta}]}
        yield {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}

    return asyncio.run(read_pieces(given(), told.append)), told


def test_halves_of_a_character_are_joined() -> None:
    """Half a pair waits for the other half; one that stays alone becomes a replacement mark."""
    halves = [
        json.loads(f'{{"content": "{half}"}}') for half in ("a\\ud83d", "\\ude00b", "\\ud83d")
    ]
    completion, told = put_together(*halves)
    assert completion.text == "a😀b\ufffd"
    assert told == ["a", "😀b"]


def test_only_the_answer_of_the_first_choice_counts() -> None:
    """Reasoning, other choices and nothing at all are no text."""
    completion, told = put_together(
        {"reasoning_content": "hm"}, {"content": None}, None, {"content": "yes"}
    )
    assert (completion.text, completion.finish_reason, told) == ("yes", "stop", ["yes"])


def record_of(clip: Path, server: StubServer, told: list[str | None] | None) -> Record:
    """The record of one item, without what depends on the clock."""

    async def work(engine: OpenAIEngine) -> Record:
        options = Options.of(template="verbatim/1", reserve=200)
        telling = None if told is None else told.append
        outcome = await upsample_item(clip, PROMPT, engine, options, telling=telling)
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


@pytest.mark.parametrize("fault", ["cut", "error", "no-json", "no-end", "503", "reset"])
def test_a_broken_stream_is_asked_for_as_a_whole(clip: Path, fault: str) -> None:
    """The record is as if nothing had been told, and what was told is void."""
    told: list[str | None] = []
    with StubServer(reply=GOOD, faults=[fault]) as server:
        record = record_of(clip, server, told)
        assert ["stream" in chat.body for chat in server.chats] == [True, False]
    with StubServer(reply=GOOD) as server:
        assert record == record_of(clip, server, None)
    assert told[0] is None
    assert told[-1] is None


def test_an_engine_without_it_is_not_asked_for_it(clip: Path) -> None:
    """Its answers come whole, and nothing is told."""
    told: list[str | None] = []
    options = Options.of(template="verbatim/1")
    outcome = asyncio.run(
        upsample_item(clip, PROMPT, FakeEngine([GOOD]), options, telling=told.append)
    )
    assert outcome.record.prompt == GOOD
    assert told == []
