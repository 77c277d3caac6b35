"""An answer that comes in pieces, put together to what would have come whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

from promptlift.engines.base import Completion
from promptlift.engines.wire.chat import as_text, read_completion
from promptlift.engines.wire.fields import field

__all__ = ["read_pieces", "values"]

_MOST_BYTES = 16 << 20
_DONE = "[DONE]"


async def values(chunks: AsyncIterator[bytes]) -> AsyncIterator[object]:
    """The JSON values of a stream of server-sent events, up to ``[DONE]`` or its end.

    Lines end with a line feed alone or after a carriage return; a JSON string may hold whatever
    else Unicode calls a line's end.

    Raises:
        ValueError: A line is no JSON, or there is more than any answer has.
    """
    rest, size = b"", 0
    async for chunk in chunks:
        size += len(chunk)
        if size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            name, _, data = line.decode().rstrip("\r").partition(":")
            if name != "data":
                continue
            if data.strip() == _DONE:
                return
            yield json.loads(data)


async def read_pieces(given: AsyncIterator[object], told: Callable[[str], None]) -> Completion:
    """Put the pieces of an answer together; the first choice counts, and reasoning is left out.

    Args:
        given: The API's chunks.
        told: Is given each piece of text as it comes.

    Raises:
        ValueError: These are not the pieces of an answer, or the last one is missing.
    """
    text, half, reason, usage = [], "", None, None
    async for value in given:
        choices = field(value, "choices")
        if not isinstance(choices, list):
            raise ValueError("no piece of an answer, or an error within it")
        usage = field(value, "usage") or usage
        for choice in choices:
            if field(choice, "index") not in (0, None):
                continue
            reason = field(choice, "finish_reason") or reason
            given_text = field(field(choice, "delta"), "content")
            piece = half + (given_text if isinstance(given_text, str) else as_text(given_text))
            # A character may be spelled as two halves, and these may come apart.
            half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
            whole = as_text(piece.removesuffix(half))
            if whole:
                text.append(whole)
                told(whole)
    if reason is None:
        raise ValueError("it ends before the answer does")
    content = "".join(text) + as_text(half)
    message = {"message": {"content": content}, "finish_reason": reason}
    return read_completion({"choices": [message], "usage": usage})
