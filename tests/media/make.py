"""Numbered frames and things that move, encoded into real files with PyAV and the ffmpeg program.

A numbered frame is a grid of 4x4 blocks, row by row: a white one, ten bits of the number, four bits
of a checksum, a black one. A picture that is turned, mirrored, torn or mixed from two frames fails
the checksum.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import imageio_ffmpeg
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

if TYPE_CHECKING:
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

__all__ = [
    "BLACK",
    "RATE",
    "WHITE",
    "Place",
    "Recipe",
    "coded_picture",
    "encode",
    "ffmpeg",
    "film",
    "painted",
    "read_number",
    "write",
]

RATE = Fraction(15)
_GRID, _BITS, _CHECK_BITS = 4, 10, 4

Colour = tuple[int, int, int]
Place = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
_THING, _GROUND = (220, 30, 30), (90, 120, 90)


def _check_of(number: int) -> int:
    return (number * 7 + number // 16 * 5 + 3) % (1 << _CHECK_BITS)


def coded_picture(number: int, width: int, height: int, *, white: int = 255) -> NDArray[np.uint8]:
    """Draw the last ten bits of a number; gives ``(height, width, 3)``."""
    number %= 1 << _BITS
    cells = f"1{number:0{_BITS}b}{_check_of(number):0{_CHECK_BITS}b}0"
    grid = np.array([int(cell) * white for cell in cells], np.uint8).reshape(_GRID, _GRID)
    rows = np.arange(height) * _GRID // height
    columns = np.arange(width) * _GRID // width
    return np.repeat(grid[rows][:, columns][..., None], 3, axis=2)


def read_number(image: NDArray[np.uint8]) -> int | None:
    """Read the number of a picture; None where there is none or it is not as it was drawn."""
    grey = image.astype(np.float32).mean(axis=2)
    rows, columns = (
        [slice((4 * n + 1) * side // 16, (4 * n + 3) * side // 16) for n in range(_GRID)]
        for side in grey.shape
    )
    cells = [float(grey[row, column].mean()) for row in rows for column in columns]
    middle = (max(cells) + min(cells)) / 2
    bits = "".join(str(int(cell > middle)) for cell in cells)
    number, check = int(bits[1 : 1 + _BITS], 2), int(bits[1 + _BITS : -1], 2)
    is_whole = max(cells) - min(cells) > 64 and (bits[0], bits[-1]) == ("1", "0")
    return number if is_whole and check == _check_of(number) else None


@dataclass(frozen=True)
class Recipe:
    """How to encode numbered frames.

    Attributes:
        codec: Name of the encoder.
        frames: How many frames.
        width: Coded width.
        height: Coded height.
        pixels: Pixel format.
        rate: Frames a second.
        gop: Frames between keyframes.
        b_frames: The most B-frames in a row.
        options: Options of the encoder.
        container: Name of the muxer; None to tell from the file's name.
        muxer: Options of the muxer.
        stamps: The time of each frame in ticks of `clock`; counted where None.
        clock: The encoder's time base; one frame where None.
        aspect: Width over height of a pixel.
        full_range: Whether to store full-range luma.
        colour: FFmpeg's numbers of primaries, transfer and matrix; None to leave them unsaid.
        white: Grey level of the white blocks.
        alpha: Opacity of the right half of the picture; None for no alpha channel.
    """

    codec: str = "libx264"
    frames: int = 45
    width: int = 160
    height: int = 120
    pixels: str = "yuv420p"
    rate: Fraction = RATE
    gop: int = 250
    b_frames: int = 0
    options: dict[str, str] = field(default_factory=dict)
    container: str | None = None
    muxer: dict[str, str] = field(default_factory=dict)
    stamps: tuple[int, ...] | None = None
    clock: Fraction | None = None
    aspect: Fraction | None = None
    full_range: bool = False
    colour: tuple[int, int, int] | None = None
    white: int = 255
    alpha: int | None = None

    def but(self, **changes: Any) -> Recipe:
        """Give a copy with changes."""
        return replace(self, **changes)


def encode(path: Path, recipe: Recipe) -> Path:
    """Write the file."""
    options = {"format": recipe.container} if recipe.container else {}
    with _priority_kept(), av.open(str(path), "w", options=recipe.muxer, **options) as container:  # type: ignore[call-overload]
        stream: VideoStream
        stream = container.add_stream(recipe.codec, rate=recipe.rate, options=recipe.options)
        stream.width, stream.height = recipe.width, recipe.height
        stream.pix_fmt = recipe.pixels
        context = stream.codec_context
        context.gop_size = recipe.gop
        context.max_b_frames = recipe.b_frames
        context.time_base = recipe.clock or 1 / recipe.rate
        context.thread_count = 1
        if recipe.aspect is not None:
            context.sample_aspect_ratio = recipe.aspect
        if recipe.colour is not None:
            context.color_primaries, context.color_trc, context.colorspace = recipe.colour
        context.color_range = ColorRange.JPEG if recipe.full_range else ColorRange.MPEG
        for number in range(recipe.frames):
            container.mux(stream.encode(_frame(number, recipe)))
        container.mux(stream.encode(None))
    return path


@contextmanager
def _priority_kept() -> Iterator[None]:
    """Run on as before, whatever an encoder does to the thread that calls it.

    SVT-AV1 gives the thread real-time priority where it may, as for root, and all that a test
    starts from then on would have it: nothing else gets the processor while one of them wants it.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)


def _frame(number: int, recipe: Recipe) -> av.VideoFrame:
    image = coded_picture(number, recipe.width, recipe.height, white=recipe.white)
    pixels = "rgb24"
    if recipe.alpha is not None:
        opacity = np.full((*image.shape[:2], 1), 255, dtype=np.uint8)
        opacity[:, recipe.width // 2 :] = recipe.alpha
        image, pixels = np.concatenate([image, opacity], axis=2), "rgba"
    frame = av.VideoFrame.from_ndarray(image, format=pixels).reformat(
        format=recipe.pixels,
        dst_colorspace=Colorspace.BT2020 if recipe.colour else Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG if recipe.full_range else ColorRange.MPEG,
    )
    if recipe.colour is not None:
        frame.color_primaries, frame.color_trc, frame.colorspace = recipe.colour
    frame.time_base = recipe.clock or 1 / recipe.rate
    frame.pts = recipe.stamps[number] if recipe.stamps is not None else number
    return frame


def ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg program that comes with imageio-ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


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
    size: tuple[int, int], place: Place | None, thing: Colour = WHITE, ground: Colour = BLACK
) -> NDArray[np.uint8]:
    """A picture of one colour with a rectangle of another."""
    image = np.full((size[1], size[0], 3), ground, dtype=np.uint8)
    if place is not None:
        left, top, right, bottom = place
        image[top:bottom, left:right] = thing
    return image


def film(
    path: Path,
    at: Callable[[int], Place | None],
    thing: Colour = _THING,
    ground: Colour = _GROUND,
    *,
    frames: int = 16,
    size: tuple[int, int] = (320, 176),
    rate: Fraction = Fraction(8),
) -> Path:
    """A red thing on dull green, where `at` says for each frame; in white on black, its mask."""
    return write(path, [painted(size, at(number), thing, ground) for number in range(frames)], rate)
