"""How the camera moves, in words.

Where the picture's motion lies between still and moving, goes one way now and another then, or
is not shared by most of the picture, nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from promptlift.core.facts import Camera, Confident
from promptlift.facts.motion import STILL

if TYPE_CHECKING:
    from promptlift.facts.motion import Motion

__all__ = ["camera"]

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
