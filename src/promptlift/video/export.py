"""Write hint frames: as a small video, as PNG files or as a contact sheet."""

from __future__ import annotations

import re
from io import BytesIO
from math import ceil, log
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
    "time_label",
    "write_hints",
    "write_pngs",
    "write_sheet",
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
        f"hint_{number:0{digits}}.png": _png(frame) for number, frame in enumerate(frames, 1)
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
    _write_all(pictures, folder, is_new=is_new)


def _write_all(pictures: dict[str, bytes], folder: Path, *, is_new: bool) -> None:
    """Write the files; if one fails, take away what a new folder holds, and the folder."""
    written: list[Path] = []
    try:
        for name, content in pictures.items():
            write_atomic(folder / name, content)
            written.append(folder / name)
    except OutputError:
        if is_new:
            for path in written:
                path.unlink()
            folder.rmdir()
        raise


def _png(frame: Frame) -> bytes:
    content = BytesIO()
    Image.fromarray(frame.image).save(content, "png")
    return content.getvalue()


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
        target: Where to; see `write_clip`, `write_sheet` and `write_pngs`.
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
        write_sheet(frames, target)
    else:
        write_pngs(frames, target)
