"""Engines by name: making one, choosing one where none is named, reading one from a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from promptlift.engines.base import Engine
from promptlift.engines.settings import (
    EngineSettings,
    LlamaCppSettings,
    OpenAISettings,
    VllmSettings,
)
from promptlift.errors import OptionError

__all__ = [
    "ENGINES",
    "SETTINGS",
    "EngineSpec",
    "close_engines",
    "make_engine",
    "make_judge",
    "parse_engine",
    "resolve_engine",
]

_FORM = "[LABEL=]ENGINE[:SETTING=VALUE,...]"
_EXAMPLE = "embedded, or small=openai:base_url=http://127.0.0.1:8000/v1,model=NAME"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_COMMA = re.compile(r"(?<!\\),")

SETTINGS: dict[str, type[EngineSettings]] = {
    settings.engine: settings
    for settings in (EngineSettings, OpenAISettings, VllmSettings, LlamaCppSettings)
}
"""The settings of each engine by its name."""

ENGINES = ("auto", *SETTINGS)


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine with its settings, and its label.

    Attributes:
        label: What requests call it.
        name: Which engine it is.
        settings: What that engine takes.
    """

    label: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def make_engine(
    name: str = "auto", *, progress: Callable[[str, float], None] | None = None, **settings: Any
) -> Engine:
    """The engine of that name, made with its settings.

    ``auto`` goes by the settings: an address means ``openai``, a projector ``llamacpp``, a model
    or a checkpoint folder ``vllm``. Without any it is the vLLM that is up, else ``embedded``.
    ``retries`` says nothing of which is meant, and is left out for an engine of this process,
    which has nothing to try again.

    Args:
        name: One of `ENGINES`.
        progress: Called with the stages of an engine that is started, and the seconds since.
        **settings: See `promptlift.engines.settings`.

    Raises:
        OptionError: There is no such engine, it does not take one of the settings, or needs one
            that is not given.
        ConfigEngineError: A setting cannot be used.
    """
    if name == "auto":
        name = resolve_engine(name, settings)
        if name in ("embedded", "llamacpp"):
            settings.pop("retries", None)
    made = _settings_class(name)(**settings)
    # Each engine loads libraries that the others do without.
    if isinstance(made, OpenAISettings):
        from promptlift.engines.openai import OpenAIEngine

        return OpenAIEngine(made)
    if isinstance(made, VllmSettings):
        from promptlift.engines.vllm.engine import VllmEngine

        return VllmEngine(made, progress=progress)
    if isinstance(made, LlamaCppSettings):
        from promptlift.engines.llamacpp import LlamaCppEngine

        return LlamaCppEngine(made)
    from promptlift.engines.no_model import EmbeddedEngine

    return EmbeddedEngine()


def resolve_engine(name: str, settings: Mapping[str, Any]) -> str:
    """The engine's name; ``auto`` is resolved by the settings."""
    names = settings.keys() - {"retries"}
    if name != "auto":
        return name
    if "base_url" in names:
        return "openai"
    if "mmproj" in names:
        return "llamacpp"
    if names:
        return "vllm"
    from promptlift.engines.vllm.state import read_state

    state = read_state()  # of the engine that ``promptlift engine up`` has started
    return "vllm" if state is not None and state.status in ("ready", "sleeping") else "embedded"


def parse_engine(text: str) -> EngineSpec:
    r"""Read an engine in one line: ``LABEL=ENGINE:setting=value,setting=value``.

    Without a label it is called by the engine's name. A dash in a setting's name is as good as an
    underscore, and ``\,`` is a comma in a value.

    Raises:
        OptionError: It cannot be read; the message says which part, and does not repeat what may
            be a key.
    """
    head, colon, tail = text.partition(":")
    label, equals, name = head.rpartition("=")
    if equals and not _LABEL.fullmatch(label):
        raise OptionError(
            f"{label!r} is no label of an engine",
            remedy=f"use up to 32 letters, digits, dots and dashes: {_FORM}, such as {_EXAMPLE}",
        )
    texts: dict[str, str] = {}
    for number, part in enumerate(_COMMA.split(tail) if colon else (), 1):
        setting, equals, value = part.partition("=")
        setting = setting.strip().replace("-", "_")
        if not equals or not setting or not value.strip() or setting in texts:
            raise OptionError(
                f"setting {number} of an engine is no SETTING=VALUE, or is given twice",
                remedy=rf"write {_FORM}, such as {_EXAMPLE}; a comma in a value is \,",
            )
        texts[setting] = value.strip().replace("\\,", ",")
    name = resolve_engine(name, texts)
    settings = _settings_class(name)(**texts)
    return EngineSpec(label or name, name, settings.model_dump(exclude_unset=True))


def make_judge(text: str | None) -> Engine | None:
    """The engine in one line, as `parse_engine` reads it; None for none.

    Raises:
        OptionError: It cannot be read, or is an engine that answers no questions.
        ConfigEngineError: A setting cannot be used.
    """
    if text is None:
        return None
    spec = parse_engine(text)
    if spec.name == "embedded":
        raise OptionError(
            "the embedded engine answers no questions, and cannot be a judge",
            remedy="name a model, such as openai:base_url=http://127.0.0.1:8000/v1",
        )
    # Items wait for it, and its failure is only a note.
    patience = {"retries": 1} if spec.name == "openai" else {}
    return make_engine(spec.name, **{**patience, **spec.settings})


async def close_engines(*engines: Engine | None) -> None:
    """Close each engine; None is none."""
    for engine in engines:
        if engine is not None:
            await engine.close()


def _settings_class(name: str) -> type[EngineSettings]:
    if name not in SETTINGS:
        raise OptionError(
            f"there is no engine {name[:40]!r}",
            remedy=f"use one of {', '.join(ENGINES)}, in one line with settings as "
            f"{_FORM}, such as {_EXAMPLE}",
        )
    return SETTINGS[name]
