"""Values of a table as JSON values."""

from __future__ import annotations

import base64
import datetime
import math
from typing import Any

from promptlift.errors import InputError

__all__ = ["json_value"]

MAX_BYTES = 65_536  # of one value: what is carried through is copied into the run's folder


def json_value(value: Any) -> Any:
    """A value of a table as JSON has it.

    Times, dates and durations become ISO 8601 texts (a duration its seconds), decimals and UUIDs
    the text of themselves, bytes base64, numbers that are none (NaN, the infinities) null, maps
    lists of pairs.

    Raises:
        InputError: Bytes of a length that nobody means to carry through.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(name): json_value(item) for name, item in value.items()}
        case list() | tuple() | set():
            return [json_value(item) for item in value]
        case bytes() | bytearray() | memoryview():
            return _base64(bytes(value))
        case datetime.timedelta():
            return value.total_seconds()
        case datetime.date() | datetime.time():  # a datetime is a date
            return value.isoformat()
    return str(value)


def _base64(value: bytes) -> str:
    if len(value) > MAX_BYTES:
        raise InputError(
            f"a column holds {len(value)} bytes of binary data",
            remedy="leave that column out, or put its data into files",
        )
    return base64.b64encode(value).decode("ascii")
