"""Values as every reader of JSON, CSV and Parquet takes them."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["compact", "plain", "plain_text"]


def plain_text(text: str) -> str:
    """Text as it is, with U+FFFD for what UTF-8 cannot hold.

    Such are the bytes of a path that is no UTF-8, and halves of pairs that JSON can spell.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def plain(value: Any) -> Any:
    """A JSON value with `plain_text` and with null for what is no finite number."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {plain_text(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def compact(value: Any) -> str:
    """JSON on one line, for people and machines: no spaces, and letters as they are."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
