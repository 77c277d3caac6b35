"""What a chat request of promptlift must look like, checked to the letter."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, cast

from PIL import Image, UnidentifiedImageError

from promptlift.types import Size

__all__ = ["Asked", "Malformed", "check_chat", "check_messages"]

_LIMITS = {"max_tokens", "max_completion_tokens"}
_SWITCHES = {
    "reasoning_effort": "none",
    "chat_template_kwargs": {"enable_thinking": False},
    "thinking_token_budget": 0,
}
_FIELDS = {"model", "messages", "temperature", "seed", "response_format", *_LIMITS, *_SWITCHES}
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}


class Malformed(Exception):
    """The request is not one that promptlift should make."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request, understood.

    Attributes:
        model: The model's name.
        system: The system turn; empty for none.
        text: The user's text.
        sizes: Of each image, in order.
        media: Media type of each image, in order.
        max_tokens: Of the answer; None if unsaid.
        limit_name: The field that `max_tokens` came in.
        temperature: As given.
        seed: As given.
        stream: Whether the answer is wanted in pieces.
        follow_ups: Pairs of an assistant turn and the user turn after it.
        schema: JSON schema of the answer; None for plain text.
        switches: Fields that switch thinking off.
    """

    model: str
    system: str
    text: str
    sizes: tuple[Size, ...]
    media: tuple[str, ...]
    max_tokens: int | None = None
    limit_name: str = "max_tokens"
    temperature: float = 0.0
    seed: int = 0
    stream: bool = False
    follow_ups: tuple[tuple[str, str], ...] = ()
    schema: dict[str, Any] | None = None
    switches: frozenset[str] = frozenset()


def check_chat(body: Any, refuses: Collection[str] = ()) -> Asked:
    """Read the body of a request for an answer.

    Args:
        body: The JSON value.
        refuses: Fields that the server does not take, and that may be left out.

    Raises:
        Malformed: It has something wrong, missing or unknown.
    """
    _must(isinstance(body, dict), "the body is no object")
    stream = "stream" in body
    fields = _FIELDS | set(_STREAMED) if stream else _FIELDS
    _must(set(body) <= fields, f"unknown fields {set(body) - fields}")
    _must(not stream or all(body.get(name) == want for name, want in _STREAMED.items()), "stream")
    limits = sorted(_LIMITS & set(body))
    _must(len(limits) == 1, f"the answer's limit is given {len(limits)} times")
    limit, temperature, seed = body[limits[0]], body.get("temperature", 1.0), body.get("seed", 0)
    missing = {"temperature", "seed"} - set(body) - set(refuses)
    _must(not missing, f"{missing} are missing")
    _must(type(limit) is int and limit > 0, f"a limit of {limit!r}")
    _must(type(temperature) in (int, float) and 0 <= temperature <= 2, f"{temperature=!r}")
    _must(type(seed) is int, f"{seed=!r}")
    switches = frozenset(set(_SWITCHES) & set(body))
    _must(all(body[name] == _SWITCHES[name] for name in switches), "another switch")
    return replace(
        check_messages(body),
        switches=switches,
        max_tokens=limit,
        limit_name=limits[0],
        temperature=float(temperature),
        seed=seed,
        stream=stream,
        schema=_schema(body.get("response_format")),
    )


def _schema(wanted: Any) -> dict[str, Any] | None:
    if wanted is None:
        return None
    _must(set(wanted) == {"type", "json_schema"}, f"response_format {wanted}")
    _must(wanted["type"] == "json_schema", f"response_format {wanted}")
    named = wanted["json_schema"]
    _must(set(named) == {"name", "strict", "schema"}, f"json_schema {named}")
    schema = named["schema"]
    _must(isinstance(schema, dict) and schema.get("type") == "object", f"schema {schema}")
    return cast("dict[str, Any]", schema)


def check_messages(body: Any) -> Asked:
    """Read the model and the messages of a request.

    Raises:
        Malformed: There are others than one system turn at most, of text, one user turn of
            images first and one text last, and pairs of an assistant's and a user's text.
    """
    model, turns = body.get("model"), body.get("messages")
    _must(isinstance(model, str) and bool(model), f"{model=!r}")
    _must(isinstance(turns, list) and bool(turns), "no messages")
    _must(all(set(turn) == {"role", "content"} for turn in turns), "a turn has other fields")
    system = ""
    if turns[0]["role"] == "system":
        system = turns[0]["content"]
        _must(isinstance(system, str) and bool(system), "an empty system turn")
        turns = turns[1:]
    roles = [turn["role"] for turn in turns]
    _must(roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], f"turns of {roles}")
    user, *later = turns
    texts = [turn["content"] for turn in later]
    _must(all(isinstance(text, str) and text for text in texts), "a later turn has no text")
    _must(isinstance(user["content"], list) and bool(user["content"]), "no parts")
    *images, last = user["content"]
    _must(last.get("type") == "text" and set(last) == {"type", "text"}, "the text is not last")
    _must(isinstance(last["text"], str), "the text is no string")
    pictures = [_picture(part) for part in images]
    return Asked(
        model,
        system,
        last["text"],
        tuple(size for size, _ in pictures),
        tuple(media for _, media in pictures),
        follow_ups=tuple(zip(texts[::2], texts[1::2], strict=True)),
    )


def _picture(part: Any) -> tuple[Size, str]:
    _must(part.get("type") == "image_url", f"a part of type {part.get('type')!r} among the images")
    _must(set(part) == {"type", "image_url"} and set(part["image_url"]) == {"url"}, "other fields")
    head, comma, data = part["image_url"]["url"].partition(",")
    _must(bool(comma) and head.startswith("data:"), "an image that is no data: URL")
    media = head.removeprefix("data:").removesuffix(";base64")
    _must(head.endswith(";base64") and media in _FORMATS, f"an image given as {head[:40]!r}")
    try:
        raw = base64.b64decode(data, validate=True)
        with Image.open(io.BytesIO(raw)) as image:
            image.load()
            _must(image.format == _FORMATS[media], f"a {image.format} that is called {media}")
            _must(image.mode == "RGB", f"an image of mode {image.mode}")
            return Size(*image.size), media
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
        raise Malformed(f"an image that cannot be decoded: {error}") from None


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Malformed(otherwise)
