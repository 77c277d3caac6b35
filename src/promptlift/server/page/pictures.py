"""Pictures for the page: hint frames at their own size, posters, thumbnails that outlive videos."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from promptlift.core.video import Size
from promptlift.errors import OutputError
from promptlift.files import write_atomic

if TYPE_CHECKING:
    from promptlift.core.video import RGB

__all__ = ["KINDS", "THUMB_SIDE", "Thumbnails", "encode", "poster"]

KINDS = {"png": "image/png", "webp": "image/webp"}
_QUALITY = 88
THUMB_SIDE = 192
_POSTER_SIDE = 480
_MOST_THUMBS = 5000


def poster(path: str, side: int = _POSTER_SIDE) -> bytes:
    """The first picture of a video, small, as WebP; for a process that a video cannot hurt us from.

    Args:
        path: The video.
        side: Longest side in pixels.

    Raises:
        VideoError: It cannot be read.
    """
    from promptlift.frames import open_video

    with open_video(path) as reader:
        return encode(reader.first(1, Size(side, side))[0].image, "webp")


def encode(image: RGB, form: Literal["png", "webp"], *, side: int | None = None) -> bytes:
    """A picture as a file: PNG for the very pixels, WebP to look at.

    Args:
        image: RGB, 8 bits.
        form: Which.
        side: Longest side to shrink it to; None for its own size.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    if side is not None:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    content = BytesIO()
    if form == "png":
        picture.save(content, "png", compress_level=3)
    else:
        picture.save(content, "webp", quality=_QUALITY, method=3)
    return content.getvalue()


class Thumbnails:
    """Small pictures of videos, by content, kept when the video is not.

    Args:
        folder: Made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, content: str) -> bytes | None:
        """The thumbnail of a video; None where there is none."""
        with suppress(OSError):
            return self._path(content).read_bytes()
        return None

    async def keep(self, content: str, picture: bytes) -> None:
        """Keep one, unless there is one; a full disk costs only the picture."""
        if not self._path(content).exists():
            with suppress(OSError, OutputError):
                await asyncio.to_thread(self._write, self._path(content), picture)

    def _path(self, content: str) -> Path:
        return self._folder / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.webp"

    def _write(self, path: Path, picture: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, picture)
        kept = sorted(self._folder.iterdir(), key=os.path.getmtime)
        for old in kept[: max(0, len(kept) - _MOST_THUMBS)]:
            old.unlink(missing_ok=True)
