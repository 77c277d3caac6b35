"""Chat messages with pictures, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from promptlift.engines.base import Completion, FinishReason, Request
from promptlift.engines.wire.fields import positive
from promptlift.engines.wire.pictures import data_urls

__all__ = ["as_text", "messages", "read_completion"]


def messages(request: Request, urls: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The system turn, if there is one, and the user turn: images first, text last.

    Args:
        request: What is asked.
        urls: Its frames as ``data:`` URLs, where they were made already.
    """
    if urls is None:
        urls = data_urls(request)
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    user = {"role": "user", "content": [*parts, {"type": "text", "text": request.text}]}
    system = [{"role": "system", "content": request.system}] if request.system else []
    return [*system, user]


def as_text(value: object) -> str:
    """Text from a message's content, which may be missing, a string or a list of parts."""
    if isinstance(value, str):
        # JSON can spell half of a surrogate pair, which no file and no terminal can take.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return "".join(_parts(value))
    return ""


def _parts(parts: Iterable[object]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "text":
            yield as_text(part.get("text"))


class _Message(BaseModel):
    content: Annotated[str, BeforeValidator(as_text)] = ""


class _Choice(BaseModel):
    message: _Message
    finish_reason: object = None


class _Usage(BaseModel):
    prompt_tokens: Annotated[int | None, BeforeValidator(positive)] = None
    completion_tokens: Annotated[int | None, BeforeValidator(positive)] = None


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read_completion(answer: object) -> Completion:
    """Read the answer to a chat request; the first choice counts, and reasoning is left out.

    Raises:
        ValueError: It is not one.
    """
    reply = _Reply.model_validate(answer)
    choice, usage = reply.choices[0], reply.usage or _Usage()
    return Completion(
        choice.message.content,
        _reason(choice.finish_reason),
        usage.prompt_tokens,
        usage.completion_tokens,
    )


def _reason(given: object) -> FinishReason:
    """Servers have more reasons than the API's own (vLLM: abort, repetition): those are other."""
    if given == "stop":
        return "stop"
    return "length" if given == "length" else "other"
