"""How small tiles of a picture move from one picture to the next, by phase correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts._image import Plane

    Spectra = NDArray[np.complex64]

__all__ = ["REACH", "SIDE", "Tiles", "tile_centres", "tile_flow", "tile_spectra", "whole_shift"]

SIDE = 32
_STRIDE = 16
_SMOOTH = 0.9  # pixels; width of the correlation peak, wide enough to place it between pixels
_TOGETHER = 4  # pairs of pictures whose tiles still fit into a cache
REACH = 8.0  # pixels; beyond a quarter of a tile too little of it is seen in both pictures


@dataclass(frozen=True, slots=True)
class Tiles:
    """Displacements of tiles between two pictures, for several pairs of pictures.

    Attributes:
        shift: Pixels right and down, ``(pairs, tiles, 2)``.
        quality: From 0 to 1, how well the tile was found again, ``(pairs, tiles)``.
    """

    shift: NDArray[np.float32]
    quality: NDArray[np.float32]


def tile_centres(height: int, width: int) -> NDArray[np.float32]:
    """Centres of the tiles, ``(tiles, 2)`` as x and y pixels from the centre of the picture."""
    y, x = np.meshgrid(_starts(height), _starts(width), indexing="ij")
    centres = np.stack([x.ravel(), y.ravel()], axis=-1) + SIDE / 2
    middle = np.array([width / 2, height / 2])
    return np.asarray(centres - middle, dtype=np.float32)


def tile_spectra(planes: Plane) -> tuple[Spectra, NDArray[np.float32]]:
    """Spectra of the windowed tiles, ``(count, tiles, side, side // 2 + 1)``, and their contrast.

    The contrast is the standard deviation of each tile in levels, ``(count, tiles)``.
    """
    tops, lefts = (_starts(length) for length in planes.shape[1:])
    spectra = np.empty((len(planes), len(tops) * len(lefts), SIDE, SIDE // 2 + 1), np.complex64)
    contrast = np.empty(spectra.shape[:2], np.float32)
    ramp = np.hanning(SIDE + 2)[1:-1].astype(np.float32)
    window = ramp[:, None] * ramp[None, :]
    for number, plane in enumerate(planes):  # one at a time stays in the cache
        views = np.lib.stride_tricks.sliding_window_view(plane, (SIDE, SIDE))
        tiles = views[tops[:, None], lefts].reshape(-1, SIDE, SIDE)
        tiles = tiles - tiles.mean(axis=(1, 2), keepdims=True)
        contrast[number] = np.sqrt((tiles * tiles).mean(axis=(1, 2)))
        spectra[number] = np.fft.rfft2(tiles * window)
    return spectra, contrast


def tile_flow(first: Spectra, second: Spectra) -> Tiles:
    """Find each tile of the first pictures again in the second ones.

    Phase correlation (Kuglin and Hines, 1975) with a Gaussian low pass, so that the peak is
    Gaussian too and three logarithms place it between the pixels.
    """
    few = range(0, len(first), _TOGETHER)
    parts = [_flow(first[i : i + _TOGETHER], second[i : i + _TOGETHER]) for i in few]
    return Tiles(
        np.concatenate([part.shift for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


def _flow(first: Spectra, second: Spectra) -> Tiles:
    # In place and by parts: else NumPy rounds a product of complex numbers by the arrays' sizes.
    cross = first.conj()
    np.multiply(cross, second, out=cross)
    weight = _low_pass()
    scale = weight / (np.abs(cross) + 1e-3)
    cross.real *= scale
    cross.imag *= scale
    surface = np.fft.irfft2(cross, s=(SIDE, SIDE)).astype(np.float32, copy=False)
    flat = surface.reshape(*surface.shape[:2], -1)
    best = flat.argmax(axis=-1)
    row, column = best // SIDE, best % SIDE
    pairs, tiles = np.indices(best.shape)
    peak = surface[pairs, tiles, row, column]
    highest = float(np.fft.irfft2(weight, s=(SIDE, SIDE))[0, 0])

    def at(down: int, right: int) -> NDArray[np.float32]:
        beside: NDArray[np.float32] = surface[
            pairs, tiles, (row + down) % SIDE, (column + right) % SIDE
        ]
        return beside

    x = _signed(column) + _vertex(at(0, -1), peak, at(0, 1))
    y = _signed(row) + _vertex(at(-1, 0), peak, at(1, 0))
    return Tiles(np.stack([x, y], axis=-1).astype(np.float32), peak / np.float32(highest))


def whole_shift(planes: Plane) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shift of each picture against the one before, to the whole pixel.

    Returns:
        Pixels right and down, ``(count - 1, 2)``, and the height of the correlation peak over
        what a pure shift would give, ``(count - 1,)``.
    """
    height, width = planes.shape[1:]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    centred = (planes - planes.mean(axis=(1, 2), keepdims=True)) * window.astype(np.float32)
    spectra = np.fft.rfft2(centred).astype(np.complex64)
    cross = spectra[1:] * spectra[:-1].conj()
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    weight = np.exp(-2 * (np.pi * 1.5) ** 2 * (rows**2 + columns**2)).astype(np.float32)
    surface = np.fft.irfft2(cross * weight / (np.abs(cross) + 1e-3), s=(height, width))
    flat = surface.reshape(len(surface), -1)
    best = flat.argmax(axis=1)
    down, right = best // width, best % width
    down = np.where(down > height // 2, down - height, down)
    right = np.where(right > width // 2, right - width, right)
    highest = float(np.fft.irfft2(weight, s=(height, width))[0, 0])
    shift = np.stack([right, down], axis=-1).astype(np.float32)
    return shift, (flat.max(axis=1) / highest).astype(np.float32)


def _starts(length: int) -> NDArray[np.intp]:
    count = max((length - SIDE) // _STRIDE + 1, 1)
    return np.linspace(0, length - SIDE, count).round().astype(np.intp)


def _low_pass() -> NDArray[np.float32]:
    rows = np.fft.fftfreq(SIDE)[:, None]
    columns = np.fft.rfftfreq(SIDE)[None, :]
    weight = np.exp(-2 * (np.pi * _SMOOTH) ** 2 * (rows**2 + columns**2))
    return np.asarray(weight, dtype=np.float32)


def _signed(index: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.where(index > SIDE // 2, index - SIDE, index)


def _vertex(
    before: NDArray[np.float32], peak: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Place of the top of the Gaussian through three neighbours, from -0.5 to 0.5."""
    a, b, c = (np.log(np.maximum(v, 1e-6)) for v in (before, peak, after))
    curve = a - 2 * b + c
    offset = np.where(curve < -1e-6, (a - c) / np.minimum(2 * curve, -1e-6), 0)
    return np.asarray(np.clip(offset, -0.5, 0.5), dtype=np.float32)
