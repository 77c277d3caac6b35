"""The parts under the OpenAI engine, each by itself."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from contextlib import ExitStack
from email.utils import formatdate
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from promptlift.core.facts import Kind
from promptlift.core.tokens import family_for_model
from promptlift.core.video import Frame
from promptlift.engines.base import Completion, Request
from promptlift.engines.wire.address import parse_address, read_key
from promptlift.engines.wire.chat import messages, read_completion
from promptlift.engines.wire.connections import Connections
from promptlift.engines.wire.failures import refusal, retry_after
from promptlift.engines.wire.metrics import total
from promptlift.engines.wire.pictures import data_urls
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)

KEY = "sk-swordfish-0123456789"


def frame(image: NDArray[np.uint8]) -> Frame:
    """A frame of a picture."""
    return Frame(Fraction(0), image, wanted=Fraction(0))


def noise() -> NDArray[np.uint8]:
    """A picture of many colours."""
    return np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)


def edges() -> NDArray[np.uint8]:
    """A picture of two colours."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[20:22] = 255
    return image


def decoded(url: str) -> tuple[str, Image.Image]:
    """Media type and picture of a data URL."""
    head, _, data = url.partition(",")
    media = head.removeprefix("data:").removesuffix(";base64")
    return media, Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


@pytest.mark.parametrize(
    ("url", "base", "root"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1", "http://localhost:8000"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1", "http://localhost:8000"),
        ("http://localhost:8000", "http://localhost:8000/v1", "http://localhost:8000"),
        (" https://a.example/api/v1 ", "https://a.example/api/v1", "https://a.example/api"),
        ("https://a.example/v1beta/openai/", "https://a.example/v1beta/openai", None),
        ("http://[::1]:9/v1", "http://[::1]:9/v1", "http://[::1]:9"),
    ],
)
def test_addresses_are_read(url: str, base: str, root: str | None) -> None:
    """A slash at the end does not matter, no path means /v1, and the root is what is before it."""
    address = parse_address(url)
    assert address.base == base
    assert address.root == (root or base)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_loopback_is_recognised(host: str, loopback: bool) -> None:
    """Only addresses of this machine are loopback, whatever a name looks like."""
    assert parse_address(f"http://{host}:80/v1").loopback is loopback


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://localhost/v1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://a b/v1",
        "http://[::1/v1",
        "http://localhost:99999/v1",
        "http://localhost:0/v1",
        "http://local\nhost/v1",
        "unix:///var/run/engine.sock",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    """Anything but a whole http or https URL is a mistake in the settings, and said so."""
    with pytest.raises(ConfigEngineError, match="base URL"):
        parse_address(url)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{KEY}@localhost/v1",
        f"http://{KEY}@localhost/v1",
        f"user:{KEY}@localhost/v1",
        f"http://user:{KEY}@[broken/v1",
        f"http://localhost/v1?api-key={KEY}",
        f"http://localhost/v1#{KEY}",
        f"ftp://x/?key={KEY}",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_shown(url: str) -> None:
    """A password or a query in the URL is refused, and the message does not repeat it."""
    with pytest.raises(ConfigEngineError) as caught:
        parse_address(url)
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None or KEY not in str(caught.value.__context__)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that is named holds the key; space around it is not part of it."""
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    assert read_key("MY_KEY") == KEY
    assert read_key(None) is None
    assert read_key(None, KEY) == KEY


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set or empty is a mistake in the settings, and is named."""
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigEngineError, match="MY_KEY"):
        read_key("MY_KEY")
    monkeypatch.setenv("MY_KEY", "  ")
    with pytest.raises(ConfigEngineError, match="MY_KEY"):
        read_key("MY_KEY")


@pytest.mark.parametrize("key", [KEY, "hf_AbCdEf0123456789"])
def test_a_key_given_as_the_name_of_a_variable_is_not_shown(key: str) -> None:
    """Whoever gives the key instead of the variable's name is told, without the key."""
    with pytest.raises(ConfigEngineError) as caught:
        read_key(key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two words", "line\nend", "clé-secrète", "nul\x00"])
def test_a_key_that_no_header_takes_is_refused(key: str) -> None:
    """What cannot be sent is refused at the start, and not shown."""
    with pytest.raises(ConfigEngineError) as caught:
        read_key(None, key)
    assert not key or key not in str(caught.value)


def test_a_key_is_given_in_one_way() -> None:
    """A key and a variable's name together are a mistake."""
    with pytest.raises(ConfigEngineError):
        read_key("MY_KEY", KEY)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, ItemEngineError) for status in (400, 413, 415, 418, 422, 451)),
        *((status, ConfigEngineError) for status in (301, 307, 401, 402, 403, 404, 405, 407)),
        *((status, TransientEngineError) for status in (408, 409, 425)),
        (429, EngineBusy),
        *((status, TransientEngineError) for status in (500, 501, 502, 503, 504, 529, 599)),
    ],
)
def test_the_status_alone_decides_the_class(status: int, kind: type[EngineError]) -> None:
    """Whatever the server says besides, the status gives the class; host and status are named."""
    for said in ("", "maximum context length", "out of memory", "invalid api key"):
        error = refusal(status, "gpu7:8000", said)
        assert type(error) is kind
        assert "gpu7:8000" in error.message
        assert str(status) in error.message
        assert error.remedy


@pytest.mark.parametrize(
    ("status", "wait", "kind"),
    [
        (429, None, EngineBusy),
        (429, 0.0, EngineBusy),
        (503, 3.0, EngineBusy),
        (503, 0.0, EngineBusy),
        (503, None, TransientEngineError),
        (502, 3.0, TransientEngineError),
        (408, 3.0, TransientEngineError),
    ],
)
def test_who_says_when_to_come_back_is_busy(
    status: int, wait: float | None, kind: type[TransientEngineError]
) -> None:
    """Too many requests, or no service for a while that is named; the wait is kept with any."""
    error = refusal(status, "host", wait=wait)
    assert type(error) is kind
    assert isinstance(error, TransientEngineError)
    assert error.wait == wait


@pytest.mark.parametrize("status", [400, 401])
def test_a_wait_makes_no_refusal_pass(status: int) -> None:
    """What is the item's fault, or the settings', stays so whatever a server says of time."""
    assert not isinstance(refusal(status, "host", wait=1.0), TransientEngineError)


METRICS = """\
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="a b {c}"} 3.0
vllm:num_requests_waiting{engine="1",model_name="a b {c}"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 50.0
vllm:num_requests_running 2
other:num_requests_waiting 70.0
vllm:prompt_tokens_total{engine="0"} 1.5e+06
vllm:kv_cache_usage_perc{engine="0"} NaN
"""


@pytest.mark.parametrize(
    ("names", "sum_"),
    [
        (("num_requests_waiting",), 7.0),
        (("num_requests_running",), 2.0),
        (("num_requests_waiting", "num_requests_running"), 9.0),
        (("prompt_tokens_total",), 1.5e6),
        (("kv_cache_usage_perc",), None),
        (("num_requests",), None),
        (("num.requests.waiting",), None),
    ],
)
def test_metrics_are_summed_by_their_whole_name(names: tuple[str, ...], sum_: float | None) -> None:
    """Labels do not matter, a name that only begins the same does, and no number is none."""
    assert total(METRICS, *names) == sum_


@pytest.mark.parametrize("status", [401, 403])
def test_what_a_server_says_of_a_key_is_not_shown(status: int) -> None:
    """Servers repeat keys, whole or in part, when they refuse them."""
    assert "sk-...6789" not in str(refusal(status, "host", "Incorrect API key: sk-...6789"))
    assert "too long" in str(refusal(400, "host", "too long"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and past dates are understood; anything else counts as unsaid."""
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    """A date ahead is the time until then."""
    seconds = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert seconds is not None
    assert 90 < seconds <= 100


def test_a_camera_picture_goes_as_a_fine_jpeg() -> None:
    """Many colours make a JPEG in which no chroma sample is dropped and little is lost."""
    (url,) = data_urls(Request("t", (frame(noise()),)))
    media, picture = decoded(url)
    assert (media, picture.format) == ("image/jpeg", "JPEG")
    layers = picture.layer  # type: ignore[attr-defined]
    assert {(across, down) for _, across, down, _ in layers} == {(1, 1)}
    lost = np.abs(np.asarray(picture).astype(int) - noise()).mean()
    assert lost < 4  # noise is the worst there is; quality 90 loses more than 5


def test_few_colours_go_unchanged() -> None:
    """A picture of few colours is a PNG and comes out as it went in."""
    (url,) = data_urls(Request("t", (frame(edges()),)))
    media, picture = decoded(url)
    assert (media, picture.format, picture.mode) == ("image/png", "PNG", "RGB")
    assert np.array_equal(np.asarray(picture), edges())


@pytest.mark.parametrize("kind", get_args(Kind))
def test_control_pictures_go_unchanged(kind: Kind) -> None:
    """Whatever is shown as a control video is a PNG, also with many colours."""
    (url,) = data_urls(Request("t", (frame(noise()),), shown=kind))
    media, picture = decoded(url)
    assert media == "image/png"
    assert np.array_equal(np.asarray(picture), noise())


def test_a_camera_picture_leaves_the_choice_to_the_colours() -> None:
    """A camera picture of many colours is a JPEG, one of few a PNG."""
    urls = data_urls(Request("t", (frame(noise()), frame(edges()))))
    assert [decoded(url)[0] for url in urls] == ["image/jpeg", "image/png"]


def test_messages_are_in_order() -> None:
    """Images come first in the order of the frames, the text last, and a system turn before."""
    request = Request("what?", (frame(noise()), frame(edges())), system="be exact")
    system, user = messages(request)
    assert system == {"role": "system", "content": "be exact"}
    assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "text"]
    assert [part["image_url"]["url"] for part in user["content"][:2]] == list(data_urls(request))
    assert user["content"][2]["text"] == "what?"


def test_no_system_text_is_no_system_turn() -> None:
    """An empty system turn is not sent: some chat templates refuse one."""
    assert [turn["role"] for turn in messages(Request("what?", ()))] == ["user"]


def reply(content: object, reason: object = "stop", **fields: object) -> dict[str, object]:
    """An answer with that content."""
    message = {"role": "assistant", "content": content, "reasoning_content": "let me think"}
    return {"choices": [{"message": message, "finish_reason": reason}], **fields}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("as it is \n", "as it is \n"),
        (None, ""),
        ("", ""),
        ([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}], "one two"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}], "so"),
        ([{"type": "text"}, "loose", 3, None], ""),
        (5, ""),
        ("half a pair \ud83d!", "half a pair \ufffd!"),
        ("a robot 🤖", "a robot 🤖"),
    ],
)
def test_every_shape_of_content_is_read(content: object, text: str) -> None:
    """Content is a string, null or parts; reasoning is left out; the text can be encoded."""
    completion = read_completion(reply(content))
    assert completion.text == text
    completion.text.encode()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("abort", "other"),
        ("repetition", "other"),
        ("content_filter", "other"),
        ("tool_calls", "other"),
        (None, "other"),
        (7, "other"),
    ],
)
def test_finish_reasons_are_mapped(given: object, reason: str) -> None:
    """Only a clean end is `stop` and only a cut `length`; every other reason is `other`."""
    assert read_completion(reply("text", given)).finish_reason == reason


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4}, (9, 4)),
        ({"prompt_tokens": 9, "completion_tokens": None, "extra": {}}, (9, None)),
        ({"prompt_tokens": "9", "completion_tokens": 4.5}, (None, None)),
        ({"prompt_tokens": 0, "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": True}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
)
def test_usage_is_read_where_it_makes_sense(
    usage: object, counts: tuple[int | None, int | None]
) -> None:
    """Counts that are missing or no counts are None, and do not spoil the answer."""
    completion = read_completion(reply("text", usage=usage))
    assert completion == Completion("text", "stop", *counts)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        [],
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"error": {"message": "no"}},
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(answer: object) -> None:
    """JSON of another shape raises, and does not pass for an empty answer."""
    with pytest.raises(ValueError, match=r"."):
        read_completion(answer)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("mistralai/Pixtral-12B-2409", "pixtral"),
        ("/models/nvidia/Cosmos-UpsamplePrompt1-12B-Transfer", "pixtral"),
        ("cosmos-upsampleprompt1-12b-transfer", "pixtral"),
        ("gpt-4o", None),
        ("", None),
    ],
)
def test_the_family_is_known_by_the_models_name(name: str, known: str | None) -> None:
    """Pixtral and its fine-tune are known under any spelling; a stranger is nobody's."""
    assert family_for_model(name) == known


def test_requests_share_lanes_of_few_connections() -> None:
    """Eight requests go into a lane; one that has room again is used before a new one is made."""

    async def use() -> None:
        connections = Connections(parse_address("http://127.0.0.1:9/v1"), None, 5.0)
        with ExitStack() as first, ExitStack() as more:
            early = [first.enter_context(connections.lane()) for _ in range(8)]
            late = [more.enter_context(connections.lane()) for _ in range(8)]
            assert len(set(early)) == len(set(late)) == 1
            assert early[0] is not late[0]
            first.close()
            assert more.enter_context(connections.lane()) is early[0]
        await connections.aclose()
        assert early[0].is_closed
        assert late[0].is_closed
        await connections.aclose()

    asyncio.run(use())
