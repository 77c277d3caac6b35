"""A vLLM that promptlift owns: a child process of its own, spoken to over loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.engines.vllm.settings import VllmSettings

if TYPE_CHECKING:
    from promptlift.engines.vllm.engine import VllmEngine

__all__ = ["VllmEngine", "VllmSettings"]


def __getattr__(name: str) -> object:
    # Whether an engine is up is looked up by commands that may never need the client for it.
    if name == "VllmEngine":
        from promptlift.engines.vllm.engine import VllmEngine

        return VllmEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
