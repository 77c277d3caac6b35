"""Engines by name."""

from __future__ import annotations

from promptlift.engines.base import Engine
from promptlift.errors import OptionError

__all__ = ["ENGINES", "make_engine"]

ENGINES = ("auto", "embedded")


def make_engine(name: str) -> Engine:
    """The engine of that name; ``auto`` is the best that is set up.

    Raises:
        OptionError: There is none of that name.
    """
    if name in ("auto", "embedded"):
        from promptlift.engines.embedded import EmbeddedEngine

        return EmbeddedEngine()
    raise OptionError(f"there is no engine {name!r}", remedy=f"use one of: {', '.join(ENGINES)}")
