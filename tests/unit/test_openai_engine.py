"""The OpenAI engine against a real server on the loopback that answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import trustme
from numpy.typing import NDArray
from PIL import Image

from promptlift.engines.base import Completion, CountsTokens, EngineInfo, Request
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.openai import client as client_module
from promptlift.engines.settings import OpenAISettings
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from promptlift.tokens import PIXTRAL
from promptlift.types import Frame, Sampling, Size
from stubs.openai_checks import Asked
from stubs.openai_server import ANSWER, CHAT, MODEL, STYLES, Fault, StubServer

T = TypeVar("T")
Pixels = NDArray[np.uint8]

KEY = "sk-swordfish-0123456789"
TRANSIENT = ["408", "425", "429:0", "500", "503", "529"]
BROKEN = ["reset", "short", "garbage", "html", "json", "no-choices"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once, unless the server asks for a pause."""
    monkeypatch.setattr(client_module, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(client_module, "_JITTER", 0.0)


def noise(width: int = 64, height: int = 48) -> Pixels:
    """A picture of many colours."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def edges() -> Pixels:
    """A picture of two colours."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[20:22] = 255
    return image


def frame(image: Pixels | None = None) -> Frame:
    """A frame of a picture."""
    return Frame(Fraction(0), noise() if image is None else image, wanted=Fraction(0))


def question(text: str = "what is seen?", images: int = 2, **changes: Any) -> Request:
    """A request."""
    return replace(Request(text, (frame(),) * images, sampling=Sampling(seed=5)), **changes)


def using(
    server: StubServer,
    use: Callable[[OpenAIEngine], Awaitable[T]],
    *,
    api_key: str | None = None,
    **settings: Any,
) -> T:
    """Make an engine for a server, use it, and close it; the server must have no complaint."""

    async def session() -> T:
        engine = OpenAIEngine(OpenAISettings(base_url=server.base_url, **settings), api_key=api_key)
        try:
            return await use(engine)
        finally:
            await engine.close()

    try:
        return asyncio.run(session())
    finally:
        assert server.violations == []


def ask(server: StubServer, request: Request | None = None, **options: Any) -> Completion:
    """One answer from a server."""
    return using(server, lambda engine: engine.complete(request or question()), **options)


def describe(server: StubServer, **options: Any) -> EngineInfo:
    """What an engine says of a server."""
    return using(server, lambda engine: engine.describe(), **options)


def failing(server: StubServer, request: Request | None = None, **options: Any) -> EngineError:
    """The error that a request ends in."""
    with pytest.raises(EngineError) as caught:
        ask(server, request, **options)
    return caught.value


# ---- what a server is


@pytest.mark.parametrize(
    ("style", "version", "context"),
    [
        ("vllm-0.32", "vllm 0.32.0", 5120),
        ("sglang", "sglang 0.5.9", 5120),
        ("llama-server", "llamacpp b7000-abcdef0", 5120),
        ("hosted", "unknown", None),
    ],
)
def test_a_server_is_asked_about_itself(style: str, version: str, context: int | None) -> None:
    """Model, version and the context come from the server; a hosted one has only its models."""
    with StubServer(style, context=5120, page_faults=["503", "reset"]) as server:
        info = describe(server)
    origin = "/models/model.gguf" if style == "llama-server" else MODEL
    assert info == EngineInfo("openai", MODEL, "", version, context, "pixtral", 64, origin)
    assert style != "hosted" or {one.path for one in server.received} == {"/v1/models"}


def test_the_model_is_chosen_by_name_and_the_context_is_bounded() -> None:
    """With several models and none named, all are listed; family and context may be given."""
    with StubServer(models=["alpha", "beta"]) as server:
        with pytest.raises(ConfigEngineError, match="alpha, beta"):
            describe(server)
        assert describe(server, model="beta").family is None
        assert describe(server, model="beta", family="pixtral").family == "pixtral"
    with StubServer("hosted", lists=False) as server:
        with pytest.raises(ConfigEngineError, match="--model"):
            describe(server)
        assert ask(server, model=MODEL).text == ANSWER
    with StubServer(models=[]) as server, pytest.raises(ConfigEngineError, match="no model"):
        describe(server)
    with StubServer(context=4096) as server:
        assert describe(server, context=2048).context == 2048
        with pytest.raises(ConfigEngineError, match="8192"):
            describe(server, context=8192)
    with StubServer("hosted") as server:
        assert describe(server, context=32768).context == 32768


def test_an_adapter_has_its_models_context() -> None:
    """A LoRA adapter is no second model to choose from, and has the context of its parent."""
    cards = {"adapter": {"root": "/adapter", "parent": "base", "max_model_len": None}}
    with StubServer(models=["base", "adapter"], cards=cards) as server:
        assert describe(server).model == "base"
        assert describe(server, model="adapter").context == 4096


def test_a_model_that_is_not_served_is_a_mistake() -> None:
    """VLLM lists every name it answers to; elsewhere one that is not listed is tried."""
    with StubServer() as server:
        error = failing(server, model="other")
        assert isinstance(error, ConfigEngineError)
        assert "other" in error.message
        assert MODEL in error.remedy
        assert server.chats == []
    with StubServer("hosted") as server:
        assert describe(server, model="dated-2026").model == "dated-2026"
        assert isinstance(failing(server, model="dated-2026"), ConfigEngineError)
    with StubServer("llama-server", context=2048) as server:
        assert describe(server, model="any name").context == 2048


# ---- questions and answers


@pytest.mark.parametrize("style", STYLES)
def test_every_kind_of_server_answers(style: str) -> None:
    """Text, reason and token counts come through, and the prompt costs what the formula says."""
    with StubServer(style) as server:
        completion = ask(server, question(system="be brief"))
        cut = ask(server, question(sampling=Sampling(max_tokens=4)))
    expected = 2 * PIXTRAL.image(Size(64, 48))
    expected += PIXTRAL.chat("be brief", "what is seen?", 2, lambda text: len(text.split()))
    assert completion == Completion(ANSWER, "stop", expected, len(ANSWER.split()))
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 4)


def test_what_is_asked_is_what_is_sent() -> None:
    """Model, texts, pictures and sampling arrive as they were given, images first."""
    sampling = Sampling(max_tokens=77, temperature=0.3, seed=42)
    frames = (frame(noise(320, 180)), frame(noise(40, 30)))
    with StubServer() as server:
        ask(server, Request("the text", frames, "the rules", sampling))
        ask(server, Request("only text, half a pair \ud83d", ()))
    chat, plain = server.chats
    assert chat.asked is not None
    assert (chat.asked.system, chat.asked.text) == ("the rules", "the text")
    assert chat.asked.sizes == (Size(320, 180), Size(40, 30))
    assert chat.asked.media == ("image/jpeg", "image/jpeg")
    assert (chat.asked.max_tokens, chat.asked.temperature, chat.asked.seed) == (77, 0.3, 42)
    parts = [part["type"] for part in chat.body["messages"][1]["content"]]
    assert parts == ["image_url", "image_url", "text"]
    (user,) = plain.body["messages"]
    assert user["content"] == [{"type": "text", "text": "only text, half a pair \ud83d"}]


@pytest.mark.parametrize(
    ("patches", "text", "reason", "tokens"),
    [
        ({"message": {"content": "as it is \n"}}, "as it is \n", "stop", (9, 4)),
        ({"message": {"content": None}}, "", "stop", (9, 4)),
        (
            {"message": {"content": [{"type": "thinking"}, {"type": "text", "text": "two"}, 5]}},
            "two",
            "stop",
            (9, 4),
        ),
        ({"message": {"content": "half a pair \ud83d!"}}, "half a pair \ufffd!", "stop", (9, 4)),
        ({"message": {"content": "x"}, "finish_reason": "abort"}, "x", "abort", (9, 4)),
        ({"message": {"content": "x"}, "finish_reason": "MAX_TOKENS"}, "x", "length", (9, 4)),
        ({"message": {"content": [{"type": "output_text", "text": "x"}]}}, "x", "stop", (9, 4)),
        (
            {"message": {"content": [{"type": "thinking", "thinking": [{"text": "Hm."}]}]}},
            "<think>Hm.",
            "stop",
            (9, 4),
        ),
        ({"message": {"content": None, "refusal": "No."}}, "No.", "refusal", (9, 4)),
        ({"message": {"content": "", "reasoning": "Hm."}}, "<think>Hm.", "stop", (9, 4)),
        ({"message": {"content": "x"}, "usage": {"prompt_tokens": "9"}}, "x", "stop", (None, None)),
    ],
)
def test_every_shape_of_an_answer_is_read(
    patches: dict[str, Any], text: str, reason: str, tokens: tuple[int | None, int | None]
) -> None:
    """Content is a string, null or parts; what makes no sense is left out."""
    usage = patches.pop("usage", {"prompt_tokens": 9, "completion_tokens": 4})
    with StubServer() as server:
        server.patches = {"choices": [{"finish_reason": "stop", **patches}], "usage": usage}
        completion = ask(server, retries=0)
    assert completion == Completion(text, reason, *tokens)
    completion.text.encode()
    with StubServer() as server:
        server.patches = {"choices": [{"message": None}]}
        assert type(failing(server, retries=0)) is TransientEngineError


def test_the_newer_name_of_the_limit_is_found() -> None:
    """Where an API knows only `max_completion_tokens`, it is used from then on."""

    async def use(engine: OpenAIEngine) -> list[Completion]:
        at_once = await asyncio.gather(*(engine.complete(question()) for _ in range(5)))
        return [*at_once, await engine.complete(question("last"))]

    with StubServer("hosted", new_limit_only=True) as server:
        assert [one.text for one in using(server, use)] == [ANSWER] * 6
    names = [(chat.asked.text, chat.asked.limit_name) for chat in server.chats if chat.asked]
    assert [name for text, name in names if text == "last"] == ["max_completion_tokens"]


PYDANTIC = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs", "input": 5}
SCHEMA = {
    "type": "object",
    "properties": {"prompt": {"type": "string"}},
    "required": ["prompt"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "refusals",
    [
        {"seed": {"object": "error", "message": {"detail": [PYDANTIC]}}},
        {"seed": {"detail": [PYDANTIC]}},
        {"seed": "Unrecognized request argument supplied: seed"},
        {"seed": {"error": {"message": "Unsupported.", "param": "seed"}}, "temperature": "Only 1."},
        {"seed": {"error": "unknown field `seed`"}, "response_format": "Grammar error: no such"},
        {"response_format": "Invalid schema for response_format 'answer'"},
        {"response_format": {"status": 500, "error": "Unexpected empty grammar stack"}},
    ],
)
def test_what_a_server_does_not_take_is_left_out(refusals: dict[str, Any]) -> None:
    """The field that a refusal names is left out, and from then on in every request."""
    if "temperature" in refusals:
        refusals["temperature"] = "'temperature' does not support 0.6, only the default (1)."

    async def use(engine: OpenAIEngine) -> list[Completion]:
        return [await engine.complete(question(schema=SCHEMA)) for _ in range(2)]

    with StubServer("hosted", refusals=refusals) as server:
        assert [one.text for one in using(server, use)] == [ANSWER] * 2
    *refused, first, second = (chat.body for chat in server.chats)
    assert len(refused) == len(refusals)
    assert first == second == {k: v for k, v in refused[0].items() if k not in refusals}


def test_what_is_left_out_for_nothing_is_not_remembered() -> None:
    """A refusal that stays has another reason, and is the item's."""

    async def use(engine: OpenAIEngine) -> None:
        with pytest.raises(ItemEngineError, match="of 4096") as caught:
            await engine.complete(question(images=0))
        assert type(caught.value) is ItemEngineError
        server.refusals = {}
        await engine.complete(question(images=0))

    refusals = {"seed": "'seed' or so: 5000 of 4096", "temperature": "5000 of 4096"}
    with StubServer(refusals=refusals) as server:
        using(server, use)
    assert ["seed" in chat.body for chat in server.chats] == [True, False, True]
    said = {"message": "max_tokens or max_completion_tokens is too large: 5000 of 4096"}
    with StubServer(faults=[Fault("status", 400, error=said)]) as server:
        assert type(failing(server, question(images=0))) is ItemEngineError


MISTRAL = "chat_template is not supported for Mistral tokenizers."
NO_BUDGET = "thinking_token_budget is set but reasoning_config is not configured."


@pytest.mark.parametrize("model", ["Qwen3.5-VL-9B", "no-name"])
@pytest.mark.parametrize(
    ("style", "switch", "refusals"),
    [
        ("vllm-0.32", "chat_template_kwargs", {}),
        ("vllm-0.32", "reasoning_effort", {"chat_template_kwargs": MISTRAL}),
        ("vllm-0.32", "thinking_token_budget", {"reasoning_effort": "reasoning_effort: none?"}),
        ("llama-server", "chat_template_kwargs", {}),
        ("vllm-0.32", "reasoning_effort", {"thinking_token_budget": NO_BUDGET}),
        ("hosted", "reasoning_effort", {"chat_template_kwargs": "Unknown: chat_template_kwargs"}),
    ],
)
def test_thinking_is_switched_off(
    model: str, style: str, switch: str, refusals: dict[str, str]
) -> None:
    """At once where the name says that it thinks, else after a thought; what is refused is not."""

    async def use(engine: OpenAIEngine) -> list[Completion]:
        return [await engine.complete(question(schema=SCHEMA)) for _ in range(2)]

    options: dict[str, Any] = {"thought": "Hm.", "switch": switch, "refusals": refusals}
    with StubServer(style, models=[model], **options) as server:
        assert [one.text for one in using(server, use, model=model)] == [ANSWER] * 2
    *tries, last = (chat.body for chat in server.chats)
    assert len(tries) == len(refusals) + 1 + (model == "no-name")
    assert switch in last
    assert not refusals.keys() & last.keys()
    assert "include_reasoning" not in last


def test_a_model_that_thinks_all_the_same_gives_its_thought() -> None:
    """It is asked once more not to think, and no field is refused in vain without a name."""
    with StubServer(models=["no-name"], thought="Hm.") as server:
        assert ask(server).text == "<think>Hm."
    assert ["reasoning_effort" in chat.body for chat in server.chats] == [False, True]
    refusals = dict.fromkeys(("reasoning_effort", "response_format"), "No.")
    with StubServer("hosted", models=["qwq"], refusals=refusals) as server:
        assert ask(server, question(schema=SCHEMA)).text == ANSWER
    assert len(server.chats) == 2
    with StubServer() as server:
        ask(server)
    assert not server.chats[0].asked or not server.chats[0].asked.switches


def test_an_answer_is_held_to_a_schema() -> None:
    """The schema is sent as it is; without one nothing is said of the answer's form."""
    with StubServer() as server:
        ask(server, question(schema=SCHEMA))
        ask(server)
    held, free = server.chats
    assert held.asked is not None
    assert held.asked.schema == SCHEMA
    assert "response_format" not in free.body


# ---- pictures


def pictures_of(body: dict[str, Any]) -> list[tuple[str, Pixels]]:
    """Media type and pixels of the pictures in a request."""
    pictures = []
    for part in body["messages"][-1]["content"][:-1]:
        head, _, data = part["image_url"]["url"].partition(",")
        picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        if picture.format == "JPEG":
            layers = picture.layer  # type: ignore[attr-defined]
            assert {(across, down) for _, across, down, _ in layers} == {(1, 1)}, "chroma is whole"
        media = head.removeprefix("data:").removesuffix(";base64")
        pictures.append((media, np.asarray(picture)))
    return pictures


def test_camera_pictures_are_fine_jpegs_and_all_others_pngs() -> None:
    """Little of a camera picture is lost, and nothing of few colours or of a control video."""
    with StubServer() as server:
        ask(server, Request("t", (frame(), frame(edges()))))
        ask(server, Request("t", (frame(),), source_kind="depth"))
    (camera, lossy), (few, exact) = pictures_of(server.chats[0].body)
    assert (camera, few) == ("image/jpeg", "image/png")
    # Noise is the worst there is; quality 90 loses more than 5.
    assert np.abs(lossy.astype(int) - noise()).mean() < 4
    assert np.array_equal(exact, edges())
    [(control, unchanged)] = pictures_of(server.chats[1].body)
    assert control == "image/png"
    assert np.array_equal(unchanged, noise())


# ---- what goes wrong


@pytest.mark.parametrize("fault", TRANSIENT + BROKEN)
def test_what_may_pass_is_tried_again(fault: str) -> None:
    """The same request is sent again; what goes on is given up after so many attempts."""
    with StubServer(faults=[fault, None, *[fault] * 9]) as server:
        assert ask(server).text == ANSWER
        error = failing(server, retries=2)
        first, second, *more = server.chats
    assert first.body == second.body
    assert type(error) is (EngineBusy if fault.startswith("429") else TransientEngineError)
    assert error.retryable
    assert len(more) == 3
    assert server.base_url.removeprefix("http://").removesuffix("/v1") in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, ItemEngineError) for status in (400, 413, 422)),
        *((status, ConfigEngineError) for status in (301, 401, 403, 404, 407)),
    ],
)
def test_what_does_not_pass_is_not_tried_again(status: int, kind: type[EngineError]) -> None:
    """The status alone decides the class, whatever the server says; no redirect is followed."""
    said = {"message": "maximum context length; invalid api key; out of memory"}
    headers = {"Retry-After": "1", "Location": "/elsewhere"}
    with StubServer(faults=[Fault("status", status, headers, said)]) as server:
        error = failing(server, question(images=0))
    assert type(error) is kind
    assert str(status) in error.message
    assert error.remedy
    assert [one.path for one in server.received] == ["/v1/models", "/version", CHAT]


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_no_answer_in_time_is_transient(fault: str) -> None:
    """Silence, or a byte at a time for ever, ends with the attempt."""
    with StubServer(faults=[fault] * 9) as server:
        error = failing(server, timeout=0.3, retries=1)
    assert type(error) is TransientEngineError
    assert "0.3 s" in error.message
    assert len(server.chats) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "wait"),
    [
        (Fault("status", 429), EngineBusy, None),
        (Fault("status", 429, {"Retry-After": "1.5"}), EngineBusy, 1.5),
        (Fault("status", 503), TransientEngineError, None),
        (Fault("status", 503, {"Retry-After": "0"}), EngineBusy, 0.0),
        (Fault("status", 503, {"Retry-After": "nan"}), TransientEngineError, None),
        (Fault("status", 500, {"Retry-After": "9"}), TransientEngineError, 9.0),
    ],
)
def test_without_retries_the_caller_learns_what_to_do(
    fault: Fault, kind: type[TransientEngineError], wait: float | None
) -> None:
    """One request goes out, and the error says whether to send less, and how long to wait."""
    with StubServer(faults=[fault]) as server:
        error = failing(server, retries=0)
    assert type(error) is kind
    assert error.wait == wait
    assert len(server.chats) == 1


def test_the_pause_is_the_servers_else_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double and have a random part; one that is too long is not begun."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(client_module, "_FIRST_PAUSE", 0.5)
    monkeypatch.setattr(client_module, "_JITTER", 1.0)
    monkeypatch.setattr(asyncio, "sleep", noted)
    faults = [Fault("status", 503, {"retry-after": "9"}), *[Fault("status", 503)] * 3]
    with StubServer(faults=[*faults, None, "429:3600"]) as server:
        assert ask(server).text == ANSWER
        assert "429" in failing(server).message
    for pause, least in zip(pauses, [9, 1, 2, 4], strict=True):
        assert least <= pause <= least + 1
    assert len(server.chats) == 6


# ---- a model that takes no images


def test_a_text_model_is_a_mistake_in_the_settings() -> None:
    """One that refuses even tiny images, or so many, and takes text is told from an item."""
    with StubServer(sees=False) as server:
        error = failing(server)
    assert type(error) is ConfigEngineError
    assert "2 images" in error.message
    with StubServer(max_images=1) as server:
        assert type(failing(server)) is ConfigEngineError
        assert ask(server, question(images=1)).text == ANSWER
    with StubServer("llama-server", sees=False) as server:  # which says so
        assert describe(server).max_images == 0
        assert type(failing(server)) is ConfigEngineError
        assert server.chats == []


# ---- counts


@pytest.mark.parametrize("style", STYLES)
def test_only_vllm_counts_without_answering(style: str) -> None:
    """The count is the one that the answer has; others are not asked for what they lack."""

    async def use(engine: OpenAIEngine) -> tuple[int | None, int, int | None]:
        assert isinstance(engine, CountsTokens)
        counted = await engine.count(question(system="be brief"))
        before = len(server.chats)
        return counted, before, (await engine.complete(question(system="be brief"))).prompt_tokens

    with StubServer(style) as server:
        counted, chats, used = using(server, use)
    assert chats == 0
    if style.startswith("vllm"):
        assert counted == used
    else:
        assert counted is None
        assert "/tokenize" not in [one.path for one in server.received]


# ---- connections


def test_cancelling_hangs_up() -> None:
    """A cancelled request closes its connection, so that the server can stop its work."""

    async def use(engine: OpenAIEngine) -> None:
        task = asyncio.create_task(engine.complete(question()))
        assert await asyncio.to_thread(server.hanging.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(20):
            while not server.hung_up:
                await asyncio.sleep(0.01)
        await engine.close()
        await engine.close()
        with pytest.raises(ConfigEngineError, match="closed"):
            await engine.complete(question())

    with StubServer(faults=["hang"]) as server:
        using(server, use)
    assert len(server.chats) == 1


def test_all_that_is_under_way_is_at_the_server() -> None:
    """100 requests at once are 100 at the server at once, which is described only once."""
    everyone = threading.Barrier(100, timeout=60)

    def reply(asked: Asked) -> str:
        everyone.wait()
        return f"Answer to {asked.text}"

    async def use(engine: OpenAIEngine) -> list[Completion]:
        requests = (question(str(number), images=0) for number in range(100))
        return await asyncio.gather(*map(engine.complete, requests))

    with StubServer(reply=reply) as server:
        completions = using(server, use)
    assert [one.text for one in completions] == [f"Answer to {number}" for number in range(100)]
    assert server.most_at_once == 100
    assert [one.path for one in server.received].count("/v1/models") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", f"gopher://user:{KEY}@proxy:1"),
        ("SSL_CERT_FILE", "/there/is/no/such/file.pem"),
    ],
)
def test_an_environment_that_cannot_be_used_is_a_mistake_in_the_settings(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is set for proxies and certificates is named, and not repeated."""
    for other in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigEngineError, match="can be set up") as caught:
        OpenAIEngine(OpenAISettings(base_url="https://api.example/v1"))
    assert name in caught.value.remedy
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_certificate_of_nobody_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is verified: an unknown certificate is a mistake in the settings; a trusted one works."""
    authority, certificate = trustme.CA(), tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with StubServer(tls=certificate) as server:
        error = failing(server)
        assert type(error) is ConfigEngineError
        assert "certificate" in error.message
        assert server.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert ask(server).text == ANSWER


# ---- addresses and keys


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://localhost/v1",
        "http:///v1",
        "http://a b/v1",
        "http://localhost:99999/v1",
        "http://local\nhost/v1",
        f"http://user:{KEY}@[broken/v1",
        f"http://localhost/v1?api-key={KEY}",
        f"http://localhost/v1#{KEY}",
    ],
)
def test_what_is_no_address_is_refused_and_no_secret_shown(url: str) -> None:
    """Anything but a plain http or https URL is a mistake; a password in it is not repeated."""
    with pytest.raises(ConfigEngineError, match="base URL") as caught:
        OpenAIEngine(OpenAISettings(base_url=url))
    assert KEY not in str(caught.value)
    assert KEY not in str(caught.value.__context__)
    for given, base in (
        (" http://localhost:8000/ ", "http://localhost:8000/v1"),
        ("https://a.example/api/v1/", "https://a.example/api/v1"),
    ):
        assert repr(base) in repr(OpenAIEngine(OpenAISettings(base_url=given)))


@pytest.mark.parametrize(
    ("variable", "key", "said"),
    [
        ("UNSET_KEY", None, "variable UNSET_KEY"),
        ("BLANK_KEY", None, "variable BLANK_KEY"),
        (KEY, None, "variable given"),
        *((None, odd, "no key has") for odd in ("", "two words", "clé")),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_and_not_shown(
    variable: str | None, key: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, blank, given as its variable's name, or fit for no header."""
    monkeypatch.setenv("BLANK_KEY", "  ")
    monkeypatch.delenv("UNSET_KEY", raising=False)
    with pytest.raises(ConfigEngineError, match=said) as caught:
        OpenAIEngine(
            OpenAISettings(base_url="http://localhost/v1", api_key_env=variable), api_key=key
        )
    assert KEY not in str(caught.value)
    assert not key or key not in str(caught.value)


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the variable that is named opens the door; none or another does not."""
    monkeypatch.setenv("STUB_KEY", f" {KEY}\n")
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    with StubServer(key=KEY) as server:
        assert ask(server, api_key_env="STUB_KEY").text == ANSWER
        assert type(failing(server, api_key_env="OTHER_KEY")) is ConfigEngineError
        assert type(failing(server)) is ConfigEngineError
        assert "sk-other-2" not in str(failing(server, api_key="sk-other-2"))


def test_nothing_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and headers for another server stay here, and no proxy is asked for the loopback."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with StubServer() as server:
        ask(server)
    for one in server.received:
        assert "authorization" not in one.headers
        assert KEY not in str(one.headers)
        assert one.headers["user-agent"].startswith("promptlift/")


@pytest.fixture
def key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key where a user would have it, so that no frame of a test holds it."""
    monkeypatch.setenv("STUB_KEY", KEY)


def repeating(status: int) -> Fault:
    """A refusal that repeats the key, and wants to paint the terminal red."""
    return Fault("status", status, error={"message": f"Bad \x1b[31m request\nwith key {KEY}"})


@pytest.mark.parametrize(
    "fault",
    [
        *map(repeating, (400, 401, 422, 503)),
        *map(Fault, [*BROKEN, "hang", "drip", "redirect"]),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_the_key_is_not_in_what_an_error_leaves(
    fault: Fault, key_in_environment: None, caplog: pytest.LogCaptureFixture
) -> None:
    """No log at any level, error, cause or traceback with its variables has the key."""
    caplog.set_level(logging.DEBUG)
    with StubServer(key=KEY, faults=[fault] * 2) as server:
        error = failing(server, api_key_env="STUB_KEY", retries=1, timeout=0.5)
    assert error.__cause__ is None
    assert error.__context__ is None
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    seen = [str(error), repr(error), str(vars(error)), *trace.format()]
    seen += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert len(seen) > 20
    assert [text for text in seen if KEY in text] == []
    assert "\x1b" not in str(error)


def test_the_servers_words_are_shown_short_and_clean() -> None:
    """What a server says of an item is shown, without control characters and not at any length."""
    said = "Too long: \x1b]0;title\x07 5000\n\ttokens " + "and so on " * 200
    with StubServer(faults=[Fault("status", 400, error={"message": said})]) as server:
        error = failing(server, question(images=0))
    assert "Too long: ]0;title 5000 tokens and so on" in error.message
    assert error.message.endswith("...")
    assert len(error.message) < 500
    assert error.message.isprintable()
    with StubServer(faults=[Fault("status", 400, error={"message": "It is too long."})]) as server:
        assert "(status 400): It is too long. Show fewer" in str(failing(server))
