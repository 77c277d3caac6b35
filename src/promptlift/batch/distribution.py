"""How numbers are spread, in little memory however many there are."""

from __future__ import annotations

import math
from collections import Counter

__all__ = ["Distribution"]

_BINS_PER_DECADE = 96


class Distribution:
    """Counts positive numbers in bins that are a fortieth wide, whatever their size.

    A quantile is the middle of its bin, so that it is off by 1.3 % at most. The number of bins
    grows with the span of the values only: 96 for each power of ten.

    Attributes:
        count: How many numbers.
        total: Their sum.
        least: The least; infinity where there is none.
        most: The greatest; 0 where there is none.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = math.inf
        self.most = 0.0
        self._bins: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """Count one number; one that is not above 0 counts as the least that there is."""
        self.count += 1
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        self._bins[_bin(value)] += 1

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 where there is no number."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The number that a share of all is not above; 0 where there is none.

        Args:
            share: From 0 to 1.
        """
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for number in sorted(self._bins):
            seen += self._bins[number]
            if seen >= wanted:
                return min(max(_middle(number), self.least), self.most)
        return 0.0

    def bars(self, most: int) -> list[tuple[float, float, int]]:
        """Neighbouring bins put together, for a histogram.

        Args:
            most: How many bars at most, at least 1.

        Returns:
            From where to where each bar reaches, and its count; empty where there is no number.
        """
        if not self._bins:
            return []
        first, last = min(self._bins), max(self._bins)
        step = -(-(last - first + 1) // most)
        return [
            (
                _edge(start),
                _edge(start + step),
                sum(self._bins[number] for number in range(start, start + step)),
            )
            for start in range(first, last + 1, step)
        ]


def _bin(value: float) -> int:
    return math.floor(math.log10(max(value, 1e-9)) * _BINS_PER_DECADE)


def _middle(number: int) -> float:
    return _edge(number + 0.5)


def _edge(number: float) -> float:
    return float(10 ** (number / _BINS_PER_DECADE))
