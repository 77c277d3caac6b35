"""Which instants of a video to look at: the strategies, and nothing that reads a file.

=========  ======================================================================================
spread     the centres of N equal parts of the clip, its black or frozen ends left out
first      the first N frames, as Cosmos-Transfer1 does
fps        the first N frames at F frames a second, picked as FFmpeg's ``fps`` filter picks them
scenes     one settled frame from each of the N stretches between the greatest changes
=========  ======================================================================================

Times that the user names stand for any of them. ``first`` needs no instants: the reader simply
reads from the start.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from promptlift.errors import OptionError
from promptlift.types import Instant, PacketIndex, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DEFAULT_WIDTH",
    "LONG_CLIP",
    "Span",
    "Strategy",
    "active_span",
    "at_rate",
    "check_options",
    "clip_size",
    "named",
    "scenes",
    "spread",
]

Strategy = Literal["spread", "first", "fps", "scenes"]

DEFAULT_WIDTH = 320

LONG_CLIP = Fraction(15)
"""Seconds above which ``spread`` takes keyframes: decoding to the exact frame costs too much."""

_MOST_TRIMMED = Fraction(2, 5)
_INACTIVE_SHARE = 0.05
_PACKETS_PER_BIN = 8
_MOST_BINS = 100
_FEWEST_BINS = 5
_JUST_BEFORE = Fraction(1, 10**9)
_CUT_RATIO = 4.0
_LONGEST_CLIP_SIDE = 4096
# Offsets within a part, tried in this order after its centre turned out blank: later before
# earlier, because titles fade in more often than clips fade out early.
_RETRIES = (Fraction(3, 4), Fraction(1, 4))
_CENTRE = Fraction(1, 2)


class Span(NamedTuple):
    """A stretch of time, in seconds from the start of the video."""

    start: Fraction
    end: Fraction

    def at(self, share: Fraction) -> Fraction:
        """The time at a share of the way, from 0 at the start to 1 at the end."""
        return self.start + (self.end - self.start) * share


def check_options(strategy: str, count: int, rate: Fraction) -> None:
    """Refuse what no strategy can do.

    Raises:
        OptionError: An unknown strategy, no frames at all, or a rate that is not above 0.
    """
    if strategy not in get_args(Strategy):
        names = ", ".join(get_args(Strategy))
        raise OptionError(f"there is no strategy {strategy!r}", remedy=f"choose from {names}")
    if count < 1:
        raise OptionError(f"{count} frames were asked for", remedy="ask for 1 or more")
    if rate <= 0:
        raise OptionError(f"{float(rate):g} frames a second", remedy="give a rate above 0")


def named(duration: Fraction | None, times: tuple[Fraction, ...]) -> tuple[Instant, ...]:
    """The instants that the user names.

    Args:
        duration: Seconds; None where unknown, and then the end is not minded.
        times: Seconds, ascending.

    Raises:
        OptionError: One is beyond the end.
    """
    if duration is not None and times[-1] > duration:
        raise OptionError(
            f"a frame at {float(times[-1]):g} s is asked for, and the video lasts "
            f"{float(duration):g} s",
            remedy="name a time before the end",
        )
    return tuple(map(Instant.exact, times))


def spread(
    duration: Fraction, count: int, *, index: PacketIndex | None = None, exact: bool = False
) -> tuple[tuple[Instant, ...], tuple[tuple[Instant, ...], ...]]:
    """The centres of `count` equal parts of the active part of a video.

    Args:
        duration: Seconds.
        count: How many instants, at least 1.
        index: The packets, from which inactive ends are told; None takes the whole video.
        exact: Ask for the very frames even in a long clip.

    Returns:
        The centres, ascending; and further rows of one instant for each part, to try in turn
        where the frame at a centre shows nothing. In clips longer than `LONG_CLIP` a centre may
        be met by any keyframe of its part, unless `exact`, and the others by one of their
        quarter of it.
    """
    loose = duration > LONG_CLIP and not exact
    active = active_span(duration, index or PacketIndex())
    edges = [active.at(Fraction(step, count)) for step in range(count + 1)]
    parts = [Span(*pair) for pair in pairwise(edges)]

    def row(time: Fraction, reach: Fraction) -> tuple[Instant, ...]:
        if not loose:
            return tuple(Instant.exact(part.at(time)) for part in parts)
        return tuple(
            Instant(part.at(time), part.at(time - reach), part.at(time + reach)) for part in parts
        )

    return row(_CENTRE, _CENTRE), tuple(row(share, Fraction(1, 8)) for share in _RETRIES)


def active_span(duration: Fraction, index: PacketIndex) -> Span:
    """The video without black or frozen ends, as far as the sizes of its packets tell.

    A picture that is black, or that repeats the one before, costs an encoder next to nothing. So
    a run of stretches at either end whose packets are all below 5 % of the clip's typical
    size is left out. Keyframes are not counted where there are others: a frozen picture has big
    ones. This is careful on purpose: never more than 40 % is left out at an end, nothing where
    the index has under 40 packets to judge by, and nothing where most of the clip is like that,
    since that is then its typical size.
    """
    whole = Span(Fraction(0), duration)
    packets = list(zip(index.times, index.sizes, index.keys, strict=True))
    packets = [packet for packet in packets if not packet[2]] or packets
    count = min(len(packets) // _PACKETS_PER_BIN, _MOST_BINS)
    if count < _FEWEST_BINS or duration <= 0:
        return whole
    bins: list[list[int]] = [[] for _ in range(count)]
    # Floats: an hour has 100,000 packets, and exact fractions would take a second.
    a_second = count / float(duration)
    for time, size, _ in packets:
        bins[min(max(int(float(time) * a_second), 0), count - 1)].append(size)
    # A stretch without a packet repeats what was there: it is as still as a picture can be.
    levels = [sum(sizes) / len(sizes) if sizes else 0.0 for sizes in bins]
    threshold = median(levels) * _INACTIVE_SHARE
    most = int(count * _MOST_TRIMMED)

    def still(levels: Sequence[float]) -> int:
        """How many of the first stretches are below the threshold."""
        return next((n for n, level in enumerate(levels[:most]) if level >= threshold), most)

    end = count - still(levels[::-1])
    return Span(whole.at(Fraction(still(levels), count)), whole.at(Fraction(end, count)))


def at_rate(duration: Fraction | None, count: int, rate: Fraction) -> tuple[Instant, ...]:
    """The first `count` instants at `rate` frames a second, as FFmpeg's ``fps`` filter has them.

    The filter rounds each frame's time to the nearest tick of the new rate and lets the last
    frame of a tick win, so its n-th picture is the last one that starts before (n + 1/2) / rate:
    at 30 frames a second, two at 2 a second are frames 7 and 22. It ends at the tick nearest
    to the end of the video. (libavfilter/vf_fps.c, ``round=near`` and ``eof_action=round``.)

    Args:
        duration: Seconds; None where unknown, and then the end is not minded.
        count: How many instants, at least 1.
        rate: Frames a second.

    Returns:
        `count` exact instants, or as many as there are ticks, but never none: the filter gives
        no picture at all for a clip shorter than half a tick, which would be no use here.
    """
    if duration is not None:
        ticks = int(duration * rate + Fraction(1, 2))
        count = min(count, max(ticks, 1))
    ends = ((Fraction(tick) + Fraction(1, 2)) / rate for tick in range(count))
    return tuple(Instant.exact(end - _JUST_BEFORE) for end in ends)


def scenes(times: Sequence[Fraction], change: Sequence[float], count: int) -> tuple[Instant, ...]:
    """One settled instant from each of the `count` stretches between the greatest changes.

    The clip is divided `count` - 1 times. Each time the stretch that changes most is cut: at its
    hardest cut where it has one that stands out, else where half of its change has happened. From
    each stretch comes the picture that differs least from its neighbours, out of the middle half,
    so that neither a cut nor a dissolve is shown.

    Args:
        times: Seconds of each sampled picture, ascending.
        change: How much each picture differs from the one before it; the first value is unused.
        count: How many instants, at least 1.

    Returns:
        Ascending exact instants; fewer than `count` where there are fewer pictures.
    """
    stretches = [(0, len(times))]
    while len(stretches) < min(count, len(times)):
        start, end = max(
            (s for s in stretches if s[1] - s[0] > 1), key=lambda s: sum(change[s[0] + 1 : s[1]])
        )
        middle = _divide(change, start, end)
        stretches.remove((start, end))
        stretches += [(start, middle), (middle, end)]
    settled = sorted(_settled(change, *stretch) for stretch in stretches if stretch[1])
    return tuple(Instant.exact(times[place]) for place in settled)


def _divide(change: Sequence[float], start: int, end: int) -> int:
    """The first picture of the second half of a stretch of two or more."""
    inner = range(start + 1, end)
    peak = max(inner, key=lambda place: change[place])
    rest = [change[place] for place in inner if place != peak]
    if not rest or change[peak] > _CUT_RATIO * sum(rest) / len(rest):
        return peak
    half = sum(change[place] for place in inner) / 2
    passed = 0.0
    for place in inner:
        passed += change[place]
        if passed >= half:
            return place
    return peak


def _settled(change: Sequence[float], start: int, end: int) -> int:
    """The picture in the middle half of a stretch that differs least from its neighbours."""
    margin = (end - start) // 4
    centre = (start + end - 1) / 2

    def unrest(place: int) -> tuple[float, float]:
        before = change[place] if place > start else 0.0
        after = change[place + 1] if place + 1 < end else 0.0
        return max(before, after), abs(place - centre)

    return min(range(start + margin, end - margin), key=unrest)


def clip_size(source: Size, width: int) -> Size:
    """The size of a hint clip, as FFmpeg's ``scale=WIDTH:-2`` has it: the nearest even height.

    A picture so tall that its height would pass 4096 is made narrower instead, which FFmpeg
    does not do, because H.264 players give up there.

    Raises:
        OptionError: The width is odd or below 2; H.264 in 4:2:0 has only even sizes.
    """
    if width < 2 or width % 2:
        raise OptionError(
            f"the width is {width}, and must be even", remedy=f"use {max(2, width - width % 2)}"
        )

    def even(length: Fraction) -> int:
        return max(2, 2 * int(length / 2 + Fraction(1, 2)))

    height = even(Fraction(width * source.height, source.width))
    if height <= _LONGEST_CLIP_SIDE:
        return Size(width, height)
    return Size(
        even(Fraction(_LONGEST_CLIP_SIDE * source.width, source.height)), _LONGEST_CLIP_SIDE
    )
