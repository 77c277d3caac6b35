"""How much of the picture moves by itself while the camera stands still."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np

from promptlift.core.facts import Confident, Movement
from promptlift.facts._image import window_max

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts._image import Plane

__all__ = ["movement", "moving"]

_CHANGE = 10.0  # levels, mean of a block, beyond what noise and compression do
_CONTRAST = 0.4  # of the contrast around a block, beyond what a jitter of a pixel does
_SELDOM = 0.15  # share of the time below which a block is taken to flicker
_BLOCK = 4
_AMOUNTS = (0.003, 0.03, 0.18)  # share of the picture
_SIDE, _EVERYWHERE = 0.6, 0.2  # share of what moves


def moving(grey: Plane) -> NDArray[np.float32] | None:
    """Share of the time in which each block of a run of pictures moves, ``(rows, columns)``.

    Pictures half a second apart are compared, each less the change of the whole picture, so
    that a change of light is not taken for movement.
    """
    gap = min(4, len(grey) - 1)
    height, width = grey.shape[1] // _BLOCK, grey.shape[2] // _BLOCK
    if gap < 1 or min(height, width) < 3:
        return None
    means = _block_means(grey[:, : height * _BLOCK, : width * _BLOCK])
    change = means[gap:] - means[:-gap]
    change = np.abs(change - np.median(change, axis=(1, 2), keepdims=True))[:, 1:-1, 1:-1]
    around = window_max(means, 1) + window_max(-means, 1)
    allowed = np.maximum(_CHANGE, _CONTRAST * np.minimum(around[gap:], around[:-gap]))
    share = (change > allowed).mean(axis=0, dtype=np.float32)
    return np.where(share < _SELDOM, np.float32(0), share)


def _block_means(grey: Plane) -> Plane:
    """Mean of each block; adding up planes is many times faster than a mean over two axes."""
    count, height, width = grey.shape
    blocks = grey.reshape(count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    rows = reduce(np.add, (blocks[..., column] for column in range(_BLOCK)))
    return reduce(np.add, (rows[:, :, row] for row in range(_BLOCK))) / np.float32(_BLOCK**2)


def movement(share: NDArray[np.float32]) -> Confident[Movement] | None:
    """Say how much moves and in which third; None near the limit between two words."""
    amounts: tuple[Literal["none", "little", "some", "strong"], ...]
    amounts = ("none", "little", "some", "strong")
    mean = float(share.mean())
    amount = amounts[int(np.searchsorted(_AMOUNTS, mean))]
    margin = min(abs(np.log2(max(mean, 1e-4) / limit)) for limit in _AMOUNTS)
    confidence = round(min(0.5 + float(margin) / 4, 0.9), 2)
    if amount == "none":
        return Confident[Movement](value=Movement(amount="none"), confidence=confidence)
    if margin < 0.2:
        return None
    return Confident[Movement](
        value=Movement(amount=amount, where=_where(share)), confidence=confidence
    )


def _where(share: NDArray[np.float32]) -> Literal["left", "centre", "right", "throughout"] | None:
    columns = share.sum(axis=0)
    thirds = [float(part.sum()) for part in np.array_split(columns, 3)]
    parts = [part / max(sum(thirds), 1e-9) for part in thirds]
    names: tuple[Literal["left", "centre", "right"], ...] = ("left", "centre", "right")
    if max(parts) >= _SIDE:
        return names[int(np.argmax(parts))]
    return "throughout" if min(parts) >= _EVERYWHERE else None
