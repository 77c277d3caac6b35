"""How many tokens one image takes, by the arithmetic of each family's own processor.

Pixtral pays by rows of patches; Qwen, GLM and Kimi stretch within bounds of area; InternVL,
Idefics3 and Gemma 3 cut tiles; LLaVA pads to the nearest of a list of grids. Every count holds
the markers of the image. The keywords are constants of the model; sides are in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from promptlift.errors import BudgetError
from promptlift.types import Size

__all__ = [
    "fixed_tokens",
    "grid_tokens",
    "measured_tokens",
    "padded_tokens",
    "row_tokens",
    "square_cells",
    "stretched_tokens",
    "tile_tokens",
    "whole_and_tile_tokens",
]

_MAX_RATIO = 200


def fixed_tokens(size: Size, *, tokens: int) -> int:  # noqa: ARG001
    """Tokens of an image that is squeezed into one square, whatever its size."""
    return tokens


def row_tokens(size: Size, *, side: int, patch: int, floor: bool) -> int:
    """Tokens of rows of patches: one a patch, and one that ends each row.

    Args:
        size: Of the image.
        side: Longest side; a longer one is shrunk to it.
        patch: Side of what one token stands for (patch size times merge size).
        floor: Whether the shrunk sides are rounded down (Hugging Face) or to the nearest
            (Mistral).
    """
    width, height = size.width, size.height
    ratio = max(width / side, height / side)
    if ratio > 1:
        whole = math.floor if floor else round
        width, height = max(whole(width / ratio), 1), max(whole(height / ratio), 1)
    columns = (width - 1) // patch + 1
    return ((height - 1) // patch + 1) * (columns + 1)


def stretched_tokens(size: Size, *, factor: int, least: int, most: int, frames: int = 1) -> int:
    """Tokens of an image that is stretched to whole squares within bounds of its area.

    Args:
        size: Of the image.
        factor: Side of what one token stands for (patch size times merge size).
        least: Fewest pixels times frames; a smaller image is enlarged.
        most: Most pixels times frames.
        frames: How often the image is repeated before it is bounded.

    Raises:
        BudgetError: One side is more than 200 times the other.
    """
    width, height = size.width, size.height
    if frames > 1 and min(width, height) < factor:
        raised = max(factor / height, factor / width)
        width, height = int(width * raised), int(height * raised)
    if max(width, height) / min(width, height) > _MAX_RATIO:
        raise BudgetError(
            f"the model takes no picture of {size}: one side is more than {_MAX_RATIO} times the "
            "other",
            remedy="crop the video to a less extreme shape, or use another model",
        )
    rows, columns = round(height / factor), round(width / factor)
    volume = frames * (rows * factor) * (columns * factor)
    if volume > most:
        scale = math.sqrt((frames * height * width) / most)
        rows = max(1, math.floor(height / scale / factor))
        columns = max(1, math.floor(width / scale / factor))
    elif volume < least:
        scale = math.sqrt(least / (frames * height * width))
        rows = math.ceil(height * scale / factor)
        columns = math.ceil(width * scale / factor)
    return rows * columns + 2


def padded_tokens(size: Size, *, patch: int, rows: int, columns: int, most: int) -> int:
    """Tokens of an image that is padded to whole squares (Kimi-VL).

    Args:
        size: Of the image.
        patch: Side of a patch.
        rows: Patches that are merged into one token, down.
        columns: The same, across.
        most: Whole patches of an image beyond which it is shrunk.
    """
    width, height = size.width, size.height
    whole = (width // patch) * (height // patch)
    if whole > most:
        scale = math.sqrt(most / whole)
        width, height = int(width * scale), int(height * scale)
    # <|media_start|>image<|media_content|> and <|media_end|>
    return -(-height // (patch * rows)) * -(-width // (patch * columns)) + 4


def tile_tokens(
    size: Size, *, side: int, least: int, most: int, thumbnail: bool, tokens: int
) -> int:
    """Tokens of the grid of tiles that is nearest in shape (InternVL).

    Args:
        size: Of the image.
        side: Of a tile.
        least: Fewest tiles.
        most: Most tiles, without the thumbnail.
        thumbnail: Whether the whole image is shown beside its tiles.
        tokens: Of a tile.
    """
    shape = size.width / size.height
    best, best_error = (1, 1), math.inf
    for columns, rows in _grids(least, most):
        error = abs(shape - columns / rows)
        # Of equals a larger one, if the image half fills it.
        half = 0.5 * side * side * columns * rows
        if error < best_error or (error == best_error and size.pixels > half):
            best, best_error = (columns, rows), error
    count = best[0] * best[1]
    return (count + (thumbnail and count > 1)) * tokens + 2  # <img> and </img>


@lru_cache(maxsize=8)
def _grids(least: int, most: int) -> tuple[tuple[int, int], ...]:
    counts = range(1, most + 1)
    pairs = ((c, r) for c in counts for r in counts if least <= c * r <= most)
    return tuple(sorted(pairs, key=lambda pair: pair[0] * pair[1]))


def whole_and_tile_tokens(size: Size, *, longest: int, side: int, tokens: int) -> int:
    """Tokens of the whole image and of its tiles, with markers and line breaks (Idefics3, SmolVLM).

    Args:
        size: Of the image.
        longest: The longer side that every image is brought to, small ones too.
        side: Of a tile.
        tokens: Of a tile.
    """
    cap = 4096  # MAX_IMAGE_SIZE
    shape = size.width / size.height
    if shape >= 1:
        width, height = longest, int(longest / shape)
        height += height % 2
    else:
        width, height = int(longest * shape), longest
        width += width % 2
    width, height = max(width, 1), max(height, 1)
    shape = width / height
    if width >= height and width > cap:
        width, height = cap, int(cap / shape)
    elif height > width and height > cap:
        width, height = int(cap * shape), cap
    width, height = max(width, 1), max(height, 1)
    whole = tokens + 3
    if max(width, height) <= side:
        return whole
    rows, columns = -(-height // side), -(-width // side)
    return whole + rows * (columns * (tokens + 2) + 1)


def grid_tokens(
    size: Size, *, side: int, patches: int, resolutions: Sequence[Size], most: int | None
) -> int:
    """Tokens of the whole image, its tiles without their padding, and one a row (LLaVA).

    Args:
        size: Of the image.
        side: Of a tile.
        patches: Patches on a side of a tile.
        resolutions: What an image is fitted into, in the model's order.
        most: Tiles beyond which the features are shrunk; None if never.
    """

    def merit(resolution: Size) -> tuple[int, int]:
        scale = min(resolution.width / size.width, resolution.height / size.height)
        kept = min(int(size.width * scale) * int(size.height * scale), size.pixels)
        return kept, kept - resolution.pixels

    # The resolution that keeps most pixels; of equals the one that wastes least.
    best = max(resolutions, key=merit)
    columns, rows = patches * (best.width // side), patches * (best.height // side)
    # The model rounds to 7 places first, so that 15.999999999 is 16.
    if size.width / size.height > columns / rows:
        filled = int(round(size.height * (columns / size.width), 7))
        rows -= (rows - filled) // 2 * 2
    else:
        filled = int(round(size.width * (rows / size.height), 7))
        columns -= (columns - filled) // 2 * 2
    if most is not None:
        ratio = math.sqrt(rows * columns / (most * patches**2))
        if ratio > 1.1:
            columns, rows = int(columns // ratio), int(rows // ratio)
    return patches**2 + rows * columns + rows


def square_cells(size: Size) -> int:
    """Squares of 28 pixels that an image covers, part ones included."""
    return -(-size.width // 28) * -(-size.height // 28)


def measured_tokens(size: Size, *, samples: Sequence[tuple[int, int]]) -> int:
    """The least that no cost can pass that grows with the area, and no faster than it.

    A tenth is added for the squares that models really have, which are not of 28 pixels.

    Args:
        size: Of the image.
        samples: `square_cells` and tokens that were counted, both ascending.
    """
    cells = square_cells(size)
    rate = max(tokens / at for at, tokens in samples)
    largest, most = samples[-1]
    # What the next larger sample took; past the largest, in proportion to the area.
    larger = next((tokens for at, tokens in samples if cells <= at), most * cells / largest)
    bound = max(samples[0][1], min(rate * cells, larger))
    # The small step down keeps an exact product from being raised by its rounding error.
    return math.ceil(1.1 * bound - 1e-9)
