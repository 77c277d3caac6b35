"""The motion of the whole picture over a run of pictures, from the displacements of its tiles.

The displacement of each tile is the median over time, which leaves out what passes by. A
translation, a zoom and a roll that most tiles agree on is then the camera's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from promptlift.facts._image import halve
from promptlift.facts.flow import REACH, SIDE, tile_centres, tile_flow, tile_spectra, whole_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts._image import Plane
    from promptlift.facts.flow import Spectra

    Vectors = NDArray[np.float32]

__all__ = ["STILL", "Motion", "motion"]

STILL = 0.6  # % of the width a second, up to which a tile or a camera stands still

_GAPS = (8, 4, 2, 1)  # pictures between the two of a pair; the longest that stays within reach
_PAIRS = 24
_FEWEST = 6  # tiles
_COVERED = 0.35  # share of the tiles that must have texture
_TEXTURE = 2.0  # levels of contrast below which a tile is blank
_RESTING = 0.35  # share of the tiles
_STREAM = 0.9  # share of the time in which a tile flows one way, as nothing at rest does
_FOUND = 0.3  # quality of a tile that was found again


@dataclass(frozen=True, slots=True)
class Motion:
    """The camera's motion over one unbroken run of pictures, in % of the width a second.

    Attributes:
        right: How fast the scene moves right; a camera that pans left makes this positive.
        down: How fast the scene moves down; a camera that tilts up makes this positive.
        growth: How fast things grow, in % of their size a second.
        support: Share of the textured tiles that move so.
        still: Share of the textured tiles that do not move.
        rest: Share of the pairs of pictures in which a good part of the tiles does not move.
        looming: From -1 to 1: how clearly tiles on both sides keep moving out (in, if negative),
            as they do on a road to a far horizon, where most of the picture hardly moves; 0.75
            where some tiles stream without a break, but not on both sides.
        steadiness: Share of the pairs of pictures in which the motion goes the same way.
        shake: Root mean square of the fast part of the path, in % of the width.
        across: How far the textured tiles reach from side to side; below 1 where the sides are
            blank, as around a ball that turns before a black ground.
        seconds: Length of the run.
    """

    right: float
    down: float
    growth: float
    support: float
    still: float
    rest: float
    looming: float
    steadiness: float
    shake: float
    across: float
    seconds: float


def motion(grey: Plane, seconds: NDArray[np.float64]) -> Motion | None:
    """Measure the camera's motion over one run.

    Args:
        grey: Luma of the pictures, ``(count, height, width)``.
        seconds: When each is shown.

    Returns:
        The motion, or None where the run is too short, too small or too plain.
    """
    if len(grey) < 3:
        return None
    planes = halve(grey) if max(grey.shape[1:]) >= 200 else grey
    if min(planes.shape[1:]) < SIDE:
        return None
    step = float(np.median(np.diff(seconds)))
    length = float(seconds[-1] - seconds[0])
    spectra, contrast = tile_spectra(planes)
    width = planes.shape[2]
    filled = (contrast > _TEXTURE).mean(axis=0) > 0.5
    if filled.mean() < _COVERED:
        return None
    places = tile_centres(*planes.shape[1:])[:, 0]
    across = float(np.ptp(places[filled]) / max(float(np.ptp(places)), 1))
    field = cache(partial(_field, spectra, contrast))
    near = field(1)
    if near.found[filled].mean() < 0.7 or _speed(near) > 0.6 * REACH:
        return _fast(planes, step, length, across)
    far = field(_gap(near, len(planes)))
    if far.found.mean() < _COVERED or far.found.sum() < _FEWEST:
        return None
    centres = tile_centres(*planes.shape[1:])[far.found]
    typical = far.typical[far.found]
    model, inliers = _fit(centres, typical)
    rate = 1 / (far.gap * step)
    still = _lengths(typical) * 100 / width * rate < STILL
    resting = _lengths(far.shifts[:, far.found]) * 100 / width * rate < STILL
    return Motion(
        right=float(model[0]) * 100 / width * rate,
        down=float(model[1]) * 100 / width * rate,
        growth=float(model[2]) * 100 * rate,
        support=float(_along(centres, typical, model).mean()),
        still=float(still.mean()),
        rest=float((resting.mean(axis=1) > _RESTING).mean()),
        looming=_looming(field(max(far.gap // 2, 1)), planes.shape[1:]),
        steadiness=_steadiness(far.shifts[:, far.found][:, inliers], typical[inliers]),
        shake=_shake(near) * 100 / width,
        across=across,
        seconds=length,
    )


@dataclass(frozen=True, slots=True)
class _Field:
    """Displacements of the tiles over `gap` pictures.

    Attributes:
        gap: Pictures from the first to the second of a pair.
        shifts: Pixels right and down, ``(pairs, tiles, 2)``; NaN where a tile was not found.
        typical: Median over the pairs, ``(tiles, 2)``.
        found: Tiles with texture that most pairs found again, ``(tiles,)``.
    """

    gap: int
    shifts: Vectors
    typical: Vectors
    found: NDArray[np.bool_]


def _field(spectra: Spectra, contrast: Vectors, gap: int) -> _Field:
    step = max(1, (len(spectra) - gap) // _PAIRS)
    first = slice(0, len(spectra) - gap, step)
    tiles = tile_flow(spectra[first], spectra[gap::step])
    seen = (tiles.quality > _FOUND) & (contrast[first] > _TEXTURE)
    found = seen.mean(axis=0) > 0.5
    shifts = np.where(seen[..., None], tiles.shift, np.float32(np.nan))
    typical = np.zeros(shifts.shape[1:], dtype=np.float32)
    typical[found] = np.nanmedian(shifts[:, found], axis=0)
    return _Field(gap, shifts, typical, found)


def _lengths(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.hypot(vectors[..., 0], vectors[..., 1])
    return lengths


def _speed(field: _Field) -> float:
    """Displacement that nine tenths of the tiles stay under, in pixels."""
    lengths = _lengths(field.typical[field.found])
    return float(np.percentile(lengths, 90)) if lengths.size else 0.0


def _gap(near: _Field, count: int) -> int:
    """The longest gap over which the tiles are still found, so that slow motion shows."""
    speed = max(_speed(near), 1e-3)
    return next(
        (gap for gap in _GAPS if gap * speed <= 0.6 * REACH and gap <= (count - 1) / 2),
        1,
    )


def _fit(centres: Vectors, typical: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
    """Fit right, down, growth and roll to the tiles, whatever a minority of them does.

    Every pair of tiles proposes a model; the one that most tiles agree with is fitted again to
    those (RANSAC with all samples instead of random ones).

    Returns:
        The model ``(4,)`` and which tiles follow it.
    """
    i, j = np.triu_indices(len(centres), 1)
    place = centres[:, 0] + 1j * centres[:, 1]
    move = typical[:, 0] + 1j * typical[:, 1]
    apart = np.abs(place[i] - place[j]) >= 2 * SIDE / 2
    i, j = i[apart], j[apart]
    turn = (move[i] - move[j]) / (place[i] - place[j])
    shift = move[i] - turn * place[i]
    tolerance = 0.15 + 0.1 * np.abs(move)
    miss = np.abs(shift[:, None] + turn[:, None] * place - move) / tolerance
    best = int(np.maximum(1 - miss**2, 0).sum(axis=1).argmax())
    inliers = miss[best] < 1
    ones = np.ones(int(inliers.sum()))
    system = np.stack([ones, place[inliers]], axis=1)
    (shift_, turn_), *_ = np.linalg.lstsq(system, move[inliers], rcond=None)
    return np.array([shift_.real, shift_.imag, turn_.real, turn_.imag], np.float32), inliers


def _along(centres: Vectors, typical: Vectors, model: Vectors) -> NDArray[np.bool_]:
    """Tiles that move the model's way; their speed may differ, as near and far things do."""
    place = centres[:, 0] + 1j * centres[:, 1]
    move = typical[:, 0] + 1j * typical[:, 1]
    want = model[0] + 1j * model[1] + (model[2] + 1j * model[3]) * place
    close = np.abs(move - want) < 0.15 + 0.1 * np.abs(move)
    similar = (move * want.conj()).real > 0.85 * np.abs(move) * np.abs(want)
    speed = np.abs(move) / np.maximum(np.abs(want), 1e-3)
    follows: NDArray[np.bool_] = close | (
        similar & (speed > 1 / 3) & (speed < 3) & (np.abs(move) > 0.25)
    )
    return follows


def _looming(field: _Field, shape: tuple[int, ...]) -> float:
    """How clearly the tiles on both sides keep moving away from the middle, over all pairs."""
    centres = tile_centres(shape[0], shape[1])
    side = np.where(np.abs(centres[:, 0]) > 0.08 * shape[1], np.sign(centres[:, 0]), 0)
    across = np.nan_to_num(field.shifts[..., 0])
    outward = (np.sign(across) * (np.abs(across) > 0.2)).mean(axis=0) * side * field.found
    out = [int(((outward > 0.5) & (side == s)).sum()) for s in (-1, 1)]
    back = [int(((outward < -0.5) & (side == s)).sum()) for s in (-1, 1)]
    away, home = sum(out), sum(back)
    sides, total = (out, away) if away > home else (back, home)
    one_way = min(max(out), max(back)) <= 0.2 * total
    clear = min(min(sides) / 2, total / 6, 1.0) if one_way else 0.0
    if (np.abs(outward) > _STREAM).sum() >= 2:
        clear = max(clear, 0.75)
    return clear if away > home else -clear


def _steadiness(shifts: Vectors, typical: Vectors) -> float:
    """Share of the pairs whose tiles go the typical way, at 0.4 of its speed or more."""
    power = np.maximum((typical * typical).sum(axis=-1), 1e-6)
    along = _median((shifts * typical).sum(axis=-1) / power, axis=1)
    return float((along > 0.4).mean())


def _shake(near: _Field) -> float:
    """Root mean square distance of the picture's path from a smooth one, in pixels."""
    steps = _median(near.shifts[:, near.found], axis=1)
    return _roughness(steps[np.isfinite(steps).all(axis=1)])


def _roughness(steps: NDArray[np.floating]) -> float:
    if len(steps) < 5:
        return 0.0
    smooth = np.stack([np.convolve(axis, np.ones(5) / 5, "valid") for axis in steps.T], axis=-1)
    rest = steps[2:-2] - smooth
    return float(np.sqrt((rest**2).sum(axis=-1).mean()))


def _median(values: Vectors, axis: int) -> Vectors:
    """Median of the numbers; NaN, without a warning, where there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle: Vectors = np.nanmedian(values, axis=axis)
    return middle


def _fast(planes: Plane, step: float, length: float, across: float) -> Motion | None:
    """A pan, tilt or shake too fast for the tiles, from whole pictures."""
    shifts, quality = whole_shift(planes)
    sure = quality > 0.15
    if sure.mean() < 0.6:
        return None
    typical = np.median(shifts[sure], axis=0)
    along = (shifts @ typical) / max(float(typical @ typical), 1.0)
    percent = 100 / planes.shape[2] / step
    return Motion(
        right=float(typical[0]) * percent,
        down=float(typical[1]) * percent,
        growth=0.0,
        support=float(sure.mean()),
        still=0.0,
        rest=0.0,
        looming=0.0,
        steadiness=float((sure & (along > 0.4)).mean()),
        shake=_roughness(shifts[sure]) * 100 / planes.shape[2],
        across=across,
        seconds=length,
    )
