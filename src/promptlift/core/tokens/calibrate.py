"""A family for a model of which nothing is known but what it counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from promptlift.core.text import counted
from promptlift.core.tokens.chat import UNKNOWN, counted_by
from promptlift.core.tokens.family import Family
from promptlift.core.video import Size
from promptlift.errors import OptionError

__all__ = ["calibrate"]

_CELL = 28
_MARGIN = 1.1
"""For the squares that models really have, which are not of 28 pixels."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    """The least curve that no cost can pass that grows with the area, and no faster than it.

    Attributes:
        samples: Cells and tokens, ascending in both.
    """

    samples: tuple[tuple[int, int], ...]

    def __call__(self, size: Size) -> int:
        cells = _cells(size)
        rate = max(tokens / at for at, tokens in self.samples)
        bound = max(self.samples[0][1], min(rate * cells, self._no_more_than(cells)))
        # The small step down keeps an exact product from being raised by its rounding error.
        return math.ceil(_MARGIN * bound - 1e-9)

    def _no_more_than(self, cells: int) -> float:
        """What the next larger sample took; past the largest, in proportion to the area."""
        for at, tokens in self.samples:
            if cells <= at:
                return tokens
        at, tokens = self.samples[-1]
        return tokens * cells / at


def calibrate(samples: Sequence[tuple[Size, int]], *, name: str = "calibrated") -> Family:
    """Make a family from a few images that the engine has counted.

    A picture is taken to cost no more than the next larger sample did, and no more for its area
    than the dearest sample did for its own, and no less than the smallest sample; past the largest
    sample the cost is taken to grow with the area. A tenth is added. Areas are in squares of 28
    pixels, part ones included.

    This is never below what was observed, and above the truth for every model whose cost grows
    with the area and no faster; it comes near where the samples are close. Give at least a small
    and a large picture of the shape that is to be planned: models that work in tiles go by it.

    Args:
        samples: Sizes in pixels and the tokens that one image of each took, markers included.
        name: The family's name.

    Raises:
        OptionError: There is no sample, or one has no tokens.
    """
    if not samples:
        raise OptionError("no counted image was given", remedy="let the engine count at least one")
    for size, tokens in samples:
        if tokens < 1:
            raise OptionError(
                f"an image of {size} was counted as {tokens} tokens",
                remedy="give the tokens that one image adds to a prompt",
            )
    return Family(
        name=name,
        unit=1,
        max_side=None,
        image=_Envelope(_ascending(samples)),
        chat=counted_by(UNKNOWN),
        source=f"{counted(len(samples), 'image')} that the engine counted",
    )


def _ascending(samples: Sequence[tuple[Size, int]]) -> tuple[tuple[int, int], ...]:
    """Order by cells; a sample that took less than a smaller one is raised to it."""
    dearest: dict[int, int] = {}
    most = 0
    for cells, tokens in sorted((_cells(size), tokens) for size, tokens in samples):
        most = max(most, tokens)
        dearest[cells] = most
    return tuple(dearest.items())


def _cells(size: Size) -> int:
    return -(-size.width // _CELL) * -(-size.height // _CELL)
