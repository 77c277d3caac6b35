"""Decoding only what is needed gives bit for bit what decoding everything gives."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media.codes import read_number
from media.make import Recipe, encode, ffmpeg
from promptlift.core.video import Instant, Size
from promptlift.frames import decode, open_video
from promptlift.frames.demux import Demuxer

_HUGE = Size(4096, 4096)
_RATE = Fraction(15)
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


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files by name, each made once."""
    made: dict[str, Path] = {}

    def give(name: str) -> Path:
        if name not in made:
            file, recipe = _CLIPS[name]
            made[name] = encode(tmp_path_factory.mktemp("clip") / file, recipe)
        return made[name]

    return give


@pytest.mark.parametrize("name", _CLIPS)
@pytest.mark.parametrize("count", [1, 4, 40])
def test_skipping_is_bit_exact(clip: Callable[[str], Path], name: str, count: int) -> None:
    """Frames reached by seeking and skipping equal those of decoding the clip in one go."""
    with open_video(clip(name)) as reader:
        everything = {frame.time: frame.image for frame in reader.first(1000, _HUGE)}
        assert reader.info.duration is not None
        times = [reader.info.duration * (2 * n + 1) / (2 * count) for n in range(count)]
        frames = reader.frames_at([Instant.exact(time) for time in times], _HUGE)
    assert len(everything) == 150
    for frame in frames:
        on_show = max(time for time in everything if time <= frame.wanted)
        assert frame.time == on_show
        assert np.array_equal(frame.image, everything[frame.time])


class _Counted:
    """Counts the packets that are decoded, by how much of them is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.skips: list[str] = []
        self.opened = 0
        plain_decode, plain_open = decode.Cursor._decode, Demuxer.reopen

        def counting(cursor: decode.Cursor, packet: object, skip: str) -> object:
            self.skips.append(skip)
            return plain_decode(cursor, packet, skip)  # type: ignore[arg-type]

        def opening(demuxer: Demuxer) -> None:
            self.opened += 1
            plain_open(demuxer)

        monkeypatch.setattr(decode.Cursor, "_decode", counting)
        monkeypatch.setattr(Demuxer, "reopen", opening)


def _decoded_for(
    path: Path, times: list[Fraction], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], int]:
    with open_video(path) as reader, monkeypatch.context() as patch:
        counted = _Counted(patch)
        reader.frames_at([Instant.exact(time) for time in times], _HUGE)
        return counted.skips, counted.opened


def test_a_group_of_pictures_is_decoded_once(
    clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many instants in one group of pictures cost one pass over it, most of it in full."""
    times = [Fraction(number, 4) for number in range(1, 40)]
    skips, opened = _decoded_for(clip("x264 with 16 B-frames"), times, monkeypatch)
    assert len(skips) <= 150
    assert opened == 0


def test_only_the_groups_that_are_needed_are_decoded(
    clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two instants just after keyframes cost a few packets each, wherever they are."""
    times = [Fraction(65, 15), Fraction(125, 15)]
    for name in ("x264 with a pyramid", "transport stream", "matroska"):
        skips, _ = _decoded_for(clip(name), times, monkeypatch)
        assert len(skips) < 60


def test_unreferenced_frames_are_skipped_until_shortly_before(
    clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last frame of a long group is reached with most packets only skimmed."""
    path = clip("x264 with 16 B-frames")
    skips, _ = _decoded_for(path, [Fraction(149, 15)], monkeypatch)
    assert skips.count("NONREF") > 100
    assert skips[-1] == "DEFAULT"


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


def test_without_a_keyframe_in_the_window_the_frame_is_exact(long_clip: Path) -> None:
    """Where no keyframe lies in the window, the very frame is decoded, and it says so."""
    instants = [
        _windowed(Fraction("2.99"), Fraction(1, 2)),
        _windowed(Fraction("8.2"), Fraction(1, 2)),
        _windowed(Fraction("8.99"), Fraction(1, 2)),
    ]
    with open_video(long_clip) as reader:
        frames = reader.frames_at(instants, _HUGE)
    assert [read_number(frame.image) for frame in frames] == [44, 120, 134]
    assert [frame.snapped for frame in frames] == [False, True, False]


def test_a_keyframe_costs_one_packet(long_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyframe is decoded by itself, whatever lies between it and the one before."""
    with open_video(long_clip) as reader:
        counted = _Counted(monkeypatch)
        reader.frames_at([_windowed(Fraction(t), Fraction(1)) for t in (5, 9, 13)], _HUGE)
    assert counted.skips == ["NONKEY"] * 3


def test_two_windows_that_share_a_keyframe_give_it_once(long_clip: Path) -> None:
    """A frame that two instants would both take is not given twice."""
    instants = [_windowed(Fraction("3.9"), Fraction(1, 2)), _windowed(Fraction("4.1"), Fraction(1))]
    with open_video(long_clip) as reader:
        frames = reader.frames_at(instants, _HUGE)
    assert [read_number(frame.image) for frame in frames] == [60]


def test_a_snapped_keyframe_is_bit_exact(long_clip: Path) -> None:
    """Decoded alone, a keyframe is what it is in the whole clip."""
    with open_video(long_clip) as reader:
        everything = {frame.time: frame.image for frame in reader.first(300, _HUGE)}
        frames = reader.frames_at([_windowed(Fraction(t), Fraction(1)) for t in (2, 9, 18)], _HUGE)
    assert len(frames) == 3
    assert all(np.array_equal(frame.image, everything[frame.time]) for frame in frames)


def test_a_large_matroska_is_read_by_its_cues(
    long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Matroska file too large for a pass over it gives the same frames through its index."""
    monkeypatch.setattr("promptlift.frames.survey._CUES_ABOVE", 0)
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
