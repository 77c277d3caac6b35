"""Hard cuts, from colours and structure.

A cut changes the colours or the layout at once and for good: the pictures on both sides differ,
also after the best shift, and the ones beside them differ as well. A flash comes back, a fast pan
still overlaps, a fade takes its time: none of them is a cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from promptlift.facts._image import codes
from promptlift.facts.flow import whole_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts._image import Plane

__all__ = ["find_cuts"]

_LIKE = 0.5  # correlation of two pictures, best shift included, above which they show one shot
_COLOURS = 0.25  # share of the pixels that change colour bin from which the colours are others
_ISOLATED = 2.5  # times the change beside it


def find_cuts(small: NDArray[np.uint8], grey: Plane) -> list[int]:
    """Find the first picture of each new shot.

    Args:
        small: RGB pictures of one stretch, ``(count, height, width, 3)``.
        grey: Their luma, ``(count, height, width)``.

    Returns:
        Indices of pictures that start a new shot, ascending.
    """
    if len(small) < 2:
        return []
    bins = _histograms(small)
    change = np.abs(np.diff(bins, axis=0)).sum(axis=1) / 2
    found = []
    for i in np.flatnonzero(change > _COLOURS):
        beside = np.concatenate([change[max(i - 2, 0) : i], change[i + 1 : i + 3]])
        if beside.size and change[i] < _ISOLATED * float(beside.max()):
            continue
        if _comes_back(bins, int(i)) or _alike(grey[i : i + 2]):
            continue
        found.append(int(i) + 1)
    return found


def _histograms(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shares of 8 x 8 x 8 colours, smoothed by one bin so that dimming does not count."""
    code = codes(small, 3)
    count = code[0].size
    cubes = np.stack([np.bincount(c.ravel(), minlength=512) for c in code]).reshape(-1, 8, 8, 8)
    smooth = cubes.astype(np.float32) / count
    for axis in (1, 2, 3):
        before, after = np.roll(smooth, 1, axis), np.roll(smooth, -1, axis)
        edge = [slice(None)] * 4
        edge[axis] = slice(0, 1)
        before[tuple(edge)] = smooth[tuple(edge)]
        edge[axis] = slice(7, 8)
        after[tuple(edge)] = smooth[tuple(edge)]
        smooth = before / 4 + smooth / 2 + after / 4
    return np.asarray(smooth.reshape(len(small), -1), dtype=np.float32)


def _comes_back(bins: NDArray[np.float32], i: int) -> bool:
    """Whether the colours before the change return within half a second, as after a flash."""
    after = bins[i + 2 : i + 5]
    before = bins[max(i - 3, 0) : i]
    returns = after.size and np.abs(after - bins[i]).sum(axis=1).min() / 2 < _COLOURS
    came = before.size and np.abs(before - bins[i + 1]).sum(axis=1).min() / 2 < _COLOURS
    return bool(returns or came)


def _alike(pair: Plane) -> bool:
    """Whether two pictures correlate once the second is shifted back onto the first."""
    (shift,), _ = whole_shift(pair)
    right, down = int(shift[0]), int(shift[1])
    height, width = pair.shape[1:]
    if abs(right) > width // 2 or abs(down) > height // 2:
        right = down = 0
    best = 0.0
    for x, y in {(0, 0), (right, down)}:
        first = pair[0, max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
        second = pair[1, max(y, 0) : height - max(-y, 0), max(x, 0) : width - max(-x, 0)]
        best = max(best, _correlation(first, second))
    return best > _LIKE


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 1e-3 else 1.0
