"""Hint frames on one contact sheet, each with its time and size below it."""

from __future__ import annotations

from io import BytesIO
from math import ceil, log
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from promptlift.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from promptlift.core.video import Frame

__all__ = ["sheet_png", "time_label", "write_sheet"]

_BACKGROUND = (22, 23, 26)
_EDGE = (58, 60, 66)
_TEXT = (238, 238, 240)
_FAINT = (152, 155, 164)
_MARGIN = 28
_GUTTER = 22
_CAPTION = 34
_FONT_SIZE = 16
_NARROWEST = 210  # so that a caption fits under any frame


def write_sheet(frames: Sequence[Frame], path: Path) -> None:
    """Write a contact sheet: every frame at its own size, with its time and size below it.

    Args:
        frames: At least one.
        path: The file; replaced if it exists.

    Raises:
        OutputError: The file cannot be written.
    """
    write_atomic(path, sheet_png(frames))


def sheet_png(frames: Sequence[Frame]) -> bytes:
    """The same contact sheet, as the bytes of a PNG."""
    content = BytesIO()
    _sheet(frames).save(content, "png")
    return content.getvalue()


def time_label(time: Fraction) -> str:
    """A time to read: ``4.250 s``, ``3:20.500`` or ``1:03:20.500``."""
    milliseconds = round(time * 1000)
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.3f} s"
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{whole}:{seconds:02}.{milliseconds:03}"


def _sheet(frames: Sequence[Frame]) -> Image.Image:
    width = max(_NARROWEST, *(frame.size.width for frame in frames))
    height = max(frame.size.height for frame in frames)
    columns = _columns(len(frames), width, height + _CAPTION)
    rows = ceil(len(frames) / columns)
    sheet = Image.new(
        "RGB",
        (
            2 * _MARGIN + columns * width + (columns - 1) * _GUTTER,
            2 * _MARGIN + rows * (height + _CAPTION) + (rows - 1) * _GUTTER - _CAPTION // 3,
        ),
        _BACKGROUND,
    )
    for place, frame in enumerate(frames):
        row, column = divmod(place, columns)
        left = _MARGIN + column * (width + _GUTTER)
        top = _MARGIN + row * (height + _CAPTION + _GUTTER)
        _add(sheet, frame, left, top + height - frame.size.height)
    return sheet


def _columns(count: int, width: int, height: int) -> int:
    """How many to a row: for a sheet about 1.8 times as wide as high, with few empty places."""

    def flaw(columns: int) -> float:
        rows = ceil(count / columns)
        shape = (columns * width) / (rows * height)
        return abs(log(shape / 1.8)) + (columns * rows - count) / count

    return min(range(1, count + 1), key=flaw)


def _add(sheet: Image.Image, frame: Frame, left: int, top: int) -> None:
    size = frame.size
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left - 1, top - 1, left + size.width, top + size.height), outline=_EDGE)
    sheet.paste(Image.fromarray(frame.image), (left, top))
    font = ImageFont.load_default(_FONT_SIZE)
    baseline = top + size.height + _CAPTION * 3 // 4
    time = time_label(frame.time)
    draw.text((left, baseline), time, _TEXT, font, anchor="ls")
    rest = f"{size}" + (", keyframe" if frame.snapped else "")
    draw.text((left + draw.textlength(time, font) + 14, baseline), rest, _FAINT, font, anchor="ls")
