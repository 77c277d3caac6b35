"""The picture operations that are written for speed, against the plain ones that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from promptlift.facts._image import codes, luma, tint, upper
from promptlift.facts.flow import tile_flow, tile_spectra
from promptlift.facts.movement import moving


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    """Noise of 8 bits."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(3, 40, 52, 3), (1, 7, 5, 3), (2, 1, 1, 3)])
def test_luma_weighs_the_components(shape: tuple[int, ...]) -> None:
    """Each pixel is 0.2126 R + 0.7152 G + 0.0722 B, in views with gaps as well."""
    images = pictures(*shape)
    for seen in (images, images[:, ::2, ::2]):
        want = seen.astype(np.float64) @ [0.2126, 0.7152, 0.0722]
        assert luma(seen) == pytest.approx(want, abs=1e-3)
        assert luma(seen).dtype == np.float32


def test_tint_is_the_range_of_the_components() -> None:
    """The largest component less the smallest."""
    images = pictures(3, 20, 30, 3)
    assert (tint(images) == images.max(axis=-1) - images.min(axis=-1)).all()


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_codes_number_the_colours(bits: int) -> None:
    """Two pixels have one code exactly where the first bits of their components agree."""
    images = pictures(2, 20, 30, 3)
    few = (images >> (8 - bits)).astype(np.int64)
    size = 2**bits
    assert (codes(images, bits) == (few[..., 0] * size + few[..., 1]) * size + few[..., 2]).all()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 499, 500, 501, 1000, 40_961])
@pytest.mark.parametrize("percent", [50.0, 90.0, 99.7, 99.8, 100.0])
def test_a_percentile_near_the_top_is_numpys(count: int, percent: float) -> None:
    """It is interpolated as NumPy does, few values or many, all different or mostly the same."""
    rng = np.random.default_rng(count)
    for values in (rng.random(count), rng.integers(0, 4, count)):
        levels = (values * 255).astype(np.float32)
        assert upper(levels, percent) == np.percentile(levels, percent)


def test_a_pair_of_pictures_is_measured_alike_alone_and_among_others() -> None:
    """Pairs are taken a few at a time; which ones come together changes nothing."""
    spectra, _ = tile_spectra(luma(pictures(12, 70, 90, 3)))
    together = tile_flow(spectra[:-1], spectra[1:])
    for first in range(11):
        alone = tile_flow(spectra[first : first + 1], spectra[first + 1 : first + 2])
        assert (alone.shift[0] == together.shift[first]).all()
        assert (alone.quality[0] == together.quality[first]).all()


def test_a_block_that_moves_is_found_where_it_is() -> None:
    """Blocks are 4 x 4 pixels; the outermost are left out, as is a rest at the sides."""
    film = np.full((8, 42, 62), 90, dtype=np.float32)
    film[::2, 16:20, 24:28] = 200
    film[4:, 16:20, 24:28] = 255 - film[4:, 16:20, 24:28]
    share = moving(film)
    assert share is not None
    assert share.shape == (8, 13)
    assert share[3, 5] == share.max() > 0
    assert (np.delete(share.ravel(), 3 * 13 + 5) == 0).all()
