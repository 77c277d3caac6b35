"""Values that several commands take, as functions for click's ``type``."""

from __future__ import annotations

import re
from fractions import Fraction

import click

from promptlift.core.video import Size

__all__ = ["parse_size", "rate", "size"]

_SIZE = re.compile(r"([1-9]\d{0,5})[xX×]([1-9]\d{0,5})")


def parse_size(text: str) -> Size | None:
    """Read ``WIDTHxHEIGHT``; None where the text is something else."""
    match = _SIZE.fullmatch(text)
    return Size(int(match[1]), int(match[2])) if match else None


def size(text: str) -> Size:
    """Read ``WIDTHxHEIGHT``.

    Raises:
        click.BadParameter: It is something else.
    """
    made = parse_size(text)
    if made is None:
        raise click.BadParameter(f"{text!r} is not a size such as 640x360")
    return made


def rate(text: str) -> Fraction:
    """Read ``2``, ``0.5`` or ``30000/1001``.

    Raises:
        click.BadParameter: It is something else.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"{text!r} is not a rate such as 2, 0.5 or 30000/1001") from None
