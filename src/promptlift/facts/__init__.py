"""What can be measured about a video without a model, with NumPy alone.

Each name is loaded on first use, so that only measuring imports NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.facts.measurement import measure_facts
    from promptlift.facts.model import Camera, Confident, Facts, Light, Movement, Palette

__all__ = ["Camera", "Confident", "Facts", "Light", "Movement", "Palette", "measure_facts"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "measurement" if name == "measure_facts" else "model"
    return getattr(import_module(f"{__name__}.{home}"), name)
