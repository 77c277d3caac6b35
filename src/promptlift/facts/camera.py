"""How the camera moves, from the displacements of tiles over the clip.

The displacement of each tile is the median over time, which leaves out what passes by. A
translation, a zoom and a roll that most tiles agree on is the camera's; where they agree on
nothing, or where it lies between still and moving, nothing is said.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from promptlift.core.facts import Camera, Confident
from promptlift.facts._image import halve
from promptlift.facts.flow import REACH, SIDE, tile_centres, tile_flow, tile_spectra, whole_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts._image import Plane
    from promptlift.facts.flow import Spectra

    Vectors = NDArray[np.float32]

__all__ = ["Motion", "camera", "motion"]

_Move = Literal[
    "static", "pan left", "pan right", "tilt up", "tilt down", "forward", "backward", "shake"
]

_GAPS = (8, 4, 2, 1)  # pictures between the two of a pair; the longest that stays within reach
_PAIRS = 24
_FEWEST = 6  # tiles
_TEXTURE = 2.0  # levels of contrast below which a tile is blank
_FOUND = 0.3  # quality of a tile that was found again
_STILL = 0.6  # %/s of the width at the picture's edge, up to which a camera stands still
_MOVING = 1.5  # %/s from which it moves
_MODERATE, _FAST = 6.5, 16.0  # %/s
_COVERED = 0.35  # share of the tiles that must have texture
_SHAKE, _STEADY = 0.5, 0.3  # % of the width, root mean square around the smooth path


@dataclass(frozen=True, slots=True)
class Motion:
    """The camera's motion over one unbroken run of pictures, in % of the width a second.

    Attributes:
        right: How fast the scene moves right; a camera that pans left makes this positive.
        down: How fast the scene moves down; a camera that tilts up makes this positive.
        growth: How fast things grow, in % of their size a second.
        support: Share of the textured tiles that move so.
        still: Share of the textured tiles that do not move.
        looming: From -1 to 1: how clearly tiles on both sides keep moving out (in, if negative),
            as they do on a road to a far horizon, where most of the picture hardly moves.
        steadiness: Share of the pairs of pictures in which the motion goes the same way.
        shake: Root mean square of the fast part of the path, in % of the width.
        seconds: Length of the run.
    """

    right: float
    down: float
    growth: float
    support: float
    still: float
    looming: float
    steadiness: float
    shake: float
    seconds: float


def camera(motions: list[Motion]) -> Confident[Camera] | None:
    """Say what the runs of a clip agree on; None where they do not, or none is clear."""
    answers = [(m.seconds, answer) for m in motions if (answer := _answer(m)) is not None]
    if not answers:
        return None
    total = sum(m.seconds for m in motions)
    time: dict[tuple[_Move, ...], float] = {}
    for seconds, answer in answers:
        time[answer.value.moves] = time.get(answer.value.moves, 0) + seconds
    moves, seconds = max(time.items(), key=lambda item: item[1])
    if seconds < 0.75 * total:
        return None
    same = [(s, a) for s, a in answers if a.value.moves == moves]
    longest = max(same, key=lambda item: item[0])[1]
    confidence = sum(s * a.confidence for s, a in same) / total
    return Confident[Camera](value=longest.value, confidence=round(confidence, 2))


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
    if not _textured(contrast, tile_centres(*planes.shape[1:])[:, 0] / width):
        return None
    near = _field(spectra, contrast, 1)
    if near.found.mean() < 0.5 or _speed(near) > 0.6 * REACH:
        return _fast(planes, step, length)
    far = _field(spectra, contrast, _gap(near, len(planes)))
    if far.found.mean() < _COVERED or far.found.sum() < _FEWEST:
        return None
    centres = tile_centres(*planes.shape[1:])[far.found]
    typical = far.typical[far.found]
    model, inliers = _fit(centres, typical)
    rate = 1 / (far.gap * step)
    still = np.hypot(typical[:, 0], typical[:, 1]) * 100 / width * rate < _STILL
    return Motion(
        right=float(model[0]) * 100 / width * rate,
        down=float(model[1]) * 100 / width * rate,
        growth=float(model[2]) * 100 * rate,
        support=float(_along(centres, typical, model).mean()),
        still=float(still.mean()),
        looming=_looming(_field(spectra, contrast, max(far.gap // 2, 1)), planes.shape[1:]),
        steadiness=_steadiness(far.shifts[:, far.found][:, inliers], typical[inliers]),
        shake=_shake(near) * 100 / width,
        seconds=length,
    )


def _textured(contrast: Vectors, across: Vectors) -> bool:
    """Whether enough of the picture, from side to side, has something in it to follow.

    A ball that turns before a black ground says nothing of the camera.
    """
    filled = (contrast > _TEXTURE).mean(axis=0) > 0.5
    if filled.mean() < _COVERED:
        return False
    return float(np.ptp(across[filled])) > 0.5 * float(np.ptp(across))


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
    first = np.arange(0, len(spectra) - gap, max(1, (len(spectra) - gap) // _PAIRS))
    tiles = tile_flow(spectra[first], spectra[first + gap])
    seen = (tiles.quality > _FOUND) & (contrast[first] > _TEXTURE)
    found = seen.mean(axis=0) > 0.5
    shifts = np.where(seen[..., None], tiles.shift, np.float32(np.nan))
    typical = np.zeros(shifts.shape[1:], dtype=np.float32)
    typical[found] = np.nanmedian(shifts[:, found], axis=0)
    return _Field(gap, shifts, typical, found)


def _speed(field: _Field) -> float:
    """Displacement that nine tenths of the tiles stay under, in pixels."""
    lengths = np.hypot(field.typical[field.found, 0], field.typical[field.found, 1])
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
    return close | (similar & (speed > 1 / 3) & (speed < 3) & (np.abs(move) > 0.25))


def _looming(field: _Field, shape: tuple[int, ...]) -> float:
    """How clearly the tiles on both sides keep moving away from the middle, over all pairs."""
    centres = tile_centres(shape[0], shape[1])
    side = np.where(np.abs(centres[:, 0]) > 0.08 * shape[1], np.sign(centres[:, 0]), 0)
    across = np.nan_to_num(field.shifts[..., 0])
    outward = (np.sign(across) * (np.abs(across) > 0.2)).mean(axis=0) * side * field.found
    out = [int(((outward > 0.5) & (side == s)).sum()) for s in (-1, 1)]
    back = [int(((outward < -0.5) & (side == s)).sum()) for s in (-1, 1)]
    away, home = sum(out), sum(back)
    if min(max(out), max(back)) > 0.2 * max(away, home):
        return 0.0
    sides, total = (out, away) if away > home else (back, home)
    clear = min(min(sides) / 2, total / 6, 1.0)
    return clear if away > home else -clear


def _steadiness(shifts: Vectors, typical: Vectors) -> float:
    """Share of the pairs whose tiles move along with the typical motion, at half its speed or more."""
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
        return np.nanmedian(values, axis=axis)


def _fast(planes: Plane, step: float, length: float) -> Motion | None:
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
        looming=0.0,
        steadiness=float((sure & (along > 0.4)).mean()),
        shake=_roughness(shifts[sure]) * 100 / planes.shape[2],
        seconds=length,
    )


def _answer(m: Motion) -> Confident[Camera] | None:
    reach = {"x": abs(m.right), "y": abs(m.down), "z": abs(m.growth) / 2}
    top = max(reach.values())
    steady = top >= _MOVING and m.steadiness >= 0.6
    if m.shake > _SHAKE and not steady:
        return _shaking(m)
    if top < _STILL:
        return _at_rest(m)
    if not steady or m.support < 0.5:
        return None
    fastest = max(abs(m.right), abs(m.down), abs(m.growth))
    value = Camera(moves=_moves(m, reach, top), strength=_strength(fastest))
    sure = min(m.support / 0.8, m.steadiness, 0.5 + 0.5 * (top - _MOVING) / _MOVING, 0.98)
    return Confident[Camera](value=value, confidence=round(sure, 2))


def _strength(speed: float) -> Literal["slow", "moderate", "fast"]:
    return "slow" if speed < _MODERATE else "moderate" if speed < _FAST else "fast"


def _shaking(m: Motion) -> Confident[Camera]:
    value = Camera(moves=("shake",), strength=_strength(10 * m.shake))
    return Confident[Camera](value=value, confidence=round(min(0.5 + m.shake / 4, 0.9), 2))


def _at_rest(m: Motion) -> Confident[Camera] | None:
    if m.looming == 1:
        return Confident[Camera](value=Camera(moves=("forward",)), confidence=0.6)
    if m.shake > _STEADY or m.still < 0.5 or m.looming > 0.5:
        return None
    return Confident[Camera](
        value=Camera(moves=("static",)), confidence=round(min(0.98, 0.5 + m.still / 2), 2)
    )


def _moves(m: Motion, reach: dict[str, float], top: float) -> tuple[_Move, ...]:
    names: dict[str, _Move] = {
        "x": "pan left" if m.right > 0 else "pan right",
        "y": "tilt up" if m.down > 0 else "tilt down",
        "z": "forward" if m.growth > 0 else "backward",
    }
    strongest = sorted(reach, key=lambda axis: -reach[axis])
    return tuple(names[axis] for axis in strongest[:2] if reach[axis] >= 0.5 * top)
