"""The strip that is measured, the packet index that is looked through, and how long a clip is."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.codes import read_number
from media.make import Recipe, encode
from promptlift.core.video import Instant, Size, Strip
from promptlift.frames import open_video
from promptlift.frames.strip import due_times
from promptlift.testing import synthetic_video

_FAST = {"preset": "ultrafast", "crf": "20"}


def _strip(path: Path, **options: Any) -> Strip:
    with open_video(path) as reader:
        return reader.strip(**options)


def _numbers(strip: Strip) -> list[int]:
    numbers = [read_number(image) for image in strip.images]
    return [number for number in numbers if number is not None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the clips of this module."""
    return tmp_path_factory.mktemp("strips")


@pytest.fixture(scope="module")
def short(folder: Path) -> Path:
    """3 s at 24 frames a second."""
    recipe = Recipe(frames=72, rate=Fraction(24), b_frames=2, width=640, height=480, options=_FAST)
    return encode(folder / "short.mp4", recipe)


@pytest.fixture(scope="module")
def long(folder: Path) -> Path:
    """100 s at 10 frames a second, a keyframe every 40 s."""
    options = {**_FAST, "sc_threshold": "0"}
    return encode(
        folder / "long.mp4", Recipe(frames=1000, rate=Fraction(10), gop=400, options=options)
    )


def test_a_short_video_is_sampled_evenly(short: Path) -> None:
    """Eight pictures a second of a 24-frame clip are every third frame, at their true times."""
    strip = _strip(short)
    assert _numbers(strip) == list(range(0, 72, 3))
    assert strip.times == tuple(Fraction(number, 8) for number in range(24))
    assert strip.images.shape == (24, 240, 320, 3)
    assert strip.source == Size(640, 480)
    assert (strip.contiguous, strip.stretches) == (True, ())


def test_a_strip_takes_no_frame_twice(short: Path) -> None:
    """More pictures a second than the clip has frames gives each frame once."""
    strip = _strip(short, fps=60)
    assert _numbers(strip) == list(range(72))


def test_side_and_rate_are_the_callers(short: Path) -> None:
    """The box and the rate of the pictures are as asked."""
    strip = _strip(short, side=64, fps=2)
    assert strip.images.shape == (6, 48, 64, 3)
    assert _numbers(strip) == [0, 12, 24, 36, 48, 60]


def test_a_long_video_is_sampled_in_stretches(long: Path) -> None:
    """Five stretches of three seconds, spread over the clip, none of them torn or overlapping."""
    strip = _strip(long)
    assert not strip.contiguous
    assert len(strip.stretches) == len(strip.times) == len(strip.images)
    assert sorted(set(strip.stretches)) == [0, 1, 2, 3, 4]
    assert list(strip.times) == sorted(strip.times)
    assert _numbers(strip) == [int(time * 10) for time in strip.times]
    for stretch in range(5):
        times = [t for t, s in zip(strip.times, strip.stretches, strict=True) if s == stretch]
        assert len(times) == 24
        assert times[-1] - times[0] < 3
        assert 20 * stretch - 15 < times[0] < 20 * (stretch + 1)


def test_a_stretch_begins_with_a_keyframe_where_one_is_near(long: Path) -> None:
    """Decoding from a keyframe on is cheaper, so a stretch moves to the one before it."""
    strip = _strip(long)
    starts = [strip.times[strip.stretches.index(stretch)] for stretch in range(5)]
    assert starts[2] == 40
    assert starts[4] == 80


def test_a_strip_is_bounded(long: Path) -> None:
    """However long the video, a strip has at most 240 pictures."""
    assert len(_strip(long).images) <= 120
    assert len(_strip(long, max_seconds=1000, fps=2).images) == 200


def test_a_large_video_gives_frames_of_its_own(folder: Path) -> None:
    """Above 1080p only frames that others refer to are taken; their times are their own."""
    recipe = Recipe(frames=20, rate=Fraction(30), width=2560, height=1440, b_frames=3, options={
        "preset": "ultrafast", "x264-params": "b-adapt=0"})  # fmt: skip
    path = encode(folder / "large.mp4", recipe)
    strip = _strip(path)
    assert _numbers(strip) == [int(time * 30) for time in strip.times]
    assert 4 <= len(strip.times) <= 6


_MEASURED = """
import gc, resource, sys
from promptlift.frames import open_video
gc.disable()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_video(sys.argv[1]) as reader:
    reader.strip(fps=4)
    before = peak()
    reader.strip(fps=60)
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_frames_are_given_back_one_by_one(folder: Path) -> None:
    """A long strip of large pictures takes no more memory than a short one, but for itself.

    40 decoded pictures would be 220 MB; even the garbage collector is off.
    """
    recipe = Recipe(frames=40, rate=Fraction(20), width=2560, height=1440, options=_FAST)
    path = encode(folder / "many.mp4", recipe)
    command = [sys.executable, "-c", _MEASURED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80


def test_only_what_costs_nothing_is_kept(short: Path, long: Path, folder: Path) -> None:
    """Not where the pass is coarse or in stretches, nor more pictures than there is memory for."""
    large = encode(folder / "kept.mp4", Recipe(frames=3, width=2560, height=1440, options=_FAST))
    very = tuple(Instant.exact(Fraction(n, 10)) for n in range(1, 3))
    near = (Instant(Fraction(1), Fraction(0), Fraction(2)),)
    many = tuple(Instant.exact(Fraction(n, 1000)) for n in range(200))
    for path, wanted, held in (
        (short, very, True),
        (short, near, False),
        (short, many, False),
        (long, very, False),
        (large, very, False),
    ):
        with open_video(path) as reader:
            reader.strip(keep=wanted)
            assert reader.holds(wanted) is held
            assert not reader.holds((*wanted, Instant.exact(Fraction(1, 7))))
            assert reader.frames_at(wanted[:2], Size(64, 64))


def test_due_times_cover_the_video() -> None:
    """A short video is one stretch from 0; a longer one is five, centred in equal parts."""
    assert due_times(Fraction(1), 4, 30) == (tuple(Fraction(part, 4) for part in range(4)),)
    assert due_times(Fraction(1, 100), 8, 30) == ((Fraction(0),),)
    assert len(due_times(None, 8, 30)[0]) == 240
    stretches = due_times(Fraction(100), 8, 30)
    assert [len(times) for times in stretches] == [24] * 5
    assert [times[0] for times in stretches] == [Fraction(17, 2) + 20 * part for part in range(5)]


def test_the_index_tells_keyframes_and_sizes(short: Path) -> None:
    """Sizes sum up to about the file, keys are where the encoder put them, times are spaced."""
    with open_video(short) as reader:
        index = reader.index
        info = reader.info
    assert len(index.times) == 72
    assert info.size_bytes * 9 // 10 < sum(index.sizes) < info.size_bytes
    assert [at for at, is_key in enumerate(index.keys) if is_key] == [0]
    steps = {b - a for a, b in zip(index.times[3:], index.times[4:], strict=False)}
    assert steps == {Fraction(1, 24)}


def test_keyframes_of_the_index_are_where_they_are_shown(long: Path) -> None:
    """The keyframes of a clip without B-frames are at their true times."""
    with open_video(long) as reader:
        index = reader.index
    keys = [time for time, is_key in zip(index.times, index.keys, strict=True) if is_key]
    assert keys == [Fraction(0), Fraction(40), Fraction(80)]


@pytest.mark.clips
def test_the_cosmos_clips(cosmos_assets: Path) -> None:
    """NVIDIA's sample clips are what they are known to be, and every one of them is read."""
    with open_video(cosmos_assets / "example1_input_video.mp4") as reader:
        info = reader.info
    assert (info.codec, info.size, info.frame_count) == ("hevc", Size(640, 480), 121)
    assert info.duration == Fraction(121, 30)
    for path in sorted(cosmos_assets.rglob("*.mp4")):
        with open_video(path) as reader:
            assert reader.info.duration is not None
            strip = reader.strip()
            assert len(strip.times) == -(-reader.info.duration * 8 // 1)
            assert len(reader.index.times) == reader.info.frame_count


def test_hashing_the_file_does_not_disturb_who_reads_it(tmp_path: Path) -> None:
    """The name of the content may be asked for at any time: the frames are the same ones."""
    clip = synthetic_video(tmp_path / "clip.mp4", seconds=3, size=(1280, 720))
    assert clip.stat().st_size > 100_000  # more than is read ahead at once
    late = [Instant.exact(Fraction(second)) for second in (1, 2)]
    with open_video(clip) as reader:
        strip, frames = reader.strip(), reader.frames_at(late, Size(320, 180))
    with open_video(clip) as reader:
        name = reader.content_id
        disturbed = reader.strip()
    assert name.startswith("sha256:")
    assert disturbed.times == strip.times
    assert np.array_equal(disturbed.images, strip.images)
    with open_video(clip) as reader:
        (first,) = reader.frames_at(late[:1], Size(320, 180))
        assert reader.content_id == name
        (second,) = reader.frames_at(late[1:], Size(320, 180))
    assert [f.time for f in (first, second)] == [f.time for f in frames]
    assert np.array_equal(second.image, frames[1].image)
