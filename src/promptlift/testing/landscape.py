"""A drawn landscape at sunset, with a balloon: something worth filming that no file has to hold.

Lengths are in picture heights, so that a scene looks the same at every size. The origin is the
middle of the first picture; x goes right and y goes down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.core.video import RGB, Size

    Plane = NDArray[np.float32]  # (height, width) or (height, width, 3)
    Line = NDArray[np.floating[Any]]

__all__ = ["Camera", "Landscape"]

# Offsets from the horizon and the colour there, from the top of the sky downwards.
_SKY = (
    (-1.10, (24, 36, 84)),
    (-0.62, (70, 66, 122)),
    (-0.38, (150, 92, 132)),
    (-0.20, (226, 122, 102)),
    (-0.08, (250, 178, 110)),
    (0.04, (255, 222, 158)),
)
_SUN = (255, 246, 214)
_GLOW = (255, 190, 110)
_HORIZON = 0.12
_TEXTURE_PIXELS = 360  # a picture height, in the texture of the clouds
_SPRITE = 512


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera looks.

    Attributes:
        x: Picture heights to the right of the origin, for the nearest ground.
        y: Picture heights below the origin.
        zoom: Above 1 for a closer view.
    """

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True, slots=True)
class _Ridge:
    """One row of hills: a silhouette, and how far away it is.

    Attributes:
        near: How much of the camera's movement it follows, from 0 (never) to 1 (all).
        top: Mean height of the silhouette, in picture heights below the origin.
        relief: Height of its hills.
        scale: Hills in a picture height.
        trees: Height of its tallest trees; 0 for bare hills.
        crest: Colour at the silhouette.
        foot: Colour half a picture height below it, in the haze.
    """

    near: float
    top: float
    relief: float
    scale: float
    trees: float
    crest: tuple[int, int, int]
    foot: tuple[int, int, int]


_RIDGES = (
    _Ridge(0.74, 0.10, 0.110, 0.9, 0.0, (176, 112, 130), (255, 196, 150)),
    _Ridge(0.78, 0.17, 0.075, 1.1, 0.0, (136, 86, 118), (236, 158, 140)),
    _Ridge(0.84, 0.25, 0.065, 1.3, 0.020, (94, 64, 100), (186, 116, 122)),
    _Ridge(0.91, 0.34, 0.050, 1.2, 0.055, (56, 44, 76), (118, 78, 100)),
    _Ridge(1.00, 0.45, 0.030, 1.0, 0.012, (30, 28, 46), (16, 16, 28)),
)
_SKY_NEAR = 0.70
_BALLOON_NEAR = 0.80
_BALLOON_SPEED = 0.20  # picture heights a second
_BALLOON_ROUND = 2.8  # picture heights until it comes in again from the left
_BALLOON_BEFORE = 3  # it flies in front of the first three ridges


class Landscape:
    """A scene that can be filmed from anywhere.

    Args:
        seed: Which hills, trees and clouds there are.
    """

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self._phases = random.uniform(0, 2 * np.pi, (len(_RIDGES), 4))
        self._clouds = _clouds(random)
        self._trees = [_trees(random, ridge) for ridge in _RIDGES]
        self._balloon = _draw_balloon()
        self._ground = _noise(random, (16, 32, 64))
        self._start = float(random.uniform(-0.40, -0.32))

    def picture(self, size: Size, camera: Camera, time: float) -> RGB:
        """One picture of the scene.

        Args:
            size: Of the picture in pixels.
            camera: From where.
            time: Seconds that the balloon has been on its way.

        Returns:
            RGB, ``(height, width, 3)``, 8 bits a component.
        """
        x = (np.arange(size.width) + 0.5 - size.width / 2) / (size.height * camera.zoom)
        y = (np.arange(size.height) + 0.5 - size.height / 2) / (size.height * camera.zoom)
        x, y = x.astype(np.float32), (y + camera.y).astype(np.float32)
        picture = self._sky(x + camera.x * _SKY_NEAR, y)
        pixel = 1 / (size.height * camera.zoom)
        for number, ridge in enumerate(_RIDGES):
            if number == _BALLOON_BEFORE:
                picture = self._with_balloon(picture, camera, time)
            self._add_ridge(picture, number, x + camera.x * ridge.near, y, pixel)
        return np.rint(picture).astype(np.uint8)

    def _sky(self, x: Line, y: Line) -> Plane:
        stops, colours = zip(*_SKY, strict=True)
        column = np.stack(
            [np.interp(y - _HORIZON, stops, channel) for channel in zip(*colours, strict=True)], -1
        )
        picture = np.repeat(column[:, None], len(x), axis=1).astype(np.float32)
        distance = np.hypot(x[None] - 0.56, (y[:, None] - 0.015) * 1.06)
        _blend(picture, _GLOW, 0.75 * np.exp(-distance * 4.2))
        clouds = _sample(self._clouds, x, y) * np.clip((0.06 - y[:, None]) * 6, 0, 1)
        lit = np.clip(1.1 - distance[..., None], 0, 1)
        _blend(picture, (170, 96, 122) + lit * (85, 110, 30), 0.7 * clouds)
        _blend(picture, _SUN, np.clip((0.062 - distance) * 300, 0, 1))
        return picture

    def _add_ridge(
        self,
        picture: Plane,
        number: int,
        x: Line,
        y: Line,
        pixel: float,
    ) -> None:
        """Paint one row of hills over what lies behind it."""
        ridge = _RIDGES[number]
        ground = ridge.top - ridge.relief * _hills(x * ridge.scale, self._phases[number])
        silhouette = ground - np.interp(x, *self._trees[number])
        first = int(np.searchsorted(y, silhouette.min() - pixel))
        depth = y[first:, None] - silhouette
        cover = np.clip(depth / pixel + 0.5, 0, 1)
        haze = np.clip((y[first:, None] - ground) / 0.5, 0, 1)[..., None]
        mottle = 0.93 + 0.14 * _sample(self._ground, x, y[first:])[..., None]
        crest, foot = np.array(ridge.crest, np.float32), np.array(ridge.foot, np.float32)
        _blend(picture[first:], np.clip((crest + haze * (foot - crest)) * mottle, 0, 255), cover)

    def _with_balloon(self, picture: Plane, camera: Camera, time: float) -> Plane:
        """The picture with the balloon in it; it drifts right and rises a little."""
        height, width = picture.shape[:2]
        way = self._start + _BALLOON_SPEED * time - camera.x * _BALLOON_NEAR
        centre_x = (way + _BALLOON_ROUND / 2) % _BALLOON_ROUND - _BALLOON_ROUND / 2
        centre_y = -0.13 - min(0.008 * time, 0.08) + 0.006 * np.sin(time * 1.1)
        scale = height * camera.zoom
        side = 0.36 * scale
        left = width / 2 + centre_x * scale - side / 2
        top = height / 2 + (centre_y - camera.y) * scale - side / 2
        step = _SPRITE / side
        blur = self._balloon.filter(ImageFilter.GaussianBlur(max(step / 2.2, 0.1)))
        layer = blur.transform(
            (width, height),
            Image.Transform.AFFINE,
            (step, 0, -left * step, 0, step, -top * step),
            Image.Resampling.BILINEAR,
        )
        pixels = np.asarray(layer, np.float32)
        _blend(picture, pixels[..., :3], pixels[..., 3] / 255)
        return picture


def _blend(picture: Plane, colour: object, cover: NDArray[np.floating[Any]]) -> None:
    """Paint a colour, or another picture, over a picture, in place."""
    picture += (np.asarray(colour, np.float32) - picture) * cover[..., None].astype(np.float32)


def _hills(x: Line, phases: Line) -> Line:
    """A rolling line between about -1 and 1: waves whose lengths have no common multiple."""
    waves = ((1.0, 0.55), (2.17, 0.28), (4.71, 0.12), (9.93, 0.05))
    line = np.zeros_like(x)
    for (rate, amount), phase in zip(waves, phases, strict=True):
        line += amount * np.sin(2 * np.pi * rate * x + phase)
    return line


def _trees(random: np.random.Generator, ridge: _Ridge) -> tuple[Line, Line]:
    """Conifers along a ridge, as a line to be interpolated: positions, heights above ground."""
    if not ridge.trees:
        return np.array([0.0, 1.0]), np.array([0.0, 0.0])
    spacing = ridge.trees * 0.42
    tips = np.arange(-3, 12, spacing)
    tips += random.uniform(-0.2, 0.2, len(tips)) * spacing
    groves = np.clip(np.sin(tips * 2.3 + random.uniform(0, 6)) + 0.35, 0.12, 1)
    heights = ridge.trees * groves * random.uniform(0.45, 1, len(tips))
    feet = (tips[:-1] + tips[1:]) / 2
    places = np.empty(len(tips) + len(feet))
    line = np.zeros_like(places)
    places[0::2], places[1::2] = tips, feet
    line[0::2] = heights
    line[1::2] = np.minimum(heights[:-1], heights[1:]) * 0.25
    return places, line


def _clouds(random: np.random.Generator) -> Plane:
    """Long soft clouds, from 0 to 1."""
    return np.clip((_noise(random, (1, 2, 4, 8)) - 0.46) * 4.5, 0, 1)


def _noise(random: np.random.Generator, octaves: tuple[int, ...]) -> Plane:
    """Smooth noise around 0.5, stretched sideways; four picture heights wide and one high."""
    width, height = 4 * _TEXTURE_PIXELS, _TEXTURE_PIXELS
    total = np.zeros((height, width), np.float32)
    for rank, octave in enumerate(octaves):
        coarse = Image.fromarray(random.random((9 * octave, 10 * octave), np.float32) - 0.5)
        smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) * 0.55**rank
    return total * 0.5 + 0.5


def _sample(texture: Plane, x: Line, y: Line) -> Plane:
    """The texture at the crossings of x and y; it is mirrored at its edges, and so never ends."""
    left, across = _mirrored(x + 2, texture.shape[1])
    top, down = _mirrored(y + 0.6, texture.shape[0])
    lines = texture[top] * (1 - down[:, None]) + texture[top + 1] * down[:, None]
    return (lines[:, left] * (1 - across) + lines[:, left + 1] * across).astype(np.float32)


def _mirrored(places: Line, length: int) -> tuple[NDArray[np.intp], Plane]:
    """Which pixels lie before these places, and how far behind them the places are."""
    last = length - 1
    folded = np.abs((places * _TEXTURE_PIXELS + last) % (2 * last) - last)
    before = np.minimum(folded.astype(np.intp), last - 1)
    return before, (folded - before).astype(np.float32)


def _draw_balloon() -> Image.Image:
    """A red balloon with cream stripes, RGBA, lit by the sun from the right."""
    side = _SPRITE
    across = (np.arange(side) + 0.5) / side * 2 - 1
    down = (np.arange(side) + 0.5)[:, None] / side * 2 - 1
    # The envelope: a ball above, drawn in to the mouth below.
    reach = 0.70 * np.where(
        down < -0.25,
        np.sqrt(np.clip(1 - ((down + 0.25) / 0.68) ** 2, 0, 1)),
        0.91 * np.clip(np.cos((down + 0.25) * 1.72), 0, 1) ** 0.9 + 0.09,
    )
    inside = (down > -0.93) & (down < 0.62)
    cover = np.clip((reach - np.abs(across)) * side / 2 + 0.5, 0, 1) * inside
    turn = np.arcsin(np.clip(across / np.maximum(reach, 1e-6), -1, 1))
    gore = np.floor((turn / np.pi + 0.5) * 9).astype(int)
    red, cream = np.array((206, 44, 40)), np.array((248, 222, 178))
    colour = np.where((gore % 3 == 1)[..., None], cream, red).astype(np.float64)
    colour *= (0.66 + 0.34 * np.sin(turn * 0.9 + 0.75) + 0.06 * np.cos(down))[..., None]
    band = (np.abs(down + 0.18) < 0.035) & np.ones_like(gore, bool)
    colour = np.where(band[..., None], colour * 0.45 + (60, 26, 24), colour)
    pixels = np.dstack([np.clip(colour, 0, 255), cover * 255]).astype(np.uint8)
    sprite = Image.fromarray(pixels, "RGBA")
    draw = ImageDraw.Draw(sprite)
    rope, basket = (70, 44, 36, 255), (112, 70, 44, 255)
    for end in (-1, 1):
        draw.line([(256 + 22 * end, 412), (256 + 17 * end, 452)], rope, 4)
    draw.rounded_rectangle((236, 450, 276, 488), 6, basket, (66, 40, 30, 255), 3)
    return sprite
