"""What kind of video it is: a camera picture, or one of the control videos made from one.

Every control kind is a set of properties that must all hold. Each property gives a score from 0
to 1 (a ramp between a value that speaks against the kind and one that speaks for it), and the
weakest one decides, so that a single contrary property is enough to keep a camera picture from
being taken for a control. The ramps were set on NVIDIA's sample clips and on some 650 darkened,
hazy, grey, noisy and softened photographs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from promptlift.facts import Confident, Sharpness
from promptlift.facts.image_ops import (
    codes,
    luma,
    picture_area,
    ramp,
    spread_indices,
    tint,
    upper,
    window_max,
)
from promptlift.types import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from promptlift.facts.image_ops import Plane

__all__ = ["Texture", "control_kind", "kind_hint", "sharpness", "texture"]

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
        labels: Share of the pixels, but for black and white, that have one of the twelve
            commonest colours (6 bits a component), as in regions filled with one colour each.
        hues: Number of vivid colours (2 bits a component) that cover at least 0.2 % each.
        foreground: Share of pixels brighter than 48.
        occupied: Share of 16 x 16 blocks that hold some foreground.
        bands: Number of bands of rows that hold something brighter than 64, with black rows
            between them.
        thinness: Share of the foreground that vanishes when opened by 7 x 7 pixels.
        block_variation: Coefficient of variation of the brightest pixel of the blocks.
        steepness: Step between neighbours over the span of the 14 pixels around it, the median of
            the sharpest steps; 1 for a hard edge, 1/13 for a ramp.
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
    labels: float
    hues: int
    foreground: float
    occupied: float
    bands: float
    thinness: float
    block_variation: float
    steepness: float
    detail_75: float
    detail_90: float

    @property
    def plain(self) -> bool:
        """Whether the pictures show nothing, so that they may be of any kind."""
        return self.spread < _PLAIN


_PLAIN = 2.0  # levels


def texture(images: NDArray[np.uint8]) -> Texture | None:
    """Measure the texture of pictures ``(count, height, width, 3)``; None where too small."""
    chosen = images[spread_indices(len(images), _SAMPLES)]
    # Black bars at the sides would pass for a drawing's black ground.
    rows, columns = picture_area(chosen)
    chosen = chosen[:, rows, columns]
    if min(chosen.shape[1:3]) < _SMALLEST:
        return None
    top = float(upper(luma(chosen[:, ::2, ::2]), 99.7))
    gain = 255 / min(max(top, 8), 255)
    stretch = np.minimum(np.arange(256) * gain, 255).astype(np.uint8)
    rgb = stretch[chosen]
    grey = np.minimum(luma(chosen) * np.float32(gain), 255)
    # Largest range of any component in each 5 x 5 window.
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    spans = [window_max(plane, 2) - ~window_max(~plane, 2) for plane in planes]
    span = np.maximum(np.maximum(spans[0], spans[1]), spans[2])
    lit = span[grey[:, 2:-2, 2:-2] >= 20]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    laplacian = np.abs(grey[:, 1:-1, 1:-1] - around / 4)
    detail_75, detail_90 = np.percentile(laplacian[:, ::2, ::2], [75, 90])
    # The foreground, and its blocks.
    foreground = grey > 48
    opened = window_max(~window_max(~foreground, 3), 3)
    core = foreground[:, 6:-6, 6:-6]
    count, rows, columns = len(grey), grey.shape[1] // _BLOCK, grey.shape[2] // _BLOCK
    blocks = grey[:, : rows * _BLOCK, : columns * _BLOCK]
    peaks = blocks.reshape(count, rows, _BLOCK, columns, _BLOCK).max(axis=(2, 4))
    figure = peaks[peaks > 60]
    filled = (grey / np.float32(gain) > 64).any(axis=2).astype(np.int8)
    bands = (np.diff(filled, axis=1, prepend=np.int8(0)) == 1).sum(axis=1)
    # Colours of every second pixel.
    few = rgb[:, ::2, ::2]
    chroma = tint(few)
    chroma_90, chroma_99 = np.percentile(chroma, [90, 99])
    counts = np.bincount(codes(few, 4).ravel(), minlength=4096)
    shares = np.cumsum(np.sort(counts)[::-1]) / counts.sum()
    middle = (grey[:, ::2, ::2] > 20) & ((grey[:, ::2, ::2] < 235) | (chroma > 40))
    fine = np.bincount(codes(few[middle], 6), minlength=1)
    labels = np.sort(fine[fine > 0])[-12:].sum() / max(fine.sum(), 1)
    hues = np.bincount(codes(few[chroma > 96], 2), minlength=64) >= 0.002 * counts.sum()
    return Texture(
        gain=gain,
        spread=float(grey.std()),
        chroma_90=float(chroma_90),
        chroma_99=float(chroma_99),
        black=float((grey < 20).mean()),
        white=float((grey > 235).mean()),
        flat=float((span <= 8).mean()),
        midtone=float(((lit > 8) & (lit <= 48)).mean()) if lit.size else 0.0,
        colours=int(np.searchsorted(shares, 0.8)) + 1,
        labels=float(labels),
        hues=int(hues.sum()),
        foreground=float(core.mean()),
        occupied=float((peaks > 60).mean()),
        bands=float(np.median(bands)),
        thinness=1 - float((opened & core).sum()) / max(float(core.sum()), 1),
        block_variation=float(figure.std() / figure.mean()) if figure.size else 0.0,
        steepness=_steepness(grey),
        detail_75=float(detail_75),
        detail_90=float(detail_90),
    )


def _steepness(grey: Plane) -> float:
    """See `Texture`; only at the sharpest steps, so that a wide glow takes nothing from it."""
    steps = np.abs(np.diff(grey, axis=2))
    steps[:, :, :6] = steps[:, :, -6:] = 0
    picture, row, column = np.nonzero(steps >= max(upper(steps, 99.7), np.float32(1e-3)))
    if not picture.size:
        return 0.0
    around = grey[picture[:, None], row[:, None], column[:, None] + np.arange(-6, 8)]
    spans = np.maximum(around.max(axis=1) - around.min(axis=1), 1)
    return float(np.median(steps[picture, row, column] / spans))


_CONTROL = 0.6  # score from which a control is believed
_CAMERA = 0.35  # score up to which the picture is surely none
_SURE = 0.9  # score from which a control is believed against the name
_DOUBTED = 0.8  # confidence where the name and the picture are not of one mind
_EMPTY = 0.97  # share of black from which too little is left to decide
_HINTS: dict[str, Kind] = {
    **dict.fromkeys(("edge", "edges", "canny", "hed", "scribble"), "edge"),
    **dict.fromkeys(("depth", "lidar", "disparity"), "depth"),
    **dict.fromkeys(("seg", "segment", "segmentation", "semantic", "semseg"), "seg"),
    **dict.fromkeys(("blur", "blurred", "vis"), "blur"),
    **dict.fromkeys(("hdmap", "lines", "keypoint", "keypoints", "openpose", "skeleton"), "lines"),
    **dict.fromkeys(("mask", "masks"), "mask"),
}


def kind_hint(name: str) -> Kind | None:
    """The kind of control video that the name of a file, or the key of a spec, speaks of."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = re.findall(r"[a-z]+", re.sub(r"hd[^a-z]map", "hdmap", apart))
    return next((_HINTS[word] for word in reversed(words) if word in _HINTS), None)


def control_kind(t: Texture | None, hint: Kind | None = None) -> Confident[Kind] | None:
    """Tell the kind of video from its texture; None where it is not clear.

    Args:
        t: The texture.
        hint: What the name speaks of; it decides where the picture leaves it open, and never
            against the picture.
    """
    if t is None or t.plain:
        return None
    scores = _scores(t)
    best = max(scores, key=scores.__getitem__)
    score = scores[best]
    said = f"the file name says {hint}"
    if hint is not None and score < _SURE and scores.get(hint, 0) > _CAMERA:
        best, score = hint, max(scores[hint], _CONTROL)
    if score >= _CONTROL:
        evidence = said if best == hint else ""
        confidence = round(0.5 + 0.49 * score, 2)
        return Confident[Kind](value=best, confidence=confidence, evidence=evidence)
    # Regions filled with one colour each, or shapes before a void, may be drawn as well as filmed.
    score = max(
        score,
        min(ramp(t.flat, 0.7, 0.8), ramp(t.midtone, 0.25, 0.15), ramp(t.labels, 0.5, 0.8)),
        min(ramp(t.black, 0.4, 0.55), ramp(t.midtone, 0.25, 0.12)),
    )
    if score <= _CAMERA and t.black < _EMPTY:
        if hint is not None:  # one of the two is wrong
            return Confident[Kind](value="rgb", confidence=_DOUBTED)
        return Confident[Kind](value="rgb", confidence=round(0.99 - score, 2))
    if hint is not None:
        return Confident[Kind](value=hint, confidence=_DOUBTED, evidence=said)
    return None


def _scores(t: Texture) -> dict[Kind, float]:
    """How well the texture fits each kind of control, from 0 to 1."""
    grey = ramp(t.chroma_99, 40, 15)
    bright = ramp(t.gain, 4, 3)
    drawn = ramp(t.midtone, 0.25, 0.12)
    drawing = max(0.5, ramp(t.bands, 4.5, 3.2))  # many bands may be lines of writing
    scatter = (1 - t.flat) / max(t.occupied, 0.01)  # points lie everywhere, lines leave gaps
    lines = min(
        bright,
        drawn,
        drawing,
        ramp(t.black, 0.5, 0.65),
        ramp(t.chroma_99, 120, 180),
        ramp(t.thinness, 0.08, 0.15),
        ramp(t.hues, 1, 3),
        ramp(t.occupied, 0.08, 0.16),
    )
    return {
        "edge": min(
            grey,
            bright,
            drawing,
            ramp(t.black, 0.42, 0.55),
            ramp(t.thinness, 0.9, 0.97),
            ramp(t.steepness, 0.6, 0.75),
            ramp(t.occupied, 0.08, 0.16),
            ramp(t.midtone, 0.2, 0.08),
            ramp(t.block_variation, 0.38, 0.28),
            ramp(scatter, 0.95, 0.85),
        ),
        "depth": max(
            min(
                ramp(t.chroma_99, 30, 12),
                bright,
                ramp(t.flat, 0.5, 0.65),
                ramp(t.detail_75, 1.5, 0.9),
                ramp(t.detail_90, 2.4, 1.8),
                ramp(t.steepness, 0.24, 0.31),
                ramp(t.spread, 22, 34),
                ramp(t.colours, 2.5, 4),
            ),
            min(  # points of a lidar that leaves most of the picture black
                grey,
                ramp(t.gain, 6.5, 5.5),
                ramp(t.black, 0.38, 0.46),
                ramp(t.thinness, 0.9, 0.97),
                ramp(scatter, 0.8, 0.9),
                ramp(t.midtone, 0.2, 0.08),
                ramp(t.foreground, 0.04, 0.08),
                # Near and far differ; writing is all of one level.
                ramp(t.block_variation, 0.1, 0.2),
                ramp(t.steepness, 0.6, 0.75),
            ),
        ),
        "seg": min(
            bright,
            drawn,
            ramp(t.chroma_90, 80, 140),
            ramp(t.flat, 0.4, 0.6),
            ramp(t.colours, 24, 14),
            ramp(t.colours, 1, 1.9),  # one alone is the ground that something is written on
            ramp(t.labels, 0.55, 0.75),
            ramp(t.hues, 1, 3),
            ramp(t.steepness, 0.24, 0.34),
            1 - lines,  # lines are drawn regions too, and something more
        ),
        "blur": min(
            ramp(t.gain, 6, 4),
            ramp(t.steepness, 0.155, 0.13),
            ramp(t.detail_90, 4, 2),
            ramp(t.spread, 5, 12),
            # A grey one may be a picture that is soft by nature.
            max(0.5, ramp(t.chroma_99, 12, 25)),
        ),
        "lines": lines,
        "mask": min(
            grey,
            bright,
            ramp(t.black + t.white, 0.85, 0.92),
            ramp(t.thinness, 0.6, 0.3),
            max(min(drawn, ramp(t.steepness, 0.3, 0.42)), ramp(t.flat, 0.7, 0.85)),
            ramp(t.black, 0.01, 0.03),
            ramp(t.white, 0.002, 0.01),
        ),
    }


_BLURRED, _SOFT, _SHARP = 0.155, 0.26, 0.42  # steepness
_FAINT = 8.0  # levels of spread below which there is nothing to be sharp


def sharpness(texture: Texture) -> Confident[Sharpness] | None:
    """Tell sharp, soft and blurred pictures apart; None where nothing shows or in between."""
    steep = texture.steepness
    if texture.spread < _FAINT or _SOFT < steep < _SHARP:
        return None
    if steep >= _SHARP:
        confidence = round(min(0.6 + 2 * (steep - _SHARP), 0.95), 2)
        return Confident[Sharpness](value="sharp", confidence=confidence)
    if steep > _BLURRED:
        return Confident[Sharpness](value="soft", confidence=0.7)
    return Confident[Sharpness](value="blurred", confidence=0.9)
