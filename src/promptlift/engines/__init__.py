"""What answers a request. Each engine is one file or folder behind the port in `base`.

Each name is loaded on first use: no engine needs the libraries of another.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.engines.base import (
        Completion,
        Engine,
        EngineInfo,
        FollowUp,
        Request,
        StreamsText,
    )
    from promptlift.engines.llamacpp import LlamaCppEngine
    from promptlift.engines.no_model import EmbeddedEngine
    from promptlift.engines.openai import OpenAIEngine
    from promptlift.engines.settings import LlamaCppSettings, OpenAISettings, VllmSettings
    from promptlift.engines.vllm.engine import VllmEngine
    from promptlift.engines.vllm.owner import bring_up, take_down
    from promptlift.engines.vllm.state import read_state

__all__ = [
    "Completion",
    "EmbeddedEngine",
    "Engine",
    "EngineInfo",
    "FollowUp",
    "LlamaCppEngine",
    "LlamaCppSettings",
    "OpenAIEngine",
    "OpenAISettings",
    "Request",
    "StreamsText",
    "VllmEngine",
    "VllmSettings",
    "bring_up",
    "read_state",
    "take_down",
]

_HOMES = {
    "EmbeddedEngine": "no_model",
    "LlamaCppEngine": "llamacpp",
    "LlamaCppSettings": "settings",
    "OpenAIEngine": "openai",
    "OpenAISettings": "settings",
    "VllmEngine": "vllm.engine",
    "VllmSettings": "settings",
    "bring_up": "vllm.owner",
    "read_state": "vllm.state",
    "take_down": "vllm.owner",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'base')}"), name)
