"""A moving scene as a video file, made on the spot: for tests, and for a first look.

The picture is a hillside at sunset with a red balloon that drifts to the right; what the camera
does can be chosen. The same arguments give the same pictures.

In the scene, lengths are in picture heights, so that it looks the same at every size. The origin
is the middle of the first picture; x goes right and y goes down.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import sin
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image, ImageDraw

from promptlift.errors import OptionError
from promptlift.types import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

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
    if motion not in get_args(Motion):
        raise OptionError(
            f"there is no motion {motion!r}", remedy=f"choose from {', '.join(get_args(Motion))}"
        )
    scene = _landscape(seed)
    for number in range(max(1, round(seconds * fps))):
        time = float(number / Fraction(fps))
        yield scene.picture(Size(*size), _camera(motion, time), time)


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
        raise OptionError(f"the size is {size[0]}x{size[1]}", remedy="use an even width and height")
    target = Path(path)
    pictures = synthetic_pictures(seconds=seconds, size=size, fps=fps, motion=motion, seed=seed)
    # Without this, x264 gives other bits from call to call.
    options = {"crf": "20", "x264-params": "cpu-independent=1"}
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        # One thread, or the file would differ from machine to machine.
        stream.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return target


# ---- the scene

_HEIGHT = 360  # pixels of a picture height in the drawn layers
_WIDE, _TALL = 4, 2  # picture heights that a layer covers before it is mirrored
# Heights below the middle, and the colour of the sky there.
_SKY: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (-0.98, (24, 36, 84)),
    (-0.26, (150, 92, 132)),
    (0.04, (250, 178, 110)),
    (0.2, (255, 222, 158)),
)
# Rows of hills, far to near: mean height, relief, hills in a picture height, colour, and how much
# of the camera's movement they follow.
_HILLS: tuple[tuple[float, float, float, tuple[int, int, int], float], ...] = (
    (0.10, 0.10, 0.9, (176, 112, 130), 0.80),
    (0.24, 0.07, 1.3, (94, 64, 100), 0.88),
    (0.42, 0.04, 1.1, (30, 28, 46), 1.0),
)
_SKY_FOLLOWS, _BALLOON_FOLLOWS = 0.70, 0.84
_BALLOON_SPEED = 0.20  # picture heights a second
_BALLOON_ROUND = 2.8  # picture heights until it comes in again from the left
_SPRITE = 256


@dataclass(frozen=True, slots=True)
class _Camera:
    """Where the camera looks.

    Attributes:
        x: Picture heights to the right of the origin, for the nearest ground.
        y: Picture heights below the origin.
        zoom: Above 1 for a closer view.
    """

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0


def _camera(motion: Motion, time: float) -> _Camera:
    match motion:
        case "pan":
            return _Camera(x=0.14 * time)
        case "tilt":
            return _Camera(y=0.10 - 0.05 * time)
        case "zoom":
            return _Camera(zoom=1.08**time)
        case "shake":
            return _Camera(x=0.012 * sin(time * 23), y=0.010 * sin(time * 31 + 1))
        case "static":
            return _Camera()


class _Landscape:
    """A scene that can be filmed from anywhere.

    Args:
        seed: Which hills there are.
    """

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self._layers = [_draw_sky(random), *(_draw_hills(random, *row[:4]) for row in _HILLS)]
        self._balloon = _draw_balloon()
        self._start = float(random.uniform(-0.40, -0.32))

    def picture(self, size: Size, camera: _Camera, time: float) -> RGB:
        """One picture of the scene.

        Args:
            size: Of the picture in pixels.
            camera: From where.
            time: Seconds that the balloon has been on its way.

        Returns:
            RGB, ``(height, width, 3)``, 8 bits a component.
        """
        follows = (_SKY_FOLLOWS, *(row[4] for row in _HILLS))
        picture = Image.new("RGBA", (size.width, size.height))
        for number, (layer, share) in enumerate(zip(self._layers, follows, strict=True)):
            if number == 2:  # it flies behind the nearer hills
                self._add_balloon(picture, camera, time)
            picture.alpha_composite(_film(layer, size, camera.x * share, camera))
        return np.asarray(picture.convert("RGB"))

    def _add_balloon(self, picture: Image.Image, camera: _Camera, time: float) -> None:
        """It drifts right and rises a little."""
        way = self._start + _BALLOON_SPEED * time - camera.x * _BALLOON_FOLLOWS
        x = (way + _BALLOON_ROUND / 2) % _BALLOON_ROUND - _BALLOON_ROUND / 2
        y = -0.13 - min(0.008 * time, 0.08) + 0.006 * np.sin(time * 1.1) - camera.y
        scale = picture.height * camera.zoom
        step = _SPRITE / (0.36 * scale)
        left = picture.width / 2 + x * scale - _SPRITE / step / 2
        top = picture.height / 2 + y * scale - _SPRITE / step / 2
        matrix = (step, 0, -left * step, 0, step, -top * step)
        bilinear = Image.Resampling.BILINEAR
        sprite = self._balloon.transform(picture.size, Image.Transform.AFFINE, matrix, bilinear)
        picture.alpha_composite(sprite)


@lru_cache(maxsize=2)
def _landscape(seed: int) -> _Landscape:
    return _Landscape(seed)  # takes half a second to draw


def _film(layer: Image.Image, size: Size, x: float, camera: _Camera) -> Image.Image:
    """What the camera sees of a layer."""
    step = _HEIGHT / (size.height * camera.zoom)
    middle = (x + _WIDE / 2) * _HEIGHT
    period = _WIDE * _HEIGHT
    left = (middle - step * size.width / 2) % (2 * period)
    top = (camera.y + _TALL / 2) * _HEIGHT - step * size.height / 2
    matrix = (step, 0, left, 0, step, top)
    seen = layer.transform(
        (size.width, size.height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return seen.convert("RGBA")


def _draw_sky(random: np.random.Generator) -> Image.Image:
    """A gradient with a low sun and soft clouds."""
    x, y = _grid()
    stops, colours = zip(*_SKY, strict=True)
    channels = [np.interp(y, stops, channel) for channel in zip(*colours, strict=True)]
    pixels = np.repeat(np.stack(channels, -1)[:, None], len(x), axis=1)
    clouds = np.clip(_noise(random, 3) * 3, 0, 0.5) * np.clip((0.1 - y[:, None]) * 4, 0, 1)
    pixels += ((236, 150, 140) - pixels) * clouds[..., None]
    distance = np.hypot(x[None] - 0.56, y[:, None] - 0.02)
    pixels += ((255, 226, 160) - pixels) * np.exp(-distance * 5)[..., None]
    pixels[distance < 0.06] = (255, 246, 214)
    return _image(pixels, np.full(pixels.shape[:2], 255.0))


def _draw_hills(
    random: np.random.Generator,
    height: float,
    relief: float,
    rate: float,
    colour: tuple[int, int, int],
) -> Image.Image:
    """One row of hills, transparent above."""
    x, y = _grid()
    waves = ((1.0, 0.55), (2.17, 0.3), (9.93, 0.15))
    line = np.zeros_like(x)
    for step, amount in waves:
        line += amount * np.sin(2 * np.pi * step * rate * x + random.uniform(0, 2 * np.pi))
    depth = y[:, None] - (height - relief * line)
    light = 1 + np.clip(depth, 0, 0.5)[..., None] * 0.5 + 0.5 * _noise(random, 24)[..., None]
    return _image(np.array(colour) * light, np.clip(depth * _HEIGHT, 0, 1) * 255)


def _draw_balloon() -> Image.Image:
    """A red balloon with cream stripes over a basket."""
    sprite = Image.new("RGBA", (_SPRITE, _SPRITE))
    draw = ImageDraw.Draw(sprite)
    red, cream, basket = (206, 44, 40, 255), (248, 222, 178, 255), (112, 70, 44, 255)
    draw.polygon([(78, 150), (178, 150), (140, 214), (116, 214)], red)
    for inset in range(0, 90, 15):  # gores, seen from the side
        draw.ellipse((38 + inset, 12, 218 - inset, 192), cream if inset in (15, 60) else red)
    draw.line([(116, 212), (118, 232)], basket, 2)
    draw.line([(140, 212), (138, 232)], basket, 2)
    draw.rounded_rectangle((114, 230, 142, 250), 4, basket)
    return sprite


def _grid() -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Places of a layer's columns and lines, in picture heights from the middle."""
    x = (np.arange(_WIDE * _HEIGHT) + 0.5) / _HEIGHT - _WIDE / 2
    y = (np.arange(_TALL * _HEIGHT) + 0.5) / _HEIGHT - _TALL / 2
    return x, y


def _noise(random: np.random.Generator, detail: int) -> NDArray[np.floating[Any]]:
    """Smooth noise around 0, stretched sideways."""
    coarse = Image.fromarray(random.random((6 * detail, 5 * detail), np.float32) - 0.5)
    return np.asarray(coarse.resize((_WIDE * _HEIGHT, _TALL * _HEIGHT), Image.Resampling.BICUBIC))


def _image(pixels: NDArray[np.floating[Any]], alpha: NDArray[np.floating[Any]]) -> Image.Image:
    """A layer, beside its mirror image and itself again, so that a panning camera finds no end."""
    layer = np.dstack([np.clip(pixels, 0, 255), alpha]).round().astype(np.uint8)
    image = Image.fromarray(np.hstack([layer, layer[:, ::-1], layer]), "RGBA")
    return image.convert("RGBa")  # else Pillow would convert it for each picture
