"""The API's JSON: chat messages, answers whole and streamed, and what a server says of itself.

=============  ==========================  ===============================
software       context                     version
=============  ==========================  ===============================
vLLM           ``max_model_len``           ``/version``
SGLang         ``max_model_len``           ``/server_info``
llama-server   ``n_ctx`` of ``/props``     ``build_info`` of ``/props``
hosted APIs    not available               not available
=============  ==========================  ===============================
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from promptlift.engines.base import Completion, FinishReason, Request
from promptlift.errors import ConfigEngineError

if TYPE_CHECKING:
    from promptlift.engines.openai.http import HttpClient

__all__ = [
    "NO_SUCH_PAGE",
    "ServedModel",
    "chat_messages",
    "find_model",
    "read_completion",
    "read_count",
    "read_events",
    "sum_metrics",
]

NO_SUCH_PAGE = (404, 405, 501)


# ---- questions and answers


def chat_messages(request: Request, urls: Sequence[str]) -> list[dict[str, Any]]:
    """The system turn, if there is one, and the user turn: images first, text last.

    Args:
        request: What is asked.
        urls: Its frames as ``data:`` URLs.
    """
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    user = {"role": "user", "content": [*parts, {"type": "text", "text": request.text}]}
    # An empty system turn is not sent: some chat templates refuse one.
    system = [{"role": "system", "content": request.system}] if request.system else []
    return [*system, user]


def read_completion(answer: object) -> Completion:
    """The completion in the answer to a chat request: its first choice, without the reasoning.

    Raises:
        ValueError: It is no such answer.
    """
    choices = _field(answer, "choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("no choices")
    message = _field(choices[0], "message")
    if not isinstance(message, dict):
        raise ValueError("no message")
    text = _text(message.get("content"))
    return _completion(text, _field(choices[0], "finish_reason"), _field(answer, "usage"))


async def read_events(events: AsyncIterator[object], on_text: Callable[[str], None]) -> Completion:
    """The completion in a streamed answer; the same as if it had not been streamed.

    Args:
        events: The API's chunks.
        on_text: Called with each piece of text as it comes.

    Raises:
        ValueError: These are no such chunks, or the last one is missing.
    """
    pieces: list[str] = []
    reason, usage = None, None
    async for chunk in events:
        choices = _field(chunk, "choices")
        if not isinstance(choices, list):
            raise ValueError("no chunk of an answer, or an error within it")
        usage = _field(chunk, "usage") or usage
        for choice in choices:
            if _field(choice, "index") not in (0, None):
                continue
            reason = _field(choice, "finish_reason") or reason
            content = _field(_field(choice, "delta"), "content")
            if isinstance(content, str) and content:
                pieces.append(content)
                on_text(_text(content))
    if reason is None:
        raise ValueError("the stream ends before the answer does")
    return _completion(_text("".join(pieces)), reason, usage)


def _completion(text: str, reason: object, usage: object) -> Completion:
    # Servers have more reasons than the API's own, such as vLLM's abort and repetition.
    finish: FinishReason = "stop" if reason == "stop" else "other"
    if reason == "length":
        finish = "length"
    tokens = (_positive(_field(usage, name)) for name in ("prompt_tokens", "completion_tokens"))
    return Completion(text, finish, *tokens)


def read_count(answer: object) -> int | None:
    """The number of tokens in an answer of ``/tokenize``."""
    return _positive(_field(answer, "count"))


def sum_metrics(metrics: str, *names: str) -> float | None:
    """Sum of vLLM's metrics over all their labels, such as the engines of a data-parallel server.

    Args:
        metrics: The text of ``/metrics``.
        names: The metrics, without ``vllm:``.

    Returns:
        None where it has none of them.
    """
    wanted = "|".join(map(re.escape, names))
    # A label's value may hold a brace, as a model's name can; the last one closes the labels.
    values = re.findall(rf"^vllm:(?:{wanted})(?:{{.*}})? (\d[\d.e+-]*)$", metrics, re.MULTILINE)
    return sum(map(float, values)) if values else None


# ---- what a server says of itself


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model behind an API.

    Attributes:
        name: Its name in requests.
        origin: The name or path it was loaded from; its name where that is not known.
        parent: The model that an adapter is put on; empty for a whole model.
        software: ``vllm``, ``sglang``, ``llamacpp``, another name, or empty if unknown.
        version: Of the software; empty if unknown.
        context: Tokens of prompt and answer together; None if unknown.
        takes_images: False where the server says that the model takes none.
    """

    name: str
    origin: str
    parent: str = ""
    software: str = ""
    version: str = ""
    context: int | None = None
    takes_images: bool = True


async def find_model(client: HttpClient, name: str | None) -> ServedModel:
    """Ask a server about the model of that name, or about its only one.

    Raises:
        ConfigEngineError: It does not have that model, or has none or several and no name is
            given.
        EngineError: It does not answer.
    """
    models = await client.call("/models", read=_read_models, absent=NO_SUCH_PAGE) or ()
    names = ", ".join(model.name for model in models)
    whole = [model for model in models if not model.parent]
    if name is None:
        if len({model.origin for model in whole}) != 1:
            raise ConfigEngineError(
                f"{client.host} serves {len(whole) or 'no'} models, and none is named",
                remedy=f"name one with --model: {names or 'it lists none'}",
            )
        model = whole[0]
    elif named := [model for model in models if model.name == name]:
        model = named[0]
        if model.parent and model.context is None:  # an adapter, with the context of its model
            model = replace(model, context=next((one.context for one in whole), None))
    elif any(model.software in ("vllm", "sglang") for model in models):
        raise ConfigEngineError(
            f"{client.host} does not serve {name!r}", remedy=f"name one that it does: {names}"
        )
    else:
        # Others do not list every name they answer to: aliases, dated versions, any name.
        model = ServedModel(name, name, software=models[0].software if len(models) == 1 else "")

    # What only the server's own pages have; hosted APIs have none, and are not asked.
    pages = {"llamacpp": "/props", "sglang": "/server_info", "vllm": "/version"}
    if model.software not in pages:
        return model
    url = client.root + pages[model.software]
    page = await client.call(url, read=lambda value: value, absent=range(300, 600))
    if model.software != "llamacpp":
        return replace(model, version=_string(_field(page, "version")))
    return replace(
        model,
        origin=_string(_field(page, "model_path")) or model.origin,
        version=_string(_field(page, "build_info")),
        context=_positive(_field(_field(page, "default_generation_settings"), "n_ctx"))
        or model.context,
        takes_images=_field(_field(page, "modalities"), "vision") is not False,
    )


def _read_models(listing: object) -> tuple[ServedModel, ...]:
    entries = _field(listing, "data")
    if not isinstance(entries, list):
        raise ValueError("not a list of models")
    return tuple(
        ServedModel(
            name=_string(_field(entry, "id")),
            origin=_string(_field(entry, "root")) or _string(_field(entry, "id")),
            parent=_string(_field(entry, "parent")),
            software=_string(_field(entry, "owned_by")),
            context=_positive(_field(entry, "max_model_len"))
            or _positive(_field(_field(entry, "meta"), "n_ctx"))
            or _positive(_field(_field(entry, "meta"), "n_ctx_train")),
        )
        for entry in entries
        if _string(_field(entry, "id"))
    )


# ---- JSON fields that may be missing or of any type


def _field(value: object, name: str) -> Any:
    """A field of an object; None where it is missing or the value is no object."""
    return value.get(name) if isinstance(value, dict) else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _positive(value: object) -> int | None:
    """The value if it is a whole number above 0."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return None


def _text(content: object) -> str:
    """The text of a message's content, which may be missing, a string or a list of parts."""
    if isinstance(content, str):
        # JSON can spell half of a surrogate pair, which no file and no terminal takes.
        return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(content, list):
        parts = (part for part in content if _field(part, "type") == "text")
        return "".join(_text(_field(part, "text")) for part in parts)
    return ""
