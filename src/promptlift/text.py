"""Texts: the user's, checked; numbers with nouns; values as all readers take."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import Any

from promptlift.errors import PromptError
from promptlift.types import Box, Size

__all__ = [
    "FRACTION_PATTERN",
    "SIZE_PATTERN",
    "TIMES_PATTERN",
    "check_short_prompt",
    "compact_json",
    "counted",
    "csv_cell",
    "json_safe",
    "parse_box",
    "parse_fraction",
    "parse_size",
    "parse_times",
    "plain_text",
]

SIZE_PATTERN = r"([1-9]\d{0,5})[xX×]([1-9]\d{0,5})"
FRACTION_PATTERN = r"\d{1,9}(?:\.\d{0,20})?|\.\d{1,20}|\d{1,9}/[1-9]\d{0,8}"

_TIME = rf"(?:\d{{1,3}}:){{0,2}}(?:{FRACTION_PATTERN})s?"
TIMES_PATTERN = rf"\s*{_TIME}\s*(?:,\s*{_TIME}\s*)*"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 row``, ``2,000 rows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def csv_cell(value: object) -> str:
    """A value as a cell of CSV or TSV: empty for None, lists with spaces.

    A text that a spreadsheet would run as a formula begins with an apostrophe instead.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    if text.startswith(("=", "+", "-", "@", "\t", "\r")) and not isinstance(value, int | float):
        return f"'{text}"
    return text


def check_short_prompt(text: str) -> str:
    """The user's words as typed, without the white space around them; lines end in a line feed.

    Line breaks stay, for a request may have timed lines. An empty prompt is fine and means
    "describe what is there".

    Raises:
        PromptError: It holds a control character, or bytes that are no text.
    """
    if text.isascii() and text.isprintable():
        return text.strip()  # most are; a batch checks a million of them
    for position, character in enumerate(text):
        category = unicodedata.category(character)
        if category == "Cs":
            raise PromptError(
                f"the prompt is not valid text: character {position + 1} is half of a pair or a "
                "byte that is not UTF-8",
                remedy="convert it to UTF-8, for example with `iconv -f latin1 -t utf-8`",
            )
        if category == "Cc" and character not in "\t\n\r":
            raise PromptError(
                f"the prompt holds the control character U+{ord(character):04X} as its "
                f"character {position + 1}",
                remedy="remove that character",
            )
    return re.sub(r"\r\n?", "\n", text).strip()


def plain_text(text: str) -> str:
    """Text as it is, with U+FFFD for what UTF-8 cannot hold.

    Such are the bytes of a path that is no UTF-8, and halves of pairs that JSON can spell.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def json_safe(value: Any) -> Any:
    """A JSON value with `plain_text` and with null for what is no finite number."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {plain_text(name): json_safe(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(inner) for inner in value]
    return value


def compact_json(value: Any) -> str:
    """JSON on one line, for people and machines: no spaces, and letters as they are."""
    return json.dumps(json_safe(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def parse_size(value: object) -> Size:
    """Read ``640x360``, ``640X360``, a pair of numbers or a `Size`.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, Size):
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        value = f"{value[0]}x{value[1]}"
    match = re.fullmatch(SIZE_PATTERN, value.strip(), re.ASCII) if isinstance(value, str) else None
    if match is None:
        raise ValueError("give a size such as 640x360")
    return Size(int(match[1]), int(match[2]))


def parse_fraction(value: object) -> Fraction:
    """Read ``2``, ``0.5``, ``30000/1001`` or a number; a float means what it is written as.

    The text is bounded before a fraction is made of it: that of ``1e99999999`` would take hours.

    Raises:
        ValueError: It is something else, negative, or has too many digits.
    """
    if value is not True and value is not False and isinstance(value, Rational):
        return Fraction(value)
    if isinstance(value, str | float | Decimal) and re.fullmatch(
        FRACTION_PATTERN, text := str(value).strip(), re.ASCII
    ):
        return Fraction(text)
    raise ValueError("give a rate such as 2, 0.5 or 30000/1001")


def parse_times(value: object) -> tuple[Fraction, ...]:
    """Read instants, ``1.2s,3``, ``1:02.5`` or a list of them, as ascending seconds.

    Raises:
        ValueError: They are something else.
    """
    given = value.split(",") if isinstance(value, str) else value
    times = set()
    for one in given if isinstance(given, list | tuple) else [given]:
        text = str(one).strip()
        if isinstance(one, bool) or not re.fullmatch(_TIME, text, re.ASCII):
            if value == "":
                return ()
            raise ValueError("give seconds, or minutes and seconds, such as 1.2s,3s or 0:03")
        *larger, seconds = text.removesuffix("s").split(":")
        units = zip(reversed(larger), (60, 3600), strict=False)
        times.add(Fraction(seconds) + sum(int(count) * unit for count, unit in units))
    return tuple(sorted(times))


def parse_box(value: object) -> Box:
    """Read ``0,0,0.5,1``, a list of four numbers or a `Box`.

    Raises:
        ValueError: It is something else, or no box inside the picture.
    """
    corners = value.split(",") if isinstance(value, str) else value
    try:
        left, top, right, bottom = map(float, corners)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ValueError("give left,top,right,bottom such as 0,0,0.5,1") from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError("give a box inside the picture: left,top,right,bottom from 0 to 1")
    return Box(left, top, right, bottom)
