"""A vLLM that promptlift owns: a child process of its own, spoken to over loopback."""

from __future__ import annotations

from promptlift.engines.vllm.engine import VllmEngine
from promptlift.engines.vllm.settings import VllmSettings

__all__ = ["VllmEngine", "VllmSettings"]
