"""Values that several commands take, as functions for click's ``type``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from promptlift.text import parse_size
from promptlift.types import Size

__all__ = ["byte_count", "duration", "place", "shard", "size", "size_or_none", "span"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|)")
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE)
_POWER = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SPAN = re.compile(r"([1-9]\d{0,4})(?::([1-9]\d{0,4}))?")
_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})")


def place(text: str) -> Path | str:
    """Read the place of a run: a folder, or a URL such as ``s3://bucket/run``."""
    return text if _URL.match(text) else Path(text)


def size_or_none(text: str) -> Size | None:
    """Read ``WIDTHxHEIGHT``; None where the text is something else."""
    try:
        return parse_size(text)
    except ValueError:
        return None


def size(text: str) -> Size:
    """Read ``WIDTHxHEIGHT``.

    Raises:
        click.BadParameter: It is something else.
    """
    made = size_or_none(text)
    if made is None:
        raise click.BadParameter(f"{text!r} is not a size such as 640x360")
    return made


def duration(text: str) -> float:
    """Read ``90``, ``90s``, ``30m``, ``2h`` or ``1.5d``, in seconds.

    Raises:
        click.BadParameter: It is something else.
    """
    match = _matched(_DURATION, text.lower(), "a duration such as 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def byte_count(text: str) -> int:
    """Read ``512M``, ``2GiB`` or a number of bytes; K, M, G and T are powers of 1024.

    Raises:
        click.BadParameter: It is something else.
    """
    match = _matched(_BYTES, text, "an amount such as 512M or 2GiB")
    return int(float(match[1]) * 2 ** _POWER[match[2].upper()])


def shard(text: str) -> tuple[int, int]:
    """Read ``3/8``, the third of eight parts.

    Raises:
        click.BadParameter: It is something else.
    """
    match = _SHARD.fullmatch(text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise click.BadParameter(f"{text!r} is not a part such as 3/8, the third of eight")
    return int(match[1]), int(match[2])


def span(text: str) -> tuple[int, int]:
    """Read ``2:16``, the least and the most, or ``4`` for both.

    Raises:
        click.BadParameter: It is something else.
    """
    match = _SPAN.fullmatch(text.strip())
    least, most = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if least > most:
        raise click.BadParameter(f"{text!r} is not a range such as 2:16, or a number")
    return least, most


def _matched(pattern: re.Pattern[str], text: str, kind: str) -> re.Match[str]:
    match = pattern.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not {kind}")
    return match
