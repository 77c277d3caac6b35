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

_DOMINANT = 0.1  # share of the picture
_COLOURED = 0.06  # the same for what is no grey, which says more
_ACCENT = 0.01
_VIVID = 28.0  # chroma
_GREY = 9.0  # chroma up to which a colour is a grey, whatever its tint
_TOGETHER = 1024  # colours; more, and OpenBLAS wakes threads that cost more than they do
_MOST_DOMINANT, _MOST_NEUTRAL, _MOST_ACCENTS = 4, 2, 3

_NAMES = tuple(dict.fromkeys(name for name, _ in COLOURS))
_TABLE = lab(np.array([colour for _, colour in COLOURS], dtype=np.uint8))
_NAME_OF = np.array([_NAMES.index(name) for name, _ in COLOURS])  # of each row of the table
_FIRST = np.array([next(i for i, n in enumerate(_NAME_OF) if n == k) for k in range(len(_NAMES))])
_NEUTRAL = np.array([name in NEUTRALS for name in _NAMES])
_HUE = np.arctan2(_TABLE[_FIRST, 2], _TABLE[_FIRST, 1]) / (2 * np.pi)  # of each name, in turns
_SECTOR = np.round(_HUE * 12).astype(int) % 12


def palette(colours: NDArray[np.float32]) -> Confident[Palette] | None:
    """Name the colours of pixels given in CIELAB, ``(pixels, 3)``.

    Greys lead nearly every picture and say little, so at most two are named, and what has a
    hue needs less area than they do. None where no colour covers enough.
    """
    nearest = _nearest(colours)
    shares = np.bincount(nearest, minlength=len(_NAMES)) / len(colours)
    dominant = _dominant(shares)
    accents = [name for name in _accents(colours, nearest) if name not in dominant]
    if not dominant and not accents:
        return None
    value = Palette(dominant=tuple(dominant), accents=tuple(accents[:_MOST_ACCENTS]))
    named = sum(float(shares[_NAMES.index(name)]) for name in (*dominant, *value.accents))
    return Confident[Palette](value=value, confidence=round(min(0.5 + named / 2, 0.95), 2))


def _dominant(shares: NDArray[np.float64]) -> list[str]:
    names: list[str] = []
    greys = 0
    for index in np.argsort(-shares):
        if shares[index] < (_DOMINANT if _NEUTRAL[index] else _COLOURED):
            continue
        greys += int(_NEUTRAL[index])
        if not _NEUTRAL[index] or greys <= _MOST_NEUTRAL:
            names.append(_NAMES[index])
    return names[:_MOST_DOMINANT]


def _accents(colours: NDArray[np.float32], nearest: NDArray[np.intp]) -> list[str]:
    """Names of the vivid colours, most area first.

    A hue whose shades have too little area each goes by the commonest of their names.
    """
    vivid = np.hypot(colours[:, 1], colours[:, 2]) > _VIVID
    area = np.bincount(nearest[vivid], minlength=len(_NAMES)) / len(colours)
    found = {index: float(area[index]) for index in np.flatnonzero(area >= _ACCENT)}
    for sector in set(_SECTOR.tolist()):
        shades = np.flatnonzero(sector == _SECTOR)
        total = float(area[shades].sum())
        if total >= _ACCENT and not any(index in found for index in shades):
            found[shades[area[shades].argmax()]] = total
    return [_NAMES[index] for index, _ in sorted(found.items(), key=lambda item: -item[1])]


def name_of(colour: tuple[int, int, int]) -> str:
    """The name of one sRGB colour."""
    return _NAMES[int(_nearest(lab(np.array([colour], dtype=np.uint8)))[0])]


def _nearest(colours: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index of the nearest name; lightness counts half, for people name the hue first."""
    few = range(0, len(colours), _TOGETHER)
    return np.concatenate([_nearest_of(colours[i : i + _TOGETHER]) for i in few])


def _nearest_of(colours: NDArray[np.float32]) -> NDArray[np.intp]:
    weight = np.array([0.5, 1, 1], dtype=np.float32)
    points, table = colours * weight, _TABLE * weight
    distance = (table**2).sum(axis=1) - 2 * points @ table.T
    grey = np.hypot(colours[:, 1], colours[:, 2]) <= _GREY
    distance[np.ix_(grey, ~_NEUTRAL[_NAME_OF])] = np.inf
    return np.asarray(_NAME_OF[distance.argmin(axis=1)], dtype=np.intp)
