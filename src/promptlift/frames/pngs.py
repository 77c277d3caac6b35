"""Hint frames as numbered PNG files in a folder."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from promptlift.errors import OutputError
from promptlift.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from promptlift.core.video import Frame

__all__ = ["write_pngs"]

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
            remedy="choose another place",
        ) from error
    if left_over:
        raise OutputError(
            f"the folder {str(folder)!r} holds frames of an earlier call, such as {left_over[0]}",
            remedy="name another folder or delete them",
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
