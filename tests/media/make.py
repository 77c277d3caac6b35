"""Encode numbered frames into real files, with PyAV, Pillow and the ffmpeg program."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import imageio_ffmpeg
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from media.codes import coded_picture

if TYPE_CHECKING:
    from av.video.stream import VideoStream

__all__ = ["RATE", "Recipe", "encode", "ffmpeg"]

RATE = Fraction(15)


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
        matrix: Display matrix, nine integers; None for none.
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
    matrix: tuple[int, ...] | None = None
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
        stream = container.add_stream(recipe.codec, rate=recipe.rate, options=recipe.options)
        _set_up(stream, recipe)
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


def ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg program that comes with imageio-ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _set_up(stream: VideoStream, recipe: Recipe) -> None:
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
    if recipe.matrix is not None:
        stream.set_display_matrix(recipe.matrix)


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
