"""Frames of numbered pictures."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from promptlift.core.video import Frame, PacketIndex, Size, fit
from promptlift.frames.reader import Reader
from promptlift.frames.scale import on_black
from promptlift.frames.strip import due_times, stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image as Picture

    from promptlift.core.video import RGB, Instant, Strip
    from promptlift.frames.stills import Slides

__all__ = ["PictureReader"]


class PictureReader(Reader):
    """Reads numbered pictures; made by `promptlift.frames.open_video`."""

    def __init__(self, slides: Slides) -> None:
        self._slides = slides
        self.info = slides.info

    @property
    def index(self) -> PacketIndex:
        """See `Reader`; pictures have no packets."""
        return PacketIndex()

    @property
    def content_id(self) -> str:
        """See `Reader`."""
        return self._slides.content_id

    def frames_at(
        self,
        instants: Sequence[Instant],
        box: Size,
        *,
        exactly: bool = False,
        native: bool = False,  # noqa: ARG002 - pictures have no colours but RGB
    ) -> tuple[Frame, ...]:
        """See `Reader`; every picture is a keyframe, so the exact one is always taken."""
        wanted: dict[int, Fraction] = {}
        for instant in instants:
            wanted.setdefault(self._number_at(instant.time), instant.time)
        return tuple(self._frame(number, time, box, exactly) for number, time in wanted.items())

    def first(
        self,
        count: int,
        box: Size,
        *,
        exactly: bool = False,
        native: bool = False,  # noqa: ARG002
    ) -> tuple[Frame, ...]:
        """See `Reader`."""
        times = self._slides.times[:count]
        return tuple(self._frame(number, time, box, exactly) for number, time in enumerate(times))

    def strip(
        self,
        *,
        side: int = 320,
        fps: int = 8,
        max_seconds: int = 30,
        keep: Sequence[Instant] = (),  # noqa: ARG002 - a picture is as easily read again
    ) -> Strip:
        """See `Reader`."""
        size = fit(self.info.size, Size(side, side))
        stretches = due_times(self.info.duration, fps, max_seconds)
        taken: dict[int, int] = {}
        for stretch, times in enumerate(stretches):
            for time in times:
                taken.setdefault(self._number_at(time), stretch)
        images = [_to_rgb(self._slides.picture(number), size) for number in taken]
        shown = [self._slides.times[number] for number in taken]
        return stack(images, shown, tuple(taken.values()), self.info.size)

    def close(self) -> None:
        """See `Reader`."""
        self._slides.close()

    def _number_at(self, time: Fraction) -> int:
        return max(0, bisect_right(self._slides.times, time) - 1)

    def _frame(self, number: int, wanted: Fraction, box: Size, exactly: bool) -> Frame:
        picture = self._slides.picture(number)
        size = box if exactly else fit(Size(picture.width, picture.height), box)
        return Frame(self._slides.times[number], _to_rgb(picture, size), wanted)


def _to_rgb(picture: Picture, size: Size) -> RGB:
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip and not scale
        grey = np.asarray(picture).astype(np.int64).clip(0, 65535) // 257
        picture = Image.fromarray(grey.astype(np.uint8))
    if picture.has_transparency_data:
        picture = Image.fromarray(on_black(np.asarray(picture.convert("RGBA"))))
    resized = picture.convert("RGB").resize((size.width, size.height), Image.Resampling.LANCZOS)
    return np.array(resized)
