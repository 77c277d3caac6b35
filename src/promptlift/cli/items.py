"""The options of one item for every command that upsamples, made from the fields of `Options`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from promptlift.options import Options
from promptlift.targets.templates import TEMPLATES

__all__ = ["item_option", "item_options"]

F = TypeVar("F", bound=Callable[..., Any])

_SHORT = {"frames": "-n"}
_METAVARS = {
    "fps": "RATE",
    "at": "TIMES",
    "size": "WxH",
    "region": "L,T,R,B",
    "mask": "FILE",
    "target": "NAME|FILE",
    "template": "NAME|FILE",
    "instruction": "TEXT",
    "language": "NAME",
    "style": "TEXT",
    "control": "KIND",
    "target_tokenizer": "FILE",
    "video_size": "WxH",
    "video_seconds": "SECONDS",
    "video_fps": "RATE",
}
# Commands describe these themselves where they take them.
_BY_HAND = ("camera_apart", "control", "controls", "nouns", "target", "variation")
# What these may be depends on others; `Options` says so once it has all of them.
_JUDGED_TOGETHER = ("language",)


def item_option(name: str) -> Callable[[F], F]:
    """What adds one option of an item, made from its field, to a command."""
    field = Options.model_fields[name]

    def value(text: str | Path) -> object:
        if name in _JUDGED_TOGETHER:
            return text
        is_file = name == "template" and text not in TEMPLATES
        if is_file or (name == "target" and str(text).endswith(".toml")):
            text = Path(text)
        value = getattr(Options(**{name: text}), name)  # an `OptionError` says what to do
        return text if name == "control" else value  # Cosmos's names say more than the kind

    flags = (f"--{name.replace('_', '-')}", *((_SHORT[name],) if name in _SHORT else ()))
    if field.annotation is bool:
        return click.option(*flags, is_flag=True, help=field.description)
    if get_origin(field.annotation) is Literal:
        return click.option(
            *flags,
            type=click.Choice(get_args(field.annotation)),
            default=field.default,
            show_default=True,
            help=field.description,
        )
    return click.option(
        *flags,
        type=value,
        metavar=_METAVARS.get(name),
        default=None
        if field.default is None
        else ""
        if field.default == ()
        else str(field.default),
        show_default=field.default not in (None, "", ()),
        help=field.description,
    )


def item_options(command: F) -> F:
    """Add the options of one item to a command."""
    for name in reversed(Options.model_fields):
        if name not in _BY_HAND:
            command = item_option(name)(command)
    return command
