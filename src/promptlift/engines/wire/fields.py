"""Reading JSON that somebody else wrote: a value of the right type, or nothing."""

from __future__ import annotations

from typing import Any

__all__ = ["field", "positive", "string"]


def field(fields: object, name: str) -> Any:
    """A field of an object; None where it is missing or `fields` is no object."""
    return fields.get(name) if isinstance(fields, dict) else None


def string(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def positive(value: object) -> int | None:
    """The value if it is a whole number above 0, else None."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return None
