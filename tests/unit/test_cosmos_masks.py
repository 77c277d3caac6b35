"""Regions that are given as mask videos."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from loaders.desk import Desk, long
from media.masks import Place, film, mask, painted, write
from promptlift.config import Options
from promptlift.core.video import Size
from promptlift.cosmos.items import Box
from promptlift.cosmos.masks import box_of, boxes_at, times_seen
from promptlift.cosmos.regions import cut_region
from promptlift.cosmos.results import Finished
from promptlift.cosmos.sheet import render_sheet
from promptlift.errors import SpecError, VideoError
from promptlift.frames import open_video, probe

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SIZE = (320, 176)
CELL = 4  # pixels of one of the 80x44 cells at that size


def moving(number: int) -> Place:
    """A thing of 64x48 pixels that goes right by 16 pixels with each frame."""
    return (16 * number, 64, 16 * number + 64, 112)


def late(number: int) -> Place | None:
    """The same thing, there only in the last quarter."""
    return (128, 64, 192, 112) if number >= 12 else None


def never(number: int) -> None:
    """Nothing in any frame."""
    del number


def everywhere(number: int) -> Place:
    """All of the picture."""
    del number
    return (0, 0, *SIZE)


def opened(picture: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture of a part as RGB."""
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def share_of_red(picture: bytes) -> float:
    """How much of a picture is the thing."""
    image = opened(picture).astype(int)
    return float(np.mean(image[..., 0] - image[..., 1] > 80))


# Where the region is in one frame


@given(
    st.tuples(st.integers(0, 79), st.integers(0, 79)).map(sorted),
    st.tuples(st.integers(0, 43), st.integers(0, 43)).map(sorted),
)
def test_a_rectangle_of_whole_cells_is_found_exactly(across: list[int], down: list[int]) -> None:
    """Any rectangle on the grid of 80x44 cells comes back as it was painted."""
    left, top, right, bottom = across[0], down[0], across[1] + 1, down[1] + 1
    place = (left * CELL, top * CELL, right * CELL, bottom * CELL)
    found = box_of(painted(SIZE, place, WHITE, BLACK))
    assert found == Box(left / 80, top / 44, right / 80, bottom / 44)


@pytest.mark.parametrize(("level", "seen"), [(191, False), (192, True), (255, True), (0, False)])
def test_the_threshold_is_that_of_cosmos(level: int, seen: bool) -> None:
    """Above 0.5 of -1..1 is a level of 192 and more: half grey is no region."""
    assert level / 127.5 - 1 > 0.5 if seen else level / 127.5 - 1 <= 0.5
    place = (40, 44, 120, 88)
    found = box_of(painted(SIZE, place, (level,) * 3, BLACK))
    assert found == (Box(0.125, 0.25, 0.375, 0.5) if seen else None)


def test_only_the_red_channel_counts() -> None:
    """Cosmos-Transfer1 takes the first channel: a green mask is none, a red one is."""
    place = (40, 44, 120, 88)
    assert box_of(painted(SIZE, place, (0, 255, 0), BLACK)) is None
    assert box_of(painted(SIZE, place, (255, 0, 0), BLACK)) is not None


def test_a_speck_within_one_cell_is_no_region() -> None:
    """Compression leaves white specks; the generator's cells are too coarse for them."""
    image = painted(SIZE, (100, 100, 102, 102), WHITE, BLACK)
    assert box_of(image) is None


# Where it is in the frames of a video


def test_mask_and_video_are_paired_by_the_number_of_the_frame(tmp_path: Path) -> None:
    """A mask that claims another rate still belongs frame by frame, as Cosmos-Transfer1 reads."""
    video = film(tmp_path / "film.mp4", moving, rate=Fraction(8))
    for rate in (Fraction(8), Fraction(30000, 1001), Fraction(2)):
        name = mask(tmp_path / f"{rate.numerator}.mp4", moving, rate=rate)
        with open_video(name) as reader:
            boxes = boxes_at(reader, probe(video), [Fraction(number, 8) for number in (0, 5, 15)])
        lefts = [round(box.left * 320) for box in boxes if box is not None]
        assert lefts == [0, 80, 240]


def test_a_mask_of_one_frame_holds_for_all_of_the_video(tmp_path: Path) -> None:
    """Cosmos-Transfer1 spreads a single frame over the clip."""
    video = film(tmp_path / "film.mp4", moving)
    still = mask(tmp_path / "still.mp4", moving, frames=1)
    with open_video(still) as reader:
        boxes = boxes_at(reader, probe(video), [Fraction(0), Fraction(3, 2)])
        assert boxes == [Box(0, 16 / 44, 0.2, 28 / 44)] * 2
        assert boxes_at(reader, probe(video), []) == []


def test_when_a_region_is_seen_is_told_in_the_times_of_the_video(tmp_path: Path) -> None:
    """The mask runs at twice the video's rate, and the region comes with frame 12."""
    video = film(tmp_path / "film.mp4", late, rate=Fraction(4))
    name = mask(tmp_path / "mask.mp4", late, rate=Fraction(8))
    with open_video(name) as reader:
        times = times_seen(reader, probe(video))
    assert times
    assert all(Fraction(12, 4) <= time < Fraction(16, 4) for time in times)


# The pictures


def test_the_window_follows_a_region_that_moves(tmp_path: Path) -> None:
    """Each frame is cut around where the thing is, so that it fills both pictures, which one box
    over the whole clip would not do; the pictures are of one size and know their times.
    """
    video = film(tmp_path / "film.mp4", moving)
    part = cut_region(video, mask(tmp_path / "mask.mp4", moving), Options())
    assert [opened(picture).shape for picture in part.pictures] == [(48, 64, 3)] * 2
    assert all(share_of_red(picture) > 0.9 for picture in part.pictures)
    assert list(part.times) == [Fraction(4, 8), Fraction(12, 8)]


def test_the_windows_are_as_large_as_the_region_ever_is_and_stay_inside(tmp_path: Path) -> None:
    """A region that shrinks towards the edge is still shown in pictures of one size."""

    def shrinking(number: int) -> Place:
        return (0, 0, 160, 80) if number < 8 else (304, 160, 320, 176)

    video = film(tmp_path / "film.mp4", shrinking)
    part = cut_region(video, mask(tmp_path / "mask.mp4", shrinking), Options())
    assert [opened(picture).shape for picture in part.pictures] == [(80, 160, 3)] * 2
    corner = opened(part.pictures[1])[-8:, -8:].astype(int)
    assert np.all(corner[..., 0] - corner[..., 1] > 80)


def test_frames_without_the_region_are_passed_over(tmp_path: Path) -> None:
    """A thing that comes late is shown where it is there, and a note says from when to when."""
    video = film(tmp_path / "film.mp4", late)
    part = cut_region(video, mask(tmp_path / "mask.mp4", late), Options())
    assert len(part.pictures) == 2
    assert all(share_of_red(picture) > 0.9 for picture in part.pictures)
    assert all(time >= Fraction(12, 8) for time in part.times)
    assert "comes and goes" in part.notes[0]


def test_a_region_seen_for_a_moment_gives_the_one_frame_that_has_it(tmp_path: Path) -> None:
    """Where there are not as many frames as asked for, there are fewer and never a wrong one."""

    def once(number: int) -> Place | None:
        return (128, 64, 192, 112) if number == 4 else None

    video = film(tmp_path / "film.mp4", once)
    part = cut_region(video, mask(tmp_path / "mask.mp4", once), Options())
    assert [share_of_red(picture) > 0.9 for picture in part.pictures] == [True]


def test_isolated_or_not_the_pictures_are_the_same(tmp_path: Path) -> None:
    """What a part holds survives the way back from a child process."""
    from promptlift.frames.isolated import isolated_call

    video, name = film(tmp_path / "film.mp4", moving), mask(tmp_path / "mask.mp4", moving)
    assert isolated_call(cut_region, video, name, Options()) == cut_region(video, name, Options())


# Masks that are odd or wrong


def notes_of(folder: Path, name: Path) -> str:
    """What is noted of a mask for a film of 16 frames."""
    return "\n".join(cut_region(film(folder / "film.mp4", moving), name, Options()).notes)


def test_an_empty_mask_is_an_error(tmp_path: Path) -> None:
    """Black, or grey that Cosmos-Transfer1 does not count: nothing would be prompted."""
    video = film(tmp_path / "film.mp4", moving)
    for name, at, level in (("black.mp4", never, 255), ("grey.mp4", moving, 128)):
        dark = mask(tmp_path / name, at, level=level)
        with pytest.raises(SpecError, match=rf"{name}' is empty.*white"):
            cut_region(video, dark, Options())


def test_a_mask_of_another_size_is_noted(tmp_path: Path) -> None:
    """Cosmos-Transfer1 does not scale masks; the region is shown all the same."""

    def halved(number: int) -> Place:
        left, top, right, bottom = moving(number)
        return (left // 2, top // 2, right // 2, bottom // 2)

    name = mask(tmp_path / "mask.mp4", halved, size=(160, 88))
    said = notes_of(tmp_path, name)
    assert "it is 160x88, and Cosmos-Transfer1 raises for a mask that is not 1280x704" in said
    assert "of another shape" not in said
    part = cut_region(tmp_path / "film.mp4", name, Options())
    assert all(share_of_red(picture) > 0.9 for picture in part.pictures)


def test_a_mask_of_another_shape_is_noted(tmp_path: Path) -> None:
    """A square mask of a wide video is stretched, as the generator's own cells are."""
    said = notes_of(tmp_path, mask(tmp_path / "mask.mp4", everywhere_square, size=(176, 176)))
    assert "176x176 and the video 320x176, of another shape" in said


def everywhere_square(number: int) -> Place:
    """Half of a square picture."""
    del number
    return (0, 0, 88, 176)


def test_a_mask_of_another_length_is_noted(tmp_path: Path) -> None:
    """Too short for the generator is said as such; longer than the video is a smaller matter."""
    short = notes_of(tmp_path, mask(tmp_path / "short.mp4", moving, frames=9))
    assert "it has 9 frames, and Cosmos-Transfer1 raises for a mask of fewer than 121" in short
    size = (32, 16)
    images = [painted(size, (0, 0, 16, 16), WHITE, BLACK)] * 121
    said = notes_of(tmp_path, write(tmp_path / "long.mp4", images))
    assert "it has 121 frames and the video 16: they are paired from the first on" in said


def test_a_mask_as_the_generator_wants_it_is_noted_in_nothing(tmp_path: Path) -> None:
    """Of the right size and one frame that holds for all."""
    place = (640, 352, 1280, 704)
    still = mask(tmp_path / "m.mp4", lambda _: place, frames=1, size=(1280, 704))
    assert notes_of(tmp_path, still) == ""


def test_a_mask_of_everything_is_noted(tmp_path: Path) -> None:
    """It is no mistake as such, but then it is no region either: all of the picture is shown."""
    name = mask(tmp_path / "mask.mp4", everywhere)
    assert "the whole picture" in notes_of(tmp_path, name)
    part = cut_region(tmp_path / "film.mp4", name, Options())
    assert opened(part.pictures[0]).shape == (176, 320, 3)


def test_an_unreadable_mask_is_told_from_an_unreadable_video(tmp_path: Path) -> None:
    """Each error says which of the two files it is about."""
    good, bad = film(tmp_path / "film.mp4", moving), tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all" * 100)
    with pytest.raises(SpecError, match="the region's mask cannot be read"):
        cut_region(good, bad, Options())
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        cut_region(bad, good, Options())


def test_a_region_of_a_few_pixels_is_an_error(tmp_path: Path) -> None:
    """What is smaller than a patch of the model shows nothing."""

    def tiny(number: int) -> Place:
        del number
        return (160, 88, 168, 96)

    video = film(tmp_path / "film.mp4", tiny)
    with pytest.raises(SpecError, match="the region is 8x8 pixels of 320x176"):
        cut_region(video, mask(tmp_path / "mask.mp4", tiny), Options())


# In a spec


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder with a film and the mask of what moves in it."""
    (tmp_path / "assets").mkdir()
    film(tmp_path / "assets/rgb.mp4", moving)
    mask(tmp_path / "assets/mask.mp4", moving)
    return Desk(tmp_path)


def spec_with(desk: Desk, region: str) -> Path:
    """A spec with one regional prompt."""
    regional = [{"prompt": "a red block", "region_definitions_path": region}]
    content = {
        "prompt": "a block on a lawn",
        "input_video_path": "assets/rgb.mp4",
        "edge": {},
        "regional_prompts": regional,
    }
    return desk.put("spec.json", content)


def entries(desk: Desk) -> list[dict[str, Any]]:
    """The items of the sidecar."""
    text = (desk.folder / "spec.upsampled.promptlift.json").read_text(encoding="utf-8")
    loaded: list[dict[str, Any]] = json.loads(text)["items"]
    return loaded


def statuses(done: list[Finished]) -> list[str]:
    """What became of each item."""
    return [result.status for spec in done for result in spec.results]


def test_a_masked_prompt_is_upsampled_from_its_region(desk: Desk) -> None:
    """The engine sees the cut frames at their true times; the mask stays in the spec, and what it
    will do to the generator is noted.
    """
    spec = spec_with(desk, "assets/mask.mp4")
    (done,) = desk.run(spec, regions=True)
    assert statuses([done]) == ["done", "done"]
    (asked,) = [one for one in desk.engine.requests if one.short_prompt == "a red block"]
    assert [frame.size for frame in asked.frames] == [Size(64, 48)] * 2
    made = json.loads((desk.folder / "spec.upsampled.json").read_text())
    (regional,) = made["regional_prompts"]
    assert regional["prompt"] == long("a red block")
    assert regional["region_definitions_path"] == "assets/mask.mp4"
    entry = entries(desk)[1]
    assert (entry["mask"], entry["region"]) == ("assets/mask.mp4", None)
    assert [frame["seconds"] for frame in entry["record"]["frames"]] == [0.5, 1.5]
    assert done.results[1].job is not None
    assert any("mask 'mask.mp4': it is 320x176" in note for note in done.results[1].job.notes)


def test_the_review_sheet_shows_the_region_and_what_was_noted(desk: Desk) -> None:
    """The mask's name, the cut frames at their times, and what the generator will stumble over."""
    done = desk.run(spec_with(desk, "assets/mask.mp4"), regions=True, pictures=True)
    page = render_sheet(done, written=True)
    assert "region: assets/mask.mp4" in page
    assert "0.50 s, 64x48" in page
    assert "mask &#x27;mask.mp4&#x27;: it is 320x176, and Cosmos-Transfer1 raises" in page


def test_nothing_is_claimed_of_motion_from_cut_frames(desk: Desk) -> None:
    """Two moments of a clip are no clip: no camera, no movement and no cut is measured."""
    desk.run(spec_with(desk, "assets/mask.mp4"), regions=True)
    facts = entries(desk)[1]["record"]["facts"]
    assert (facts["camera"], facts["movement"], facts["cuts"]) == (None, None, None)
    assert facts["palette"] is not None


def test_a_region_is_done_again_when_it_names_another_mask(desk: Desk) -> None:
    """The same mask is not asked about twice; another one is another region."""
    desk.run(spec_with(desk, "assets/mask.mp4"), regions=True)
    assert statuses(desk.run(spec_with(desk, "assets/mask.mp4"), regions=True)) == ["kept", "kept"]
    mask(desk.folder / "assets/other.mp4", everywhere)
    assert statuses(desk.run(spec_with(desk, "assets/other.mp4"), regions=True)) == ["kept", "done"]


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("assets/none.mp4", "the region's mask 'assets/none.mp4' is not there"),
        ("assets/mask.json", "takes a file only as a video"),
        ("assets/mask.png", "takes a file only as a video"),
        ("assets/mask.pt", "takes a file only as a video"),
        ("", "takes a file only as a video"),
    ],
)
def test_a_file_that_cosmos_refuses_fails_its_item_only(desk: Desk, region: str, said: str) -> None:
    """Transfer1's preprocessor stops at any file that is no video, JSON with boxes included."""
    (done,) = desk.run(spec_with(desk, region), regions=True)
    assert statuses([done]) == ["done", "failed"]
    assert said in done.results[1].reason


def test_again_leaves_regions_alone_unless_they_are_asked_for(desk: Desk) -> None:
    """Only --regions touches them; --again does anew what would be done."""
    spec = spec_with(desk, "assets/mask.mp4")
    assert statuses(desk.run(spec, again=True)) == ["done", "kept"]
    assert statuses(desk.run(spec, again=True, regions=True)) == ["done", "done"]


@pytest.mark.parametrize("again", [False, True])
def test_a_run_without_regions_keeps_those_of_an_earlier_one(desk: Desk, again: bool) -> None:
    """What --regions has made is not taken back by a run that leaves it out."""
    spec = spec_with(desk, "assets/mask.mp4")
    desk.run(spec, regions=True)
    made = (desk.folder / "spec.upsampled.json").read_text()
    assert statuses(desk.run(spec, again=again)) == ["done" if again else "kept", "kept"]
    assert (desk.folder / "spec.upsampled.json").read_text() == made
    assert entries(desk)[1]["status"] == "done"
