"""The options that one row may set for itself, as JSON values."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from promptlift.config import Options, parse_fraction
from promptlift.core.prompts import template
from promptlift.core.targets import target
from promptlift.core.video import Size
from promptlift.errors import InputError, OptionError

__all__ = ["ROW_OPTIONS", "check_asked", "row_options"]

_SIZE = re.compile(r"([1-9]\d{0,5})[xX×]([1-9]\d{0,5})")
_LONGEST = 80  # characters of a value that a message shows


def _fault(name: str, value: Any, remedy: str) -> OptionError:
    return OptionError(f"{name} is {json.dumps(value)[:_LONGEST]}", remedy=remedy)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _fault(name, value, "give a whole number")


def _number(name: str, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _fault(name, value, "give a number")


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _fault(name, value, "give a text")


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _fault(name, value, "give true or false")


def _rate(name: str, value: Any) -> Fraction:
    try:
        return parse_fraction(value)
    except ValueError:
        raise _fault(name, value, "give a rate such as 2, 0.5 or 30000/1001") from None


def _size(name: str, value: Any) -> Size:
    if isinstance(value, list) and len(value) == 2:
        value = f"{value[0]}x{value[1]}"
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _fault(name, value, 'give a size such as "640x360"')
    return Size(int(match[1]), int(match[2]))


def _controls(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise _fault(name, value, 'give a list such as ["edge", "depth"]')


def _target(name: str, value: Any) -> str:
    return target(_text(name, value)).name


def _template(name: str, value: Any) -> str:
    return template(_text(name, value)).name


# What belongs to the run and not to an item, such as how videos are decoded, is not here.
_READERS: dict[str, Callable[[str, Any], Any]] = {
    "frames": _integer,
    "strategy": _text,
    "fps": _rate,
    "exact": _truth,
    "size": _size,
    "max_side": _integer,
    "context": _integer,
    "reserve": _integer,
    "template": _template,
    "control": _text,
    "controls": _controls,
    "target": _target,
    "temperature": _number,
    "seed": _integer,
    "attempts": _integer,
    "on_reject": _text,
}

ROW_OPTIONS = tuple(_READERS)
"""The names that a row may set."""


def row_options(base: Options, asked: Mapping[str, Any]) -> Options:
    """The options of one item: those of the run, with what its row sets in their place.

    Args:
        base: The options of the run.
        asked: `Row.options`: JSON values by name.

    Raises:
        OptionError: One is unknown, not a row's to set, or has a value that makes no sense.
    """
    if not asked:
        return base
    return dataclasses.replace(base, **{name: _read(name, asked[name]) for name in asked})


def _read(name: str, value: Any) -> Any:
    reader = _READERS.get(name)
    if reader is None:
        raise _unknown(name)
    return reader(name, value)


def _unknown(name: str) -> OptionError:
    known = [field.name for field in dataclasses.fields(Options)]
    if name in known:
        return OptionError(
            f"a row cannot set the option {name!r}",
            remedy=f"give --{name.replace('_', '-')} for the whole run",
        )
    close = difflib.get_close_matches(name, ROW_OPTIONS, n=1)
    remedy = f"did you mean {close[0]!r}" if close else f"use {', '.join(ROW_OPTIONS)}"
    return OptionError(f"there is no option {name[:_LONGEST]!r}", remedy=remedy)


def check_asked(asked: Mapping[str, Any]) -> None:
    """See that options of a row make sense together with the defaults.

    Raises:
        OptionError: They do not.
    """
    error = _verdict(json.dumps(dict(asked), sort_keys=True))
    if error is not None:
        raise error


@lru_cache(maxsize=1024)
def _verdict(asked: str) -> InputError | None:
    """The same options come again and again in one input, so what was found is kept."""
    try:
        row_options(Options(), json.loads(asked))
    except InputError as error:
        return error
    return None
