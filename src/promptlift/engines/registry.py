"""Engines by name, what each takes, and which one is meant where none is named."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from promptlift.engines.base import Engine
from promptlift.errors import OptionError

__all__ = ["ENGINES", "make_engine", "meant_by", "settings_from"]

Reader = Callable[[str], Any]


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
        name = meant_by(name, settings)
        if name in ("embedded", "llamacpp"):
            settings.pop("retries", None)
    make = _taking(name, settings).make
    return make(progress=progress, **settings) if name == "vllm" else make(**settings)


def meant_by(name: str, settings: Mapping[str, Any]) -> str:
    """The name of the engine that is meant: for ``auto`` it goes by the settings."""
    given = settings.keys() - {"retries"}
    if name != "auto":
        return name
    if "base_url" in given:
        return "openai"
    if "mmproj" in given:
        return "llamacpp"
    if given:
        return "vllm"
    return "vllm" if _is_up() else "embedded"


def settings_from(name: str, said: Mapping[str, str]) -> dict[str, Any]:
    """Settings that were said as text, as that engine takes them.

    Args:
        name: One of `ENGINES`; ``auto`` takes the settings of the one that they mean.
        said: Each setting and its text.

    Raises:
        OptionError: There is no such engine, it does not take one of the settings, or a text
            cannot be read as what is wanted. Texts are not repeated: one may be a key.
    """
    name = meant_by(name, said)
    takes = _taking(name, said).takes
    for setting in _MAKERS[name].needs:
        if setting not in said:
            raise OptionError(
                f"the engine {name!r} needs {setting}", remedy=f"add {setting}=VALUE to it"
            )
    read = {}
    for setting, text in said.items():
        try:
            read[setting] = takes[setting](text)
        except ValueError:
            raise OptionError(
                f"the {setting!r} of the engine {name!r} is no {_KINDS[takes[setting]]}",
                remedy=f"write it like {setting}={_LIKE[takes[setting]]}",
            ) from None
    return read


def _taking(name: str, settings: Mapping[str, Any]) -> _Maker:
    if name not in _MAKERS:
        raise OptionError(
            f"there is no engine {name!r}", remedy=f"use one of: {', '.join(ENGINES)}"
        )
    takes = _MAKERS[name].takes
    for setting in settings:
        if setting not in takes:
            raise OptionError(
                f"the engine {name!r} takes no {setting!r}",
                remedy=f"it takes {', '.join(takes)}" if takes else "leave it out",
            )
    return _MAKERS[name]


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


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


_KINDS: dict[Reader, str] = {
    int: "whole number",
    float: "number",
    _truth: "true or false",
    _words: "list of words",
}
_LIKE: dict[Reader, str] = {int: "2", float: "30", _truth: "true", _words: "'--one --two'"}


class _Maker(NamedTuple):
    """What an engine takes and how each setting is read from a text; its making, and its needs."""

    takes: Mapping[str, Reader]
    make: Callable[..., Engine]
    needs: tuple[str, ...] = ()


_MAKERS: dict[str, _Maker] = {
    "embedded": _Maker({}, _embedded),
    "openai": _Maker(
        {
            "base_url": str,
            "model": str,
            "api_key_env": str,
            "context": int,
            "family": str,
            "timeout": float,
            "retries": int,
        },
        _openai,
        needs=("base_url",),
    ),
    "vllm": _Maker(
        {
            "model": str,
            "checkpoint_dir": Path,
            "python": str,
            "gpu": int,
            "context": int,
            "images": int,
            "sequences": int,
            "quantization": str,
            "fast_start": _truth,
            "start_timeout": float,
            "arguments": _words,
            "retries": int,
        },
        _vllm,
    ),
    "llamacpp": _Maker(
        {
            "model": str,
            "mmproj": str,
            "context": int,
            "threads": int,
            "gpu_layers": int,
            "family": str,
        },
        _llamacpp,
        needs=("model", "mmproj"),
    ),
}

ENGINES = ("auto", *_MAKERS)
