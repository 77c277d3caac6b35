"""Exposure, contrast, colour temperature and named colours of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from promptlift.facts import Confident, Contrast, Exposure, Light, Palette, Temperature
from promptlift.facts.image_ops import codes, lab, oklab

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["light", "palette"]

_NEUTRALS = ("black", "dark gray", "gray", "light gray", "white")
_NEUTRAL_BELOW = (0.2, 0.46, 0.72, 0.92, 9.0)  # OKLab lightness
_GREY, _TINTED = 0.022, 0.045  # OKLab chroma up to which a colour is a grey, or a greyish hue

# By hue in degrees of OKLCh, up to which a family goes: its names where it is greyish and where it
# is pale, and its others from dark to light, each with the lightness up to which it goes and the
# chroma from which it does.
_Cells = tuple[tuple[float, float, str], ...]
_FAMILIES: tuple[tuple[float, str, str, _Cells], ...] = (
    (16, "grayish pink", "pale pink", ((0.42, 0, "dark red"), (9, 0, "pink"))),
    (37, "grayish pink", "pale pink", ((0.43, 0, "dark red"), (0.65, 0.1, "red"),
        (0.6, 0, "reddish brown"), (0.74, 0.12, "coral"), (9, 0, "pink"))),
    (72, "grayish brown", "beige", ((0.4, 0, "dark brown"), (0.57, 0, "brown"), (9, 0.13, "orange"),
        (0.68, 0, "brown"), (0.8, 0, "tan"), (0.9, 0.06, "peach"), (9, 0, "beige"))),
    (92, "grayish brown", "beige", ((0.4, 0, "dark brown"), (0.6, 0, "brown"),
        (9, 0.12, "golden yellow"), (0.78, 0, "tan"), (0.92, 0, "beige"), (9, 0, "cream"))),
    (114, "grayish green", "beige", ((0.38, 0, "dark olive"), (0.68, 0, "olive"),
        (0.84, 0.12, "golden yellow"), (9, 0.12, "yellow"), (0.92, 0, "beige"), (9, 0, "cream"))),
    (130, "grayish green", "pale green", ((0.38, 0, "dark green"), (0.62, 0, "olive green"),
        (9, 0.18, "lime green"), (9, 0, "light green"))),
    (168, "grayish green", "pale green", ((0.4, 0, "dark green"), (0.66, 0, "green"),
        (9, 0.19, "bright green"), (9, 0, "light green"))),
    (212, "grayish teal", "pale teal", ((0.4, 0, "dark teal"), (0.66, 0, "teal"),
        (9, 0, "turquoise"))),
    (285, "grayish blue", "pale blue", ((0.4, 0, "dark blue"), (0.66, 0, "blue"),
        (9, 0, "light blue"))),
    (322, "grayish purple", "pale purple", ((0.36, 0, "dark purple"), (0.66, 0, "purple"),
        (9, 0, "lavender"))),
    (360, "grayish purple", "pale pink", ((0.38, 0, "dark purple"), (0.48, 0, "purple"),
        (0.75, 0.16, "magenta"), (0.55, 0, "purple"), (9, 0, "pink"))),
)  # fmt: skip
_DARK, _PALE = 0.45, 0.76  # OKLab lightness

_COLORLESS, _CONTRASTING = 0.01, 0.3  # OKLab chroma; span of lightness

_EXPOSURE = (12.0, 28.0, 62.0, 80.0)  # mean L*
_CONTRAST = (30.0, 82.0)  # L* between the 5th and the 95th percentile
_WARM, _COOL, _NEUTRAL = 6.0, -5.0, 3.0  # b* of the greys
_NEARLY_GREY, _PAINT = 16.0, 30.0  # chroma
_WHITE = 97.0  # L* from which a pixel is clipped
_ENOUGH = 0.1  # share of the pixels that must be near grey to tell the light from the paint
_PLENTY = 0.4  # share from which the greys need no confirmation


def light(pixels: NDArray[np.uint8]) -> Confident[Light]:
    """Describe the light of sRGB pixels, ``(pixels, 3)``.

    The confidence falls toward the limit between two words.
    """
    colours = lab(pixels)
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
    # A black void around a rendered scene does not make its light dim.
    void = pixels.max(axis=1) <= _VOID
    if 0 < void.mean() < 1 and float(lightness[~void].mean()) > _EXPOSURE[1] > mean:
        margin = 0
    return Confident[Light](value=value, confidence=round(min(0.6 + margin / 20, 0.95), 2))


def _temperature(colours: NDArray[np.float32]) -> Temperature | None:
    """Tell the tint of the light; None between two words, or where it may be the paint.

    Both what is nearly grey and what is brightest, short of white, must have it: a low sun gilds
    the sky around it and leaves the road grey, and a blue sky tints no road. Few greys must not
    contradict the rest of the picture, as cool hills under a warm sky do. Where next to nothing is
    grey, a cast that lies on nearly the whole picture tells as well.
    """
    lightness, a, b = colours.T
    chroma = np.hypot(a, b)
    lit = colours[lightness < _WHITE]
    if not len(lit):
        return None
    bright = lit[lit[:, 0] >= np.percentile(lit[:, 0], 90)]
    low, glow, high = np.percentile(bright[:, 2], [20, 50, 80])
    golden = glow > _WARM and low > 0 and float(np.median(bright[:, 1])) > -_WARM
    pale = glow < _COOL and high < 0 and float(np.median(np.hypot(*bright[:, 1:].T))) < _PAINT
    greys = b[(chroma < _NEARLY_GREY) & (lightness > 15) & (lightness < _WHITE)]
    if len(greys) < _ENOUGH * len(colours):
        low, high = np.percentile(b, [20, 80])
        return "warm" if low > 2 * _WARM and golden else "cool" if high < 2 * _COOL else None
    tint = float(np.median(greys))
    rest = tint if len(greys) > _PLENTY * len(colours) else float(b.mean())
    if golden and ((tint > _WARM and rest > 0) or (glow > 1.5 * _WARM and tint > -_NEUTRAL)):
        return "warm"
    if pale and tint < _COOL and rest < 0:
        return "cool"
    balanced = abs(tint) < _NEUTRAL and abs(rest) < 2 * _NEUTRAL and abs(glow) < 2 * _NEUTRAL
    return "neutral" if balanced else None


_DOMINANT = 0.1  # share of the picture
_COLOURED = 0.06  # the same for what is no grey, which says more
_ACCENT = 0.005
_DULL, _VIVID = 0.06, 0.09  # OKLab chroma that is vivid at least, and always
_STANDS_OUT = 0.05  # OKLab chroma above that of the picture
_VOID = 4  # level up to which a pixel is the black that a renderer leaves, or lost to it
_MOST_DOMINANT, _MOST_NEUTRAL, _MOST_ACCENTS = 4, 2, 3

_UPPER = tuple(family[0] for family in _FAMILIES)
_CELLS = tuple((index, *cell) for index, family in enumerate(_FAMILIES) for cell in family[3])
_NAMES = tuple(
    dict.fromkeys((*_NEUTRALS, *(n for f in _FAMILIES for n in f[1:3]), *(c[3] for c in _CELLS)))
)
_GREYISH, _PALE_NAMES = (
    np.array([_NAMES.index(name) for name in names])
    for names in ([f[1] for f in _FAMILIES], [f[2] for f in _FAMILIES])
)
_BROWN = _NAMES.index("grayish brown")


def palette(pixels: NDArray[np.uint8]) -> Confident[Palette] | None:
    """Name the colours of sRGB pixels, ``(pixels, 3)``.

    Greys lead nearly every picture and say little, so at most two are named, and what has a
    hue needs less area than they do. The pure black around a rendered scene is none of its
    colours. None where no colour covers enough.
    """
    shown = pixels[pixels.max(axis=1) > _VOID]
    shown = shown if len(shown) else pixels
    # One pixel stands for all that are nearly the same, as there are few colours in a picture.
    _, first, each = np.unique(codes(shown, 6), return_index=True, return_inverse=True)
    different = oklab(shown[first])
    name, family = (found[each] for found in _named(different))
    colours = different[each]
    shares = np.bincount(name, minlength=len(_NAMES)) / len(colours)
    dominant: list[str] = []
    greys = 0
    for index in np.argsort(-shares, kind="stable"):
        neutral = index < len(_NEUTRALS)
        if shares[index] < (_DOMINANT if neutral else _COLOURED):
            continue
        greys += int(neutral)
        if not neutral or greys <= _MOST_NEUTRAL:
            dominant.append(_NAMES[index])
    dominant = dominant[:_MOST_DOMINANT]
    # What stands out against the rest is an accent; its hue goes by the name of the most vivid.
    chroma = np.hypot(colours[:, 1], colours[:, 2])
    if np.percentile(chroma, 99) < _COLORLESS and np.ptp(colours[:, 0]) > _CONTRASTING:
        return Confident[Palette](value=Palette(dominant=("black and white",)), confidence=0.95)
    vivid = chroma > min(max(float(np.median(chroma)) + _STANDS_OUT, _DULL), _VIVID)
    accented: dict[str, float] = {}
    for group in np.unique(_GREYISH):
        of_hue = np.flatnonzero(vivid & (_GREYISH[family] == group) & (name >= len(_NEUTRALS)))
        if len(of_hue) >= _ACCENT * len(colours):
            best = of_hue[chroma[of_hue] >= np.median(chroma[of_hue])]
            accented[_NAMES[int(np.bincount(name[best]).argmax())]] = len(of_hue) / len(colours)
    most = sorted(accented, key=lambda colour: -accented[colour])
    accents = [colour for colour in most if colour not in dominant]
    if not dominant and not accents:
        return None
    value = Palette(dominant=tuple(dominant), accents=tuple(accents[:_MOST_ACCENTS]))
    named = sum(float(shares[_NAMES.index(colour)]) for colour in (*dominant, *value.accents))
    return Confident[Palette](value=value, confidence=round(min(0.5 + named / 2, 0.95), 2))


def _named(colours: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index of the name, and of the family of its hue, of each colour in OKLab."""
    lightness, a, b = colours.T
    chroma = np.hypot(a, b)
    family = np.searchsorted(_UPPER, np.degrees(np.arctan2(b, a)) % 360)
    name = np.full(len(colours), -1)
    for index, light_to, chroma_from, word in _CELLS:
        fits = (family == index) & (lightness <= light_to) & (chroma >= chroma_from)
        name[fits & (name < 0)] = _NAMES.index(word)
    tinted = np.where(lightness > _PALE, _PALE_NAMES[family], _GREYISH[family])
    # Dark brown is little of a hue, and no grey.
    limit = np.where((lightness < _DARK) & (_GREYISH[family] == _BROWN), 0.6 * _TINTED, _TINTED)
    name = np.where(chroma < limit, tinted, name)
    # Hardly a hue shows in what is nearly black or white.
    limits = np.where(lightness > 0.92, _TINTED, np.where(lightness < 0.3, 0.03, _GREY))
    grey = chroma < limits
    name = np.where(grey, np.searchsorted(_NEUTRAL_BELOW, lightness), name)
    return name, family
