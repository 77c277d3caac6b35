"""Cosmos's own files and classes: what its generators read, and what stands in for its upsampler.

The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.cosmos.upsampler import PixtralPromptUpsampler

__all__ = ["PixtralPromptUpsampler"]

_HOMES = {"PixtralPromptUpsampler": "upsampler"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
