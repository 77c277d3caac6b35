"""Engines by name, and which one is meant where none is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from promptlift.engines.base import Engine
from promptlift.errors import OptionError

__all__ = ["ENGINES", "make_engine"]


def make_engine(
    name: str = "auto", *, progress: Callable[[str, float], None] | None = None, **settings: Any
) -> Engine:
    """The engine of that name, made with its settings.

    ``auto`` goes by the settings: an address means ``openai``, a projector ``llamacpp``, a model
    or a checkpoint folder ``vllm``. Without any it is the vLLM that is up, else ``embedded``. How
    often to try again says nothing of which is meant, and is left out for an engine of this
    process, which has nothing to try again.

    Args:
        name: One of `ENGINES`.
        progress: Told of the stages of an engine that is started, and the seconds since.
        **settings: What that engine's class takes; see `promptlift.engines.openai.OpenAIEngine`,
            `promptlift.engines.vllm.VllmSettings` and `promptlift.engines.llamacpp`; `retries` is
            taken for ``vllm`` as well.

    Raises:
        OptionError: There is no such engine, or it does not take one of the settings.
        ConfigEngineError: A setting cannot be used.
    """
    if name == "auto":
        name = _meant({setting: settings[setting] for setting in settings.keys() - {"retries"}})
        if name in ("embedded", "llamacpp"):
            settings.pop("retries", None)
    if name not in _MAKERS:
        raise OptionError(
            f"there is no engine {name!r}", remedy=f"use one of: {', '.join(ENGINES)}"
        )
    takes, make = _MAKERS[name]
    for setting in settings:
        if setting not in takes:
            raise OptionError(
                f"the engine {name!r} takes no {setting!r}",
                remedy=f"it takes {', '.join(takes)}" if takes else "leave it out",
            )
    return make(progress=progress, **settings) if name == "vllm" else make(**settings)


def _meant(settings: dict[str, Any]) -> str:
    if "base_url" in settings:
        return "openai"
    if "mmproj" in settings:
        return "llamacpp"
    if settings:
        return "vllm"
    return "vllm" if _is_up() else "embedded"


def _is_up() -> bool:
    """Whether ``promptlift engine up`` has left an engine that answers."""
    from promptlift.engines.vllm.state import read_state

    state = read_state()
    return state is not None and state.status in ("ready", "sleeping")


def _embedded() -> Engine:
    from promptlift.engines.embedded import EmbeddedEngine

    return EmbeddedEngine()


def _openai(**settings: Any) -> Engine:
    from promptlift.engines.openai import OpenAIEngine

    if "base_url" not in settings:
        raise OptionError(
            "the engine 'openai' needs an address",
            remedy="give --base-url, such as http://localhost:8000/v1",
        )
    return OpenAIEngine(**settings)


def _vllm(*, progress: Callable[[str, float], None] | None, **settings: Any) -> Engine:
    from promptlift.engines.vllm import VllmEngine, VllmSettings

    asking = {"retries": settings.pop("retries")} if "retries" in settings else {}
    return VllmEngine(VllmSettings(**settings), progress=progress, **asking)


def _llamacpp(**settings: Any) -> Engine:
    from promptlift.engines.llamacpp import LlamaCppEngine

    for needed in ("model", "mmproj"):
        if needed not in settings:
            raise OptionError(
                f"the engine 'llamacpp' needs a {needed}",
                remedy="give --model MODEL.gguf and --mmproj PROJECTOR.gguf",
            )
    return LlamaCppEngine(**settings)


_MAKERS: dict[str, tuple[tuple[str, ...], Callable[..., Engine]]] = {
    "embedded": ((), _embedded),
    "openai": (
        ("base_url", "model", "api_key_env", "context", "family", "timeout", "retries"),
        _openai,
    ),
    "vllm": (
        (
            *("model", "checkpoint_dir", "python", "gpu", "context", "images", "sequences"),
            *("quantization", "fast_start", "start_timeout", "arguments", "retries"),
        ),
        _vllm,
    ),
    "llamacpp": (("model", "mmproj", "context", "threads", "gpu_layers", "family"), _llamacpp),
}

ENGINES = ("auto", *_MAKERS)
