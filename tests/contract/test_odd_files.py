"""The odd files that people have, and what a reader makes of each: the right frames or one error.

Every frame carries its number, so that the right frame is checked and not assumed.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest

from media.bad import BAD, CUT, Bad
from media.make import read_number
from media.odd import ODD, Odd
from promptlift.errors import VideoError
from promptlift.types import Frame, Instant, Size
from promptlift.video import (
    FrameChoice,
    VideoAnalysis,
    analyse,
    analyse_and_read,
    frame_count,
    open_video,
    probe,
    read_frames,
)

_HUGE = Size(8192, 8192)
_FRAME = Fraction(1, 15)

# No file here takes a second; a reader that waits for something never comes back.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="session")
def odd_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files by name, each made when it is first asked for."""
    folder = tmp_path_factory.mktemp("odd")

    class Made(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            home = folder / name
            home.mkdir()
            self[name] = ODD[name].make(home)
            return self[name]

    return Made()


def _instants(end: Fraction, count: int) -> list[Fraction]:
    # Off the grid of the frames, so that a coarse clock cannot round to the next frame.
    return [end * (2 * part + 1) / (2 * count) + _FRAME * 2 / 5 for part in range(count)]


def _expected(odd: Odd, instants: list[Fraction]) -> list[tuple[int, Fraction]]:
    positions = [max(0, bisect_right(odd.times, instant) - 1) for instant in instants]
    return [(odd.numbers[at], odd.times[at]) for at in dict.fromkeys(positions)]


def _numbers(frames: tuple[Frame, ...]) -> list[int | None]:
    return [read_number(frame.image) for frame in frames]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("count", [3, 45])
def test_frames_at_instants_are_the_right_ones(
    odd_files: dict[str, Path], name: str, count: int
) -> None:
    """Instants spread over any odd file give the frames on show then, with their true times."""
    odd = ODD[name]
    instants = _instants(odd.times[-1] + _FRAME, count)
    expected = _expected(odd, instants)
    with open_video(odd_files[name]) as reader:
        frames = reader.frames_at([Instant.exact(time) for time in instants], _HUGE)
    assert _numbers(frames) == [number for number, _ in expected]
    assert all(
        abs(frame.time - time) <= odd.tolerance
        for frame, (_, time) in zip(frames, expected, strict=True)
    )
    assert {frame.size for frame in frames} == {Size(*odd.size)}
    assert not any(frame.snapped or frame.corrupt for frame in frames)


@dataclass(frozen=True)
class _Plan:
    """A plan that is made once the video is analysed."""

    frames: int
    size: Size

    def __call__(self, analysis: VideoAnalysis) -> tuple[int, Size]:
        return frame_count(analysis.info, self.frames), self.size


@pytest.mark.parametrize("name", [*ODD, *CUT])
@pytest.mark.parametrize("strategy", ["spread", "fps"])
def test_frames_of_one_pass_are_those_that_are_read_alone(
    odd_files: dict[str, Path], tmp_path: Path, name: str, strategy: str
) -> None:
    """Analysing and reading in one pass gives bit for bit what two separate passes give."""
    path = odd_files[name] if name in ODD else CUT[name](tmp_path)
    choice = FrameChoice(strategy, 8, Fraction(4), exact=True)
    size = Size(96, 72)
    detail: Literal["full", "low"] = "low" if strategy == "spread" else "full"
    analysis, frames = analyse_and_read(path, choice, _Plan(8, size), detail=detail)
    alone = read_frames(path, choice, size)
    assert analysis == analyse(path, detail=detail)
    assert [(f.time, f.wanted, f.corrupt) for f in frames] == [
        (f.time, f.wanted, f.corrupt) for f in alone
    ]
    for one, other in zip(frames, alone, strict=True):
        assert one.size == size
        assert np.array_equal(one.image, other.image)


@pytest.mark.parametrize("name", ODD)
def test_the_file_is_described_as_it_is_shown(odd_files: dict[str, Path], name: str) -> None:
    """What is told of it is true of its frames; the first are those that a player shows first,
    twice the same; one packet is listed for each, and the first may be decoded by itself.
    """
    odd = ODD[name]
    with open_video(odd_files[name]) as reader:
        info, index = reader.info, reader.index
        once, again = reader.first(4, _HUGE), reader.first(4, _HUGE)
    facts = {
        "size": Size(*odd.size),
        "frame_count": len(odd.numbers),
        "frame_rate": Fraction(15),
        "size_bytes": odd_files[name].stat().st_size,
        **dict(odd.facts),
    }
    assert {key: getattr(info, key) for key in facts} == facts
    if "duration" not in facts:
        assert info.duration is not None
        assert abs(info.duration - len(odd.numbers) * _FRAME) <= odd.tolerance
    assert _numbers(once) == _numbers(again) == list(odd.numbers[:4])
    assert once[0].time == 0
    assert len(index.times) == len(index.sizes) == len(index.keys) == len(odd.numbers)
    assert list(index.times) == sorted(index.times)
    assert all(size > 0 for size in index.sizes)
    assert index.keys[0] or name == "edit-list"


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video_is_one_clean_error(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that is no video gives one error that says what it is; nothing goes to stderr."""
    bad: Bad = BAD[name]
    path = bad.make(tmp_path)
    if name == "locked" and os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert type(caught.value) is bad.error
    assert bad.words in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert capfd.readouterr() == ("", "")


def _decoded(path: Path) -> dict[Fraction, int | None]:
    """Decode a file from its start without any of our code; times to numbers."""
    found: dict[Fraction, int | None] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        packets = container.demux(stream)
        while True:
            try:
                for frame in next(packets).decode():
                    assert frame.pts is not None
                    assert stream.time_base is not None
                    number = read_number(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                    found[frame.pts * stream.time_base] = number
            except (av.error.FFmpegError, StopIteration) as error:
                if not isinstance(error, av.error.InvalidDataError) or not found:
                    break
    start = min(found)
    return {time - start: number for time, number in found.items()}


@pytest.mark.parametrize("name", CUT)
def test_what_is_left_of_a_damaged_file_is_read(tmp_path: Path, name: str) -> None:
    """A video that was cut or damaged gives the frames that a full decode of it gives, and far
    behind its end the last whole one. Frames that are marked as corrupt are what the decoder makes
    of them; the very last of a cut file may be cut itself, and MPEG-4 gives half a picture for it.
    """
    path = CUT[name](tmp_path)
    whole = _decoded(path)
    with open_video(path) as reader:
        assert reader.info.duration is not None
        instants = _instants(reader.info.duration, 8)
        frames = reader.frames_at([Instant.exact(time) for time in instants], _HUGE)
        (last,) = reader.frames_at([Instant.exact(Fraction(1000))], _HUGE)
    assert len(frames) >= 5
    assert all(frame.corrupt or read_number(frame.image) == whole[frame.time] for frame in frames)
    if name != "corrupt":
        assert not any(frame.corrupt for frame in frames)
        assert last.time in sorted(whole)[-2:]
        assert read_number(last.image) == whole[last.time] is not None


def test_a_video_whose_times_go_back_gives_frames_that_go_forward(tmp_path: Path) -> None:
    """Where two pieces of a stream were swapped, no frame that is given is before another."""
    whole = ODD["mpeg-ts"].make(tmp_path).read_bytes()
    third = len(whole) // 188 // 3 * 188
    path = tmp_path / "swapped.ts"
    path.write_bytes(whole[third : 2 * third] + whole[:third] + whole[2 * third :])
    with open_video(path) as reader:
        assert reader.info.duration is not None
        instants = _instants(reader.info.duration, 12)
        frames = reader.frames_at([Instant.exact(time) for time in instants], _HUGE)
        strip = reader.thumbnails()
    for times in ([frame.time for frame in frames], list(strip.times)):
        assert len(times) > 2
        assert times == sorted(set(times))


@pytest.mark.parametrize("name", ["b-frames", "mkv", "mpeg-ts", "raw-h264-b", "open-gop-hevc"])
def test_calls_do_not_disturb_each_other(odd_files: dict[str, Path], name: str) -> None:
    """Whatever was read before, forwards or backwards, the frame at an instant is the same."""
    with open_video(odd_files[name]) as reader:
        for second in (2, 0, 1, 2, 1, 0):
            reader.first(1, Size(16, 16))
            instant = Instant.exact(Fraction(second) + _FRAME / 3)
            assert _numbers(reader.frames_at([instant], _HUGE)) == [second * 15]
