"""GGUF models through the real llama.cpp: tiny ones of our own making.

No real checkpoint is run by these tests. What holds for Pixtral's tower was seen on random
weights; whether a real model says something sensible is not shown here.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest

from promptlift.core.facts import Confident, Facts
from promptlift.core.sampling import Sampling
from promptlift.core.tokens import family
from promptlift.core.video import Frame, Size
from promptlift.engines.base import Completion, Request
from promptlift.engines.llamacpp import LlamaCppEngine
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    OptionError,
    TransientEngineError,
)
from stubs.gguf_models import (
    SENTENCE,
    TEMPLATE,
    TEMPLATE_TOKENS,
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
    return LlamaCppEngine(made.model, made.mmproj, **{"threads": 1, **options})


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


def test_what_was_asked_before_does_not_matter() -> None:
    """An engine gives the same answer fresh and after other requests, as nothing is reused."""
    one = request("describe", most=24)
    begun = request("describe the cup", most=24)
    assert answers(engine("random"), one) == answers(engine("random"), begun, one)[1:]


@pytest.mark.parametrize("size", [(64, 48), (16, 16), (640, 480), (320, 176), (512, 288)])
def test_prompt_tokens_are_what_pixtrals_formula_says(size: tuple[int, int]) -> None:
    """For whole patches up to the model's side llama.cpp counts just what is planned."""
    expected = 2 * family("pixtral").image(Size(*size)) + TEMPLATE_TOKENS + len("hi")
    (answer,) = answers(engine(), request("hi", frame(*size), frame(*size, seed=1), most=1))
    assert answer.prompt_tokens == expected


def test_a_system_text_is_a_turn_of_its_own() -> None:
    """The system text goes through the template; each byte of it is a token here."""
    plain = request()
    with_system = replace(plain, system="be brief")
    first, second = answers(engine(), plain, with_system)
    assert first.prompt_tokens is not None
    assert second.prompt_tokens == first.prompt_tokens + len("[system]be brief")


def test_control_pictures_go_as_png() -> None:
    """Both kinds of picture that are sent are read by llama.cpp."""
    control = Facts(kind=Confident(value="edge", confidence=1.0))
    one, two = answers(engine(), request(), replace(request(), facts=control))
    assert one == two


def test_an_answer_is_cut_at_its_limit() -> None:
    """At the most tokens of an answer it is cut, and says so."""
    (answer,) = answers(engine(), request(most=5))
    assert answer.text == " ".join(SENTENCE.split()[:5])
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 5)


def test_a_prompt_over_the_context_is_the_items_fault() -> None:
    """Too many tokens, of text or of pictures, are refused, and nothing is cut in silence."""
    made = engine()
    long = refusal(made, request("cup " * 1100))
    assert isinstance(long, ItemEngineError)
    assert "the context has 4096" in str(long)
    large = refusal(made, request("hi", *(frame(640, 480, seed) for seed in range(4))))
    assert isinstance(large, ItemEngineError)
    assert answers(made, request())[0].text == SENTENCE


def test_the_context_is_what_is_asked_for_and_no_more_than_was_trained(tmp_path: Path) -> None:
    """8192 where nothing is asked; never above what the model was trained for; and it is kept."""
    write_model(tmp_path / "long.gguf", context=100_000)
    long = (tmp_path / "long.gguf", pair().mmproj)

    def context(made: LlamaCppEngine) -> int | None:
        return used(made, LlamaCppEngine.describe).context

    assert context(LlamaCppEngine(*long)) == 8192
    assert context(LlamaCppEngine(*long, context=20_000)) == 20_000
    assert context(LlamaCppEngine(*long, context=200_000)) == 100_000
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
        assert made._loaded is None

    used(engine(), use)
    assert threading.active_count() <= before + 1  # asyncio's own helper for closing


def test_a_family_can_be_named() -> None:
    """The family that is given is taken; one that has no formula is refused at once."""
    assert used(engine(family="qwen2.5-vl"), LlamaCppEngine.describe).family == "qwen2.5-vl"
    with pytest.raises(OptionError):
        engine(family="nonsense")


@pytest.mark.parametrize("option", ["context", "threads", "max_images", "gpu_layers"])
def test_numbers_that_make_no_sense_are_refused(option: str) -> None:
    """Each number has a least value, which the error names."""
    with pytest.raises(OptionError, match="at least"):
        engine("scripted", **{option: -1})


def test_layers_on_the_gpu_may_be_asked_for_without_one() -> None:
    """None and many layers load alike where there is no GPU."""
    for layers in (0, 99):
        assert answers(engine(gpu_layers=layers), request())[0].text == SENTENCE


def test_too_many_pictures_are_refused_before_anything_is_loaded() -> None:
    """The limit is the item's, and costs nothing to find out."""
    made = engine(max_images=1)
    assert isinstance(refusal(made, request()), ItemEngineError)


def test_a_model_in_parts_is_loaded_whole(tmp_path: Path) -> None:
    """The first part is named, and llama.cpp finds the others beside it."""
    write_model(tmp_path / "big.gguf", tensors_a_part=5)
    made = LlamaCppEngine(tmp_path / "big-00001-of-00003.gguf", pair().mmproj, threads=1)
    assert answers(made, request())[0].text == SENTENCE


def test_a_missing_file_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    """The files are looked at when the engine is asked, and again when they are there."""
    made = LlamaCppEngine(tmp_path / "late.gguf", pair().mmproj, threads=1)
    assert isinstance(refusal(made, request()), ConfigEngineError)
    write_model(tmp_path / "late.gguf")
    assert answers(made, request())[0].text == SENTENCE


@pytest.mark.parametrize("fault", ["architecture", "cut", "projector", "template"])
def test_what_llama_cpp_cannot_load_is_a_fault_of_the_settings(tmp_path: Path, fault: str) -> None:
    """Faults that the files' heads do not show are found at loading, and name both files."""
    model, mmproj = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    broken = "{{ raise_exception('no') }}"
    write_model(model, template=broken if fault == "template" else TEMPLATE)
    kind = "nonsense" if fault == "projector" else "pixtral"
    write_projector(mmproj, fields={"clip.projector_type": kind})
    if fault == "architecture":
        model.write_bytes(model.read_bytes().replace(b"llama", b"nonsu"))
    if fault == "cut":
        os.truncate(model, model.stat().st_size - 32)
    error = refusal(LlamaCppEngine(model, mmproj, threads=1), request())
    assert isinstance(error, ConfigEngineError)
    assert "'model.gguf'" in str(error)
    assert "'mmproj.gguf'" in str(error)


@_soon
def test_a_cancelled_request_stops_and_the_next_is_answered() -> None:
    """An answer that would go on for ever is given up when nobody waits for it any more."""

    async def use(made: LlamaCppEngine) -> Completion:
        under_way = asyncio.create_task(made.complete(request(most=_LONG)))
        waiting = asyncio.create_task(made.complete(request(most=_LONG)))
        while not made._stops:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        for task in (waiting, under_way):
            task.cancel()
        await asyncio.gather(under_way, waiting, return_exceptions=True)
        assert under_way.cancelled()
        assert waiting.cancelled()
        return await made.complete(request(most=3))

    assert used(engine("endless", context=_LONG), use).text == " ".join(SENTENCE.split()[:3])


@_soon
def test_closing_stops_what_is_under_way() -> None:
    """Requests that are under way or waiting when the engine is closed end with an error."""

    async def use(made: LlamaCppEngine) -> list[Completion | BaseException]:
        asked = [asyncio.create_task(made.complete(request(most=_LONG))) for _ in range(3)]
        while not made._stops:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await made.close()
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = used(engine("endless", context=_LONG), use)
    assert [type(one) for one in outcomes] == [TransientEngineError] * 3


def test_a_closed_engine_loads_again() -> None:
    """Closing gives the memory back; it does not spoil the engine, in this loop or another."""
    made = engine()
    assert answers(made, request()) == answers(made, request())


@pytest.mark.skipif(not _TASKS.is_dir(), reason="threads are counted as Linux shows them")
def test_closing_ends_llama_cpps_threads() -> None:
    """A second engine's threads are gone again after it; the system may take a moment to."""

    async def use(made: LlamaCppEngine) -> int:
        await made.complete(request())
        return _threads()

    used(engine(), use)
    time.sleep(0.2)
    after_first = _threads()  # llama.cpp's log keeps one of its own
    assert used(engine(), use) > after_first
    for _ in range(100):
        if _threads() <= after_first:
            break
        time.sleep(0.05)
    assert _threads() <= after_first


def _threads() -> int:
    return len(list(_TASKS.iterdir()))


def test_its_port_is_shut() -> None:
    """The server that llama.cpp starts in any case lets nobody in, and no web page."""

    async def use(made: LlamaCppEngine) -> None:
        await made.complete(request(most=1))
        assert made._loaded is not None
        address = made._loaded.result().address
        assert address.startswith("http://127.0.0.1:")
        body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
        for path in ("/v1/chat/completions", "/completion", "/tokenize", "/props", "/v1/models"):
            data = None if path in ("/props", "/v1/models") else body
            await asyncio.to_thread(_refused_with_401, address + path, data)

    used(engine(), use)


def _refused_with_401(url: str, data: bytes | None) -> None:
    headers = {"Origin": "http://evil.example", "Content-Type": "application/json"}
    asked = urllib.request.Request(url, data, headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=10)
    with caught.value as answer:
        assert answer.code == 401
        assert answer.headers["Access-Control-Allow-Origin"] not in ("*", "http://evil.example")


def test_ctrl_c_stays_pythons() -> None:
    """Loading a model leaves the signals as they were, as some builds of llama.cpp do not."""
    script = (
        "import asyncio, os, signal, sys, time\n"
        "from promptlift.engines.base import Request\n"
        "from promptlift.engines.llamacpp import LlamaCppEngine\n"
        "engine = LlamaCppEngine(sys.argv[1], sys.argv[2], threads=1)\n"
        "asyncio.run(engine.complete(Request('hi', ())))\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(10)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    made = pair()
    done = subprocess.run(
        [sys.executable, "-c", script, str(made.model), str(made.mmproj)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "interrupted", "")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_xllamacpp_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the package is missing, describing and asking both name the extra."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    error = refusal(engine(), request())
    assert isinstance(error, ConfigEngineError)
    assert "pip install 'promptlift[llamacpp]'" in str(error)
