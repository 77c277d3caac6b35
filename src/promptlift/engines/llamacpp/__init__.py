"""GGUF vision models in this process, through the server of llama.cpp that xllamacpp starts."""

from __future__ import annotations

from promptlift.engines.llamacpp.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
