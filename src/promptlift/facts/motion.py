"""Motion between pictures: cuts, how the camera moves, and what else moves, in words.

Where the picture's motion lies between still and moving, goes one way now and another then, or
is not shared by most of the picture, nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

import numpy as np

from promptlift.facts import Amount, Camera, Confident, Move, Movement, Speed, Where
from promptlift.facts.image_ops import codes, halve, ramp, window_max

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from promptlift.facts.image_ops import Plane

    Spectra = NDArray[np.complex64]
    Vectors = NDArray[np.float32]

__all__ = [
    "LIKE",
    "Motion",
    "camera",
    "find_cuts",
    "likeness",
    "measure_motion",
    "movement",
    "moving",
]

_SIDE = 32  # pixels of a tile
_STRIDE = 16
_SMOOTH = 0.9  # pixels; width of the correlation peak, wide enough to place it between pixels
_TOGETHER = 4  # pairs of pictures whose tiles still fit into a cache
_REACH = 8.0  # pixels; beyond a quarter of a tile too little of it is seen in both pictures


def _tile_starts(length: int) -> NDArray[np.intp]:
    count = max((length - _SIDE) // _STRIDE + 1, 1)
    return np.linspace(0, length - _SIDE, count).round().astype(np.intp)


def _tile_spectra(planes: Plane) -> tuple[Spectra, NDArray[np.float32]]:
    """Spectra of the windowed tiles, ``(count, tiles, side, side // 2 + 1)``, and their contrast.

    The contrast is the standard deviation of each tile in levels, ``(count, tiles)``.
    """
    tops, lefts = (_tile_starts(length) for length in planes.shape[1:])
    spectra = np.empty((len(planes), len(tops) * len(lefts), _SIDE, _SIDE // 2 + 1), np.complex64)
    contrast = np.empty(spectra.shape[:2], np.float32)
    ramp = np.hanning(_SIDE + 2)[1:-1].astype(np.float32)
    window = ramp[:, None] * ramp[None, :]
    for number, plane in enumerate(planes):  # one at a time stays in the cache
        views = np.lib.stride_tricks.sliding_window_view(plane, (_SIDE, _SIDE))
        tiles = views[tops[:, None], lefts].reshape(-1, _SIDE, _SIDE)
        tiles = tiles - tiles.mean(axis=(1, 2), keepdims=True)
        contrast[number] = np.sqrt((tiles * tiles).mean(axis=(1, 2)))
        spectra[number] = np.fft.rfft2(tiles * window)
    return spectra, contrast


def _tile_shifts(spectra: Spectra, first: NDArray[np.intp], gap: int) -> tuple[Vectors, Vectors]:
    """Find each tile of the pictures of some numbers again `gap` pictures later.

    Phase correlation (Kuglin and Hines, 1975) with a Gaussian low pass, so that the peak is
    Gaussian too and three logarithms place it between the pixels.

    Returns:
        Pixels right and down, ``(pairs, tiles, 2)``; and from 0 to 1 how well each tile was found
        again, ``(pairs, tiles)``.
    """
    shifts, qualities = [], []
    for start in range(0, len(first), _TOGETHER):
        some = first[start : start + _TOGETHER]
        # In place: else NumPy rounds complex products by the arrays' sizes.
        cross = spectra[some].conj()
        np.multiply(cross, spectra[some + gap], out=cross)
        surface, row, column, quality = _correlate(cross, (_SIDE, _SIDE), _SMOOTH)
        pairs, tiles = np.indices(row.shape)
        peak = surface[pairs, tiles, row, column]
        across, down = (
            _vertex(
                surface[pairs, tiles, (row - y) % _SIDE, (column - x) % _SIDE],
                peak,
                surface[pairs, tiles, (row + y) % _SIDE, (column + x) % _SIDE],
            )
            for x, y in ((1, 0), (0, 1))
        )
        x, y = _signed(column, _SIDE) + across, _signed(row, _SIDE) + down
        shifts.append(np.stack([x, y], axis=-1).astype(np.float32))
        qualities.append(quality)
    return np.concatenate(shifts), np.concatenate(qualities)


def _correlate(
    cross: Spectra, shape: tuple[int, int], smooth: float
) -> tuple[Vectors, NDArray[np.intp], NDArray[np.intp], Vectors]:
    """The phase correlation of a cross spectrum, which is overwritten.

    Returns:
        The correlation by shift, ``(..., height, width)``; row and column of its peak, and the
        peak's height over what a pure shift would give, ``(...)``.
    """
    height, width = shape
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    weight = np.exp(-2 * (np.pi * smooth) ** 2 * (rows**2 + columns**2)).astype(np.float32)
    highest = np.float32(np.fft.irfft2(weight, s=shape)[0, 0])
    scale = weight / (np.abs(cross) + 1e-3)
    # By parts: else NumPy rounds complex products by the arrays' sizes.
    cross.real *= scale
    cross.imag *= scale
    surface = np.fft.irfft2(cross, s=shape).astype(np.float32, copy=False)
    flat = surface.reshape(*surface.shape[:-2], -1)
    row, column = np.divmod(flat.argmax(axis=-1), width)
    return surface, row, column, flat.max(axis=-1) / highest


def _signed(place: NDArray[np.intp], side: int) -> NDArray[np.intp]:
    """Shifts of more than half a side are shifts the other way."""
    return np.where(place > side // 2, place - side, place)


def _vertex(before: Vectors, peak: Vectors, after: Vectors) -> Vectors:
    """Place of the top of the Gaussian through three neighbours, from -0.5 to 0.5."""
    a, b, c = (np.log(np.maximum(v, 1e-6)) for v in (before, peak, after))
    curve = a - 2 * b + c
    offset = np.where(curve < -1e-6, (a - c) / np.minimum(2 * curve, -1e-6), 0)
    return np.asarray(np.clip(offset, -0.5, 0.5), dtype=np.float32)


def _whole_shift(planes: Plane) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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
    _, row, column, quality = _correlate(cross, (height, width), 1.5)
    shift = np.stack([_signed(column, width), _signed(row, height)], axis=-1)
    return shift.astype(np.float32), quality


LIKE = 0.5  # likeness of two pictures above which they show one shot
_COLOURS = 0.08  # share of the pixels that change colour bin from which the colours are others
_ISOLATED = 2.0  # times the change beside it
_RETURNED = 0.5  # of a change, below which the colours are those of before it again


def find_cuts(small: NDArray[np.uint8], likeness: NDArray[np.float32]) -> list[int]:
    """Find the first picture of each new shot; shots of two pictures and more are found.

    Args:
        small: RGB pictures of one stretch, ``(count, height, width, 3)``.
        likeness: Of each with the one before, ``(count - 1,)``; see `likeness`.

    Returns:
        Indices of pictures that start a new shot, ascending.
    """
    if len(small) < 2:
        return []
    bins = _histograms(small)
    change = np.abs(np.diff(bins, axis=0)).sum(axis=1) / 2
    found = []
    for i in np.flatnonzero(change > _COLOURS):
        beside = [*change[max(i - 1, 0) : i], *change[i + 1 : i + 2]]
        if change[i] < _ISOLATED * max(beside, default=0):
            continue
        # Colours that return within half a second, as after a flash, or came so, are no cut.
        after, before = bins[i + 2 : i + 5], bins[max(i - 3, 0) : i]
        back = [*np.abs(after - bins[i]).sum(axis=1), *np.abs(before - bins[i + 1]).sum(axis=1)]
        if min(back, default=2.0) / 2 < _RETURNED * change[i]:
            continue
        if likeness[i] < max(LIKE, min(1.1 * change[i], 0.85)):
            found.append(int(i) + 1)
    return found


def _histograms(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shares of 8 x 8 x 8 colours, smoothed by one bin so that dimming does not count."""
    code = codes(small, 3)
    count = code[0].size
    cubes = np.stack([np.bincount(c.ravel(), minlength=512) for c in code]).reshape(-1, 8, 8, 8)
    smooth = cubes.astype(np.float32) / count
    for axis in (1, 2, 3):
        before = smooth.take([0, 0, 1, 2, 3, 4, 5, 6], axis)
        after = smooth.take([1, 2, 3, 4, 5, 6, 7, 7], axis)
        smooth = before / 4 + smooth / 2 + after / 4
    return np.asarray(smooth.reshape(len(small), -1), dtype=np.float32)


def likeness(planes: Plane) -> NDArray[np.float32]:
    """Correlation of each picture with the one before, once it is shifted back onto it."""
    if len(planes) < 2 or not planes.size:  # a picture of one pixel's width has no half
        return np.ones(max(0, len(planes) - 1), np.float32)
    shifts, _ = _whole_shift(planes)
    height, width = planes.shape[1:]
    answers = []
    for pair, (right, down) in zip(pairwise(planes), shifts.astype(int).tolist(), strict=True):
        best = 0.0
        for x, y in {(0, 0), (right, down)}:
            first = pair[0][max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
            second = pair[1][max(y, 0) : height - max(-y, 0), max(x, 0) : width - max(-x, 0)]
            a, b = first - first.mean(), second - second.mean()
            size = float(np.sqrt((a * a).sum() * (b * b).sum()))
            best = max(best, float((a * b).sum()) / size if size > 1e-3 else 1.0)
        answers.append(best)
    return np.array(answers, np.float32)


_STILL = 0.6  # % of the width a second, up to which a tile or a camera stands still

_GAPS = (8, 4, 2, 1)  # pictures between the two of a pair; the longest that stays within reach
_PAIRS = 24
_FEWEST = 6  # tiles
_COVERED = 0.35  # share of the tiles that must have texture
_TEXTURE = 2.0  # levels of contrast below which a tile is blank
_RESTING = 0.35  # share of the tiles
_SLOW = 2.0  # % of the width a second, up to which a tile rests from one picture to the next
_BUSY = 0.15  # share of the time below which a tile never rests, as where a field streams past
_DIRECTED = 0.5  # share of a path's length that it comes forward, from which it is no shake
_MOST = 0.6  # share of the parts of a picture
_STREAM = 0.9  # share of the time in which a tile flows one way, as nothing at rest does
_FOUND = 0.3  # quality of a tile that was found again
_SAME = 0.15  # the same of a whole picture or a quarter of one


@dataclass(frozen=True, slots=True)
class Motion:
    """The camera's motion over one unbroken run of pictures, in % of the width a second.

    Attributes:
        right: How fast the scene moves right; a camera that pans left makes this positive.
        down: How fast the scene moves down; a camera that tilts up makes this positive.
        growth: How fast things grow, in % of their size a second.
        turn: How fast the picture turns about its middle, in % of a radian a second.
        support: Share of the textured tiles that move so.
        still: Share of the textured tiles that do not move.
        back: Share of the pairs of pictures in which the motion goes the other way.
        rest: Share of the pairs of pictures in which a good part of the tiles does not move.
        busy: Share of the columns of tiles in which a textured one never rests, or is never found
            again.
        least: Share of the tiles that stand still, in the row of tiles where it is least.
        looming: From -1 to 1: how clearly tiles on both sides keep moving out (in, if negative),
            as they do on a road to a far horizon, where most of the picture hardly moves; 0.75
            where some tiles stream without a break, but not on both sides.
        steadiness: Share of the pairs of pictures in which the motion goes the same way.
        shake: Size of the fast part of the path, in % of the width; 0 where the parts of the
            picture do not share it, or it leads somewhere.
        across: How far the tiles that move so reach from side to side; below 1 where the sides
            are blank, as around a ball that turns before a black ground.
        seconds: Length of the run.
    """

    right: float
    down: float
    support: float
    steadiness: float
    shake: float
    across: float
    seconds: float
    growth: float = 0.0
    still: float = 0.0
    rest: float = 0.0
    busy: float = 0.0
    least: float = 0.0
    turn: float = 0.0
    back: float = 0.0
    looming: float = 0.0


def measure_motion(
    grey: Plane, seconds: NDArray[np.float64], bursts: Sequence[slice] | None = None
) -> Motion | None:
    """Measure the camera's motion over one run.

    Args:
        grey: Luma of the pictures, ``(count, height, width)``.
        seconds: When each is shown.
        bursts: The evenly sampled parts of the run; None where all of it is.

    Returns:
        The motion, or None where the run is too short, too small or too plain.
    """
    bursts = bursts or [slice(0, len(grey))]
    if len(grey) < 3 or min(burst.stop - burst.start for burst in bursts) < 2:
        return None
    planes = halve(grey) if max(grey.shape[1:]) >= 200 else grey
    if min(planes.shape[1:]) < _SIDE:
        return None
    step = float(np.median(np.diff(seconds)))
    length = float(seconds[-1] - seconds[0])
    spectra, contrast = _tile_spectra(planes)
    width = planes.shape[2]
    filled = (contrast > _TEXTURE).mean(axis=0) > 0.5
    if filled.mean() < _COVERED:
        return None
    # Centres of the tiles, as x and y pixels from the centre of the picture.
    y, x = np.meshgrid(*(_tile_starts(side) for side in planes.shape[1:]), indexing="ij")
    middle = np.array([width / 2, planes.shape[1] / 2])
    corners = np.stack([x.ravel(), y.ravel()], axis=-1)
    all_centres = (corners + _SIDE / 2 - middle).astype(np.float32)
    places = all_centres[:, 0]
    across = float(np.ptp(places[filled]) / max(float(np.ptp(places)), 1))

    @cache
    def field(gap: int) -> _Field:
        starts = [number for burst in bursts for number in range(burst.start, burst.stop - gap)]
        first = np.array(starts[:: max(1, len(starts) // _PAIRS)])
        shifts, quality = _tile_shifts(spectra, first, gap)
        # Pictures are taken at uneven steps where the frame rate is no multiple of theirs.
        pace = gap * step / np.maximum(seconds[first + gap] - seconds[first], 1e-3)
        shifts *= pace[:, None, None].astype(np.float32)
        good = (quality > _FOUND) & (contrast[first] > _TEXTURE)
        found = good.mean(axis=0) > 0.5
        shifts = np.where(good[..., None], shifts, np.float32(np.nan))
        typical = np.zeros(shifts.shape[1:], dtype=np.float32)
        typical[found] = _median(shifts[:, found], axis=0)
        return _Field(gap, shifts, typical, found)

    near = field(1)
    # What nine tenths of the tiles stay under, in pixels.
    lengths = _lengths(near.typical[near.found])
    speed = float(np.percentile(lengths, 90)) if lengths.size else 0.0
    if near.found[filled].mean() < 0.7 or speed > 0.6 * _REACH:
        return _fast(planes, step, length, across, bursts)
    # The longest gap over which the tiles are still found, so that slow motion shows.
    shortest = min(burst.stop - burst.start for burst in bursts)
    longest = (shortest - 1) / (2 if len(bursts) == 1 else 1.5)
    reached = (g for g in _GAPS if g * max(speed, 1e-3) <= 0.6 * _REACH and g <= longest)
    far = field(next(reached, 1))
    if far.found.mean() < _COVERED or far.found.sum() < _FEWEST:
        return None
    centres, typical = all_centres[far.found], far.typical[far.found]
    shifts = far.shifts[:, far.found]
    model, inliers = _fit(centres, typical)
    rate = 1 / (far.gap * step)
    resting = _lengths(shifts) * 100 / width * rate < _STILL
    # Share of the pairs whose tiles go the typical way, at 0.4 of its speed or more.
    way = typical[inliers]
    power = np.maximum((way * way).sum(axis=-1), 1e-6)
    along = _median((shifts[:, inliers] * way).sum(axis=-1) / power, axis=1)
    steps = _median(near.shifts[:, near.found], axis=1)
    counts = [burst.stop - burst.start - 1 for burst in bursts]
    paths = np.split(steps, np.cumsum(counts)[:-1]) if sum(counts) == len(steps) else [steps]
    gap = far.gap if len(bursts) > 1 else max(far.gap // 2, 1)
    shared = _shared(near.shifts[:, filled], steps)
    still = _lengths(typical) * 100 / width * rate < _STILL
    follows = _along(centres, typical, model)
    # Of each row of tiles the share that stands still most of the time.
    standing = np.zeros(len(filled))
    standing[far.found] = still & (resting.mean(axis=0) > 0.5)
    in_row = np.maximum(filled, standing > 0).reshape(y.shape).sum(axis=1)
    of_row = standing.reshape(y.shape).sum(axis=1) / np.maximum(in_row, 1)
    resting_tiles = (_lengths(near.shifts) * 100 / width / step < _SLOW).mean(axis=0)
    busy = (filled & (resting_tiles < _BUSY)).reshape(y.shape).any(axis=0)
    whole = in_row >= 0.3 * y.shape[1]
    return Motion(
        right=float(model[0]) * 100 / width * rate,
        down=float(model[1]) * 100 / width * rate,
        growth=float(model[2]) * 100 * rate,
        turn=float(model[3]) * 100 * rate,
        support=float(follows.mean()),
        still=float(still.mean()),
        rest=float((resting.mean(axis=1) > _RESTING).mean()),
        busy=float(busy.mean()),
        least=float(of_row[whole].min()) if whole.any() else 0.0,
        looming=_looming(field(gap), all_centres, width),
        steadiness=float((along > 0.4).mean()),
        back=float((along < -0.4).mean()),
        shake=_shake(paths) * 100 / width if shared.mean() > _MOST else 0.0,
        across=float(np.ptp(centres[follows | inliers, 0]) / max(float(np.ptp(places)), 1)),
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


def _lengths(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.hypot(vectors[..., 0], vectors[..., 1])
    return lengths


def _complex(vectors: Vectors) -> NDArray[np.complex64]:
    return np.asarray(vectors[..., 0] + 1j * vectors[..., 1], np.complex64)


def _fit(centres: Vectors, typical: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
    """Fit right, down, growth and roll to the tiles, whatever a minority of them does.

    Every pair of tiles proposes a model; the one that most tiles agree with is fitted again to
    those (RANSAC with all samples instead of random ones).

    Returns:
        The model ``(4,)`` and which tiles follow it.
    """
    i, j = np.triu_indices(len(centres), 1)
    place, move = _complex(centres), _complex(typical)
    apart = np.abs(place[i] - place[j]) >= _SIDE
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
    place, move = _complex(centres), _complex(typical)
    want = model[0] + 1j * model[1] + (model[2] + 1j * model[3]) * place
    close = np.abs(move - want) < 0.15 + 0.1 * np.abs(move)
    similar = (move * want.conj()).real > 0.85 * np.abs(move) * np.abs(want)
    speed = np.abs(move) / np.maximum(np.abs(want), 1e-3)
    follows: NDArray[np.bool_] = close | (
        similar & (speed > 1 / 3) & (speed < 3) & (np.abs(move) > 0.25)
    )
    return follows


def _looming(field: _Field, centres: Vectors, width: int) -> float:
    """How clearly the tiles on both sides keep moving away from the middle, over all pairs."""
    side = np.where(np.abs(centres[:, 0]) > 0.08 * width, np.sign(centres[:, 0]), 0)
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


def _shake(paths: Sequence[NDArray[np.floating]]) -> float:
    """Typical distance of the picture's path from a smooth one, in pixels.

    0 where the path leads somewhere: its steps may be uneven because pictures come twice.
    """
    squares, way, length = [], np.zeros(2), 0.0
    for path in paths:
        steps = path[np.isfinite(path).all(axis=1)]
        if len(steps) >= 5:
            axes = [np.convolve(axis, np.ones(5) / 5, "valid") for axis in steps.T]
            squares.append(((steps[2:-2] - np.stack(axes, axis=-1)) ** 2).sum(axis=-1))
            way += np.abs(steps.sum(axis=0))
            length += float(np.hypot(*steps.T).sum())
    if not squares or np.hypot(*way) > _DIRECTED * length:
        return 0.0
    # By the median: one turn is no shake.
    return float(np.sqrt(np.median(np.concatenate(squares)) / np.log(2)))


def _shared(shifts: Vectors, steps: Vectors) -> NDArray[np.bool_]:
    """Whether most parts of the picture make each step, ``(pairs,)``.

    Args:
        shifts: Of each part, ``(pairs, parts, 2)``; NaN where it was not found.
        steps: Of the picture, ``(pairs, 2)``.
    """
    allowed = 0.4 + 0.25 * _lengths(steps)
    shared: NDArray[np.bool_] = (_lengths(shifts - steps[:, None]) < allowed[:, None]).mean(
        axis=1
    ) > _MOST
    return shared


def _median(values: Vectors, axis: int) -> Vectors:
    """Median of the numbers, in a fraction of the time of `numpy.nanmedian`; NaN of none."""
    ordered = np.sort(values, axis=axis)  # NaN comes last
    count = np.expand_dims((~np.isnan(values)).sum(axis=axis), axis)
    low = np.take_along_axis(ordered, (count - 1) // 2, axis)
    high = np.take_along_axis(ordered, count // 2, axis)
    return np.squeeze((low + high) / 2, axis)


def _fast(
    planes: Plane, step: float, length: float, across: float, bursts: Sequence[slice]
) -> Motion | None:
    """A pan, tilt or shake too fast for the tiles, from whole pictures and their quarters."""
    parts = [_steps(planes[burst]) for burst in bursts]
    shifts, sure = (np.concatenate(values) for values in zip(*parts, strict=True))
    if sure.mean() < _MOST:
        return None
    typical = np.median(shifts[sure], axis=0)
    along = (shifts @ typical) / max(float(typical @ typical), 1.0)
    percent = 100 / planes.shape[2]
    return Motion(
        right=float(typical[0]) * percent / step,
        down=float(typical[1]) * percent / step,
        support=float(sure.mean()),
        steadiness=float((sure & (along > 0.4)).mean()),
        back=float((sure & (along < -0.4)).mean()),
        shake=_shake([part[good] for part, good in parts]) * percent,
        across=across,
        seconds=length,
    )


def _steps(planes: Plane) -> tuple[Vectors, NDArray[np.bool_]]:
    """Shift of each picture against the one before, and whether its quarters share it."""
    shifts, quality = _whole_shift(planes)
    height, width = (side // 2 for side in planes.shape[1:])
    quarters = []
    for y, x in ((0, 0), (0, width), (height, 0), (height, width)):
        quarter = planes[:, y : y + height, x : x + width]
        moves, found = _whole_shift(quarter)
        quarters.append(np.where(found[:, None] > _SAME, moves, np.float32(np.nan)))
    return shifts, (quality > _SAME) & _shared(np.stack(quarters, axis=1), shifts)


_MOVING = 1.0  # %/s from which the camera moves
_MODERATE, _FAST = 6.5, 16.0  # %/s
_ACROSS = 0.8  # share of the width over which the tiles must move so, or it may be a thing
_SHAKE, _STEADY = 0.5, 0.3  # % of the width, around the smooth path


def camera(motions: list[Motion], total: float) -> Confident[Camera] | None:
    """Say what the runs of a clip agree on; None where they do not, or none is clear.

    Args:
        motions: Of the runs that could be measured.
        total: Seconds of all runs.
    """
    answers = [(m.seconds, answer) for m in motions if (answer := _answer(m)) is not None]
    if not answers:
        return None
    time: dict[tuple[Move, ...], float] = {}
    for seconds, answer in answers:
        time[answer.value.moves] = time.get(answer.value.moves, 0) + seconds
    moves, seconds = max(time.items(), key=lambda item: item[1])
    if seconds < 0.75 * total:
        return None
    same = [(s, a) for s, a in answers if a.value.moves == moves]
    longest = max(same, key=lambda item: item[0])[1]
    confidence = sum(s * a.confidence for s, a in same) / total
    return Confident[Camera](value=longest.value, confidence=round(confidence, 2))


def _answer(m: Motion) -> Confident[Camera] | None:
    """What one run says."""
    top = max(abs(m.right), abs(m.down), abs(m.growth) / 2)
    steady = top >= _MOVING and m.steadiness >= 0.6
    if m.shake > _SHAKE and not steady:
        return _said(ramp(m.shake, 0, 1.8), ("shake",), 10 * m.shake)
    if top < _STILL:
        return _far_or_static(m, top)
    # Where much turns about the middle, the camera rolls.
    if not steady or m.support < 0.5 or abs(m.turn) > top:
        return None
    return _moves(m, top)


def _said(sure: float, moves: tuple[Move, ...], speed: float | None = None) -> Confident[Camera]:
    strength: Speed | None = None
    if speed is not None:
        strength = "slow" if speed < _MODERATE else "moderate" if speed < _FAST else "fast"
    value = Camera(moves=moves, strength=strength)
    return Confident[Camera](value=value, confidence=round(0.5 + 0.48 * sure, 2))


def _far_or_static(m: Motion, top: float) -> Confident[Camera] | None:
    """What a run says in which most of the picture hardly moves."""
    # People who leave on both sides do not take a whole row with them, or the rest stands.
    if m.looming == 1:
        passing = max(ramp(m.busy, 0.5, 0.8), ramp(m.rest, 0.5, 0.7))
        return _said(max(0.2, min(ramp(m.least, 0.2, 0), passing)), ("forward",))
    if m.shake > _STEADY or m.still < 0.5 or m.rest < 0.7 or abs(m.turn) / 2 > _STILL:
        return None
    # What never rests from side to side may stream past, however still the sky is.
    held = max(ramp(m.least, 0, 0.3), ramp(m.busy, 0.5, 0.2))
    slow = ramp(top, _STILL, _STILL / 2)
    whole = min(ramp(m.still, 0.3, 0.7), ramp(m.across, 0.3, 0.7))
    sure = min(whole, held, slow, ramp(abs(m.looming), 1, 0.5))
    return _said(sure, ("static",)) if sure > 0 else None


def _moves(m: Motion, top: float) -> Confident[Camera] | None:
    """What a run says that goes one way."""
    reach = {"x": abs(m.right), "y": abs(m.down), "z": abs(m.growth) / 2}
    names: dict[str, Move] = {
        "x": "pan left" if m.right > 0 else "pan right",
        "y": "tilt up" if m.down > 0 else "tilt down",
        "z": "forward" if m.growth > 0 else "backward",
    }
    strongest = sorted(reach, key=lambda axis: -reach[axis])[:2]
    through = strongest[0] == "z"
    if through:  # the point that it moves to may lie beside the middle
        strongest = strongest[:1]
    # The sides have to agree.
    if m.looming * m.growth <= 0 if through else abs(m.looming) == 1:
        return None
    if m.across < (0.5 if through else _ACROSS):
        return None
    sure = min(
        ramp(m.support, *((0.3, 0.7) if through else (0.4, 0.75))),
        ramp(m.steadiness, 0.5, 0.75),
        ramp(m.back, 0.2, 0.05),
        ramp(top * m.seconds, 0.5, 3),
        ramp(m.seconds, 0.2, 1.2),
    )
    moves = tuple(names[axis] for axis in strongest if reach[axis] >= 0.5 * top)
    return _said(sure, moves, max(abs(m.right), abs(m.down), abs(m.growth)))


_CHANGE = 10.0  # levels, mean of a block, beyond what noise and compression do
_CONTRAST = 0.4  # of the contrast around a block, beyond what a jitter of a pixel does
_SELDOM = 0.15  # share of the time below which a block is taken to flicker
_BLOCK = 4
_AMOUNTS = (0.003, 0.03, 0.18)  # share of the picture
_ONE_SIDE, _EVERYWHERE = 0.6, 0.2  # share of what moves


def moving(grey: Plane) -> NDArray[np.float32] | None:
    """Share of the time in which each block of a run of pictures moves, ``(rows, columns)``.

    Pictures half a second apart are compared, each less the change of the whole picture, so
    that a change of light is not taken for movement.
    """
    gap = min(4, len(grey) - 1)
    height, width = grey.shape[1] // _BLOCK, grey.shape[2] // _BLOCK
    if gap < 1 or min(height, width) < 3:
        return None
    blocks = grey[:, : height * _BLOCK, : width * _BLOCK]
    blocks = blocks.reshape(len(grey), height, _BLOCK, width, _BLOCK)
    # Adding up planes is many times faster than a mean over two axes.
    rows = reduce(np.add, (blocks[..., column] for column in range(_BLOCK)))
    means = reduce(np.add, (rows[:, :, row] for row in range(_BLOCK))) / np.float32(_BLOCK**2)
    change = means[gap:] - means[:-gap]
    change = np.abs(change - np.median(change, axis=(1, 2), keepdims=True))[:, 1:-1, 1:-1]
    around = window_max(means, 1) + window_max(-means, 1)
    allowed = np.maximum(_CHANGE, _CONTRAST * np.minimum(around[gap:], around[:-gap]))
    share = (change > allowed).mean(axis=0, dtype=np.float32)
    return np.where(share < _SELDOM, np.float32(0), share)


def movement(share: NDArray[np.float32]) -> Confident[Movement] | None:
    """Say how much moves and in which third; None near the limit between two words."""
    amounts: tuple[Amount, ...] = get_args(Amount)
    mean = float(share.mean())
    amount = amounts[int(np.searchsorted(_AMOUNTS, mean))]
    margin = min(abs(np.log2(max(mean, 1e-4) / limit)) for limit in _AMOUNTS)
    confidence = round(min(0.5 + float(margin) / 4, 0.9), 2)
    if amount == "none":
        return Confident[Movement](value=Movement(amount="none"), confidence=confidence)
    if margin < 0.2:
        return None
    thirds = [float(part.sum()) for part in np.array_split(share.sum(axis=0), 3)]
    parts = [part / max(sum(thirds), 1e-9) for part in thirds]
    names: tuple[Where, ...] = get_args(Where)
    where: Where | None = None
    if max(parts) >= _ONE_SIDE:
        where = names[int(np.argmax(parts))]
    elif min(parts) >= _EVERYWHERE:
        where = "throughout"
    return Confident[Movement](value=Movement(amount=amount, where=where), confidence=confidence)
