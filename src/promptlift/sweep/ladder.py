"""The sizes that are tried."""

from __future__ import annotations

from fractions import Fraction

from promptlift.core.video import Size

__all__ = ["LADDER", "ladder"]

LADDER = tuple(
    Size(width, height)
    for width, height in (
        (320, 180),
        (320, 176),
        (360, 203),
        (400, 225),
        (440, 248),
        (480, 270),
        (520, 293),
        (560, 315),
        (600, 338),
        (640, 360),
        (640, 480),
        (704, 576),
        (896, 504),
        (960, 704),
        (1280, 704),
        (1280, 720),
        (1920, 1080),
    )
)
"""Sizes that people meet or try: hint clips, VGA, PAL, Cosmos's own, HD and Full HD."""

_LONG_SIDES = (320, 400, 480, 560, 640, 720, 800, 896, 960, 1024, 1152, 1280, 1600, 1920)


def ladder(aspect: Fraction) -> tuple[Size, ...]:
    """Sizes of one shape, from 320 to 1920 pixels on the longer side.

    Args:
        aspect: Width over height, above 0.
    """
    short = min(aspect, 1 / aspect)
    pairs = [(long, max(1, int(long * short + Fraction(1, 2)))) for long in _LONG_SIDES]
    return tuple(Size(*pair) if aspect >= 1 else Size(pair[1], pair[0]) for pair in pairs)
