"""What a refusal of llama.cpp means. Its codes and types decide, never a text.

==============================================  ===========
error                                           class
==============================================  ===========
``exceed_context_size_error``, other 4xx        item
401, 403, 404, ``not_supported_error`` (501)    config
408, 409, 425, 429, other 5xx, no code          transient
==============================================  ===========

Before a request reaches the model, xllamacpp raises: `ValueError` for a request that is wrong
in itself, `RuntimeError` where the model or its chat template cannot take such requests.
"""

from __future__ import annotations

from promptlift.engines.wire.fields import field, positive, string
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    TransientEngineError,
)

__all__ = ["error_in", "raised"]

_SAID_LENGTH = 300
_CONFIG = frozenset({401, 403, 404})
_TRANSIENT = frozenset({408, 409, 425, 429})
_NOT_SUPPORTED = "not_supported_error"
_TOO_LONG = "exceed_context_size_error"


def error_in(reply: object) -> EngineError | None:
    """The error that a reply holds, or that it is; None if it is an answer."""
    error = field(reply, "error")
    if isinstance(error, dict):
        return _refusal(error)
    if isinstance(reply, dict) and ("choices" in reply or "usage" in reply):
        return None
    return _refusal(reply)


def _refusal(error: object) -> EngineError:
    code, kind = positive(field(error, "code")), string(field(error, "type"))
    if kind == _TOO_LONG:
        return _too_long(error)
    said = _quoted(string(field(error, "message")))
    if kind == _NOT_SUPPORTED or code in _CONFIG:
        return ConfigEngineError(
            f"the model does not take such requests{said}",
            remedy="use a vision model with the projector that belongs to it",
        )
    if code is not None and code < 500 and code not in _TRANSIENT:
        return ItemEngineError(
            f"llama.cpp refuses the request{said}",
            remedy="show fewer or smaller frames, or shorten the prompt",
        )
    return TransientEngineError(
        f"llama.cpp failed{said}",
        remedy="try again; if it stays, use fewer frames or a smaller context, or update xllamacpp",
    )


def _too_long(error: object) -> ItemEngineError:
    tokens, context = positive(field(error, "n_prompt_tokens")), positive(field(error, "n_ctx"))
    numbers = f": {tokens} tokens, and the context has {context}" if tokens and context else ""
    return ItemEngineError(
        f"the prompt does not fit the context{numbers}",
        remedy="show fewer or smaller frames, shorten the prompt, or use a larger context",
    )


def raised(error: Exception) -> EngineError:
    """The error for an exception that xllamacpp raised before the model was asked."""
    said = _quoted(str(error))
    if isinstance(error, ValueError):
        return ItemEngineError(
            f"llama.cpp refuses the request{said}", remedy="check the prompt and the frames"
        )
    if isinstance(error, MemoryError):
        return TransientEngineError(
            "llama.cpp has no memory left for the request",
            remedy="close other programs, show fewer frames, or use a smaller context",
        )
    return ConfigEngineError(
        f"the model or its chat template does not take such requests{said}",
        remedy="use a vision model with the projector that belongs to it, or update xllamacpp",
    )


def _quoted(said: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in said)
    short = " ".join(plain.split())[:_SAID_LENGTH].rstrip(". ")
    return f": {short}" if short else ""
