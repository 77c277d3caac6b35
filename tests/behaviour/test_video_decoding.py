"""Decoding only what is needed gives bit for bit what decoding everything gives."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media.make import Recipe, encode, ffmpeg, read_number
from promptlift.types import Instant, Size, Thumbnails
from promptlift.video import FrameChoice, hint_frames, open_video

_HUGE = Size(4096, 4096)

_FAST = {"preset": "veryfast", "crf": "30", "sc_threshold": "0"}
_X265 = "log-level=none:pools=none:frame-threads=1:scenecut=0"
_CLIPS: dict[str, tuple[str, Recipe]] = {
    "x264 with a pyramid": ("a.mp4", Recipe(
        frames=150, b_frames=4, gop=60, options={
            **_FAST, "x264-params": "b-pyramid=normal:ref=4"})),
    "x264 with 16 B-frames": ("a.mp4", Recipe(
        frames=150, b_frames=16, gop=250, options={**_FAST, "x264-params": "b-adapt=0:ref=16"})),
    "x264 open GOP": ("a.mp4", Recipe(
        frames=150, b_frames=3, gop=30, options={**_FAST, "x264-params": "open-gop=1:scenecut=0"})),
    "x265": ("a.mp4", Recipe("libx265", frames=150, gop=250, options={
        "preset": "ultrafast", "x265-params": f"{_X265}:bframes=8:b-adapt=0:rc-lookahead=20"})),
    "x265 open GOP": ("a.mp4", Recipe("libx265", frames=150, gop=30, options={
        "preset": "ultrafast", "x265-params": f"{_X265}:bframes=3:open-gop=1"})),
    "transport stream": ("a.ts", Recipe(frames=150, b_frames=3, gop=60, options=_FAST)),
    "matroska": ("a.mkv", Recipe(frames=150, b_frames=3, gop=60, options=_FAST)),
    "VP9": ("a.webm", Recipe("libvpx-vp9", frames=150, gop=60, options={
        "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"})),
    "AV1": ("a.mp4", Recipe("libsvtav1", frames=150, gop=60, options={"preset": "12"})),
    "MPEG-4": ("a.mp4", Recipe("mpeg4", frames=150, b_frames=2, gop=40)),
    "MPEG-2": ("a.ts", Recipe("mpeg2video", frames=150, rate=Fraction(25), b_frames=2, gop=12)),
    "long stills": ("a.mp4", Recipe(
        frames=150, b_frames=3, gop=250, options=_FAST, clock=Fraction(1, 1000),
        stamps=tuple(n * 20 + n // 10 * 3000 for n in range(150)))),
}  # fmt: skip


@pytest.mark.parametrize("name", _CLIPS)
def test_skipping_is_bit_exact(tmp_path: Path, name: str) -> None:
    """Frames reached by seeking and skipping equal those of decoding the clip in one go."""
    file, recipe = _CLIPS[name]
    with open_video(encode(tmp_path / file, recipe)) as reader:
        everything = {frame.time: frame.image for frame in reader.first(1000, _HUGE)}
        assert len(everything) == 150
        assert reader.info.duration is not None
        for count in (4, 40):
            times = [reader.info.duration * (2 * n + 1) / (2 * count) for n in range(count)]
            for frame in reader.frames_at([Instant.exact(time) for time in times], _HUGE):
                assert frame.time == max(time for time in everything if time <= frame.wanted)
                assert np.array_equal(frame.image, everything[frame.time])


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s with a keyframe every 2 s and an open group of pictures."""
    recipe = Recipe(frames=300, gop=30, b_frames=3,
                    options={**_FAST, "x264-params": "open-gop=1:scenecut=0"})  # fmt: skip
    return encode(tmp_path_factory.mktemp("long") / "long.mp4", recipe)


def _windowed(time: Fraction, half: Fraction) -> Instant:
    return Instant(time, time - half, time + half)


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.ts"])
def test_the_nearest_keyframe_in_the_window_is_taken(long_clip: Path, name: str) -> None:
    """With a window, an instant gives the nearest keyframe in it, with that frame's own time."""
    path = long_clip.with_name(name)
    if not path.exists():
        ffmpeg("-i", long_clip, "-c", "copy", path)
    instants = [_windowed(Fraction(t), Fraction(3, 2)) for t in ("2.6", "7.3", "11.2", "16.9")]
    with open_video(path) as reader:
        frames = reader.frames_at(instants, _HUGE)
    assert [read_number(frame.image) for frame in frames] == [30, 120, 180, 240]
    assert [round(frame.time * 1000) for frame in frames] == [2000, 8000, 12000, 16000]
    assert all(frame.snapped for frame in frames)
    assert [frame.wanted for frame in frames] == [instant.time for instant in instants]
    with open_video(path) as reader:  # decoded alone, a keyframe is what it is in the whole clip
        everything = {frame.time: frame.image for frame in reader.first(300, _HUGE)}
    assert all(np.array_equal(frame.image, everything[frame.time]) for frame in frames)


def test_a_large_matroska_is_read_by_its_cues(
    long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Matroska file too large for a pass over it gives the same frames through its index."""
    monkeypatch.setattr("promptlift.video.movie._CUES_ABOVE", 0)
    path = long_clip.with_name("cues.mkv")
    ffmpeg("-i", long_clip, "-c", "copy", path)
    with open_video(path) as reader:
        exact = reader.frames_at([Instant.exact(Fraction(n) + Fraction(1, 45)) for n in (3, 7, 15)],
                                 _HUGE)  # fmt: skip
        near = reader.frames_at([_windowed(Fraction("6.3"), Fraction(1))], _HUGE)
        assert reader.info.duration == 20
        assert len(reader.index.times) == 0
    assert [read_number(frame.image) for frame in exact] == [45, 105, 225]
    assert [(read_number(frame.image), frame.snapped) for frame in near] == [(90, True)]


_SMALL = {"preset": "ultrafast", "crf": "20"}


def _thumbnails(path: Path) -> Thumbnails:
    with open_video(path) as reader:
        return reader.thumbnails()


def _numbers(taken: Thumbnails) -> list[int]:
    numbers = [read_number(image) for image in taken.images]
    return [number for number in numbers if number is not None]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s at 24 frames a second."""
    recipe = Recipe(frames=72, rate=Fraction(24), b_frames=2, width=640, height=480, options=_SMALL)
    return encode(tmp_path_factory.mktemp("short") / "short.mp4", recipe)


def test_a_short_video_is_sampled_evenly(short: Path) -> None:
    """Eight pictures a second of a 24-frame clip are every third frame, at their true times."""
    taken = _thumbnails(short)
    assert _numbers(taken) == list(range(0, 72, 3))
    assert taken.times == tuple(Fraction(number, 8) for number in range(24))
    assert taken.images.shape == (24, 240, 320, 3)
    assert taken.source == Size(640, 480)
    assert (taken.contiguous, taken.stretches) == (True, ())


def test_a_long_video_is_sampled_in_stretches(tmp_path: Path) -> None:
    """Five stretches of three seconds, spread over 100 s with a keyframe every 40 s, none of them
    torn or overlapping.
    """
    options = {**_SMALL, "sc_threshold": "0"}
    recipe = Recipe(frames=1000, rate=Fraction(10), gop=400, options=options)
    taken = _thumbnails(encode(tmp_path / "long.mp4", recipe))
    assert not taken.contiguous
    assert len(taken.stretches) == len(taken.times) == len(taken.images)
    assert sorted(set(taken.stretches)) == [0, 1, 2, 3, 4]
    assert list(taken.times) == sorted(taken.times)
    assert _numbers(taken) == [int(time * 10) for time in taken.times]
    for stretch in range(5):
        times = [t for t, s in zip(taken.times, taken.stretches, strict=True) if s == stretch]
        assert len(times) == 24
        assert times[-1] - times[0] < 3
        assert 20 * stretch - 15 < times[0] < 20 * (stretch + 1)


def test_a_large_video_gives_frames_of_its_own(tmp_path: Path) -> None:
    """Above 1080p only frames that others refer to are taken; their times are their own."""
    recipe = Recipe(frames=20, rate=Fraction(30), width=2560, height=1440, b_frames=3, options={
        "preset": "ultrafast", "x264-params": "b-adapt=0"})  # fmt: skip
    taken = _thumbnails(encode(tmp_path / "large.mp4", recipe))
    assert _numbers(taken) == [int(time * 30) for time in taken.times]
    assert 4 <= len(taken.times) <= 6


_MEASURED = """
import gc, resource, sys
from promptlift.video import open_video
gc.disable()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_video(sys.argv[1]) as reader:
    reader.first(8, reader.info.size)
    before = peak()
    reader.thumbnails()
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_frames_are_given_back_one_by_one(tmp_path: Path) -> None:
    """A long sample of large pictures takes no more memory than a short one, but for itself.

    24 decoded pictures would be 130 MB; even the garbage collector is off.
    """
    path = tmp_path / "many.mp4"
    pattern = ["-f", "lavfi", "-i", "testsrc2=s=2560x1440:r=8:d=3"]
    ffmpeg(*pattern, "-c:v", "libx264", "-preset", "ultrafast", path)
    command = [sys.executable, "-c", _MEASURED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80


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


def test_hashing_the_file_does_not_disturb_who_reads_it(tmp_path: Path) -> None:
    """The name of the content may be asked for at any time: the frames are the same ones."""
    clip = tmp_path / "clip.mp4"
    noise = "testsrc2=s=640x360:r=24:d=3,noise=alls=20:allf=t"
    ffmpeg("-f", "lavfi", "-i", noise, "-c:v", "libx264", "-preset", "ultrafast", clip)
    assert clip.stat().st_size > 300_000  # more than is read ahead at once
    late = [Instant.exact(Fraction(second)) for second in (1, 2)]
    with open_video(clip) as reader:
        taken, frames = reader.thumbnails(), reader.frames_at(late, Size(320, 180))
    with open_video(clip) as reader:
        name = reader.content_id
        disturbed = reader.thumbnails()
    assert name.startswith("sha256:")
    assert disturbed.times == taken.times
    assert np.array_equal(disturbed.images, taken.images)
    with open_video(clip) as reader:
        (first,) = reader.frames_at(late[:1], Size(320, 180))
        assert reader.content_id == name
        (second,) = reader.frames_at(late[1:], Size(320, 180))
    assert [f.time for f in (first, second)] == [f.time for f in frames]
    assert np.array_equal(second.image, frames[1].image)


FRAMES, RATE, GOP = 4_000, Fraction(30), 500
CODES = 1024  # the code that is drawn has ten bits


def test_any_one_is_found_and_hints_are_spread_over_all(tmp_path: Path) -> None:
    """Two minutes with a number drawn into each frame.

    An exact instant gives that very frame, near a keyframe or far from one; of eight hints each
    stands for an eighth, and is a keyframe unless exactness is asked for.
    """
    options = {"preset": "ultrafast", "crf": "30"}
    recipe = Recipe(frames=FRAMES, width=96, height=64, rate=RATE, gop=GOP, options=options)
    with open_video(encode(tmp_path / "many.mp4", recipe)) as reader:
        for number in (0, GOP - 1, GOP, 2_345, FRAMES - 1):
            (frame,) = reader.frames_at([Instant.exact(number / RATE)], Size(96, 64))
            assert read_number(frame.image) == number % CODES
            assert frame.time == number / RATE
        for exact in (False, True):
            frames = hint_frames(reader, FrameChoice(count=8, exact=exact), box=Size(96, 64))
            numbers = [int(frame.time * RATE) for frame in frames]
            assert [number // (FRAMES // 8) for number in numbers] == list(range(8))
            assert [read_number(frame.image) for frame in frames] == [n % CODES for n in numbers]
            assert all(frame.snapped for frame in frames) is not exact
