"""Pictures that Pillow reads, still, animated or as a list, as a video."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import warnings
from abc import abstractmethod
from bisect import bisect_right
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from promptlift.errors import VideoRefused, VideoUnreadable
from promptlift.files import content_id
from promptlift.types import Frame, Size, VideoInfo, fit
from promptlift.video.reader import Reader, due_times, stack
from promptlift.video.scale import on_black
from promptlift.video.source import image_format, open_source, unreadable_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image as Picture

    from promptlift.types import RGB, Instant, Thumbnails
    from promptlift.video.source import ImageSource as PictureSource
    from promptlift.video.source import Limits, Opened

__all__ = ["ImageFile", "ImageList", "ImageSequence"]

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


class ImageSequence(Reader):
    """Numbered pictures as a video: what an image and a list have in common.

    Attributes:
        info: What they are.
        times: Seconds at which each is shown, from 0.
    """

    times: tuple[Fraction, ...]

    @abstractmethod
    def picture(self, number: int) -> Picture:
        """Give one picture, upright, as decoded."""

    def frames_at(
        self, instants: Sequence[Instant], box: Size, *, stretch: bool = False
    ) -> tuple[Frame, ...]:
        """The frames shown then; every picture is a keyframe, so always the exact ones."""
        wanted: dict[int, Fraction] = {}
        for instant in instants:
            wanted.setdefault(self._number_at(instant.time), instant.time)
        return tuple(self._frame(number, time, box, stretch) for number, time in wanted.items())

    def first(self, count: int, box: Size, *, stretch: bool = False) -> tuple[Frame, ...]:
        """The first frames, see `Reader`."""
        times = self.times[:count]
        return tuple(self._frame(number, time, box, stretch) for number, time in enumerate(times))

    def thumbnails(
        self,
        *,
        side: int = 320,
        keep: Sequence[Instant] = (),  # noqa: ARG002 - a picture is as easily read again
    ) -> Thumbnails:
        """Thumbnails of the whole sequence or of stretches of it, see `Reader`."""
        size = fit(self.info.size, Size(side, side))
        stretches: dict[int, int] = {}
        for stretch, times in enumerate(due_times(self.info.duration)):
            for time in times:
                stretches.setdefault(self._number_at(time), stretch)
        images = [_to_rgb(self.picture(number), size) for number in stretches]
        shown = [self.times[number] for number in stretches]
        return stack(images, shown, tuple(stretches.values()), self.info.size)

    def _number_at(self, time: Fraction) -> int:
        return max(0, bisect_right(self.times, time) - 1)

    def _frame(self, number: int, wanted: Fraction, box: Size, stretch: bool) -> Frame:
        picture = self.picture(number)
        size = box if stretch else fit(Size(picture.width, picture.height), box)
        return Frame(self.times[number], _to_rgb(picture, size), wanted)


class ImageFile(ImageSequence):
    """The pictures of one file.

    Args:
        opened: The file; closed by `close`.
        kind: Its format, as `image_format` names it.
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
        rotation = _ROTATIONS.get(self._image.getexif().get(_EXIF_ORIENTATION, 1), 0)
        coded, count, mode = Size(*self._image.size), len(self.times), self._image.mode
        shown = Size(coded.height, coded.width) if rotation % 180 else coded
        self.info = VideoInfo(
            container=kind,
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
            pixel_format=_PIXEL_FORMATS.get(mode, mode.lower()),
            bit_depth=16 if mode.startswith("I") else 8,
            transfer="sdr",
            full_range=True,
            has_alpha=self._image.has_transparency_data,
            is_still=count == 1,
            size_bytes=opened.size,
        )
        self.content_id = content_id(opened.file, opened.size)

    def picture(self, number: int) -> Picture:
        """One picture, upright, as decoded."""
        with _damage_is_unreadable(self._opened):
            self._image.seek(number)
            self._image.load()
            return ImageOps.exif_transpose(self._image)

    def close(self) -> None:
        """Close the file."""
        self._image.close()
        self._opened.file.close()

    def _durations(self) -> Iterator[Fraction]:
        """Read every picture once; WebP gives the duration of one only when it is decoded."""
        with _damage_is_unreadable(self._opened):
            for number in range(getattr(self._image, "n_frames", 1)):
                self._image.seek(number)
                self._image.load()
                milliseconds = self._image.info.get("duration") or 0
                yield Fraction(milliseconds).limit_denominator(1000) / 1000 or _UNTIMED


def _open(opened: Opened, kind: str, limits: Limits) -> Picture:
    def too_large(what: str) -> VideoRefused:
        return VideoRefused(
            f"{opened.name}: {what} is over the limit of {limits.max_pixels} pixels",
            remedy="scale the picture down first, or raise the limit",
        )

    with warnings.catch_warnings(), _damage_is_unreadable(opened):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # checked below
        try:
            image = Image.open(opened.file, formats=[kind])
        except Image.DecompressionBombError as error:
            raise too_large(str(error)) from error
    if image.width * image.height > limits.max_pixels:
        raise too_large(f"{image.width}x{image.height}")
    return image


@contextlib.contextmanager
def _damage_is_unreadable(opened: Opened) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        # Pillow's text for an unidentified picture is the file object's, which says nothing.
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        why = f"the picture is cut off or damaged{reason}"
        raise unreadable_error(opened.name, why, "copy or download it again") from error


class ImageList(ImageSequence):
    """A list of pictures, each shown for a second.

    Args:
        sources: The pictures.
        limits: The most pixels of a picture.

    Raises:
        VideoUnreadable: The list is empty, or one of them is not a picture.
        VideoError: As `ImageFile`, for any of the pictures.
    """

    def __init__(self, sources: tuple[PictureSource, ...], limits: Limits) -> None:
        if not sources:
            raise VideoUnreadable("the list of pictures is empty", remedy="give at least one")
        self._sources = sources
        self._limits = limits
        self.times = tuple(map(Fraction, range(len(sources))))
        digest = hashlib.sha256()
        infos = []
        for source in sources:
            image = self._open(source)
            infos.append(image.info)
            digest.update(image.content_id.encode())
            image.close()
        self.content_id = f"sha256:{digest.hexdigest()}"
        self.info = replace(
            infos[0],
            container="images",
            frame_rate=Fraction(1),
            duration=Fraction(len(sources)),
            frame_count=len(sources),
            is_still=len(sources) == 1,
            size_bytes=0,
        )

    def picture(self, number: int) -> Picture:
        """One picture, upright, as decoded."""
        image = self._open(self._sources[number])
        try:
            return image.picture(0).copy()
        finally:
            image.close()

    def close(self) -> None:
        """Nothing is held open."""

    def _open(self, source: PictureSource) -> ImageFile:
        opened = open_source(source, self._limits)
        try:
            kind = image_format(opened.head)
            if kind is None:
                raise unreadable_error(
                    opened.name, "it is not a picture", "give a list of pictures"
                )
            return ImageFile(opened, kind, self._limits)
        except BaseException:
            opened.file.close()
            raise


def _to_rgb(picture: Picture, size: Size) -> RGB:
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip and not scale
        grey = np.asarray(picture).astype(np.int64).clip(0, 65535) // 257
        picture = Image.fromarray(grey.astype(np.uint8))
    if picture.has_transparency_data:
        picture = Image.fromarray(on_black(np.asarray(picture.convert("RGBA"))))
    resized = picture.convert("RGB").resize((size.width, size.height), Image.Resampling.LANCZOS)
    return np.array(resized)
