"""Properties of a few pictures that tell drawings, maps and camera pictures apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from promptlift.facts._image import codes, luma, spread_indices, tint, upper, window_max

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts._image import Plane

__all__ = ["Texture", "texture"]

_SAMPLES = 4  # pictures that are looked at
_SMALLEST = 48  # pixels a side, below which windows and blocks say nothing
_BLOCK = 16


@dataclass(frozen=True, slots=True)
class Texture:
    """Properties of a few pictures, measured after stretching them to full brightness.

    Levels are 0 to 255, shares 0 to 1.

    Attributes:
        gain: Factor of that stretch.
        spread: Standard deviation of luma.
        chroma_90: 90th percentile of the difference between the largest and smallest component.
        chroma_99: 99th percentile of the same.
        black: Share of pixels darker than 20.
        white: Share of pixels brighter than 235.
        flat: Share of 5 x 5 windows whose components span at most 8 levels.
        midtone: Share of windows off the black whose components span 9 to 48 levels, as texture
            and shading do, and drawn regions do not.
        colours: Number of colours (4 bits a component) that cover 80 % of the pixels.
        hues: Number of vivid colours (2 bits a component) that cover at least 0.2 % each.
        foreground: Share of pixels brighter than 48.
        occupied: Share of 16 x 16 blocks that hold some foreground.
        bands: Number of bands of rows that hold something brighter than 64, with black rows
            between them.
        thinness: Share of the foreground that vanishes when opened by 7 x 7 pixels.
        block_variation: Coefficient of variation of the brightest pixel of the blocks.
        steepness: Sharpest step between neighbours over the sharpest step across 12 pixels; 1
            for a hard edge, 1/12 for a ramp.
        detail_75: 75th percentile of the absolute Laplacian.
        detail_90: 90th percentile of the same.
    """

    gain: float
    spread: float
    chroma_90: float
    chroma_99: float
    black: float
    white: float
    flat: float
    midtone: float
    colours: int
    hues: int
    foreground: float
    occupied: float
    bands: float
    thinness: float
    block_variation: float
    steepness: float
    detail_75: float
    detail_90: float


def texture(images: NDArray[np.uint8]) -> Texture | None:
    """Measure the texture of pictures ``(count, height, width, 3)``; None where too small."""
    chosen = _without_pillars(images[spread_indices(len(images), _SAMPLES)])
    if min(chosen.shape[1:3]) < _SMALLEST:
        return None
    top = float(np.percentile(luma(chosen[:, ::2, ::2]), 99.7))
    gain = 255 / min(max(top, 8), 255)
    stretch = np.minimum(np.arange(256) * gain, 255).astype(np.uint8)
    rgb = stretch[chosen]
    grey = np.minimum(luma(chosen) * np.float32(gain), 255)
    few = rgb[:, ::2, ::2]
    chroma_90, chroma_99 = np.percentile(tint(few), [90, 99])
    span = _span(rgb)
    lit = span[grey[:, 2:-2, 2:-2] >= 20]
    detail_75, detail_90 = np.percentile(_laplacian(grey)[:, ::2, ::2], [75, 90])
    foreground, occupied, thinness, block_variation = _figure(grey)
    colours, hues = _colours(few)
    return Texture(
        gain=gain,
        spread=float(grey.std()),
        chroma_90=float(chroma_90),
        chroma_99=float(chroma_99),
        black=float((grey < 20).mean()),
        white=float((grey > 235).mean()),
        flat=float((span <= 8).mean()),
        midtone=float(((lit > 8) & (lit <= 48)).mean()) if lit.size else 0.0,
        colours=colours,
        hues=hues,
        foreground=foreground,
        occupied=occupied,
        bands=_bands(grey / np.float32(gain)),
        thinness=thinness,
        block_variation=block_variation,
        steepness=_steepness(grey),
        detail_75=float(detail_75),
        detail_90=float(detail_90),
    )


def _without_pillars(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut off black bars at both sides, which would pass for a drawing's black ground."""
    lit = np.flatnonzero(images.max(axis=0).max(axis=0).max(axis=-1) > 24)
    width = images.shape[2]
    if lit.size == 0 or lit[0] < width * 0.03 or lit[-1] >= width * 0.97:
        return images
    return images[:, :, lit[0] : lit[-1] + 1]


def _span(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest range of any component in each 5 x 5 window."""
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    spans = [window_max(plane, 2) - ~window_max(~plane, 2) for plane in planes]
    widest: NDArray[np.uint8] = np.maximum(np.maximum(spans[0], spans[1]), spans[2])
    return widest


def _laplacian(grey: Plane) -> Plane:
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.abs(grey[:, 1:-1, 1:-1] - around / 4)


def _steepness(grey: Plane) -> float:
    near = upper(np.abs(np.diff(grey, axis=2)), 99.8)
    far = upper(np.abs(grey[:, :, 12:] - grey[:, :, :-12]), 99.8)
    return float(near / np.maximum(far, np.float32(1)))


def _figure(grey: Plane) -> tuple[float, float, float, float]:
    """Foreground share, occupied blocks, thinness and variation of the blocks' maxima."""
    lit = grey > 48
    opened = window_max(~window_max(~lit, 3), 3)
    core = lit[:, 6:-6, 6:-6]
    thinness = 1 - float((opened & core).sum()) / max(float(core.sum()), 1)
    count, height, width = grey.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    blocks = grey[:, : rows * _BLOCK, : columns * _BLOCK]
    peaks = blocks.reshape(count, rows, _BLOCK, columns, _BLOCK).max(axis=(2, 4))
    figure = peaks[peaks > 60]
    variation = float(figure.std() / figure.mean()) if figure.size else 0.0
    return float(core.mean()), float((peaks > 60).mean()), thinness, variation


def _bands(grey: Plane) -> float:
    lit = (grey > 64).any(axis=2).astype(np.int8)
    starts = (np.diff(lit, axis=1, prepend=np.int8(0)) == 1).sum(axis=1)
    return float(np.median(starts))


def _colours(rgb: NDArray[np.uint8]) -> tuple[int, int]:
    """Colours that cover 80 % of the pixels, and vivid colours that cover 0.2 % each."""
    counts = np.bincount(codes(rgb, 4).ravel(), minlength=4096)
    shares = np.cumsum(np.sort(counts)[::-1]) / counts.sum()
    vivid = rgb[tint(rgb) > 96]
    hues = np.bincount(codes(vivid, 2), minlength=64) >= 0.002 * counts.sum()
    return int(np.searchsorted(shares, 0.8)) + 1, int(hues.sum())
