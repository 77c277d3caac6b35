"""Whether fine detail is there, at the size of the strip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from promptlift.core.facts import Confident

if TYPE_CHECKING:
    from promptlift.facts.kind import Texture

__all__ = ["sharpness"]

_BLURRED, _SOFT, _SHARP = 0.155, 0.24, 0.34  # steepness of the sharpest steps
_PLAIN = 8.0  # levels of spread below which there is nothing to be sharp


def sharpness(texture: Texture) -> Confident[Literal["sharp", "soft", "blurred"]] | None:
    """Tell sharp, soft and blurred pictures apart; None where nothing shows or in between."""
    if texture.spread < _PLAIN:
        return None
    steep = texture.steepness
    if steep >= _SHARP:
        sure = min(0.6 + steep - _SHARP, 0.95)
        return Confident[Literal["sharp", "soft", "blurred"]](value="sharp", confidence=sure)
    if _BLURRED < steep <= _SOFT:
        return Confident[Literal["sharp", "soft", "blurred"]](value="soft", confidence=0.7)
    if steep <= _BLURRED:
        return Confident[Literal["sharp", "soft", "blurred"]](value="blurred", confidence=0.9)
    return None
