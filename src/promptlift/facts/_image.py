"""Small picture operations that several measurements share.

Stacks of pictures have the shape ``(count, height, width)`` for one channel and
``(count, height, width, 3)`` for RGB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_Level = TypeVar("_Level", np.uint8, np.bool_, np.float32)

__all__ = ["halve", "lab", "luma", "spread_indices", "window_max"]

_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # ITU-R BT.709
_RGB_TO_XYZ = np.array(  # IEC 61966-2-1 (sRGB), rows divided by the D65 white
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ],
    dtype=np.float32,
)


def luma(images: NDArray[np.uint8]) -> Plane:
    """BT.709 luma of gamma-coded RGB pictures, 0 to 255."""
    return images.astype(np.float32) @ _LUMA


def lab(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIELAB (D65) of sRGB colours, ``(..., 3)``; L* from 0 to 100."""
    steps = np.arange(256, dtype=np.float32) / 255
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    xyz = linear.astype(np.float32)[colours] @ _RGB_TO_XYZ.T
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (xyz * 24389 / 27 + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


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
