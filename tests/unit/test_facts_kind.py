"""The kind of video: controls are told apart, and a camera picture is never taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from media.scenes import (
    compressed,
    depth_map,
    edges,
    label_map,
    lidar,
    mask,
    photograph,
    road_lines,
    small,
    spoilt,
)
from promptlift.facts.kind import kind
from promptlift.facts.texture import texture

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = range(6)
BLURS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "sigma 6": lambda p: p.filter(ImageFilter.GaussianBlur(6)),
    "sigma 9": lambda p: p.filter(ImageFilter.GaussianBlur(9)),
    "sigma 14": lambda p: p.filter(ImageFilter.GaussianBlur(14)),
    "16 times down and up": lambda p: p.resize(
        (p.width // 16, p.height // 16), Image.Resampling.BOX
    ).resize(p.size, Image.Resampling.BICUBIC),
}


def kind_of(picture: Image.Image, quality: int = 75) -> str | None:
    """The kind of one picture at a strip's size, after compression."""
    found = kind(texture(small(compressed(picture, quality))[None]))
    return None if found is None else found.value


@pytest.mark.parametrize("seed", SEEDS)
def test_a_camera_picture_stays_rgb_however_it_is_spoilt(seed: int) -> None:
    """Dark, hazy, grey, noisy, soft, over-exposed, barred and starved pictures are all rgb."""
    kinds = {name: kind_of(picture, 60) for name, picture in spoilt(photograph(seed), seed)}
    assert set(kinds.values()) == {"rgb"}, kinds


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("threshold", [3, 5, 8])
def test_canny_edges_are_edges(seed: int, threshold: float) -> None:
    """Thin white lines on black are edges, dense or sparse, or nothing; never anything else."""
    assert kind_of(edges(photograph(seed), threshold)) in {"edge", None}


def test_edges_of_most_pictures_are_found() -> None:
    """The test above is not satisfied by silence: nearly all of the drawings count."""
    found = [kind_of(edges(photograph(seed), 3)) for seed in SEEDS]
    assert found.count("edge") >= len(found) - 1, found


@pytest.mark.parametrize("seed", SEEDS)
def test_dark_lines_on_white_are_not_taken_for_another_control(seed: int) -> None:
    """Inverted edges look like a drawing on paper: rgb or nothing, for either is safe."""
    assert kind_of(ImageOps.invert(edges(photograph(seed), 5))) in {"rgb", "edge", None}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BLURS)
def test_heavy_blur_is_the_blur_control(seed: int, name: str) -> None:
    """A picture 512 wide that lost everything finer than about ten pixels is the blur control."""
    assert kind_of(BLURS[name](photograph(seed).resize((512, 288)))) == "blur"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_grey_blur_is_not_called_rgb_for_sure(seed: int) -> None:
    """A grey picture with no detail may be soft by nature or blurred: no kind is given."""
    blurred = photograph(seed).resize((512, 288)).filter(ImageFilter.GaussianBlur(9))
    assert kind_of(blurred.convert("L").convert("RGB")) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_smooth_grey_ramps_are_depth(seed: int) -> None:
    """A grey ground with smooth things on it and no texture is a depth map."""
    assert kind_of(depth_map(seed)) == "depth"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("returns", [1, 0.1])
def test_lidar_is_depth(seed: int, returns: float) -> None:
    """Depth under a black sky is depth, also when only some pixels give a return."""
    assert kind_of(lidar(seed, returns=returns)) == "depth"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sparsest_lidar_is_no_other_control(seed: int) -> None:
    """Three returns in a hundred pixels may go unnoticed, but they are no edges."""
    assert kind_of(lidar(seed, returns=0.03)) in {"depth", "rgb", None}


@pytest.mark.parametrize("seed", SEEDS)
def test_white_shapes_on_black_are_a_mask(seed: int) -> None:
    """Two levels and hard outlines make a mask; a few black holes in white may be nothing."""
    assert kind_of(mask(seed)) == "mask"
    assert kind_of(ImageOps.invert(mask(seed))) in {"mask", None}


@pytest.mark.parametrize("seed", SEEDS)
def test_flat_bright_regions_are_a_segmentation(seed: int) -> None:
    """A few flat, vivid colours with hard borders are a segmentation."""
    assert kind_of(label_map(seed)) == "seg"


@pytest.mark.parametrize("seed", SEEDS)
def test_coloured_lines_on_black_are_an_hd_map(seed: int) -> None:
    """Lanes, poles and boxes in several colours on black are the lines of an HD map."""
    assert kind_of(road_lines(seed)) == "lines"


@pytest.mark.parametrize("ink", [(255, 255, 255), (255, 220, 0)])
@pytest.mark.parametrize(("lines", "height"), [(5, 90), (12, 36), (18, 24)])
def test_writing_on_black_is_not_taken_for_edges_or_lines(
    ink: tuple[int, int, int], lines: int, height: int
) -> None:
    """Credits are thin bright strokes on black too, but leave black rows between them."""
    card = Image.new("RGB", (1280, 720))
    draw = ImageDraw.Draw(card)
    font = ImageFont.load_default(height)
    for line in range(lines):
        draw.text((150, 40 + line * height * 1.4), f"Filmed by Camera Person {line}", ink, font)
    assert kind_of(card) in {"rgb", None}


@pytest.mark.parametrize("level", [0, 1, 90, 255])
def test_a_plain_picture_has_no_kind(level: int) -> None:
    """One even colour could be anything."""
    assert kind(texture(np.full((3, 180, 320, 3), level, dtype=np.uint8))) is None


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (47, 320), (320, 20)])
def test_a_tiny_picture_has_no_kind(shape: tuple[int, int]) -> None:
    """Below 48 pixels a side the measurements mean nothing, so none is made."""
    assert texture(np.zeros((2, *shape, 3), dtype=np.uint8)) is None
    assert kind(None) is None


def test_black_bars_at_the_sides_do_not_count_as_a_black_ground() -> None:
    """Bars are cut off before measuring, so the shares are those of the picture between them."""
    picture = np.asarray(photograph(1).resize((180, 180)))
    barred = np.zeros((1, 180, 320, 3), dtype=np.uint8)
    barred[0, :, 70:250] = picture
    bare, found = texture(picture[None]), texture(barred)
    assert bare is not None
    assert found is not None
    assert found.black == pytest.approx(bare.black, abs=0.01)
    assert found.flat == pytest.approx(bare.flat, abs=0.02)


def test_stretching_makes_a_dark_picture_measure_like_a_bright_one() -> None:
    """Properties are taken at full brightness, so that night does not pass for black ground."""
    picture = small(photograph(2))[None]
    bright, dark = texture(picture), texture((picture * 0.25).astype(np.uint8))
    assert bright is not None
    assert dark is not None
    assert dark.gain == pytest.approx(4 * bright.gain, rel=0.05)
    assert dark.black == pytest.approx(bright.black, abs=0.03)
    assert dark.spread == pytest.approx(bright.spread, rel=0.05)
