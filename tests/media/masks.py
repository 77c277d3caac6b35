"""Films in which one thing moves, and the mask videos that go with them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Place", "film", "mask", "painted", "write"]

Place = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""

_THING = (220, 30, 30)
_GROUND = (90, 120, 90)


def write(path: Path, images: Sequence[NDArray[np.uint8]], rate: Fraction = Fraction(8)) -> Path:
    """Write pictures as a video without loss that shows."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def painted(
    size: tuple[int, int], place: Place | None, thing: object, ground: object
) -> NDArray[np.uint8]:
    """A picture of one colour with a rectangle of another."""
    width, height = size
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = np.asarray(ground, dtype=np.uint8)
    if place is not None:
        left, top, right, bottom = place
        image[top:bottom, left:right] = np.asarray(thing, dtype=np.uint8)
    return image


def film(
    path: Path,
    at: Callable[[int], Place | None],
    *,
    frames: int = 16,
    size: tuple[int, int] = (320, 176),
    rate: Fraction = Fraction(8),
) -> Path:
    """A red thing on a dull green ground, where `at` says for each frame; None for nowhere."""
    images = [painted(size, at(number), _THING, _GROUND) for number in range(frames)]
    return write(path, images, rate)


def mask(
    path: Path,
    at: Callable[[int], Place | None],
    *,
    frames: int = 16,
    size: tuple[int, int] = (320, 176),
    rate: Fraction = Fraction(8),
    level: int = 255,
) -> Path:
    """The mask of such a film: white, or of a level of grey, on black."""
    grey = (level, level, level)
    images = [painted(size, at(number), grey, (0, 0, 0)) for number in range(frames)]
    return write(path, images, rate)
