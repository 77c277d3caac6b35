"""GGUF models through the real llama.cpp: tiny ones of our own making.

No real checkpoint is run by these tests. What holds for Pixtral's tower was seen on random
weights; whether a real model says something sensible is not shown here.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest

from promptlift.engines.base import Completion, Request
from promptlift.engines.llamacpp import LlamaCppEngine
from promptlift.engines.settings import LlamaCppSettings
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    OptionError,
    TransientEngineError,
)
from promptlift.targets import target
from promptlift.targets.documents import VideoParameters, document_form, video_format
from promptlift.types import Frame, Sampling
from stubs.gguf_models import (
    SENTENCE,
    WIDTH,
    Speech,
    pair,
    write_model,
    write_projector,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytest.importorskip("xllamacpp", exc_type=ImportError)

T = TypeVar("T")

# An endless model in this context would go on for minutes, with a test's own limit far below.
_LONG = 100_000
_soon = pytest.mark.timeout(120)

_TASKS = Path("/proc/self/task")


def frame(width: int = 64, height: int = 48, seed: int = 0) -> Frame:
    """A frame of noise."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(Fraction(seed), image, wanted=Fraction(seed))


def request(text: str = "hi", *frames: Frame, most: int = 60, seed: int = 0) -> Request:
    """A request, with two small frames if none are given."""
    shown = frames or (frame(), frame(seed=1))
    return Request(text, shown, sampling=Sampling(max_tokens=most, seed=seed))


def engine(speech: Speech = "scripted", **options: Any) -> LlamaCppEngine:
    """An engine with a tiny model and one thread."""
    made = pair(speech)
    return LlamaCppEngine(
        LlamaCppSettings(model=made.model, mmproj=made.mmproj, **{"threads": 1, **options})
    )


def used(made: LlamaCppEngine, use: Callable[[LlamaCppEngine], Awaitable[T]]) -> T:
    """What `use` gives in a loop of its own; the engine is closed."""

    async def session() -> T:
        try:
            return await use(made)
        finally:
            await made.close()

    return asyncio.run(session())


def answers(made: LlamaCppEngine, *requests: Request) -> list[Completion]:
    """Answers, one after the other."""

    async def use(engine: LlamaCppEngine) -> list[Completion]:
        return [await engine.complete(one) for one in requests]

    return used(made, use)


def refusal(made: LlamaCppEngine, one: Request) -> EngineError:
    """The error of a request that is not answered."""
    with pytest.raises(EngineError) as caught:
        answers(made, one)
    return caught.value


def test_two_pictures_are_answered(capfd: pytest.CaptureFixture[str]) -> None:
    """Two pictures and a text give the model's whole sentence; llama.cpp says nothing itself."""
    (answer,) = answers(engine(), request())
    assert answer.text == SENTENCE
    assert answer.finish_reason == "stop"
    assert answer.completion_tokens == len(SENTENCE.split()) + 1
    assert capfd.readouterr() == ("", "")


def test_the_answer_depends_on_pictures_text_and_seed() -> None:
    """A random model says the same to the same request, and something else to any other."""
    same = request(most=24)
    other_picture = replace(same, frames=(frame(), frame(seed=2)))
    other_order = replace(same, frames=same.frames[::-1])
    greedy = Sampling(max_tokens=24, temperature=0)
    said = answers(
        engine("random"),
        *(same, same),
        replace(same, text="ho"),
        replace(same, sampling=Sampling(max_tokens=24, seed=1)),
        *(replace(one, sampling=greedy) for one in (same, other_picture, other_order)),
    )
    assert said[0] == said[1]
    assert len({one.text for one in said}) == 6


@pytest.mark.parametrize("speech", ["scripted", "random"])
def test_an_answer_is_held_to_a_schema(speech: Speech) -> None:
    """Whatever the model would say."""
    words = {"enum": ["snow", "rain"]}
    schema = {"type": "object", "properties": {"sky": words}, "required": ["sky"]}
    (answer,) = answers(engine(speech), replace(request(most=200), schema=schema))
    assert json.loads(answer.text)["sky"] in words["enum"]


def test_a_json_prompt_has_its_form() -> None:
    """The schema of Cosmos3, with texts short enough for a tiny model's context."""
    goal = target("cosmos3")
    form, video = document_form(goal), video_format(goal, VideoParameters(seconds=5))
    assert form is not None
    (answer,) = answers(engine(), replace(request(most=3900), schema=form.schema(video, 400)))
    parsed = form.parse(answer.text, video)
    assert parsed.data["resolution"] == {"W": 1280, "H": 720}
    assert {one.name for one in parsed.findings} <= {"thin", "unordered"}


def test_a_prompt_over_the_context_is_the_items_fault() -> None:
    """Too many tokens, of text or of pictures, are refused, and nothing is cut in silence."""
    made = engine()
    long = refusal(made, request("cup " * 1100))
    assert isinstance(long, ItemEngineError)
    assert "4096 tokens" in str(long)
    large = refusal(made, request("hi", *(frame(640, 480, seed) for seed in range(4))))
    assert isinstance(large, ItemEngineError)
    assert answers(made, request())[0].text == SENTENCE


def test_the_context_is_what_is_asked_for_and_no_more_than_was_trained(tmp_path: Path) -> None:
    """8192 where nothing is asked; never above what the model was trained for; and it is kept."""
    write_model(tmp_path / "long.gguf", context=100_000)
    long: dict[str, Any] = {"model": tmp_path / "long.gguf", "mmproj": pair().mmproj}

    def context(made: LlamaCppEngine) -> int | None:
        return used(made, LlamaCppEngine.describe).context

    assert context(LlamaCppEngine(LlamaCppSettings(**long))) == 8192
    assert context(LlamaCppEngine(LlamaCppSettings(**long, context=20_000))) == 20_000
    assert context(LlamaCppEngine(LlamaCppSettings(**long, context=200_000))) == 100_000
    assert context(engine()) == 4096
    small = engine(context=512)
    assert context(small) == 512
    assert isinstance(refusal(small, request("cup " * 150)), ItemEngineError)


def test_it_says_who_it_is_without_loading_anything() -> None:
    """The account is made from the files' heads, so that a dry run costs no memory."""
    before = threading.active_count()

    async def use(made: LlamaCppEngine) -> None:
        info = await made.describe()
        assert (info.name, info.model, info.family) == ("llamacpp", "Tiny Pixtral", "pixtral")
        assert info.version.startswith("xllamacpp 20")
        assert "(llama.cpp b" in info.version
        assert info.revision.count("sha256:") == 2
        assert made._starting is None

    used(engine(max_images=1), use)
    assert threading.active_count() <= before + 1  # asyncio's own helper for closing
    assert used(engine(family="qwen2.5-vl"), LlamaCppEngine.describe).family == "qwen2.5-vl"
    with pytest.raises(OptionError):
        engine(family="nonsense")
    with pytest.raises(OptionError, match="equal to 0"):
        engine(gpu_layers=-1)


@pytest.mark.parametrize("fault", ["architecture", "cut", "width"])
def test_what_llama_cpp_cannot_load_is_a_fault_of_the_settings(tmp_path: Path, fault: str) -> None:
    """Faults that the files' heads do not show are found at loading, and name both files."""
    model, mmproj = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    write_model(model)
    write_projector(mmproj, width=2 * WIDTH if fault == "width" else WIDTH)
    if fault == "architecture":
        model.write_bytes(model.read_bytes().replace(b"llama", b"nonsu"))
    if fault == "cut":
        os.truncate(model, model.stat().st_size - 32)
    error = refusal(
        LlamaCppEngine(LlamaCppSettings(model=model, mmproj=mmproj, threads=1)), request()
    )
    assert isinstance(error, ConfigEngineError)
    assert "'model.gguf'" in str(error)
    assert "'mmproj.gguf'" in str(error)


async def under_way(made: LlamaCppEngine, count: int) -> list[asyncio.Task[Completion]]:
    """So many requests that would go on for ever, the first of which has begun."""
    begun = asyncio.Event()
    first = asyncio.create_task(made.stream(request(most=_LONG), lambda _: begun.set()))
    await begun.wait()
    more = [asyncio.create_task(made.complete(request(most=_LONG))) for _ in range(count - 1)]
    await asyncio.sleep(0)
    return [first, *more]


@_soon
def test_a_cancelled_request_stops_and_the_next_is_answered() -> None:
    """An answer that would go on for ever is given up when nobody waits for it any more."""

    async def use(made: LlamaCppEngine) -> Completion:
        for complete in (True, False):
            tasks = await under_way(made, 2)
            if complete:  # the one that waited is asked for as a whole
                tasks[0].cancel()
                await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)
        return await made.complete(request(most=3))

    assert used(engine("endless", context=_LONG), use).text == " ".join(SENTENCE.split()[:3])


@_soon
def test_closing_stops_what_is_under_way() -> None:
    """Requests that are under way or waiting when the engine is closed end with an error."""

    async def use(made: LlamaCppEngine) -> list[Completion | BaseException]:
        tasks = await under_way(made, 3)
        await made.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = used(engine("endless", context=_LONG), use)
    assert [type(one) for one in outcomes] == [TransientEngineError] * 3


def test_its_port_is_shut_and_gone_with_it() -> None:
    """The server that llama.cpp starts lets nobody in, and no web page; it ends with the engine."""

    async def use(made: LlamaCppEngine) -> str:
        await made.complete(request(most=1))
        assert made._starting is not None
        address = made._starting.result().address
        assert address.startswith("http://127.0.0.1:")
        body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
        for path in ("/v1/chat/completions", "/completion", "/tokenize", "/props", "/v1/models"):
            data = None if path in ("/props", "/v1/models") else body
            await asyncio.to_thread(_refused_with_401, address + path, data)
        return address

    address = used(engine(), use)
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10)


def _refused_with_401(url: str, data: bytes | None) -> None:
    headers = {"Origin": "http://evil.example", "Content-Type": "application/json"}
    asked = urllib.request.Request(url, data, headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=10)
    with caught.value as answer:
        assert answer.code == 401
        assert answer.headers["Access-Control-Allow-Origin"] not in ("*", "http://evil.example")
