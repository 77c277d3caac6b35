"""Histograms as SVG inside the page: over powers of ten, and of small whole numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from promptlift.batch.distribution import Distribution

__all__ = ["counts_chart", "nice_step", "spread_chart", "ticks_between"]

_WIDTH, _HEIGHT = 420, 216
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 18, 30, 46
_BARS = 28
_TICKS = 6
_LINEAR_UP_TO = 8.0

Bar = tuple[float, float, int]


@dataclass(frozen=True, slots=True)
class _Axis:
    """The horizontal axis: where a value stands, in pixels."""

    low: float
    high: float
    is_log: bool

    def at(self, value: float) -> float:
        low, high, value = self.low, self.high, max(value, self.low)
        if self.is_log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    @property
    def ticks(self) -> list[float]:
        return ticks_between(self.low, self.high, is_log=self.is_log)


def spread_chart(spread: Distribution, title: str, unit: str, what: str = "items") -> str:
    """A histogram on a logarithmic axis, with lines at the median and the 99th of a hundred.

    Args:
        spread: The numbers.
        title: What they are, with their unit, for the axis and for those who cannot see it.
        unit: The unit in short, such as ``s``; empty for none.
        what: What is counted.
    """
    bars = spread.bars(_BARS)
    if not bars:
        return ""
    low, high = bars[0][0], bars[-1][1]
    if high / low < 1.5:  # all but the same number: room to both sides
        low, high = low / 1.3, high * 1.3
    marks = {"median": spread.quantile(0.5), "99 %": spread.quantile(0.99)}
    axis = _Axis(low, high, is_log=True)
    return _chart(bars, axis, f"{title} (logarithmic)", unit, what, marks)


def counts_chart(
    counts: Mapping[int, int], title: str, what: str = "items", *, limit: int | None = None
) -> str:
    """A histogram of whole numbers on a linear axis from 0, with a line at a limit.

    Args:
        counts: How often each number occurs.
        title: What they are.
        what: What is counted.
        limit: Where a line is drawn; None for none.
    """
    if not counts:
        return ""
    most = max(max(counts), limit or 0, 1)
    step = max(1, math.ceil(nice_step(most / _BARS)))
    binned: Counter[int] = Counter()
    for number, count in counts.items():
        binned[number // step] += count
    bars = [(n * step, (n + 1) * step, binned[n]) for n in range(most // step + 1)]
    axis = _Axis(0, (most // step + 1) * step, is_log=False)
    return _chart(bars, axis, title, "", what, {} if limit is None else {"limit": limit})


def ticks_between(low: float, high: float, *, is_log: bool) -> list[float]:
    """Round numbers from `low` to `high`, a handful."""
    if not is_log or high / low < _LINEAR_UP_TO:
        step = nice_step((high - low) / _TICKS)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [float(f"{n * step:.12g}") for n in range(first, last + 1)]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{d}e{n}") for n in decades for d in digits]
        found = [value for value in found if low <= value <= high]
        if len(found) <= _TICKS + 1:
            return found
    return found[:: -(-len(found) // _TICKS)]


def nice_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(d * power for d in (1, 2, 5, 10) if d * power >= least * (1 - 1e-9))


def _chart(
    bars: Sequence[Bar],
    axis: _Axis,
    title: str,
    unit: str,
    what: str,
    marks: Mapping[str, float],
) -> str:
    height = _heights(max(count for _, _, count in bars))
    label = escape(title)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_grid(height, max(count for _, _, count in bars)),
        *(_bar(bar, axis, height, unit) for bar in bars if bar[2]),
        *_marks(marks, axis),
        *(_tick(axis.at(value), _number(value)) for value in axis.ticks),
        f'<text x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{label}</text>',
        f'<text x="4" y="12">{escape(what)}</text>',
        "</svg>",
    ]
    return "".join(parts)


def _heights(most: int) -> Callable[[float], float]:
    """Where a count stands, in pixels from the top."""
    room = _HEIGHT - _TOP - _BOTTOM
    top = max(_levels(most))
    return lambda count: _TOP + room * (1 - count / top)


def _levels(most: int) -> list[int]:
    step = max(1, math.ceil(nice_step(most / 3)))
    return list(range(0, most + step, step))


def _grid(height: Callable[[float], float], most: int) -> list[str]:
    parts = []
    for level in _levels(most):
        y = height(level)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level:,}</text>'
        )
    return parts


def _bar(bar: Bar, axis: _Axis, height: Callable[[float], float], unit: str) -> str:
    low, high, count = bar
    left, right, top = axis.at(low), axis.at(high), height(count)
    told = f"{_number(low)} to {_number(high)} {unit}".rstrip()
    return (
        f'<rect x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(1.0, right - left - 1):.1f}" '
        f'height="{height(0) - top:.1f}"><title>{escape(told)}: {count:,}</title></rect>'
    )


def _marks(marks: Mapping[str, float], axis: _Axis) -> list[str]:
    parts, taken = [], -math.inf
    for name, value in marks.items():
        x = axis.at(value)
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        )
        if x - taken > 60:  # else the words would lie on each other
            anchor = "end" if x > _WIDTH - 70 else "middle"
            parts.append(
                f'<text class="mark" x="{x:.1f}" y="{_TOP - 7}" text-anchor="{anchor}">'
                f"{escape(name)}</text>"
            )
            taken = x
    return parts


def _tick(x: float, words: str) -> str:
    y = _HEIGHT - _BOTTOM
    return (
        f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 4}"/>'
        f'<text x="{x:.1f}" y="{y + 17}" text-anchor="middle">{words}</text>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
