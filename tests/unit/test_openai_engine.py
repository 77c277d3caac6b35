"""The OpenAI engine against a real server on the loopback that answers as it is told."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import threading
import traceback
import weakref
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import stamina
import stamina.instrumentation
import trustme

from promptlift.core.sampling import Sampling
from promptlift.core.tokens import PIXTRAL
from promptlift.core.video import Frame, Size
from promptlift.engines import openai as openai_engine
from promptlift.engines.base import Completion, CountsTokens, EngineInfo, Request
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.wire import client as wire_client
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)
from stubs.openai_server import ANSWER, MODEL, Fault, StubServer

T = TypeVar("T")

KEY = "sk-swordfish-0123456789"
STYLES = ["vllm-0.9.2", "vllm-0.32", "sglang", "llama-server", "hosted"]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retries come at once, and there are two of them at most."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def frame(width: int = 64, height: int = 48) -> Frame:
    """A frame of many colours."""
    image = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(Fraction(0), image, wanted=Fraction(0))


def question(text: str = "what is seen?", images: int = 2, **changes: Any) -> Request:
    """A request."""
    return replace(Request(text, (frame(),) * images, sampling=Sampling(seed=5)), **changes)


def using(server: StubServer, use: Callable[[OpenAIEngine], Awaitable[T]], **options: Any) -> T:
    """Make an engine for a server, use it, and close it; the server must have no complaint."""

    async def session() -> T:
        engine = OpenAIEngine(server.base_url, **options)
        try:
            return await use(engine)
        finally:
            await engine.close()

    result = asyncio.run(session())
    assert server.violations == []
    return result


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
    assert server.violations == []
    return caught.value


@pytest.mark.parametrize("style", STYLES)
def test_every_kind_of_server_answers(style: str) -> None:
    """Text, reason and token counts come through, and the prompt costs what the formula says."""
    with StubServer(style) as server:
        completion = ask(server, question(system="be brief"))
    expected = 2 * PIXTRAL.image(Size(64, 48))
    expected += PIXTRAL.chat("be brief", "what is seen?", 2, lambda text: len(text.split()))
    assert completion == Completion(ANSWER, "stop", expected, len(ANSWER.split()))


@pytest.mark.parametrize(
    ("style", "version", "context"),
    [
        ("vllm-0.9.2", "vllm 0.9.2", 5120),
        ("vllm-0.32", "vllm 0.32.0", 5120),
        ("sglang", "sglang 0.5.9", 5120),
        ("llama-server", "llamacpp b7000-abcdef0", 5120),
        ("hosted", "unknown", None),
    ],
)
def test_a_server_is_asked_about_itself(style: str, version: str, context: int | None) -> None:
    """Model, version and the context that is really in force come from the server."""
    with StubServer(style, context=5120) as server:
        info = describe(server)
    origin = "/models/model.gguf" if style == "llama-server" else MODEL
    assert info == EngineInfo("openai", MODEL, "", version, context, "pixtral", 64, origin)


def test_a_hosted_server_is_asked_for_its_models_only() -> None:
    """Nothing is tried at addresses that only other servers have."""
    with StubServer("hosted") as server:
        describe(server)
    assert [one.path for one in server.received] == ["/v1/models"]


def test_a_model_without_eyes_takes_no_images() -> None:
    """Where llama-server says that it has no vision, no image is sent, and text is."""
    with StubServer("llama-server", sees=False) as server:
        assert describe(server).max_images == 0
        assert type(failing(server)) is ConfigEngineError
        assert ask(server, question(images=0)).text == ANSWER
    assert len(server.chats) == 1


def test_a_stranger_has_no_family() -> None:
    """The family is by the model's name, else as it is given, else unknown."""
    with StubServer(models=["strange-vl-7b"]) as server:
        assert describe(server).family is None
        assert describe(server, family="pixtral").family == "pixtral"


def test_several_models_want_a_choice() -> None:
    """With several models and none named, all are listed; a named one is taken."""
    with StubServer(models=["alpha", "beta"]) as server:
        with pytest.raises(ConfigEngineError, match="alpha, beta"):
            describe(server)
        assert describe(server, model="beta").model == "beta"


def test_two_names_of_one_model_are_one_model() -> None:
    """VLLM can serve one model under several names; the first is taken."""
    with StubServer(models=["short", "long"]) as server:
        server.style = replace(server.style, card=_same_root(server.style.card))
        assert describe(server).model == "short"


def _same_root(card: Callable[[str, int], dict[str, Any]]) -> Callable[[str, int], dict[str, Any]]:
    return lambda name, context: {**card(name, context), "root": "owner/pixtral-12b"}


def test_an_alias_is_known_by_what_it_was_loaded_from() -> None:
    """The family of a model with a made-up name is that of its checkpoint."""
    with StubServer(models=["short"]) as server:
        server.style = replace(server.style, card=_same_root(server.style.card))
        assert describe(server).family == "pixtral"


def test_an_adapter_has_its_models_context() -> None:
    """A LoRA adapter is no second model to choose from, and has the context of its parent."""

    def card(name: str, context: int) -> dict[str, Any]:
        parent = None if name == "base" else "base"
        length = context if name == "base" else None
        return {"id": name, "owned_by": "vllm", "parent": parent, "max_model_len": length}

    with StubServer(models=["base", "adapter"]) as server:
        server.style = replace(server.style, card=card)
        assert describe(server).model == "base"
        assert describe(server, model="adapter").context == 4096


def test_a_model_that_is_not_served_is_a_mistake() -> None:
    """VLLM lists every name it answers to: another is refused before anything is sent."""
    with StubServer() as server:
        error = failing(server, model="other")
        assert isinstance(error, ConfigEngineError)
        assert "other" in error.message
        assert MODEL in error.remedy
        assert server.chats == []


def test_a_hosted_server_may_have_unlisted_models() -> None:
    """Elsewhere a name that is not listed is tried, and the status says whether it is there."""
    with StubServer("hosted") as server:
        assert describe(server, model="dated-2026").model == "dated-2026"
        assert isinstance(failing(server, model="dated-2026"), ConfigEngineError)
    with StubServer("llama-server", context=2048) as server:
        assert describe(server, model="any name").context == 2048


def test_a_server_without_a_list_wants_a_name() -> None:
    """Where there is no list of models, the model has to be named."""
    with StubServer("hosted", lists=False) as server:
        with pytest.raises(ConfigEngineError, match="--model"):
            describe(server)
        assert ask(server, model=MODEL).text == ANSWER


def test_a_server_without_a_model_is_a_mistake() -> None:
    """A server that has loaded nothing is told from one that does not answer."""
    with StubServer(models=[]) as server, pytest.raises(ConfigEngineError, match="no model"):
        describe(server)


def test_a_smaller_context_is_kept_and_a_larger_refused() -> None:
    """The context may be given, up to what the server has; a hosted one has no say."""
    with StubServer(context=4096) as server:
        assert describe(server, context=2048).context == 2048
        with pytest.raises(ConfigEngineError, match="8192"):
            describe(server, context=8192)
    with StubServer("hosted") as server:
        assert describe(server, context=32768).context == 32768


def test_what_is_asked_is_what_is_sent() -> None:
    """Model, texts, pictures and sampling arrive as they were given."""
    sampling = Sampling(max_tokens=77, temperature=0.3, seed=42)
    request = Request("the text", (frame(320, 180), frame(40, 30)), "the rules", sampling)
    with StubServer() as server:
        ask(server, request)
    (chat,) = server.chats
    assert chat.asked is not None
    assert (chat.asked.system, chat.asked.text) == ("the rules", "the text")
    assert chat.asked.sizes == (Size(320, 180), Size(40, 30))
    assert chat.asked.media == ("image/jpeg", "image/jpeg")
    assert (chat.asked.max_tokens, chat.asked.temperature, chat.asked.seed) == (77, 0.3, 42)


def test_the_server_is_described_once() -> None:
    """Twenty requests at once ask the server about itself once, and each gets its own answer."""
    texts = [f"question {number}" for number in range(20)]

    async def use(engine: OpenAIEngine) -> list[Completion]:
        return await asyncio.gather(*(engine.complete(question(text)) for text in texts))

    with StubServer(reply=lambda asked: f"Answer to {asked.text}") as server:
        completions = using(server, use)
    assert [one.text for one in completions] == [f"Answer to {text}" for text in texts]
    assert [one.path for one in server.received].count("/v1/models") == 1


def test_a_cut_answer_is_called_cut() -> None:
    """An answer that reaches its limit says so, and has as many tokens as were allowed."""
    with StubServer() as server:
        completion = ask(server, question(sampling=Sampling(max_tokens=4)))
    assert (completion.finish_reason, completion.completion_tokens) == ("length", 4)


TRANSIENT = ["408", "409", "425", "429", "429:0", "500", "501", "502", "503", "504"]
BROKEN = ["reset", "short", "garbage", "html", "json", "no-choices"]


@pytest.mark.parametrize("fault", TRANSIENT + BROKEN)
def test_what_may_pass_is_tried_again(fault: str) -> None:
    """After a failure that may pass, the same request is sent again and answered."""
    with StubServer(faults=[fault]) as server:
        assert ask(server).text == ANSWER
    first, second = server.chats
    assert first.body == second.body


@pytest.mark.parametrize("fault", TRANSIENT + BROKEN)
def test_what_does_not_pass_is_given_up(fault: str) -> None:
    """A failure that goes on is transient, after as many attempts as were allowed."""
    with StubServer(faults=[fault] * 9) as server:
        error = failing(server, retries=2)
    assert type(error) is (EngineBusy if fault.startswith("429") else TransientEngineError)
    assert error.retryable
    assert len(server.chats) == 3
    assert server.base_url.removeprefix("http://").removesuffix("/v1") in error.message


@pytest.mark.parametrize("status", [400, 413, 418, 422])
def test_a_refused_item_is_not_tried_again(status: int) -> None:
    """A request that the server refuses is the item's fault, and is sent once."""
    with StubServer(faults=[str(status)]) as server:
        error = failing(server)
    assert type(error) is ItemEngineError
    assert [chat.asked.text for chat in server.chats if chat.asked].count("what is seen?") == 1


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407])
def test_a_wrong_setting_is_not_tried_again(status: int) -> None:
    """What would fail for every item is a mistake in the settings, and is sent once."""
    with StubServer(faults=[str(status)]) as server:
        assert type(failing(server)) is ConfigEngineError
    assert len(server.chats) == 1


def test_a_redirect_is_not_followed() -> None:
    """Frames go nowhere that the user did not name."""
    with StubServer(faults=["redirect"]) as server:
        assert type(failing(server)) is ConfigEngineError
    assert [one.path for one in server.received if "elsewhere" in one.path] == []


def test_the_list_of_models_is_tried_again() -> None:
    """A server that has a bad moment when it is first asked is asked again."""
    with StubServer(page_faults=["503", "reset"]) as server:
        assert describe(server).model == MODEL


def test_a_web_page_is_no_list_of_models() -> None:
    """An address that gives pages for people is found out before a frame is sent."""
    with StubServer(page_faults=["html"] * 9) as server:
        error = failing(server)
    assert type(error) is TransientEngineError
    assert "/v1" in error.remedy
    assert server.chats == []


@pytest.mark.parametrize("fault", ["404", "500", "html", "json"])
def test_a_missing_version_does_no_harm(fault: str) -> None:
    """The version is nice to have: whatever is at its address, the model is described."""
    with StubServer() as server:
        pages = server.page

        def page(path: str) -> dict[str, Any] | None:
            if path == "/v1/models":
                server.page_faults.append(Fault.parse(fault))
            return pages(path)

        server.page = page  # type: ignore[method-assign]
        info = describe(server)
    assert (info.version, info.context) == ("unknown", 4096)


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_no_answer_in_time_is_transient(fault: str) -> None:
    """A server that says nothing, or a byte at a time for ever, is left after the time is up."""
    with StubServer(faults=[fault]) as server:
        error = failing(server, timeout=0.3, retries=0)
        assert type(error) is TransientEngineError
        assert "0.3 s" in error.message


def test_patience_bounds_all_attempts() -> None:
    """Attempts end when the time for all of them is up, also where more would be allowed."""
    with StubServer(faults=["hang"] * 9) as server:
        error = failing(server, timeout=60, patience=0.3, retries=2)
    assert type(error) is TransientEngineError
    assert "within 0.3 s" in error.message
    assert len(server.chats) == 1


def test_nobody_there_is_transient() -> None:
    """A refused connection is said to be one, with the address and what to look at."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"

        async def session() -> None:
            engine = OpenAIEngine(f"http://{host}/v1")
            try:
                await engine.describe()
            finally:
                await engine.close()

        with pytest.raises(TransientEngineError, match="nothing listens") as caught:
            asyncio.run(session())
    assert host in caught.value.message


def test_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait before the next attempt is the one that the server asks for."""
    monkeypatch.setattr(wire_client, "_WAIT_JITTER", 0.0)
    waits: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    fault = Fault("status", 503, {"retry-after-ms": "30"})
    try:
        with stamina.set_testing(False), StubServer(faults=[fault]) as server:
            assert ask(server).text == ANSWER
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert waits == [pytest.approx(0.03)]


@pytest.mark.parametrize(
    ("fault", "kind", "wait"),
    [
        (Fault("status", 429), EngineBusy, None),
        (Fault("status", 429, {"Retry-After": "7"}), EngineBusy, 7.0),
        (Fault("status", 429, {"Retry-After-Ms": "250"}), EngineBusy, 0.25),
        (Fault("status", 503), TransientEngineError, None),
        (Fault("status", 503, {"Retry-After": "0"}), EngineBusy, 0.0),
        (Fault("status", 503, {"Retry-After": "soon"}), TransientEngineError, None),
        (Fault("status", 500, {"Retry-After": "9"}), TransientEngineError, 9.0),
        (Fault("reset"), TransientEngineError, None),
    ],
)
def test_without_retries_the_caller_is_told_what_to_do(
    fault: Fault, kind: type[TransientEngineError], wait: float | None
) -> None:
    """One request goes out, and the error says whether to send less, and how long to wait."""
    with stamina.set_testing(False), StubServer(faults=[fault]) as server:
        error = failing(server, retries=0)
    assert type(error) is kind
    assert error.wait == wait
    assert len(server.chats) == 1


def test_too_long_a_wait_is_not_begun() -> None:
    """A server that wants to be left alone for longer than there is patience is left at once."""
    with stamina.set_testing(False), StubServer(faults=["429:3600"]) as server:
        error = failing(server, patience=60)
    assert type(error) is EngineBusy
    assert error.wait == 3600
    assert len(server.chats) == 1


def test_a_wait_that_takes_all_the_time_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the time is up after a wait, the failure before it is told, and nothing is sent."""
    monkeypatch.setattr(wire_client, "_WAIT_INITIAL", 1.1)
    monkeypatch.setattr(wire_client, "_WAIT_JITTER", 0.0)
    with stamina.set_testing(False), StubServer(faults=["503"] * 9) as server:
        error = failing(server, patience=1.0)
    assert "503" in error.message
    assert len(server.chats) == 1


def test_a_crowd_does_not_come_back_at_once() -> None:
    """Waits that a server asks for are lengthened by a random part."""
    error = EngineBusy("busy", remedy="wait", wait=2.0)
    waits = {wire_client._pause(error, deadline=float("inf")) for _ in range(20)}
    assert len(waits) > 10
    assert all(2 <= wait <= 3 for wait in waits)


def test_a_text_model_is_a_mistake_in_the_settings() -> None:
    """A model that refuses even tiny images and takes text is told from an item at fault."""
    with StubServer(sees=False) as server:
        error = failing(server)
    assert type(error) is ConfigEngineError
    assert "2 images" in error.message


def test_too_small_an_image_limit_is_a_mistake_in_the_settings() -> None:
    """A server that takes one image a prompt would refuse every item of two."""
    with StubServer(max_images=1) as server:
        assert type(failing(server)) is ConfigEngineError
        assert ask(server, question(images=1)).text == ANSWER


@pytest.mark.parametrize("style", STYLES)
def test_a_long_prompt_is_the_items_fault(style: str) -> None:
    """Every kind of server refuses a prompt over its context, and only that item is at fault."""
    with StubServer(style, context=512) as server:
        error = failing(server, question("long " * 600))
        assert type(error) is ItemEngineError
        assert ask(server, question(sampling=Sampling(max_tokens=30))).text == ANSWER


def test_images_are_put_to_the_test_once() -> None:
    """That a model takes images is found out at the first refusal, not at each."""

    async def use(engine: OpenAIEngine) -> None:
        for text in ("long " * 600, "longer " * 600):
            with pytest.raises(ItemEngineError):
                await engine.complete(question(text))

    with StubServer(context=512) as server:
        using(server, use)
    assert len(server.chats) == 3


def test_an_item_stays_at_fault_where_nothing_can_be_found_out() -> None:
    """A server that goes away after a refusal leaves the refusal as it was."""
    with StubServer(faults=["400", *["503"] * 9]) as server:
        assert type(failing(server)) is ItemEngineError


def test_a_server_that_refuses_everything_is_not_blind() -> None:
    """Where even text alone is refused, images are not what is wrong."""
    with StubServer(faults=["400"] * 3) as server:
        assert type(failing(server)) is ItemEngineError
    assert [len(chat.asked.sizes) for chat in server.chats if chat.asked] == [2, 2, 0]


def test_more_images_than_allowed_are_not_sent() -> None:
    """The engine's own limit is kept without asking."""
    with StubServer() as server:
        assert type(failing(server, question(images=3), max_images=2)) is ItemEngineError
    assert server.chats == []


def test_the_newer_name_of_the_limit_is_found() -> None:
    """Where an API knows only `max_completion_tokens`, it is used from then on."""

    async def use(engine: OpenAIEngine) -> list[Completion]:
        at_once = await asyncio.gather(*(engine.complete(question()) for _ in range(5)))
        return [*at_once, await engine.complete(question("last"))]

    with StubServer("hosted", new_limit_only=True) as server:
        assert [one.text for one in using(server, use)] == [ANSWER] * 6
    names = [(chat.asked.text, chat.asked.limit_name) for chat in server.chats if chat.asked]
    assert [name for text, name in names if text == "last"] == ["max_completion_tokens"]


def test_another_unsupported_parameter_is_refused() -> None:
    """Nothing that the user set is left out in silence."""
    error = {"code": "unsupported_parameter", "param": "seed"}
    with StubServer(faults=[Fault("status", 400, error=error)]) as server:
        assert isinstance(failing(server), ItemEngineError)


def test_vllm_counts_without_answering() -> None:
    """The count is the one that the answer has, and nothing is generated for it."""

    async def use(engine: OpenAIEngine) -> tuple[int | None, int, int | None]:
        assert isinstance(engine, CountsTokens)
        counted = await engine.count(question(system="be brief"))
        before = len(server.chats)
        return counted, before, (await engine.complete(question(system="be brief"))).prompt_tokens

    with StubServer() as server:
        counted, chats, used = using(server, use)
    assert chats == 0
    assert counted == used


@pytest.mark.parametrize("style", ["sglang", "llama-server", "hosted"])
def test_others_are_not_asked_to_count(style: str) -> None:
    """Where a count would leave out the images or does not exist, there is none."""
    with StubServer(style) as server:
        assert using(server, lambda engine: engine.count(question())) is None
    assert "/tokenize" not in [one.path for one in server.received]


def test_a_server_that_cannot_count_is_asked_once() -> None:
    """A count that is not there is remembered."""

    async def use(engine: OpenAIEngine) -> list[int | None]:
        return [await engine.count(question()) for _ in range(3)]

    with StubServer() as server:
        server.style = replace(server.style, counts=False)
        assert using(server, use) == [None, None, None]
    assert [one.path for one in server.received].count("/tokenize") == 1


def test_one_request_that_cannot_be_counted_is_no_rule() -> None:
    """A count that is refused for one request does not keep the next from being counted."""

    async def use(engine: OpenAIEngine) -> tuple[int | None, int | None]:
        server.tokenize_faults.append(Fault.parse("400"))
        return await engine.count(question()), await engine.count(question())

    with StubServer() as server:
        refused, counted = using(server, use)
    assert refused is None
    assert counted is not None


def waiting(server: StubServer) -> int | None:
    """How many requests a server says are waiting."""
    return using(server, lambda engine: engine.waiting())


@pytest.mark.parametrize("style", ["vllm-0.9.2", "vllm-0.32"])
@pytest.mark.parametrize(("queues", "sum_"), [([0], 0), ([5], 5), ([2, 0, 3], 5)], ids=str)
def test_vllm_says_how_many_wait(style: str, queues: list[int], sum_: int) -> None:
    """The queues of all engines behind the server are added up, and nothing else is."""
    with StubServer(style) as server:
        server.queues = queues
        assert waiting(server) == sum_
    assert [one.path for one in server.received].count("/metrics") == 1


@pytest.mark.parametrize("style", ["sglang", "llama-server", "hosted"])
def test_others_are_not_asked_how_many_wait(style: str) -> None:
    """Only vLLM has this gauge."""
    with StubServer(style) as server:
        assert waiting(server) is None
    assert "/metrics" not in [one.path for one in server.received]


@pytest.mark.parametrize("fault", ["404", "401", "500", "429:1", "html", "json", "reset", "hang"])
def test_a_gauge_that_cannot_be_read_is_none(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for once, is not waited for long, and never fails."""
    monkeypatch.setattr(openai_engine, "_GLANCE", 0.3)

    async def use(engine: OpenAIEngine) -> int | None:
        await engine.describe()
        server.page_faults.append(Fault.parse(fault))
        return await engine.waiting()

    with StubServer() as server:
        assert using(server, use) is None
    assert [one.path for one in server.received].count("/metrics") == 1


def test_a_server_that_is_not_there_has_no_gauge() -> None:
    """The same where the server cannot even be asked what it is."""
    with StubServer(page_faults=["503"] * 9) as server:
        assert waiting(server) is None


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_cancelling_hangs_up(fault: str) -> None:
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

    with StubServer(faults=[fault]) as server:
        using(server, use)
    assert len(server.chats) == 1


def test_all_that_is_under_way_is_at_the_server() -> None:
    """256 requests at once are 256 at the server at once: none waits here for another."""
    everyone = threading.Barrier(256, timeout=60)

    def reply(_: object) -> str:
        everyone.wait()
        return ANSWER

    async def use(engine: OpenAIEngine) -> list[Completion]:
        asked = question(images=0)
        return await asyncio.gather(*(engine.complete(asked) for _ in range(256)))

    with StubServer(reply=reply) as server:
        completions = using(server, use)
    assert {one.text for one in completions} == {ANSWER}
    assert server.most_at_once == 256


def test_a_connection_is_kept_for_the_next_request() -> None:
    """Requests one after the other go over one connection, whatever they are answered."""

    async def use(engine: OpenAIEngine) -> None:
        for _ in range(3):
            await engine.complete(question())

    with StubServer(faults=[None, "503", "html"]) as server:
        using(server, use)
    assert len(server.received) > 5
    assert len({one.port for one in server.received}) == 1


def test_a_picture_is_encoded_once_and_not_kept_alive() -> None:
    """Many prompts for the same frames send the same bytes; frames that are gone are let go."""
    frames = [frame(40, 30), frame(30, 40)]
    gone = [weakref.ref(one) for one in frames]
    known: list[object] = []

    async def use(engine: OpenAIEngine) -> None:
        request = Request("first", tuple(frames))
        await engine.complete(request)
        known.append(engine._pictures.known(request))
        more = (replace(request, text=str(number)) for number in range(5))
        await asyncio.gather(*(engine.complete(each) for each in more))
        known.append(engine._pictures.known(request))

    with StubServer() as server:
        using(server, use)
    first, last = known
    assert isinstance(first, tuple)
    assert isinstance(last, tuple)
    assert all(one is other for one, other in zip(first, last, strict=True))
    pictures = [chat.body["messages"][-1]["content"][:2] for chat in server.chats]
    assert all(one == pictures[0] for one in pictures)
    frames.clear()
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_a_frame_that_is_made_anew_is_sent_anew() -> None:
    """A picture that is drawn over and put into a new frame is not taken for the old one."""
    image = np.zeros((48, 64, 3), np.uint8)

    async def use(engine: OpenAIEngine) -> None:
        for shade in (0, 255):
            image[:] = shade
            await engine.complete(Request("t", (Frame(Fraction(0), image, wanted=Fraction(0)),)))

    with StubServer() as server:
        using(server, use)
    black, white = (chat.body["messages"][-1]["content"][0] for chat in server.chats)
    assert black != white


def test_a_request_that_waits_for_its_turn_learns_that_the_engine_is_closed() -> None:
    """Closing while a request waits to be tried again ends it as a mistake, not as a crash."""

    async def use(engine: OpenAIEngine) -> None:
        await engine.describe()
        task = asyncio.create_task(engine.complete(question()))
        while not server.chats:
            await asyncio.sleep(0.01)
        await engine.close()
        with pytest.raises((ConfigEngineError, TransientEngineError), match=r"closed|broke"):
            await task

    with stamina.set_testing(False), StubServer(faults=["503:1"] * 5) as server:
        using(server, use)


def test_a_closed_engine_says_so() -> None:
    """After closing, which may be done twice, a request is a mistake."""

    async def use(engine: OpenAIEngine) -> None:
        await engine.complete(question())
        await engine.close()
        await engine.close()
        with pytest.raises(ConfigEngineError, match="closed"):
            await engine.complete(question())

    with StubServer() as server:
        using(server, use)


@pytest.mark.parametrize("style", STYLES)
def test_the_key_is_sent(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the variable that is named opens the door; none or another does not."""
    monkeypatch.setenv("STUB_KEY", KEY)
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    with StubServer(style, key=KEY) as server:
        assert ask(server, api_key_env="STUB_KEY").text == ANSWER
        assert type(failing(server, api_key_env="OTHER_KEY")) is ConfigEngineError
        assert type(failing(server)) is ConfigEngineError


def test_nothing_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and headers that were set for another server stay here, and so does the machine."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Secret: {KEY}")
    with StubServer() as server:
        ask(server)
    for one in server.received:
        assert "authorization" not in one.headers
        assert KEY not in str(one.headers)
        assert one.headers["user-agent"].startswith("promptlift/")


def test_a_proxy_is_not_asked_for_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not come between promptlift and an engine of its own."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with StubServer() as server:
        assert ask(server).text == ANSWER


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", f"gopher://user:{KEY}@proxy:1"),
        ("ALL_PROXY", f"ftp://user:{KEY}@proxy:1"),
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
        OpenAIEngine("https://api.example/v1")
    assert name in caught.value.remedy
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_host_that_no_server_can_have_is_a_mistake_in_the_settings() -> None:
    """A name that cannot be looked up is refused before anything is sent."""
    with pytest.raises(ConfigEngineError, match="host's name"):
        OpenAIEngine("http://\N{SNOWMAN}.example/v1")


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


@pytest.fixture
def key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key where a user would have it, so that no frame of a test holds it."""
    monkeypatch.setenv("STUB_KEY", KEY)


def telling(status: int) -> Fault:
    """A refusal that repeats the key, and wants to paint the terminal red."""
    return Fault("status", status, error={"message": f"Bad \x1b[31m request\nwith key {KEY}"})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 502])
@pytest.mark.parametrize("retries", [0, 1])
def test_the_key_is_not_in_what_a_refusal_leaves(
    status: int, retries: int, key_in_environment: None, caplog: pytest.LogCaptureFixture
) -> None:
    """No log at any level, error, cause or traceback with its variables has the key."""
    caplog.set_level(logging.DEBUG)
    with StubServer(key=KEY, faults=[telling(status)] * 2) as server:
        error = failing(server, api_key_env="STUB_KEY", retries=retries)
    seen = left_behind(error)
    seen += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert len(seen) > 20
    assert [text for text in seen if KEY in text] == []
    assert "\x1b" not in str(error)


@pytest.mark.parametrize("fault", [*BROKEN, "hang", "drip", "redirect"])
def test_the_key_is_not_in_what_a_broken_connection_leaves(
    fault: str, key_in_environment: None, caplog: pytest.LogCaptureFixture
) -> None:
    """The same where the connection or the answer breaks."""
    caplog.set_level(logging.DEBUG)
    with StubServer(key=KEY, faults=[fault] * 2) as server:
        error = failing(server, api_key_env="STUB_KEY", retries=1, timeout=0.3, patience=0.5)
    seen = left_behind(error)
    seen += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert [text for text in seen if KEY in text] == []


def left_behind(error: EngineError) -> list[str]:
    """Everything that a program could show of an error."""
    assert error.__cause__ is None
    assert error.__context__ is None
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return [str(error), repr(error), str(vars(error)), *told.format()]


def test_the_key_is_not_in_what_goes_well(
    key_in_environment: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is it in the engine's own words, its account of itself, its answer or its count."""
    caplog.set_level(logging.DEBUG)

    async def use(engine: OpenAIEngine) -> list[object]:
        told = [repr(engine), await engine.describe(), await engine.complete(question())]
        return [*told, await engine.count(question()), vars(engine)]

    with StubServer(key=KEY) as server:
        seen = [str(one) for one in using(server, use, api_key_env="STUB_KEY")]
    seen += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert server.base_url in seen[0]
    assert [text for text in seen if KEY in text] == []


def test_a_wrong_key_is_not_repeated() -> None:
    """A server that repeats the key that it refuses does not get it into the error."""
    with StubServer(key="sk-right") as server:
        error = failing(server, api_key=KEY)
    assert KEY not in str(error)


def test_the_servers_words_are_shown_short_and_clean() -> None:
    """What a server says of an item is shown, without control characters and not at any length."""
    said = "Too long: \x1b]0;title\x07 5000\n\ttokens " + "and so on " * 200
    with StubServer(faults=[Fault("status", 400, error={"message": said})]) as server:
        error = failing(server)
    assert "Too long: ]0;title 5000 tokens and so on" in error.message
    assert error.message.endswith("...")
    assert len(error.message) < 500
    assert error.message.isprintable()


def test_a_sentence_of_the_server_ends_once() -> None:
    """The full stop of the server's words and that of the message are one."""
    with StubServer(faults=[Fault("status", 400, error={"message": "It is too long."})]) as server:
        assert "(status 400): It is too long. Show fewer" in str(failing(server))
