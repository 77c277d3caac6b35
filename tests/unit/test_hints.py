"""Which instants each strategy chooses: arithmetic only, no video."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.instants import (
    Span,
    active_span,
    clip_size,
    scenes,
    spread,
)
from promptlift.types import Instant, PacketIndex, Size

durations = st.fractions(min_value=Fraction(1, 100), max_value=10_000, max_denominator=1001)
counts = st.integers(1, 12)


def _index(sizes: list[int], seconds: int, *, group: int = 0) -> PacketIndex:
    """Packets of these sizes, evenly over a clip; every `group`-th is a keyframe."""
    times = tuple(Fraction(seconds * number, len(sizes)) for number in range(len(sizes)))
    keys = tuple(bool(group) and number % group == 0 for number in range(len(sizes)))
    return PacketIndex(times, tuple(sizes), keys)


def _times(instants: tuple[Instant, ...]) -> list[Fraction]:
    return [instant.time for instant in instants]


class TestSpread:
    """The centres of equal parts, and what may stand in for them."""

    def test_a_long_clip_may_be_met_by_a_keyframe_of_its_part(self) -> None:
        """Past 15 seconds each window is its whole part."""
        centres, _ = spread(Fraction(60), 2)
        assert centres == (
            Instant(Fraction(15), Fraction(0), Fraction(30)),
            Instant(Fraction(45), Fraction(30), Fraction(60)),
        )

    @given(durations, counts)
    def test_instants_are_ascending_and_each_in_its_own_part(
        self, duration: Fraction, count: int
    ) -> None:
        """Every instant and every window stays inside its n-th of the clip."""
        centres, retries = spread(duration, count)
        for row in (centres, *retries):
            assert len(row) == count
            for place, instant in enumerate(row):
                part = (duration * place / count, duration * (place + 1) / count)
                assert part[0] <= instant.earliest <= instant.time <= instant.latest <= part[1]

    def test_a_black_start_is_left_out(self) -> None:
        """The parts are laid over what is left of the clip."""
        index = _index([20] * 80 + [2000] * 320, 40)
        centres, _ = spread(Fraction(40), 2, index=index)
        assert _times(centres) == [8 + Fraction(8), 8 + Fraction(24)]


class TestActiveSpan:
    """Black or frozen ends, told from the sizes of packets alone."""

    def test_both_ends_are_left_out(self) -> None:
        """A tenth of black before, a fifth after."""
        index = _index([15] * 80 + [1500] * 560 + [15] * 160, 40)
        assert active_span(Fraction(40), index) == Span(Fraction(4), Fraction(32))

    def test_large_keyframes_of_a_frozen_picture_do_not_count(self) -> None:
        """A title that stands still has a big keyframe now and then, and nothing between."""
        sizes = [40_000 if number % 40 == 0 else 30 for number in range(200)]
        sizes += [40_000 if number % 40 == 0 else 3_000 for number in range(600)]
        span = active_span(Fraction(40), _index(sizes, 40, group=40))
        assert span.start == pytest.approx(10, abs=0.5)
        assert span.end == 40

    def test_stillness_in_the_middle_is_not_an_end(self) -> None:
        """Only what touches an end is left out."""
        span = active_span(Fraction(30), _index([2000] * 200 + [10] * 200 + [2000] * 200, 30))
        assert span == Span(Fraction(0), Fraction(30))

    @pytest.mark.parametrize(
        "index",
        [
            PacketIndex(),
            _index([10, 2000, 2000], 3),
            _index([10] * 9 + [2000] * 30, 3),
            _index([0] * 400, 3),
        ],
        ids=["none", "three packets", "39 packets", "no sizes"],
    )
    def test_too_little_to_judge_by_leaves_the_clip_whole(self, index: PacketIndex) -> None:
        """Without sizes, or with under 40, nothing is left out."""
        assert active_span(Fraction(3), index) == Span(Fraction(0), Fraction(3))

    def test_a_stretch_without_packets_is_still(self) -> None:
        """A variable frame rate that sends nothing for a while repeats one picture."""
        times = tuple(Fraction(10) + Fraction(number, 10) for number in range(300))
        index = PacketIndex(times, (2000,) * 300, (False,) * 300)
        span = active_span(Fraction(40), index)
        assert span.start == pytest.approx(10, abs=1.1)

    @given(st.lists(st.integers(0, 50_000), max_size=400), st.integers(1, 400), st.integers(0, 30))
    def test_most_of_the_clip_is_always_kept(
        self, sizes: list[int], seconds: int, group: int
    ) -> None:
        """Whatever the packets are like, at least the middle fifth stays."""
        span = active_span(Fraction(seconds), _index(sizes, seconds, group=group))
        assert 0 <= span.start <= Fraction(2, 5) * seconds
        assert Fraction(3, 5) * seconds <= span.end <= seconds


class TestScenes:
    """One settled picture from each stretch between the greatest changes."""

    TIMES: ClassVar = [Fraction(number, 8) for number in range(40)]

    def _change(self, **cuts: float) -> list[float]:
        change = [1.0] * 40
        for place, amount in cuts.items():
            change[int(place.lstrip("at"))] = amount
        return change

    def test_a_cut_divides_the_clip(self) -> None:
        """One frame from before the cut, one from after, neither next to it."""
        first, second = _times(scenes(self.TIMES, self._change(at24=90), 2))
        assert Fraction(0) < first < Fraction(20, 8)
        assert Fraction(28, 8) <= second < Fraction(39, 8)

    def test_a_settled_picture_is_taken(self) -> None:
        """Within a stretch the quietest place wins, in its middle half."""
        change = self._change(at20=90)
        change[8] = change[9] = 0.1
        assert _times(scenes(self.TIMES, change, 2))[0] == Fraction(8, 8)

    @given(st.lists(st.floats(0, 255), max_size=200), counts)
    def test_ascending_exact_instants_of_the_strip(self, change: list[float], count: int) -> None:
        """Always as many as can be had, in order, each the time of a picture in the strip."""
        times = [Fraction(number, 8) for number in range(len(change))]
        chosen = scenes(times, change, count)
        assert len(chosen) == min(count, len(change))
        assert _times(chosen) == sorted(set(_times(chosen)))
        assert set(_times(chosen)) <= set(times)
        assert all(i.earliest == i.time == i.latest for i in chosen)


class TestClipSize:
    """Asked-for width, FFmpeg's height."""

    def test_a_strip_is_made_narrower(self) -> None:
        """16x2048 at 320 wide would be 40960 high; it fits into 4096 instead."""
        assert clip_size(Size(16, 2048), 320) == Size(32, 4096)

    @given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 1000))
    def test_always_even_and_never_too_high(self, width: int, height: int, half: int) -> None:
        """Whatever the source."""
        size = clip_size(Size(width, height), 2 * half)
        assert size.width % 2 == size.height % 2 == 0
        assert 2 <= size.width <= 2 * half
        assert 2 <= size.height <= 4096
