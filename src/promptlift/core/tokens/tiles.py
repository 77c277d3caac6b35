"""Models that see a picture in tiles of one size: InternVL, Idefics3, LLaVA and Gemma 3.

What a picture costs goes by its shape more than by its size, in steps: InternVL and Idefics3
enlarge a small picture to the tiles that its shape calls for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial

from promptlift.core.tokens.chat import GEMMA3, IDEFICS3, INTERNVL, counted_by
from promptlift.core.tokens.constants import Json, flag, look_up, number
from promptlift.core.tokens.family import Family
from promptlift.core.video import Size

__all__ = ["Squares", "Tiles", "gemma3", "idefics3", "internvl"]


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles of InternVL.

    Attributes:
        side: Pixels on a side of a tile.
        least: Fewest tiles.
        most: Most tiles, without the thumbnail.
        thumbnail: Whether the whole picture is shown beside its tiles.
        tokens: Tokens of a tile.
    """

    side: int
    least: int
    most: int
    thumbnail: bool
    tokens: int


def internvl(config: Json, preprocessor: Json | None = None) -> Family:
    """The family of an InternVL2, 2.5 or 3, in OpenGVLab's or Hugging Face's format."""
    side = number(
        (preprocessor, "size.height"),
        (config, "force_image_size"),
        (config, "vision_config.image_size"),
        default=448,
    )
    patch = number((config, "vision_config.patch_size"), default=14)
    # The preprocessor's crop_to_patches says nothing: the processor around it overrides it.
    dynamic = flag((config, "dynamic_image_size"), default=True)
    most = number((config, "max_dynamic_patch"), (preprocessor, "max_patches"), default=12)
    least = number((config, "min_dynamic_patch"), (preprocessor, "min_patches"), default=1)
    # Four patches are merged into one token.
    tokens = number((config, "image_seq_length"), default=(side // patch) ** 2 // 4)
    thumbnail = flag((config, "use_thumbnail"), default=True)
    tiles = Tiles(side, least, most, thumbnail, tokens)
    if not dynamic:
        tiles = Tiles(side, 1, 1, thumbnail, tokens)
    return Family(
        name="internvl3",
        unit=1,
        max_side=tiles.side * tiles.most,
        image=partial(_internvl, tiles),
        chat=counted_by(INTERNVL),
        source="vllm/transformers_utils/processors/internvl.py (calculate_internvl_targets) and "
        "transformers/models/got_ocr2/image_processing_got_ocr2.py (get_optimal_tiled_canvas)",
        max_pixels=tiles.most * tiles.side**2,
    )


def _internvl(tiles: Tiles, size: Size) -> int:
    columns, rows = _closest(tiles, size)
    count = columns * rows
    if tiles.thumbnail and count > 1:
        count += 1
    return count * tiles.tokens + 2  # <img> and </img>


def _closest(tiles: Tiles, size: Size) -> tuple[int, int]:
    """Find the grid nearest in shape; of equals a larger one, if the picture half fills it."""
    shape = size.width / size.height
    best, best_error = (1, 1), math.inf
    for columns, rows in _grids(tiles.least, tiles.most):
        error = abs(shape - columns / rows)
        half = 0.5 * tiles.side * tiles.side * columns * rows
        if error < best_error or (error == best_error and size.pixels > half):
            best, best_error = (columns, rows), error
    return best


@lru_cache(maxsize=8)
def _grids(least: int, most: int) -> tuple[tuple[int, int], ...]:
    counts = range(1, most + 1)
    pairs = ((c, r) for c in counts for r in counts if least <= c * r <= most)
    return tuple(sorted(pairs, key=lambda pair: pair[0] * pair[1]))


@dataclass(frozen=True, slots=True)
class Squares:
    """The tiles of Idefics3 and SmolVLM.

    Attributes:
        longest: The longer side in pixels that every picture is brought to, small ones too.
        side: Pixels on a side of a tile.
        tokens: Tokens of a tile.
    """

    longest: int
    side: int
    tokens: int


_IDEFICS3_CAP = 4096  # MAX_IMAGE_SIZE
# By the side of a tile: the family's name, and a tile's tokens.
_IDEFICS3_KINDS = {384: ("smolvlm2", 81), 512: ("smolvlm2-small", 64)}


def idefics3(
    config: Json, preprocessor: Json | None = None, processor: Json | None = None
) -> Family:
    """The family of an Idefics3, SmolVLM or SmolVLM2, told apart by the side of their tiles.

    SmolVLM calls itself an Idefics3 in its first version. A picture is brought to four tiles on
    its longer side in all of them, unless the preprocessor says otherwise.

    Args:
        config: ``config.json``.
        preprocessor: ``preprocessor_config.json``.
        processor: ``processor_config.json``.
    """
    usual_side = 384 if config.get("model_type") == "smolvlm" else 364
    image = number((config, "vision_config.image_size"), default=usual_side)
    name, usual_tokens = _IDEFICS3_KINDS.get(image, ("idefics3", 169))
    side = number((preprocessor, "max_image_size.longest_edge"), default=image)
    longest = number((preprocessor, "size.longest_edge"), default=4 * image)
    if not flag((preprocessor, "do_image_splitting"), default=True):
        longest = side
    tokens = number((processor, "image_seq_len"), default=_merged(config, image) or usual_tokens)
    return Family(
        name=name,
        unit=1,
        max_side=longest,
        image=partial(_idefics3, Squares(longest, side, tokens)),
        chat=counted_by(IDEFICS3),
        source="transformers/models/idefics3: image_processing_idefics3.py "
        "(get_number_of_image_patches) and processing_idefics3.py (_get_num_multimodal_tokens)",
    )


def _merged(config: Json, image: int) -> int:
    """Count a tile's tokens by the vision tower; 0 where its configuration is not at hand."""
    if look_up(config, "vision_config.patch_size") is None:
        return 0
    patch = number((config, "vision_config.patch_size"), default=14)
    scale = number((config, "scale_factor"), default=2)
    return (image // patch) ** 2 // scale**2


def _idefics3(squares: Squares, size: Size) -> int:
    """Count the tiles, each with two markers, a line break a row, and the whole picture."""
    width, height = _brought_to(squares.longest, size)
    overview = squares.tokens + 3
    if max(width, height) <= squares.side:
        return overview
    rows, columns = -(-height // squares.side), -(-width // squares.side)
    return overview + rows * (columns * (squares.tokens + 2) + 1)


def _brought_to(longest: int, size: Size) -> tuple[int, int]:
    shape = size.width / size.height
    if size.width >= size.height:
        width, height = longest, int(longest / shape)
        height += height % 2
    else:
        width, height = int(longest * shape), longest
        width += width % 2
    width, height = max(width, 1), max(height, 1)
    shape = width / height
    if width >= height and width > _IDEFICS3_CAP:
        width, height = _IDEFICS3_CAP, int(_IDEFICS3_CAP / shape)
    elif height > width and height > _IDEFICS3_CAP:
        width, height = int(_IDEFICS3_CAP * shape), _IDEFICS3_CAP
    return max(width, 1), max(height, 1)


def gemma3(config: Json, preprocessor: Json | None = None) -> Family:
    """The family of a Gemma 3 without pan and scan, as engines run it.

    Every picture is squeezed into one square. Twice its side is of use, so that the shorter side
    of a wide picture keeps what the square can show.
    """
    tokens = number((config, "mm_tokens_per_image"), default=256)
    side = number((preprocessor, "size.height"), (config, "vision_config.image_size"), default=896)
    return Family(
        name="gemma3",
        unit=1,
        max_side=2 * side,
        # "\n\n", the start, the tokens, the end and "\n\n".
        image=partial(_constant, tokens + 4),
        chat=counted_by(GEMMA3),
        source="transformers/models/gemma3/processing_gemma3.py (full_image_sequence) and "
        "vllm/model_executor/models/gemma3_mm.py",
    )


def _constant(tokens: int, size: Size) -> int:  # noqa: ARG001
    return tokens
