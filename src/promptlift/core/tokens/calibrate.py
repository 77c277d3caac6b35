"""A family for a model of which nothing is known but what it counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from promptlift.core.tokens.chat import UNKNOWN, counted_by
from promptlift.core.tokens.family import Family
from promptlift.core.video import Size
from promptlift.errors import OptionError

__all__ = ["calibrate"]

_CELL = 28
_MARGIN = 1.1


@dataclass(frozen=True, slots=True)
class _Line:
    """Tokens as ``base + rate * cells``, and never fewer than `least`."""

    base: float
    rate: float
    least: int

    def __call__(self, size: Size) -> int:
        raised = _MARGIN * (self.base + self.rate * _cells(size))
        # The small step down keeps an exact product from being raised by its rounding error.
        return max(self.least, math.ceil(raised - 1e-9))


def calibrate(samples: Sequence[tuple[Size, int]], *, name: str = "calibrated") -> Family:
    """Make a family from a few images that the engine has counted.

    Tokens are taken to be ``base + rate * cells``, where cells are squares of 28 pixels, part
    ones included. Of all lines on which no sample lies above, the one is taken that is nearest to
    the samples in sum, and then a tenth is added for what lies between them. A single sample is
    taken as proportional to the area above its size and as a constant below, which is right for
    models that count an area and too much for those that do not.

    The family is safe (its count of a sample is never below the one observed), grows with the
    size, and is no more than a guess for shapes far from all samples: give at least a small and a
    large picture of the shapes that are to be planned.

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
    points = [(_cells(size), tokens) for size, tokens in samples]
    base, rate = min(_lines_above(points), key=lambda line: _excess(line, points))
    return Family(
        name=name,
        unit=1,
        max_side=None,
        image=_Line(base, rate, min(tokens for _, tokens in samples)),
        chat=counted_by(UNKNOWN),
        source=f"{len(samples)} image(s) that the engine counted",
    )


def _cells(size: Size) -> int:
    return -(-size.width // _CELL) * -(-size.height // _CELL)


def _excess(line: tuple[float, float], points: list[tuple[int, int]]) -> float:
    base, rate = line
    return sum(base + rate * cells - tokens for cells, tokens in points)


def _lines_above(points: list[tuple[int, int]]) -> Iterator[tuple[float, float]]:
    """The corners of the set of lines that pass above every point, with nothing negative.

    The line nearest in sum is one of them: they are the line from the origin and those through
    two points. Where all lie at one number of cells, only the first is kept, as it is the safe
    one for larger pictures.
    """
    yield 0.0, max(tokens / cells for cells, tokens in points)
    for (x1, y1), (x2, y2) in combinations(sorted(points), 2):
        if x1 == x2:
            continue
        rate = (y2 - y1) / (x2 - x1)
        base = y1 - rate * x1
        if rate >= 0 and base >= 0 and all(base + rate * x >= y - 1e-9 for x, y in points):
            yield base, rate
    if len({cells for cells, _ in points}) > 1:
        yield float(max(tokens for _, tokens in points)), 0.0
