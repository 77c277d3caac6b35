"""What can be measured about a video without a model, with NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.facts._measure import measure

__all__ = ["measure"]


def __getattr__(name: str) -> object:
    """Import `measure`, and NumPy with it, only when it is first asked for."""
    if name == "measure":
        from promptlift.facts._measure import measure

        return measure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
