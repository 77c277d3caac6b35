"""A moving scene as a video file, made on the spot: for tests, and for a first look.

The picture is a hillside at sunset with a red balloon that drifts to the right; what the camera
does can be chosen. The same arguments give the same pictures.
"""

from __future__ import annotations

import os
from fractions import Fraction
from math import sin
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from promptlift.errors import OptionError
from promptlift.types import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptlift.testing.landscape import CameraPosition
    from promptlift.types import RGB

__all__ = ["Motion", "synthetic_pictures", "synthetic_video"]

Motion = Literal["static", "pan", "tilt", "zoom", "shake"]
"""What the camera does: it pans right, tilts up, zooms in, or is held by hand."""


def synthetic_pictures(
    *,
    seconds: float = 4,
    size: tuple[int, int] = (640, 360),
    fps: int | Fraction = 24,
    motion: Motion = "pan",
    seed: int = 0,
) -> Iterator[RGB]:
    """The pictures of a moving scene, one after another.

    Args:
        seconds: How long; at least one picture is made.
        size: Width and height in pixels.
        fps: Pictures a second.
        motion: What the camera does.
        seed: Which hills, trees and clouds there are.

    Yields:
        RGB pictures, ``(height, width, 3)``, 8 bits a component.

    Raises:
        OptionError: There is no such motion.
    """
    from promptlift.testing.landscape import Landscape

    if motion not in get_args(Motion):
        raise OptionError(
            f"there is no motion {motion!r}", remedy=f"choose from {', '.join(get_args(Motion))}"
        )
    scene = Landscape(seed)
    for number in range(max(1, round(seconds * fps))):
        time = float(number / Fraction(fps))
        yield scene.picture(Size(*size), _camera(motion, time), time)


def _camera(motion: Motion, time: float) -> CameraPosition:
    from promptlift.testing.landscape import CameraPosition

    match motion:
        case "pan":
            return CameraPosition(x=0.14 * time)
        case "tilt":
            return CameraPosition(y=0.10 - 0.05 * time)
        case "zoom":
            return CameraPosition(zoom=1.08**time)
        case "shake":
            return CameraPosition(x=0.012 * sin(time * 23), y=0.010 * sin(time * 31 + 1))
        case "static":
            return CameraPosition()


def synthetic_video(
    path: str | os.PathLike[str],
    *,
    seconds: float = 4,
    size: tuple[int, int] = (640, 360),
    fps: int | Fraction = 24,
    motion: Motion = "pan",
    seed: int = 0,
) -> Path:
    """Write a short video of a moving scene, H.264 in whatever container the suffix names.

    Args:
        path: The file to write, such as ``clip.mp4``; replaced if it exists.
        seconds: How long; at least one picture is made.
        size: Width and height in pixels, both even.
        fps: Frames a second.
        motion: What the camera does.
        seed: Which hills, trees and clouds there are.

    Returns:
        The path, for use in one line.

    Raises:
        OptionError: An odd size, or there is no such motion.
    """
    import av

    if size[0] % 2 or size[1] % 2:
        raise OptionError(f"a video cannot be {size[0]}x{size[1]}", remedy="give an even size")
    target = Path(path)
    pictures = synthetic_pictures(seconds=seconds, size=size, fps=fps, motion=motion, seed=seed)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "20"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        # One thread, or the file would differ from machine to machine.
        stream.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return target
