"""An engine said in one line: ``LABEL=ENGINE:setting=value,setting=value``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from promptlift.engines.registry import ENGINES, meant_by, settings_from
from promptlift.errors import OptionError

__all__ = ["SpokenEngine", "parse_engine"]

_FORM = "[LABEL=]ENGINE[:SETTING=VALUE,...]"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_COMMA = re.compile(r"(?<!\\),")
_EXAMPLE = "embedded, or small=openai:base_url=http://127.0.0.1:8000/v1,model=NAME"


@dataclass(frozen=True, slots=True)
class SpokenEngine:
    """An engine, and what it is called here.

    Attributes:
        label: What requests call it.
        name: Which engine it is.
        settings: What that engine takes.
    """

    label: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def parse_engine(text: str) -> SpokenEngine:
    r"""Read what somebody said; without a label the engine's name is one.

    A dash in a setting's name is as good as an underscore, and ``\,`` is a comma in a value.

    Raises:
        OptionError: It cannot be read; the message says which part, and repeats no value.
    """
    head, colon, tail = text.partition(":")
    label, equals, name = head.rpartition("=")
    _check(label if equals else None, name)
    said = _said(tail) if colon else {}
    name = meant_by(name, said)
    return SpokenEngine(label or name, name, settings_from(name, said))


def _check(label: str | None, name: str) -> None:
    if label is not None and not _LABEL.fullmatch(label):
        raise OptionError(
            f"{label!r} is no label of an engine",
            remedy=f"use up to 32 letters, digits, dots and dashes: {_FORM}, such as {_EXAMPLE}",
        )
    if name not in ENGINES:
        close = get_close_matches(name, ENGINES, 1)
        hint = f"perhaps you mean {close[0]}; " if close else ""
        raise OptionError(
            f"there is no engine {name[:40]!r}",
            remedy=f"{hint}write {_FORM} with one of {', '.join(ENGINES)}, such as {_EXAMPLE}",
        )


def _said(tail: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for number, part in enumerate(_COMMA.split(tail), 1):
        setting, equals, value = part.partition("=")
        setting = setting.strip().replace("-", "_")
        if not equals or not setting or not value.strip():
            raise OptionError(
                f"setting {number} of an engine is no SETTING=VALUE",
                remedy=rf"write {_FORM}, such as {_EXAMPLE}; a comma in a value is \,",
            )
        if setting in said:
            raise OptionError(f"{setting!r} of an engine is said twice", remedy="say it once")
        said[setting] = value.strip().replace("\\,", ",")
    return said
