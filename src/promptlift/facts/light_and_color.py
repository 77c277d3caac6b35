"""Exposure, contrast, colour temperature and named colours of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from promptlift.facts import Confident, Contrast, Exposure, Light, Palette, Temperature
from promptlift.facts.image_ops import lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["light", "palette"]

# The colours that have a name, as sRGB at the centres of what people call so.
_NEUTRALS = frozenset({"black", "charcoal", "dark gray", "gray", "light gray", "white"})

_COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((10, 10, 10),),
    "charcoal": ((48, 48, 50),),
    "dark gray": ((84, 84, 86),),
    "gray": ((128, 128, 130),),
    "light gray": ((190, 190, 190),),
    "white": ((246, 246, 246),),
    "dark red": ((120, 20, 24), (139, 0, 0)),
    "red": ((212, 30, 34), (176, 24, 30)),
    "coral": ((240, 110, 92),),
    "pink": ((242, 150, 180),),
    "pale pink": ((236, 206, 208),),
    "magenta": ((206, 30, 150),),
    "dusty rose": ((178, 112, 112),),
    "burgundy": ((84, 18, 36),),
    "rust": ((168, 66, 30),),
    "orange": ((244, 130, 24), (214, 104, 30)),
    "peach": ((246, 196, 158),),
    "amber": ((232, 168, 30),),
    "yellow": ((246, 222, 50),),
    "pale yellow": ((244, 236, 172),),
    "gold": ((200, 158, 62),),
    "dark brown": ((62, 40, 26), (40, 26, 18)),
    "brown": ((114, 72, 42), (140, 84, 44)),
    "tan": ((184, 148, 108),),
    "beige": ((222, 206, 178),),
    "cream": ((246, 238, 216),),
    "grayish brown": ((120, 106, 94),),
    "olive": ((110, 108, 40),),
    "dark olive": ((58, 58, 26),),
    "lime green": ((150, 214, 40),),
    "green": ((40, 150, 56), (60, 120, 60)),
    "dark green": ((20, 70, 34), (30, 58, 36)),
    "sage green": ((146, 166, 134),),
    "pale green": ((196, 226, 188),),
    "mint": ((150, 228, 190),),
    "bright green": ((30, 230, 60),),
    "teal": ((16, 120, 120),),
    "dark teal": ((16, 66, 70),),
    "turquoise": ((60, 204, 200),),
    "cyan": ((60, 226, 246),),
    "sky blue": ((120, 184, 232),),
    "pale blue": ((198, 220, 236),),
    "blue": ((40, 96, 206),),
    "bright blue": ((20, 40, 250),),
    "navy blue": ((22, 32, 86), (0, 0, 128), (14, 18, 50)),
    "slate blue": ((84, 104, 136),),
    "dark blue gray": ((52, 64, 82),),
    "blue gray": ((146, 162, 178),),
    "lavender": ((194, 176, 226),),
    "purple": ((118, 50, 150), (88, 24, 160)),
    "dark purple": ((56, 26, 76), (56, 44, 76)),
    "violet": ((140, 92, 220), (140, 40, 250)),
    "mauve": ((150, 116, 146),),
}

_EXPOSURE = (12.0, 28.0, 62.0, 80.0)  # mean L*
_CONTRAST = (30.0, 82.0)  # L* between the 5th and the 95th percentile
_WARM, _COOL, _NEUTRAL = 6.0, -5.0, 3.0  # b* of the greys
_NEARLY_GREY = 16.0  # chroma
_ENOUGH = 0.1  # share of the pixels that must be near grey to tell the light from the paint
_PLENTY = 0.4  # share from which the greys need no confirmation


def light(colours: NDArray[np.float32]) -> Confident[Light]:
    """Describe the light of pixels given in CIELAB, ``(pixels, 3)``.

    The confidence falls toward the limit between two words.
    """
    lightness = colours[:, 0]
    mean = float(lightness.mean())
    low, high = np.percentile(lightness, [5, 95])
    exposures: tuple[Exposure, ...] = get_args(Exposure)
    contrasts: tuple[Contrast, ...] = get_args(Contrast)
    value = Light(
        exposure=exposures[int(np.searchsorted(_EXPOSURE, mean))],
        contrast=contrasts[int(np.searchsorted(_CONTRAST, high - low))],
        temperature=_temperature(colours),
    )
    margin = min(abs(mean - limit) for limit in _EXPOSURE)
    return Confident[Light](value=value, confidence=round(min(0.6 + margin / 20, 0.95), 2))


def _temperature(colours: NDArray[np.float32]) -> Temperature | None:
    """Tell the tint of what is nearly grey; None where little is, or between two words.

    Few greys must not contradict the rest of the picture, as cool hills under a warm sky do.
    Where next to nothing is grey, a cast that lies on nearly the whole picture tells as well.
    """
    lightness, a, b = colours.T
    greys = b[(np.hypot(a, b) < _NEARLY_GREY) & (lightness > 15) & (lightness < 97)]
    if len(greys) < _ENOUGH * len(colours):
        low, high = np.percentile(b, [20, 80])
        return "warm" if low > 2 * _WARM else "cool" if high < 2 * _COOL else None
    tint = float(np.median(greys))
    rest = tint if len(greys) > _PLENTY * len(colours) else float(b.mean())
    if tint > _WARM and rest > 0:
        return "warm"
    if tint < _COOL and rest < 0:
        return "cool"
    return "neutral" if abs(tint) < _NEUTRAL and abs(rest) < 2 * _NEUTRAL else None


_DOMINANT = 0.1  # share of the picture
_COLOURED = 0.06  # the same for what is no grey, which says more
_ACCENT = 0.01
_VIVID = 28.0  # chroma
_GREY = 9.0  # chroma up to which a colour is a grey, whatever its tint
_TOGETHER = 1024  # colours; more, and OpenBLAS wakes threads that cost more than they do
_MOST_DOMINANT, _MOST_NEUTRAL, _MOST_ACCENTS = 4, 2, 3

_NAMES = tuple(_COLOURS)
_TABLE = lab(np.array([place for places in _COLOURS.values() for place in places], dtype=np.uint8))
_NAME_OF = np.repeat(range(len(_NAMES)), [*map(len, _COLOURS.values())])  # of each row of the table
_FIRST = np.searchsorted(_NAME_OF, range(len(_NAMES)))
_IS_NEUTRAL = np.array([name in _NEUTRALS for name in _NAMES])
_HUE = np.arctan2(_TABLE[_FIRST, 2], _TABLE[_FIRST, 1]) / (2 * np.pi)  # of each name, in turns
_SECTOR = np.round(_HUE * 12).astype(int) % 12


def palette(colours: NDArray[np.float32]) -> Confident[Palette] | None:
    """Name the colours of pixels given in CIELAB, ``(pixels, 3)``.

    Greys lead nearly every picture and say little, so at most two are named, and what has a
    hue needs less area than they do. None where no colour covers enough.
    """
    nearest = _nearest(colours)
    shares = np.bincount(nearest, minlength=len(_NAMES)) / len(colours)
    dominant: list[str] = []
    greys = 0
    for index in np.argsort(-shares):
        if shares[index] < (_DOMINANT if _IS_NEUTRAL[index] else _COLOURED):
            continue
        greys += int(_IS_NEUTRAL[index])
        if not _IS_NEUTRAL[index] or greys <= _MOST_NEUTRAL:
            dominant.append(_NAMES[index])
    dominant = dominant[:_MOST_DOMINANT]
    # A hue whose shades have too little area each goes by the commonest of their names.
    vivid = np.hypot(colours[:, 1], colours[:, 2]) > _VIVID
    area = np.bincount(nearest[vivid], minlength=len(_NAMES)) / len(colours)
    found = {index: float(area[index]) for index in np.flatnonzero(area >= _ACCENT)}
    for sector in set(_SECTOR.tolist()):
        shades = np.flatnonzero(sector == _SECTOR)
        total = float(area[shades].sum())
        if total >= _ACCENT and not any(index in found for index in shades):
            found[shades[area[shades].argmax()]] = total
    most = sorted(found, key=lambda index: -found[index])
    accents = [_NAMES[index] for index in most if _NAMES[index] not in dominant]
    if not dominant and not accents:
        return None
    value = Palette(dominant=tuple(dominant), accents=tuple(accents[:_MOST_ACCENTS]))
    named = sum(float(shares[_NAMES.index(name)]) for name in (*dominant, *value.accents))
    return Confident[Palette](value=value, confidence=round(min(0.5 + named / 2, 0.95), 2))


def _nearest(colours: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index of the nearest name; lightness counts half, for people name the hue first."""
    weight = np.array([0.5, 1, 1], dtype=np.float32)
    table = _TABLE * weight
    parts = []
    for start in range(0, len(colours), _TOGETHER):
        some = colours[start : start + _TOGETHER]
        distance = (table**2).sum(axis=1) - 2 * (some * weight) @ table.T
        grey = np.hypot(some[:, 1], some[:, 2]) <= _GREY
        distance[np.ix_(grey, ~_IS_NEUTRAL[_NAME_OF])] = np.inf
        parts.append(_NAME_OF[distance.argmin(axis=1)])
    return np.concatenate(parts)
