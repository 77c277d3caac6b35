"""A clip of twenty thousand frames: the right frames, and no long read for a few of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from media.codes import read_number
from media.make import Recipe, encode
from promptlift.core.video import Instant, Size
from promptlift.frames import open_video
from promptlift.frames.look import hint_frames

FRAMES, RATE, GOP = 20_000, Fraction(30), 500
CODES = 1024  # the code that is drawn has ten bits


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven minutes with a number drawn into each frame."""
    path = tmp_path_factory.mktemp("many") / "many.mp4"
    options = {"preset": "ultrafast", "crf": "30"}
    recipe = Recipe(frames=FRAMES, width=96, height=64, rate=RATE, gop=GOP, options=options)
    return encode(path, recipe)


def test_the_probe_counts_them_all(clip: Path) -> None:
    """Count, rate and length are exact."""
    with open_video(clip) as reader:
        assert reader.info.frame_count == FRAMES
        assert reader.info.frame_rate == RATE
        assert reader.info.duration == FRAMES / RATE


@pytest.mark.parametrize("number", [0, 1, GOP - 1, GOP, 12_345, FRAMES - 1])
def test_any_one_is_found(clip: Path, number: int) -> None:
    """An exact instant gives that very frame, near a keyframe or far from one."""
    with open_video(clip) as reader:
        (frame,) = reader.frames_at([Instant.exact(number / RATE)], Size(96, 64))
    assert read_number(frame.image) == number % CODES
    assert frame.time == number / RATE


def test_hints_are_spread_over_all_of_it(clip: Path) -> None:
    """Eight frames, one of each eighth, which are keyframes unless exactness is asked for."""
    part = FRAMES // 8
    for exact in (False, True):
        with open_video(clip) as reader:
            frames = hint_frames(reader, box=Size(96, 64), count=8, exact=exact)
        numbers = [int(frame.time * RATE) for frame in frames]
        assert [number // part for number in numbers] == list(range(8))
        assert [read_number(frame.image) for frame in frames] == [n % CODES for n in numbers]
        assert all(frame.snapped for frame in frames) is not exact
