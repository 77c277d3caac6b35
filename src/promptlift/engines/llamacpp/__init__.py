"""GGUF vision models in this process, through xllamacpp, which is llama.cpp's own server.

`gguf` reads the head of a model file, `model` checks the two files before anything is loaded and
says which model they are, `hub` fetches a file that the user names, `machine` knows the processor,
`runtime` loads and asks, `failures` says what a refusal means, and `engine` is the port.
"""

from __future__ import annotations

from promptlift.engines.llamacpp.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
