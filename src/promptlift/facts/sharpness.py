"""Whether fine detail is there, at the size of the strip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from promptlift.core.facts import Confident

if TYPE_CHECKING:
    from promptlift.facts.texture import Texture

__all__ = ["Sharpness", "sharpness"]

Sharpness = Literal["sharp", "soft", "blurred"]

_BLURRED, _SOFT, _SHARP = 0.155, 0.24, 0.34  # steepness of the sharpest steps
_PLAIN = 8.0  # levels of spread below which there is nothing to be sharp


def sharpness(texture: Texture) -> Confident[Sharpness] | None:
    """Tell sharp, soft and blurred pictures apart; None where nothing shows or in between."""
    steep = texture.steepness
    if texture.spread < _PLAIN or _SOFT < steep < _SHARP:
        return None
    if steep >= _SHARP:
        confidence = round(min(0.6 + steep - _SHARP, 0.95), 2)
        return Confident[Sharpness](value="sharp", confidence=confidence)
    if steep > _BLURRED:
        return Confident[Sharpness](value="soft", confidence=0.7)
    return Confident[Sharpness](value="blurred", confidence=0.9)
