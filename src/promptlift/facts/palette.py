"""Named colours: the dominant ones, and the vivid ones that cover a little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from promptlift.core.facts import Confident, Palette
from promptlift.facts._image import lab
from promptlift.facts.colours import COLOURS, NEUTRALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["name_of", "palette"]

_DOMINANT = 0.08  # share of the picture
_ACCENT = 0.01
_VIVID = 28.0  # chroma
_MOST_DOMINANT, _MOST_NEUTRAL, _MOST_ACCENTS = 4, 2, 3

_NAMES = tuple(COLOURS)
_TABLE = lab(np.array([COLOURS[name] for name in _NAMES], dtype=np.uint8))
_NEUTRAL = np.array([name in NEUTRALS for name in _NAMES])


def palette(colours: NDArray[np.float32]) -> Confident[Palette] | None:
    """Name the colours of pixels given in CIELAB, ``(pixels, 3)``.

    Greys lead nearly every picture and say little, so at most two are named. None where no
    colour covers enough.
    """
    nearest = _nearest(colours)
    shares = np.bincount(nearest, minlength=len(_NAMES)) / len(colours)
    vivid = np.hypot(colours[:, 1], colours[:, 2]) > _VIVID
    vivid_shares = np.bincount(nearest[vivid], minlength=len(_NAMES)) / len(colours)
    dominant: list[str] = []
    neutrals = 0
    for index in np.argsort(-shares):
        if shares[index] < _DOMINANT or len(dominant) == _MOST_DOMINANT:
            break
        if _NEUTRAL[index]:
            neutrals += 1
            if neutrals > _MOST_NEUTRAL:
                continue
        dominant.append(_NAMES[index])
    accents = [
        _NAMES[index]
        for index in np.argsort(-vivid_shares)
        if vivid_shares[index] >= _ACCENT and _NAMES[index] not in dominant
    ][:_MOST_ACCENTS]
    if not dominant and not accents:
        return None
    value = Palette(dominant=tuple(dominant), accents=tuple(accents))
    named = sum(float(shares[_NAMES.index(name)]) for name in (*dominant, *accents))
    return Confident[Palette](value=value, confidence=round(min(0.5 + named / 2, 0.95), 2))


def name_of(colour: tuple[int, int, int]) -> str:
    """The name of one sRGB colour."""
    return _NAMES[int(_nearest(lab(np.array([colour], dtype=np.uint8)))[0])]


def _nearest(colours: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index of the nearest name; lightness counts half, for people name the hue first."""
    weight = np.array([0.5, 1, 1], dtype=np.float32)
    points, table = colours * weight, _TABLE * weight
    distance = (table**2).sum(axis=1) - 2 * points @ table.T
    return distance.argmin(axis=1)
