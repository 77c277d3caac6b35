"""Small picture operations that several measurements share.

Stacks of pictures have the shape ``(count, height, width)`` for one channel and
``(count, height, width, 3)`` for RGB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "codes",
    "halve",
    "lab",
    "luma",
    "oklab",
    "picture_area",
    "ramp",
    "spread_indices",
    "tint",
    "upper",
    "window_max",
]

if TYPE_CHECKING:
    Plane = NDArray[np.float32]


_Level = TypeVar("_Level", np.uint8, np.bool_, np.float32)


_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # ITU-R BT.709
_RGB_TO_XYZ = np.array(  # IEC 61966-2-1 (sRGB), rows divided by the D65 white
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ],
    dtype=np.float32,
)
_RGB_TO_LMS = np.array(  # Ottosson (2020), as in CSS Color 4
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=np.float32,
)
_LMS_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=np.float32,
)
_STEPS = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_STEPS <= 0.04045, _STEPS / 12.92, ((_STEPS + 0.055) / 1.055) ** 2.4)
_LINEAR = _LINEAR.astype(np.float32)


def luma(images: NDArray[np.uint8]) -> Plane:
    """BT.709 luma of gamma-coded RGB pictures, 0 to 255."""
    grey = np.empty(images.shape[:-1], np.float32)
    for image, plane in zip(images, grey, strict=True):  # one at a time stays in the cache
        np.matmul(image.astype(np.float32), _LUMA, out=plane)
    return grey


def tint(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest less smallest component of each pixel, ``(count, height, width)``."""
    red, green, blue = (images[..., component] for component in range(3))
    largest: NDArray[np.uint8] = np.maximum(np.maximum(red, green), blue)
    smallest: NDArray[np.uint8] = np.minimum(np.minimum(red, green), blue)
    return largest - smallest


def upper(values: NDArray[np.float32], percent: float) -> np.float32:
    """`numpy.percentile` to the bit for one percentile near the top, in a fraction of the time.

    NumPy looks for four places in all of the values; here one cuts off the top, which is sorted.
    """
    last = np.float32(values.size - 1)
    place = last * (np.float32(percent) / np.float32(100))
    below = min(int(place), values.size - 1)
    top = np.sort(np.partition(values, below, axis=None)[below:])
    low, high = top[0], top[min(1, top.size - 1)]
    share = place - np.floor(place)
    return np.float32(
        high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share
    )


def lab(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIELAB (D65) of sRGB colours, ``(..., 3)``; L* from 0 to 100."""
    xyz = _LINEAR[colours] @ _RGB_TO_XYZ.T
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (xyz * 24389 / 27 + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def oklab(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """OKLab of sRGB colours, ``(..., 3)``; lightness from 0 to 1."""
    oklab: NDArray[np.float32] = np.cbrt(_LINEAR[colours] @ _RGB_TO_LMS.T) @ _LMS_TO_OKLAB.T
    return oklab


_BAR = 24  # level up to which a bar is black, after compression
_FILLED = 0.5  # of a picture's first line beside a bar, the share that is no bar's black


def picture_area(images: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns within the black bars around pictures ``(count, height, width, 3)``.

    A black ground around a shape is no bar: beside a bar most of a line is filled.
    """
    lit = images.max(axis=(0, 3)) > _BAR
    sides = []
    for axis in (1, 0):
        share = lit.mean(axis=axis)
        found = np.flatnonzero(share > 0)
        first, last = (int(found[0]), int(found[-1])) if found.size else (0, len(share) - 1)
        # The first line may be half a bar.
        edges = share[first : first + 2].max(), share[last - 1 : last + 1].max()
        sides.append(slice(first, last + 1) if min(edges) > _FILLED else slice(0, len(share)))
    return sides[0], sides[1]


def codes(images: NDArray[np.uint8], bits: int) -> NDArray[np.intp]:
    """The first bits of the three components of each pixel as one number, ``(...)``."""
    red, green, blue = (images[..., c] >> (8 - bits) for c in range(3))
    code = red.astype(np.intp)
    for component in (green, blue):
        code <<= bits
        code |= component
    return code


def halve(planes: Plane) -> Plane:
    """Average each 2 x 2 block; an odd last row or column is dropped."""
    height, width = planes.shape[1] // 2 * 2, planes.shape[2] // 2 * 2
    even = planes[:, :height, :width]
    rows = even[:, 0::2] + even[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)


def window_max(planes: NDArray[_Level], reach: int) -> NDArray[_Level]:
    """Largest value in the window of ``2 * reach + 1`` pixels a side; borders are cut off."""
    height, width = planes.shape[1] - 2 * reach, planes.shape[2] - 2 * reach
    best = planes[:, :height]
    for step in range(1, 2 * reach + 1):
        best = np.maximum(best, planes[:, step : step + height])
    wide = best
    best = wide[:, :, :width]
    for step in range(1, 2 * reach + 1):
        best = np.maximum(best, wide[:, :, step : step + width])
    return best


def spread_indices(count: int, wanted: int) -> NDArray[np.intp]:
    """Indices at the centres of `wanted` equal parts of ``range(count)``; all where too few."""
    if count <= wanted:
        return np.arange(count)
    return ((np.arange(wanted) + 0.5) * count / wanted).astype(np.intp)


def ramp(value: float, against: float, speaks_for: float) -> float:
    """How much a value says for something, from 0 where it speaks against it to 1."""
    return min(max((value - against) / (speaks_for - against), 0.0), 1.0)
