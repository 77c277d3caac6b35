"""What kind of video it is: a camera picture, or one of the control videos made from one.

Every control kind is a set of properties that must all hold. Each property gives a score from 0
to 1 (a ramp between a value that speaks against the kind and one that speaks for it), and the
weakest one decides, so that a single contrary property is enough to keep a camera picture from
being taken for a control. The ramps were set on NVIDIA's sample clips and on some 650 darkened,
hazy, grey, noisy and softened photographs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from promptlift.core.facts import Confident, Kind

if TYPE_CHECKING:
    from promptlift.facts.texture import Texture

__all__ = ["kind"]

_Control = Literal["edge", "depth", "seg", "blur", "lines", "mask"]

_CONTROL = 0.6  # score from which a control is believed
_CAMERA = 0.35  # score up to which the picture is surely none
_EMPTY = 0.97  # share of black from which too little is left to tell


def kind(found: Texture | None) -> Confident[Kind] | None:
    """Tell the kind of video from its texture; None where it is not clear."""
    if found is None or found.spread < 2:
        return None
    scores = _scores(found)
    best: _Control = max(get_args(_Control), key=scores.__getitem__)
    score = scores[best]
    if score >= _CONTROL:
        return Confident[Kind](value=best, confidence=round(0.5 + 0.49 * score, 2))
    if score <= _CAMERA and found.black < _EMPTY:
        return Confident[Kind](value="rgb", confidence=round(0.99 - score, 2))
    return None


def _scores(t: Texture) -> dict[_Control, float]:
    grey = _ramp(t.chroma_99, 40, 15)
    bright = _ramp(t.gain, 4, 3)
    drawn = _ramp(t.midtone, 0.25, 0.12)
    drawing = max(0.5, _ramp(t.bands, 4.5, 3.2))  # many bands may be lines of writing
    scatter = (1 - t.flat) / max(t.occupied, 0.01)  # points lie everywhere, lines leave gaps
    edge = (
        grey,
        bright,
        drawing,
        _ramp(t.black, 0.42, 0.55),
        _ramp(t.thinness, 0.9, 0.97),
        _ramp(t.steepness, 0.6, 0.75),
        _ramp(t.occupied, 0.08, 0.16),
        _ramp(t.midtone, 0.2, 0.08),
        _ramp(t.block_variation, 0.38, 0.28),
        _ramp(scatter, 0.95, 0.85),
    )
    mask = (
        grey,
        bright,
        drawn,
        _ramp(t.black + t.white, 0.92, 0.97),
        _ramp(t.thinness, 0.6, 0.3),
        _ramp(t.steepness, 0.3, 0.42),
        _ramp(t.black, 0.01, 0.03),
        _ramp(t.white, 0.002, 0.01),
    )
    lines = (
        bright,
        drawn,
        drawing,
        _ramp(t.black, 0.5, 0.65),
        _ramp(t.chroma_99, 120, 180),
        _ramp(t.thinness, 0.08, 0.15),
        _ramp(t.hues, 1, 3),
        _ramp(t.occupied, 0.08, 0.16),
    )
    seg = (
        bright,
        drawn,
        _ramp(t.chroma_90, 80, 140),
        _ramp(t.flat, 0.4, 0.6),
        _ramp(t.colours, 24, 14),
        _ramp(t.hues, 1, 3),
        _ramp(t.steepness, 0.24, 0.34),
    )
    depth = (
        _ramp(t.chroma_99, 30, 12),
        bright,
        _ramp(t.flat, 0.5, 0.65),
        _ramp(t.detail_75, 1.5, 0.9),
        _ramp(t.detail_90, 2.4, 1.8),
        _ramp(t.steepness, 0.24, 0.31),
        _ramp(t.spread, 22, 34),
        _ramp(t.colours, 2.5, 4),
    )
    points = (  # of a lidar that leaves most of the picture black
        grey,
        _ramp(t.gain, 6.5, 5.5),
        _ramp(t.black, 0.38, 0.46),
        _ramp(t.thinness, 0.9, 0.97),
        _ramp(scatter, 0.8, 0.9),
        _ramp(t.midtone, 0.2, 0.08),
        _ramp(t.foreground, 0.04, 0.08),
        _ramp(t.block_variation, 0.1, 0.2),  # near and far differ; writing is all of one level
        _ramp(t.steepness, 0.6, 0.75),
    )
    blur = (
        _ramp(t.gain, 6, 4),
        _ramp(t.steepness, 0.155, 0.13),
        _ramp(t.detail_90, 4, 2),
        _ramp(t.spread, 5, 12),
        max(0.5, _ramp(t.chroma_99, 12, 25)),  # a grey one may be a picture that is soft by nature
    )
    return {
        "edge": min(edge),
        "mask": min(mask),
        "lines": min(lines),
        "seg": min(*seg, 1 - min(lines)),  # lines are drawn regions too, and something more
        "depth": max(min(depth), min(points)),
        "blur": min(blur),
    }


def _ramp(value: float, against: float, speaks_for: float) -> float:
    return min(max((value - against) / (speaks_for - against), 0.0), 1.0)
