"""A vLLM that promptlift owns: a child process of its own, spoken to over loopback.

The names below are imported when they are first used: to see whether an engine is up must not
cost the import of an HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.engines.vllm.engine import VllmEngine
    from promptlift.engines.vllm.settings import VllmSettings

__all__ = ["VllmEngine", "VllmSettings"]

_HOMES = {"VllmEngine": "engine", "VllmSettings": "settings"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
