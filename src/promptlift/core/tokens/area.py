"""Stretching a picture, or a clip, to whole squares of pixels within bounds of area.

Qwen-VL and GLM-4.xV share this arithmetic: each side goes to the nearest multiple of `factor`,
and where the area is then out of bounds, both sides are scaled until it is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from promptlift.core.tokens.family import refused
from promptlift.core.video import Size

__all__ = ["PAIR", "Area", "clip_tokens", "picture_tokens"]

_MAX_RATIO = 200
PAIR = 2
"""Frames that make one time step (``temporal_patch_size``)."""


@dataclass(frozen=True, slots=True)
class Area:
    """Bounds of a stretched picture.

    Attributes:
        factor: Pixels on a side of what one token stands for (patch size times merge size).
        least: Fewest pixels; a smaller picture is enlarged.
        most: Most pixels.
    """

    factor: int
    least: int
    most: int


def picture_tokens(area: Area, size: Size) -> int:
    """Tokens of one picture, without markers.

    Raises:
        BudgetError: One side is more than 200 times the other.
    """
    _check(size, size)
    return _squares(area, size, 1, 1)


def clip_tokens(area: Area, size: Size, frames: int) -> int:
    """Tokens of each pair of frames of a clip whose whole volume is bounded, without markers.

    Args:
        area: Its bounds are in pixels times frames.
        size: Pixels of each frame.
        frames: How many; one counts as a pair, since it is doubled.

    Raises:
        BudgetError: One side is more than 200 times the other.
    """
    frames, raised = max(frames, PAIR), size
    if min(size.width, size.height) < area.factor:
        scale = max(area.factor / size.height, area.factor / size.width)
        raised = Size(int(size.width * scale), int(size.height * scale))
    _check(size, raised)
    return _squares(area, raised, frames, round(frames / PAIR) * PAIR)


def _check(size: Size, raised: Size) -> None:
    """Refuse a shape; it is judged after a side shorter than a square was raised to one."""
    if max(raised.height, raised.width) / min(raised.height, raised.width) > _MAX_RATIO:
        raise refused(size, f"one side is more than {_MAX_RATIO} times the other")


def _squares(area: Area, size: Size, frames: int, even_frames: int) -> int:
    """Count squares; the volume goes by the even number of frames, the scale by the true one."""
    width, height, factor = size.width, size.height, area.factor
    rows, columns = round(height / factor), round(width / factor)
    volume = even_frames * (rows * factor) * (columns * factor)
    if volume > area.most:
        scale = math.sqrt((frames * height * width) / area.most)
        rows = max(1, math.floor(height / scale / factor))
        columns = max(1, math.floor(width / scale / factor))
    elif volume < area.least:
        scale = math.sqrt(area.least / (frames * height * width))
        rows = math.ceil(height * scale / factor)
        columns = math.ceil(width * scale / factor)
    return rows * columns
