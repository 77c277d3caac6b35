"""LLaVA-NeXT and LLaVA-OneVision: one of a list of resolutions, and the padding taken off again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from promptlift.core.tokens.chat import LLAVA_NEXT, LLAVA_ONEVISION, Template, counted_by
from promptlift.core.tokens.constants import Json, look_up, number
from promptlift.core.tokens.family import Family
from promptlift.core.video import Size
from promptlift.errors import OptionError

__all__ = ["AnyRes", "llava_next", "llava_onevision"]


@dataclass(frozen=True, slots=True)
class AnyRes:
    """The resolutions that a picture may be shown at.

    Attributes:
        side: Pixels on a side of a tile.
        patches: Patches on a side of a tile.
        resolutions: What a picture is fitted into, in the model's order.
        most: Tiles beyond which the features are shrunk; None if never.
    """

    side: int
    patches: int
    resolutions: tuple[Size, ...]
    most: int | None


_NEXT = tuple(Size(w, h) for h, w in ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)))
_ONE = tuple(Size(384 * w, 384 * h) for h in range(1, 7) for w in range(1, 7))


def llava_next(config: Json, preprocessor: Json | None = None) -> Family:
    """The family of a LLaVA-NeXT (LLaVA 1.6)."""
    grid = _grid(config, preprocessor, AnyRes(336, 24, _NEXT, None))
    return _family("llava-next", grid, LLAVA_NEXT)


def llava_onevision(config: Json, preprocessor: Json | None = None) -> Family:
    """The family of a LLaVA-OneVision.

    Of several images in a prompt each costs no more than it would alone: newer processors then
    leave the tiles out, older ones do not.
    """
    aspect = look_up(config, "vision_aspect_ratio")
    digits = str(aspect or "anyres_max_9").removeprefix("anyres_max_")
    most = int(digits) if digits.isdecimal() else 9
    grid = _grid(config, preprocessor, AnyRes(384, 27, _ONE, most))
    return _family("llava-onevision", grid, LLAVA_ONEVISION)


def _family(name: str, grid: AnyRes, template: Template) -> Family:
    return Family(
        name=name,
        unit=1,
        max_side=max(max(r.width, r.height) for r in grid.resolutions),
        image=partial(_image, grid),
        chat=counted_by(template),
        source="transformers/models/{0}/processing_{0}.py (_get_number_of_features) and "
        "vllm/model_executor/models/{0}.py".format(name.replace("-", "_")),
    )


def _grid(config: Json, preprocessor: Json | None, usual: AnyRes) -> AnyRes:
    side = number(
        (config, "vision_config.image_size"),
        (preprocessor, "size.shortest_edge"),
        (preprocessor, "size.height"),
        default=usual.side,
    )
    patch = number((config, "vision_config.patch_size"), default=usual.side // usual.patches)
    listed = look_up(config, "image_grid_pinpoints") or look_up(
        preprocessor, "image_grid_pinpoints"
    )
    resolutions = _resolutions(listed) if listed else usual.resolutions
    return AnyRes(side, side // patch, resolutions, usual.most)


def _resolutions(listed: object) -> tuple[Size, ...]:
    try:
        return tuple(Size(int(w), int(h)) for h, w in listed)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise OptionError(
            f"the model's configuration has {listed!r} for image_grid_pinpoints",
            remedy="give a configuration with a list of heights and widths there",
        ) from None


def _image(grid: AnyRes, size: Size) -> int:
    """Count the whole picture, its tiles without their padding, and a token a row."""
    best = _best(grid.resolutions, size)
    columns = grid.patches * (best.width // grid.side)
    rows = grid.patches * (best.height // grid.side)
    columns, rows = _without_padding(columns, rows, size)
    if grid.most is not None:
        ratio = math.sqrt(rows * columns / (grid.most * grid.patches**2))
        if ratio > 1.1:
            columns, rows = int(columns // ratio), int(rows // ratio)
    return grid.patches**2 + rows * columns + rows


def _best(resolutions: tuple[Size, ...], size: Size) -> Size:
    """Find the resolution that keeps most pixels; of equals the one that wastes least."""

    def merit(resolution: Size) -> tuple[int, int]:
        scale = min(resolution.width / size.width, resolution.height / size.height)
        kept = min(int(size.width * scale) * int(size.height * scale), size.pixels)
        return kept, kept - resolution.pixels

    return max(resolutions, key=merit)


def _without_padding(columns: int, rows: int, size: Size) -> tuple[int, int]:
    # The model rounds to 7 places first, so that 15.999999999 is 16.
    if size.width / size.height > columns / rows:
        filled = int(round(size.height * (columns / size.width), 7))
        return columns, rows - (rows - filled) // 2 * 2
    filled = int(round(size.width * (rows / size.height), 7))
    return columns - (columns - filled) // 2 * 2, rows
