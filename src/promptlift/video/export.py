"""Write hint frames: as a small video, as PNG files or as a contact sheet."""

from __future__ import annotations

import re
import shutil
from io import BytesIO
from math import ceil, sqrt
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from promptlift.errors import OutputError
from promptlift.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from promptlift.types import Frame

__all__ = [
    "check_target",
    "sheet_png",
    "write_hints",
    "write_pngs",
]

_OURS = re.compile(r"hint_\d+\.png")


def write_pngs(frames: Sequence[Frame], folder: Path) -> None:
    """Write each frame as ``hint_01.png`` and so on, replacing files of these names.

    Args:
        frames: The frames.
        folder: Where to; made if its parent exists. Other files in it are left alone.

    Raises:
        OutputError: The folder cannot be written to, or holds frames of an earlier call that
            would not be replaced and so be taken for frames of this one.
    """
    digits = max(2, len(str(len(frames))))
    pictures = {
        f"hint_{number:0{digits}}.png": _png(Image.fromarray(frame.image))
        for number, frame in enumerate(frames, 1)
    }
    try:
        is_new = not folder.exists()
        folder.mkdir(exist_ok=True)
        left_over = sorted(
            entry.name
            for entry in folder.iterdir()
            if _OURS.fullmatch(entry.name) and entry.name not in pictures
        )
    except OSError as error:
        raise OutputError(
            f"cannot write to the folder {str(folder)!r}: {error.strerror}",
            remedy="choose another directory",
        ) from error
    if left_over:
        raise OutputError(
            f"the folder {str(folder)!r} holds frames of an earlier call, such as {left_over[0]}",
            remedy="choose another directory, or delete them",
        )
    try:
        for name, content in pictures.items():
            write_atomic(folder / name, content)
    except OutputError:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "png")
    return content.getvalue()


_BACKGROUND = (22, 23, 26)
_EDGE = (58, 60, 66)
_TEXT = (238, 238, 240)
_MARGIN = 28
_GUTTER = 22
_CAPTION = 34
_FONT_SIZE = 16
_NARROWEST = 210  # so that a caption fits under any frame


def sheet_png(frames: Sequence[Frame]) -> bytes:
    """A contact sheet as a PNG: every frame at its own size, with its time and size below it.

    Args:
        frames: At least one.
    """
    width = max(_NARROWEST, *(frame.size.width for frame in frames))
    height = max(frame.size.height for frame in frames)
    columns = ceil(sqrt(len(frames)))
    rows = ceil(len(frames) / columns)
    sheet = Image.new(
        "RGB",
        (
            2 * _MARGIN + columns * width + (columns - 1) * _GUTTER,
            2 * _MARGIN + rows * (height + _CAPTION) + (rows - 1) * _GUTTER - _CAPTION // 3,
        ),
        _BACKGROUND,
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for place, frame in enumerate(frames):
        row, column = divmod(place, columns)
        left = _MARGIN + column * (width + _GUTTER)
        bottom = _MARGIN + row * (height + _CAPTION + _GUTTER) + height
        top, size = bottom - frame.size.height, frame.size
        draw.rectangle((left - 1, top - 1, left + size.width, bottom), outline=_EDGE)
        sheet.paste(Image.fromarray(frame.image), (left, top))
        note = ", keyframe" if frame.snapped else ""
        caption = f"{float(frame.time):.3f} s   {size}{note}"
        draw.text((left, bottom + _CAPTION * 3 // 4), caption, _TEXT, font, anchor="ls")
    return _png(sheet)


def check_target(target: Path) -> None:
    """Refuse a name from which no format follows, before any work is done for it.

    Raises:
        OutputError: It ends in something else than ``.mp4``, ``.png`` or nothing.
    """
    if target.suffix.lower() not in {"", ".mp4", ".png"} and not target.is_dir():
        raise OutputError(
            f"unknown output format {target.suffix!r} of {target.name!r}",
            remedy="use .mp4 for a clip, .png for a contact sheet, or a directory for PNGs",
        )


def write_hints(frames: Sequence[Frame], target: Path, *, fps: Fraction) -> None:
    """Write a hint clip (``.mp4``), a contact sheet (``.png``) or a folder of PNGs.

    Args:
        frames: At least one.
        target: Where to; see `write_clip`, `sheet_png` and `write_pngs`.
        fps: Frames a second at which a clip plays.

    Raises:
        OutputError: The target cannot be written, or no format follows from its name.
        OptionError: The clip cannot have this size or rate.
    """
    check_target(target)
    suffix = "" if target.is_dir() else target.suffix.lower()
    if suffix == ".mp4":
        # PyAV is not for a server, which draws contact sheets only.
        from promptlift.video.clip import write_clip

        write_clip(frames, target, fps=fps)
    elif suffix == ".png":
        write_atomic(target, sheet_png(frames))
    else:
        write_pngs(frames, target)
