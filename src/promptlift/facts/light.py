"""Exposure, contrast and colour temperature, as shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from promptlift.core.facts import Confident, Light

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["light"]

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
    exposures: tuple[Literal["very dark", "dark", "medium", "bright", "very bright"], ...]
    exposures = ("very dark", "dark", "medium", "bright", "very bright")
    contrasts: tuple[Literal["low", "normal", "high"], ...] = ("low", "normal", "high")
    value = Light(
        exposure=exposures[int(np.searchsorted(_EXPOSURE, mean))],
        contrast=contrasts[int(np.searchsorted(_CONTRAST, high - low))],
        temperature=_temperature(colours),
    )
    margin = min(abs(mean - limit) for limit in _EXPOSURE)
    return Confident[Light](value=value, confidence=round(min(0.6 + margin / 20, 0.95), 2))


def _temperature(colours: NDArray[np.float32]) -> Literal["warm", "neutral", "cool"] | None:
    """Tell the tint of what is nearly grey; None where little is, or between two words.

    Few greys must not contradict the rest of the picture, as cool hills under a warm sky do.
    Where next to nothing is grey, a cast that lies on nearly the whole picture tells as well.
    """
    lightness, a, b = colours.T
    greys = b[(np.hypot(a, b) < _NEARLY_GREY) & (lightness > 15) & (lightness < 97)]
    if len(greys) < _ENOUGH * len(colours):
        return _cast(b)
    tint = float(np.median(greys))
    rest = tint if len(greys) > _PLENTY * len(colours) else float(b.mean())
    if tint > _WARM and rest > 0:
        return "warm"
    if tint < _COOL and rest < 0:
        return "cool"
    return "neutral" if abs(tint) < _NEUTRAL and abs(rest) < 2 * _NEUTRAL else None


def _cast(b: NDArray[np.float32]) -> Literal["warm", "cool"] | None:
    low, high = np.percentile(b, [20, 80])
    return "warm" if low > 2 * _WARM else "cool" if high < 2 * _COOL else None
