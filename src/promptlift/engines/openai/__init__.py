"""Any server with an OpenAI-compatible API: vLLM, SGLang, llama-server, hosted ones."""

from __future__ import annotations

from promptlift.engines.openai.engine import OpenAIEngine

__all__ = ["OpenAIEngine"]
