"""Pictures through Pillow: GIF, WebP, PNG, AVIF, JPEG, BMP and TIFF, moving or still."""

from __future__ import annotations

import struct
import warnings
from abc import ABC, abstractmethod
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from promptlift.core.video import Size, VideoInfo
from promptlift.errors import VideoRefused
from promptlift.files import content_id
from promptlift.frames.sniff import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image as Picture

    from promptlift.frames.source import Limits, Opened

__all__ = ["Animation", "Slides"]

_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    struct.error,
    UnidentifiedImageError,
    Image.DecompressionBombError,  # of a later picture than the first
)
_EXIF_ORIENTATION = 0x0112
_ROTATIONS = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
_UNTIMED = Fraction(1, 10)  # what browsers show a GIF frame that gives no time for
_MOVING = ("gif", "webp", "png", "avif")
_PIXEL_FORMATS = {
    "RGB": "rgb24",
    "RGBA": "rgba",
    "L": "gray",
    "LA": "ya8",
    "P": "pal8",
    "1": "monow",
    "CMYK": "cmyk",
    "I;16": "gray16le",
    "I": "gray16le",
}


class Slides(ABC):
    """Numbered pictures, each with its time: what a moving picture and a list have in common.

    Attributes:
        info: What they are.
        times: Seconds at which each is shown, from 0.
    """

    info: VideoInfo
    times: tuple[Fraction, ...]

    @property
    @abstractmethod
    def content_id(self) -> str:
        """The name of the content."""

    @abstractmethod
    def picture(self, number: int) -> Picture:
        """Give one picture, upright, as decoded."""

    @abstractmethod
    def close(self) -> None:
        """Give back the file."""


class Animation(Slides):
    """The pictures of one file.

    Args:
        opened: The file; closed by `close`.
        kind: Its format, as `picture_format` names it.
        limits: The most pixels of a picture.

    Raises:
        VideoUnreadable: The picture is cut off or damaged.
        VideoRefused: It has too many pixels.
    """

    def __init__(self, opened: Opened, kind: str, limits: Limits) -> None:
        self._opened = opened
        self._image = _open(opened, kind, limits)
        durations = tuple(self._durations()) if kind in _MOVING else ()
        self.times = (Fraction(0), *accumulate(durations[:-1]))
        if not durations:
            self.picture(0)  # a picture that is cut off fails here, as a video does
        moving = len(durations) > 1
        duration = sum(durations, Fraction(0)) if moving else None
        self.info = _info(self._image, kind, kind, len(self.times), duration, opened.size)

    @property
    def content_id(self) -> str:
        """See `Slides`."""
        return content_id(self._opened.file, self._opened.size)

    def picture(self, number: int) -> Picture:
        """See `Slides`."""
        try:
            self._image.seek(number)
            self._image.load()
            return ImageOps.exif_transpose(self._image)
        except _ERRORS as error:
            raise _damaged(self._opened, error) from error

    def close(self) -> None:
        """See `Slides`."""
        self._image.close()
        self._opened.file.close()

    def _durations(self) -> Iterator[Fraction]:
        """Read every picture once; WebP tells how long one is shown only when it is decoded."""
        try:
            for number in range(getattr(self._image, "n_frames", 1)):
                self._image.seek(number)
                self._image.load()
                milliseconds = self._image.info.get("duration") or 0
                yield Fraction(milliseconds).limit_denominator(1000) / 1000 or _UNTIMED
        except _ERRORS as error:
            raise _damaged(self._opened, error) from error


def _open(opened: Opened, kind: str, limits: Limits) -> Picture:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # checked below
            image = Image.open(opened.file, formats=[kind])
    except Image.DecompressionBombError as error:
        raise _too_large(opened, str(error), limits) from error
    except _ERRORS as error:
        raise _damaged(opened, error) from error
    if image.width * image.height > limits.max_pixels:
        raise _too_large(opened, f"{image.width}x{image.height}", limits)
    return image


def _too_large(opened: Opened, what: str, limits: Limits) -> VideoRefused:
    return VideoRefused(
        f"{opened.name}: {what} is over the limit of {limits.max_pixels} pixels",
        remedy="scale the picture down first, or raise the limit",
    )


def _damaged(opened: Opened, error: Exception) -> Exception:
    # Pillow's text for an unidentified picture is the file object's, which says nothing.
    reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
    why = f"the picture is cut off or damaged{reason}"
    return unreadable(opened.name, why, "copy or download it again")


def _info(
    image: Picture, kind: str, container: str, count: int, duration: Fraction | None, size: int
) -> VideoInfo:
    rotation = _ROTATIONS.get(image.getexif().get(_EXIF_ORIENTATION, 1), 0)
    coded = Size(image.width, image.height)
    shown = Size(coded.height, coded.width) if rotation % 180 else coded
    return VideoInfo(
        container=container,
        codec=kind,
        width=shown.width,
        height=shown.height,
        coded_width=coded.width,
        coded_height=coded.height,
        rotation=rotation,
        sample_aspect_ratio=Fraction(1),
        frame_rate=count / duration if duration else None,
        duration=duration,
        frame_count=count,
        pixel_format=_PIXEL_FORMATS.get(image.mode, image.mode.lower()),
        bit_depth=16 if image.mode.startswith("I") else 8,
        transfer="sdr",
        full_range=True,
        has_alpha=image.has_transparency_data,
        is_still=count == 1,
        size_bytes=size,
    )
