"""GLM-4.xV and Kimi-VL: a picture at its own size, bounded by what it comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from promptlift.core.tokens.area import PAIR, Area, clip_tokens
from promptlift.core.tokens.chat import GLM4V, KIMI_VL, counted_by
from promptlift.core.tokens.constants import Json, look_up, number
from promptlift.core.tokens.family import Family
from promptlift.core.video import Size

__all__ = ["Padded", "glm4v", "kimi_vl"]

_GLM_MARKERS = 2  # <|begin_of_image|> and <|end_of_image|>
_KIMI_MARKERS = 4  # <|media_start|>image<|media_content|> and <|media_end|>
_KIMI_MOST = 4096
_KIMI_POSITIONS = 512  # patches on a side that Kimi-VL has positions for; one less is taken


def glm4v(config: Json, preprocessor: Json | None = None) -> Family:
    """The family of a GLM-4.1V, 4.5V or 4.6V.

    A picture is a clip of two frames, and the bounds (``shortest_edge``, ``longest_edge``, which
    are no edges) are of its volume.
    """
    patch = number((preprocessor, "patch_size"), (config, "vision_config.patch_size"), default=14)
    merge = number(
        (preprocessor, "merge_size"), (config, "vision_config.spatial_merge_size"), default=2
    )
    least = number((preprocessor, "size.shortest_edge"), default=112 * 112)
    most = number((preprocessor, "size.longest_edge"), default=28 * 28 * 15_000)
    area = Area(patch * merge, least, most)
    return Family(
        name="glm-4v",
        unit=1,
        max_side=None,
        image=partial(_doubled, area),
        chat=counted_by(GLM4V),
        source="transformers/models/glm4v/image_processing_glm4v.py (smart_resize) and "
        "vllm/model_executor/models/glm4_1v.py",
        max_pixels=max(1, most // PAIR),
    )


def _doubled(area: Area, size: Size) -> int:
    return clip_tokens(area, size, PAIR) + _GLM_MARKERS


@dataclass(frozen=True, slots=True)
class Padded:
    """A picture that is padded to whole squares.

    Attributes:
        patch: Pixels on a side of a patch.
        rows: Patches that are merged into one token, down.
        columns: The same, across.
        most: Whole patches of a picture beyond which it is shrunk.
    """

    patch: int
    rows: int
    columns: int
    most: int


def kimi_vl(config: Json, preprocessor: Json | None = None) -> Family:
    """The family of a Kimi-VL; ``in_token_limit`` is 4,096, or 16,384 from 2506 on."""
    patch = number((preprocessor, "patch_size"), (config, "vision_config.patch_size"), default=14)
    rows, columns = _merged(preprocessor)
    most = number((preprocessor, "in_token_limit"), default=_KIMI_MOST)
    grid = Padded(patch, rows, columns, most)
    return Family(
        name="kimi-vl" if most <= _KIMI_MOST else "kimi-vl-2506",
        unit=patch * max(rows, columns),
        max_side=patch * (_KIMI_POSITIONS - max(rows, columns)),
        image=partial(_padded, grid),
        chat=counted_by(KIMI_VL),
        source="vllm/model_executor/models/kimi_vl.py (get_num_image_tokens); the limit of 512 "
        "patches on a side is in the checkpoint's image_processing_kimi_vl.py",
        max_pixels=most * patch * patch,
    )


def _merged(preprocessor: Json | None) -> tuple[int, int]:
    sizes = look_up(preprocessor, "merge_kernel_size")
    pair = dict(zip("hw", sizes, strict=False)) if isinstance(sizes, list) else {}
    return number((pair, "h"), default=2), number((pair, "w"), default=2)


def _padded(grid: Padded, size: Size) -> int:
    width, height = size.width, size.height
    whole = (width // grid.patch) * (height // grid.patch)
    if whole > grid.most:
        scale = math.sqrt(grid.most / whole)
        width, height = int(width * scale), int(height * scale)
    rows = -(-height // (grid.patch * grid.rows))
    columns = -(-width // (grid.patch * grid.columns))
    return rows * columns + _KIMI_MARKERS
