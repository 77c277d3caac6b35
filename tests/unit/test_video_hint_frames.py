"""Hint frames of real videos: each strategy takes the frames it says, and no blank ones."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

from promptlift.types import Size
from promptlift.video.clip import NativeFrame
from promptlift.video.reader import FrameChoice, hint_frames
from promptlift.video.source import open_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from promptlift.types import Frame

    Picture = NDArray[np.uint8]

BOX = Size(64, 48)
FPS = 24


def _numbered(number: int) -> Picture:
    """A picture that moves, with its number as 16 black and white blocks in the top row."""
    rows, columns = np.mgrid[0:48, 0:64]
    grain = np.random.default_rng(number).integers(0, 40, (48, 64))
    picture = ((columns * 3 + rows * 2 + number * 5 + grain) % 256).astype(np.uint8)
    bits = [(number >> bit) & 1 for bit in range(16)]
    picture[:8] = np.repeat(np.array(bits, np.uint8) * 255, 4)
    return np.repeat(picture[..., None], 3, axis=2)


def _number(frame: Frame) -> int:
    """Read the number back."""
    bits = frame.image[1:7, :, 1].mean(0).reshape(16, 4).mean(1) > 127
    return sum(1 << place for place, bit in enumerate(bits) if bit)


def _plain(level: int) -> Callable[[int], Picture]:
    return lambda number: np.full((48, 64, 3), level, np.uint8)


def _video(path: Path, pictures: Iterable[Picture], *, fps: int = FPS, group: int = 1000) -> Path:
    with av.open(str(path), "w") as container:
        options = {"crf": "10", "g": str(group), "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


def _pieces(*pieces: tuple[Callable[[int], Picture], int]) -> list[Picture]:
    """Pictures of several makers in turn, numbered through."""
    makers = [maker for maker, count in pieces for _ in range(count)]
    return [maker(number) for number, maker in enumerate(makers)]


def _numbers(frames: Sequence[Frame]) -> list[int]:
    return [_number(frame) for frame in frames]


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds in which every frame tells its number."""
    path = tmp_path_factory.mktemp("look") / "moving.mp4"
    return _video(path, _pieces((_numbered, 96)))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds with a keyframe every two."""
    path = tmp_path_factory.mktemp("look") / "long.mp4"
    return _video(path, _pieces((_numbered, 480)), group=48)


def test_spread_takes_the_centres_of_equal_parts(moving: Path) -> None:
    """Of 96 frames, the ones on show at 1 s and 3 s, with their true times."""
    with open_video(moving) as reader:
        frames = hint_frames(reader, box=BOX)
    assert _numbers(frames) == [24, 72]
    assert [frame.time for frame in frames] == [1, 3]
    assert [frame.wanted for frame in frames] == [1, 3]


def test_scenes_takes_one_of_each_shot(tmp_path: Path) -> None:
    """Three shots of unequal length give one frame each, none next to a cut."""

    def shot(base: int) -> Callable[[int], Picture]:
        def picture(number: int) -> Picture:
            image = np.roll(_numbered(number), base, axis=2)
            image[8:] = (image[8:] // 4 + base).astype(np.uint8)
            return image

        return picture

    pictures = _pieces((shot(0), 20), (shot(180), 60), (shot(90), 40))
    with open_video(_video(tmp_path / "a.mp4", pictures)) as reader:
        first, second, third = _numbers(hint_frames(reader, FrameChoice("scenes", 3), box=BOX))
    assert 2 <= first <= 17
    assert 23 <= second <= 77
    assert 83 <= third <= 117


@pytest.mark.parametrize("strategy", ["spread", "first", "fps", "scenes"])
def test_every_strategy_gives_frames_of_the_box_in_the_colours_of_the_video(
    moving: Path, strategy: str
) -> None:
    """Fitted into the box, or of its very size when told so; for a clip, as YUV too."""
    with open_video(moving) as reader:
        for frame in hint_frames(reader, FrameChoice(strategy), box=Size(40, 40)):
            assert frame.size == Size(40, 30)
        for frame in hint_frames(reader, FrameChoice(strategy), box=Size(40, 40), stretch=True):
            assert frame.size == Size(40, 40)
    with open_video(moving, native=True) as reader:
        for frame in hint_frames(reader, FrameChoice(strategy), box=BOX):
            assert isinstance(frame, NativeFrame)
            luma = frame.native.to_ndarray(format="gray").astype(int)
            assert np.abs(luma - frame.image.mean(-1)).mean() < 12


def test_a_long_clip_gives_keyframes_and_says_so(long: Path) -> None:
    """Past 15 seconds the keyframe nearest to each centre is taken; its time is its own."""
    with open_video(long) as reader:
        frames = hint_frames(reader, box=BOX)
    assert [frame.wanted for frame in frames] == [5, 15]
    assert all(frame.snapped for frame in frames)
    for frame, number in zip(frames, _numbers(frames), strict=True):
        assert number % 48 == 0
        assert frame.time == Fraction(number, 24)
        assert abs(frame.time - frame.wanted) <= 1


def test_a_blank_frame_is_replaced_within_its_part(tmp_path: Path) -> None:
    """A flash of white at a centre gives way to another frame of the same half."""
    pictures = _pieces((_numbered, 21), (_plain(255), 6), (_numbered, 69))
    with open_video(_video(tmp_path / "a.mp4", pictures)) as reader:
        frames = hint_frames(reader, box=BOX)
    assert _numbers(frames) == [36, 72]


@pytest.mark.parametrize("end", [_plain(0), _plain(128), _plain(255), lambda _: _numbered(1)])
def test_blank_and_frozen_ends_are_avoided(tmp_path: Path, end: Callable[[int], Picture]) -> None:
    """Whether black, grey, white or a still picture, half a clip's worth of it is not shown."""
    pictures = _pieces((end, 40), (_numbered, 96), (end, 40))
    with open_video(_video(tmp_path / "a.mp4", pictures)) as reader:
        for count in (1, 2, 3, 4):
            frames = hint_frames(reader, FrameChoice(count=count), box=BOX)
            assert len(frames) == count
            assert all(40 <= number < 136 for number in _numbers(frames))


@pytest.mark.parametrize("strategy", ["spread", "first", "fps", "scenes"])
def test_a_short_video_gives_each_frame_once(tmp_path: Path, strategy: str) -> None:
    """Of three frames never more than three, and no two the same; of a still picture itself."""
    with open_video(_video(tmp_path / "a.mp4", _pieces((_numbered, 3)))) as reader:
        for count in (1, 2, 8):
            frames = hint_frames(reader, FrameChoice(strategy, count, Fraction(48)), box=BOX)
            times = [frame.time for frame in frames]
            assert 1 <= len(times) <= min(count, 3)
            assert times == sorted(set(times))
    Image.fromarray(_numbered(5)).save(tmp_path / "still.png")
    with open_video(tmp_path / "still.png") as reader:
        frames = hint_frames(reader, FrameChoice(strategy, 4), box=BOX)
    assert _numbers(frames) == [5]
    assert frames[0].time == 0
