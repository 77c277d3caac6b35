"""All facts of one set of thumbnails."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from promptlift.facts import Facts
from promptlift.facts.control_kind import control_kind, sharpness, texture
from promptlift.facts.image_ops import halve, luma, picture_area, spread_indices
from promptlift.facts.light_and_color import light, palette
from promptlift.facts.motion import (
    LIKE,
    camera,
    find_cuts,
    likeness,
    measure_motion,
    movement,
    moving,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts import Camera, Confident, Movement
    from promptlift.facts.image_ops import Plane
    from promptlift.types import Kind, Thumbnails

__all__ = ["measure_facts"]

T = TypeVar("T")

_COLOUR_SAMPLES = 6
_COLOUR_PIXELS = 4000  # of each sample
_LONG, _PIECE = 99, 33  # pictures
_SURE = 0.55  # confidence below which a fact is left out


def measure_facts(
    thumbnails: Thumbnails, motion: Thumbnails | None = None, *, hint: Kind | None = None
) -> Facts:
    """Measure everything that can be told without a model.

    Args:
        thumbnails: Pictures of about 320 pixels at about 8 a second; a single one for a still.
        motion: Luma in short bursts, where the thumbnails are too few to show motion. Then there
            is nothing on cuts, and on movement beside the camera's.
        hint: The kind of control video that the file's name speaks of, see `kind_hint`.

    Returns:
        The facts; what is not sure is None. Control videos, and what may be one, have no camera,
        light or palette: those of the video they stand for cannot be seen in them.
    """
    images = thumbnails.images
    if len(images) == 0:
        return Facts()
    found = texture(images)
    kind = control_kind(found, hint)
    clear = sharpness(found) if found is not None else None
    name = kind.value if kind is not None else None
    if name != "rgb" and found is not None and not found.plain:
        return Facts(kind=kind, sharpness=clear if name == "blur" else None)
    how: Confident[Camera] | None = None
    moves: Confident[Movement] | None = None
    cuts: tuple[float, ...] | None = None
    strip = motion or thumbnails
    seconds = np.array([float(time) for time in strip.times])
    if motion is not None:
        _, starts = np.unique(strip.stretches or (0,) * len(seconds), return_index=True)
        grey = strip.images.astype(np.float32)
        bursts = [slice(a, b) for a, b in pairwise([*starts.tolist(), len(seconds)])]
        # A burst that a cut goes through shows no motion.
        whole = [burst for burst in bursts if (likeness(halve(grey[burst])) > LIKE).all()]
        one = measure_motion(grey, seconds, whole)
        if one is not None and 2 * len(whole) > len(bursts):
            how = camera([one], one.seconds)
    else:
        grey = luma(images)
        runs, starts_of_shots = _runs(strip, grey)
        how, moves = _motion(grey, seconds, runs)
        if strip.contiguous and len(seconds) > 1:  # not where only stretches were sampled
            cuts = tuple(round(float(seconds[cut]), 3) for cut in starts_of_shots)
    # An even sample of the pixels.
    chosen = images[spread_indices(len(images), _COLOUR_SAMPLES)]
    step = max(1, round(float(np.sqrt(chosen[0, ..., 0].size / _COLOUR_PIXELS))))
    rows, columns = picture_area(chosen)
    pixels = chosen[:, rows, columns][:, ::step, ::step].reshape(-1, 3)
    return Facts(
        kind=kind,
        camera=_sure(how),
        movement=_sure(moves),
        light=_sure(light(pixels)),
        palette=_sure(palette(pixels)),
        sharpness=clear,
        cuts=cuts,
    )


def _runs(strip: Thumbnails, grey: Plane) -> tuple[list[slice], list[int]]:
    """Unbroken runs of pictures, and the cuts among them."""
    stretches = np.array(strip.stretches or (0,) * len(grey))
    starts = [0, *(np.flatnonzero(np.diff(stretches)) + 1).tolist(), len(grey)]
    small = halve(halve(grey)) if min(grey.shape[1:]) >= 64 else grey
    step = 4 if small is not grey else 1
    runs: list[slice] = []
    cuts: list[int] = []
    for start, stop in pairwise(starts):
        like = likeness(small[start:stop])
        inside = find_cuts(strip.images[start:stop, ::step, ::step], like)
        cuts += [start + cut for cut in inside]
        # Between pictures that have nothing in common no motion can be measured either.
        breaks = np.union1d(inside, np.flatnonzero(like <= LIKE) + 1).astype(int).tolist()
        edges = [start, *(start + place for place in breaks), stop]
        runs += [slice(a, b) for a, b in pairwise(edges)]
    return runs, cuts


def _motion(
    grey: Plane, seconds: NDArray[np.float64], runs: list[slice]
) -> tuple[Confident[Camera] | None, Confident[Movement] | None]:
    """The camera's motion, and what else moves where the camera stands still."""
    pieces: list[slice] = []
    for run in runs:
        if run.stop - run.start <= _LONG:
            pieces.append(run)
        else:  # a few pieces, spread over it, so that a long video costs no more
            starts = np.linspace(run.start, run.stop - _PIECE, _LONG // _PIECE).astype(int).tolist()
            pieces += [slice(start, start + _PIECE) for start in starts]
    motions = [
        m for piece in pieces if (m := measure_motion(grey[piece], seconds[piece])) is not None
    ]
    how = camera(motions, sum(float(seconds[p.stop - 1] - seconds[p.start]) for p in pieces))
    if how is None or how.value.moves != ("static",):
        return how, None
    shares = [(share, run) for run in runs if (share := moving(grey[run])) is not None]
    if not shares:
        return how, None
    weights = [run.stop - run.start for _, run in shares]
    mean = np.average([share for share, _ in shares], axis=0, weights=weights)
    return how, movement(mean.astype(np.float32))


def _sure(fact: Confident[T] | None) -> Confident[T] | None:
    return fact if fact is not None and fact.confidence >= _SURE else None
