"""How the camera moves, and what else moves, in words.

Where the picture's motion lies between still and moving, goes one way now and another then, or
is not shared by most of the picture, nothing is said.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np

from promptlift.facts.image_ops import window_max
from promptlift.facts.model import Camera, Confident, Movement
from promptlift.facts.motion import STILL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts.image_ops import Plane
    from promptlift.facts.motion import Motion

__all__ = ["camera", "movement", "moving"]

_Move = Literal[
    "static", "pan left", "pan right", "tilt up", "tilt down", "forward", "backward", "shake"
]

_MOVING = 1.5  # %/s from which the camera moves
_MODERATE, _FAST = 6.5, 16.0  # %/s
_ACROSS = 0.8  # share of the width that must have texture, or it may be a thing that moves
_SHAKE, _STEADY = 0.5, 0.3  # % of the width, root mean square around the smooth path


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


def _answer(m: Motion) -> Confident[Camera] | None:
    reach = {"x": abs(m.right), "y": abs(m.down), "z": abs(m.growth) / 2}
    top = max(reach.values())
    steady = top >= _MOVING and m.steadiness >= 0.6
    if m.shake > _SHAKE and not steady:
        return _shaking(m)
    if top < STILL:
        return _at_rest(m)
    if not steady or m.support < 0.5 or m.across < _ACROSS:
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
    if m.shake > _STEADY or min(m.still / 0.5, m.rest / 0.7) < 1 or abs(m.looming) > 0.5:
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


_CHANGE = 10.0  # levels, mean of a block, beyond what noise and compression do
_CONTRAST = 0.4  # of the contrast around a block, beyond what a jitter of a pixel does
_SELDOM = 0.15  # share of the time below which a block is taken to flicker
_BLOCK = 4
_AMOUNTS = (0.003, 0.03, 0.18)  # share of the picture
_SIDE, _EVERYWHERE = 0.6, 0.2  # share of what moves


def moving(grey: Plane) -> NDArray[np.float32] | None:
    """Share of the time in which each block of a run of pictures moves, ``(rows, columns)``.

    Pictures half a second apart are compared, each less the change of the whole picture, so
    that a change of light is not taken for movement.
    """
    gap = min(4, len(grey) - 1)
    height, width = grey.shape[1] // _BLOCK, grey.shape[2] // _BLOCK
    if gap < 1 or min(height, width) < 3:
        return None
    means = _block_means(grey[:, : height * _BLOCK, : width * _BLOCK])
    change = means[gap:] - means[:-gap]
    change = np.abs(change - np.median(change, axis=(1, 2), keepdims=True))[:, 1:-1, 1:-1]
    around = window_max(means, 1) + window_max(-means, 1)
    allowed = np.maximum(_CHANGE, _CONTRAST * np.minimum(around[gap:], around[:-gap]))
    share = (change > allowed).mean(axis=0, dtype=np.float32)
    return np.where(share < _SELDOM, np.float32(0), share)


def _block_means(grey: Plane) -> Plane:
    """Mean of each block; adding up planes is many times faster than a mean over two axes."""
    count, height, width = grey.shape
    blocks = grey.reshape(count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    rows = reduce(np.add, (blocks[..., column] for column in range(_BLOCK)))
    return reduce(np.add, (rows[:, :, row] for row in range(_BLOCK))) / np.float32(_BLOCK**2)


def movement(share: NDArray[np.float32]) -> Confident[Movement] | None:
    """Say how much moves and in which third; None near the limit between two words."""
    amounts: tuple[Literal["none", "little", "some", "strong"], ...]
    amounts = ("none", "little", "some", "strong")
    mean = float(share.mean())
    amount = amounts[int(np.searchsorted(_AMOUNTS, mean))]
    margin = min(abs(np.log2(max(mean, 1e-4) / limit)) for limit in _AMOUNTS)
    confidence = round(min(0.5 + float(margin) / 4, 0.9), 2)
    if amount == "none":
        return Confident[Movement](value=Movement(amount="none"), confidence=confidence)
    if margin < 0.2:
        return None
    return Confident[Movement](
        value=Movement(amount=amount, where=_where(share)), confidence=confidence
    )


def _where(share: NDArray[np.float32]) -> Literal["left", "centre", "right", "throughout"] | None:
    columns = share.sum(axis=0)
    thirds = [float(part.sum()) for part in np.array_split(columns, 3)]
    parts = [part / max(sum(thirds), 1e-9) for part in thirds]
    names: tuple[Literal["left", "centre", "right"], ...] = ("left", "centre", "right")
    if max(parts) >= _SIDE:
        return names[int(np.argmax(parts))]
    return "throughout" if min(parts) >= _EVERYWHERE else None
