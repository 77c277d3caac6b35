"""Values that several commands take."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import click

from promptlift.core.video import Size

__all__ = ["RATE", "SIZE", "parse_size"]

_SIZE = re.compile(r"([1-9]\d{0,5})[xX×]([1-9]\d{0,5})")


def parse_size(text: str) -> Size | None:
    """Read ``WIDTHxHEIGHT``; None where the text is something else."""
    match = _SIZE.fullmatch(text)
    return Size(int(match[1]), int(match[2])) if match else None


class _SizeType(click.ParamType):
    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        if isinstance(value, Size):
            return value
        size = parse_size(str(value))
        if size is None:
            self.fail(f"{value!r} is not a size such as 640x360", param, ctx)
        return size


class _RateType(click.ParamType):
    name = "RATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is not a rate such as 2, 0.5 or 30000/1001", param, ctx)


SIZE = _SizeType()
RATE = _RateType()
