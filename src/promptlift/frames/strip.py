"""Which moments go into a strip, the small copy of a video that is measured."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from promptlift.core.video import Size, Strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptlift.core.video import RGB

__all__ = ["due_times", "stack"]

_STRETCHES = 5
_LONGEST = Fraction(3)  # seconds of one stretch of a long video


def due_times(
    duration: Fraction | None, fps: int, max_seconds: int
) -> tuple[tuple[Fraction, ...], ...]:
    """Give the times to sample, one tuple for each stretch.

    A video of up to `max_seconds` is one stretch. Of a longer one, five stretches of three
    seconds (less for a small `max_seconds`) are spread over its length.

    Args:
        duration: Seconds; None is taken for `max_seconds`.
        fps: Samples a second.
        max_seconds: The longest video that is sampled as a whole.
    """
    whole = duration if duration is not None else Fraction(max_seconds)
    if whole <= max_seconds:
        return (_grid(Fraction(0), whole, fps),)
    length = min(_LONGEST, Fraction(max_seconds, _STRETCHES))
    centres = (whole * (2 * part + 1) / (2 * _STRETCHES) for part in range(_STRETCHES))
    return tuple(_grid(centre - length / 2, length, fps) for centre in centres)


def stack(
    images: Sequence[RGB], times: Sequence[Fraction], stretches: tuple[int, ...], source: Size
) -> Strip:
    """Put pictures of one size together, in order even where timestamps are damaged."""
    order = sorted(range(len(times)), key=lambda place: times[place])
    contiguous = len(set(stretches)) <= 1
    return Strip(
        np.stack([images[place] for place in order]),
        tuple(times[place] for place in order),
        source,
        contiguous,
        () if contiguous else tuple(stretches[place] for place in order),
    )


def _grid(start: Fraction, length: Fraction, fps: int) -> tuple[Fraction, ...]:
    count = max(1, -(-length * fps // 1))
    return tuple(start + Fraction(number, fps) for number in range(int(count)))
