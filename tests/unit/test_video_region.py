"""A region of a video: its hint frames, cut to a box or along a mask video."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.make import BLACK, WHITE, Place, film, painted, write
from promptlift.errors import OptionError, SpecError, VideoError
from promptlift.options import Options
from promptlift.pipeline import Prepared, VideoCache, prepare, profile_of
from promptlift.testing import FakeEngine
from promptlift.types import Box, Frame, Size
from promptlift.video.reader import FrameChoice
from promptlift.video.region import boxes_at, mask_box
from promptlift.video.source import VideoRegion, open_video, probe

SIZE = (320, 176)
mask = partial(film, thing=WHITE, ground=BLACK)
CELL = 4  # pixels of one of the 80x44 cells at that size
FRAMES = 2


def moving(number: int) -> Place:
    """A thing of 64x48 pixels that goes right by 16 pixels with each frame."""
    return (16 * number, 64, 16 * number + 64, 112)


def late(number: int) -> Place | None:
    """The same thing, there only in the last quarter."""
    return (128, 64, 192, 112) if number >= 12 else None


def cut(video: Path, region: Box | Path) -> tuple[tuple[Frame, ...], tuple[str, ...]]:
    """The frames of a region, and what is warned of."""
    choice = FrameChoice("spread", FRAMES, Fraction(2), exact=False)
    source = VideoRegion(str(video), region if isinstance(region, Box) else str(region), choice)
    with open_video(source) as reader:
        return reader.first(FRAMES, Size(1000, 1000)), reader.warnings


def share_of_red(frame: Frame) -> float:
    """How much of a frame is the thing."""
    image = frame.image.astype(int)
    return float(np.mean(image[..., 0] - image[..., 1] > 80))


@given(
    st.tuples(st.integers(0, 79), st.integers(0, 79)).map(sorted),
    st.tuples(st.integers(0, 43), st.integers(0, 43)).map(sorted),
)
def test_a_rectangle_of_whole_cells_is_found_exactly(across: list[int], down: list[int]) -> None:
    """Any rectangle on the grid of 80x44 cells comes back as it was painted."""
    left, top, right, bottom = across[0], down[0], across[1] + 1, down[1] + 1
    place = (left * CELL, top * CELL, right * CELL, bottom * CELL)
    found = mask_box(painted(SIZE, place))
    assert found == Box(left / 80, top / 44, right / 80, bottom / 44)


def test_the_threshold_is_that_of_cosmos() -> None:
    """Above 0.5 of -1..1 is a level of 192 and more, of the first channel, and a speck within one
    of the generator's cells is no region.
    """

    def found(color: tuple[int, int, int], size: int = 80) -> Box | None:
        return mask_box(painted(SIZE, (40, 44, 40 + size, 44 + size), color))

    assert found((192, 192, 192)) == found((255, 0, 0)) == Box(0.125, 0.25, 0.375, 31 / 44)
    assert found((191, 191, 191)) is found((0, 255, 0)) is found(WHITE, 2) is None


def test_mask_and_video_are_paired_by_the_number_of_the_frame(tmp_path: Path) -> None:
    """A mask that claims another rate still belongs frame by frame, as Cosmos-Transfer1 reads; a
    mask of one frame holds for all.
    """
    video = film(tmp_path / "film.mp4", moving, rate=Fraction(8))
    for rate in (Fraction(8), Fraction(30000, 1001), Fraction(2)):
        name = mask(tmp_path / f"{rate.numerator}.mp4", moving, rate=rate)
        with open_video(name) as reader:
            boxes = boxes_at(reader, probe(video), [Fraction(number, 8) for number in (0, 5, 15)])
        assert [round(box.left * 320) for box in boxes if box is not None] == [0, 80, 240]
    with open_video(mask(tmp_path / "still.mp4", moving, frames=1)) as reader:
        boxes = boxes_at(reader, probe(video), [Fraction(0), Fraction(3, 2)])
    assert boxes == [Box(0, 16 / 44, 0.2, 28 / 44)] * 2


def test_frames_are_cut_to_a_box_or_to_a_window_that_follows(tmp_path: Path) -> None:
    """At their own times: a box in the same place, a window around where the thing is."""
    video = film(tmp_path / "film.mp4", moving)
    boxed, warnings = cut(video, Box(0.25, 0, 0.75, 0.5))
    assert [frame.size for frame in boxed] == [Size(160, 88)] * 2
    assert warnings == ()
    followed, _ = cut(video, mask(tmp_path / "mask.mp4", moving))
    assert [frame.size for frame in followed] == [Size(64, 48)] * 2
    assert all(share_of_red(frame) > 0.9 for frame in followed)
    for frames in (boxed, followed):
        assert [frame.time for frame in frames] == [Fraction(4, 8), Fraction(12, 8)]


def test_the_windows_are_as_large_as_the_region_ever_is_and_stay_inside(tmp_path: Path) -> None:
    """A region that shrinks towards the edge is still shown in frames of one size."""

    def shrinking(number: int) -> Place:
        return (0, 0, 160, 80) if number < 8 else (304, 160, 320, 176)

    frames, _ = cut(film(tmp_path / "f.mp4", shrinking), mask(tmp_path / "m.mp4", shrinking))
    assert [frame.size for frame in frames] == [Size(160, 80)] * 2
    assert share_of_red(replace(frames[1], image=frames[1].image[-8:, -8:])) == 1


def prepared(video: Path | list[bytes], options: Options) -> Prepared:
    """An item that is ready to be asked, or says why not."""

    async def work() -> Prepared:
        profile = await profile_of(FakeEngine(context=None))
        source = str(video) if isinstance(video, Path) else video
        return await prepare(source, "a red block", options, profile, VideoCache())

    return asyncio.run(work())


def test_an_item_is_prepared_from_its_region(tmp_path: Path) -> None:
    """A thing that comes late is shown where it is there, at its true times, and nothing is
    claimed of what a few moments do not show: camera, movement and cuts. Another region is another
    item.
    """
    video = film(tmp_path / "film.mp4", late)
    item = prepared(video, Options(mask=mask(tmp_path / "mask.mp4", late)))
    assert item.error is None
    assert item.name == "film.mp4"
    assert [frame.size for frame in item.frames] == [Size(64, 48)] * 2
    assert all(share_of_red(frame) > 0.9 for frame in item.frames)
    assert all(frame.time >= Fraction(12, 8) for frame in item.frames)
    assert item.analysis is not None
    facts = item.analysis.facts
    assert (facts.camera, facts.movement, facts.cuts) == (None, None, None)
    assert any("comes and goes" in line for line in item.analysis.warnings)
    whole, half = prepared(video, Options()), prepared(video, Options(region="0,0,0.5,1"))
    assert len({item.key, whole.key, half.key}) == 3
    assert isinstance(prepared([b"x"], Options(region="0,0,0.5,1")).error, OptionError)


def test_what_the_generator_refuses_is_warned_of(tmp_path: Path) -> None:
    """Another size, or too few frames."""
    video = film(tmp_path / "film.mp4", moving)
    everywhere = painted((160, 88), (0, 0, 160, 88))
    _, warnings = cut(video, write(tmp_path / "small.mp4", [everywhere] * 9))
    assert [line.partition("': ")[2] for line in warnings] == [
        "it is 160x88, and Cosmos-Transfer1 raises for a mask that is not 1280x704",
        "it has 9 frames, and Cosmos-Transfer1 raises for a mask of fewer than 121",
    ]
    still = mask(tmp_path / "m.mp4", lambda _: (640, 352, 1280, 704), frames=1, size=(1280, 704))
    assert cut(video, still)[1] == ()


def test_an_empty_mask_is_an_error(tmp_path: Path) -> None:
    """Black, or grey that Cosmos-Transfer1 does not count: nothing would be prompted."""
    video = film(tmp_path / "film.mp4", moving)
    for name, at, level in (("black.mp4", lambda _: None, 255), ("grey.mp4", moving, 128)):
        dark = mask(tmp_path / name, at, thing=(level,) * 3)
        with pytest.raises(SpecError, match=rf"{name}' is empty.*white"):
            cut(video, dark)


def test_an_error_says_which_of_the_files_it_is_about(tmp_path: Path) -> None:
    """The mask, the video, or a region of less than a patch."""
    good, bad = film(tmp_path / "film.mp4", moving), tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all" * 100)
    with pytest.raises(SpecError, match="the region's mask cannot be read"):
        cut(good, bad)
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        cut(bad, good)
    with pytest.raises(SpecError, match="the region is 8x8 pixels of 320x176"):
        cut(good, Box(0.5, 0.5, 0.525, 0.545))
