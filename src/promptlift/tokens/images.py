"""How many tokens one image takes, by the arithmetic of each family's own processor.

Pixtral pays by rows of patches; Qwen, GLM and Kimi stretch within bounds of area; InternVL,
Idefics3 and Gemma 3 cut tiles; LLaVA pads to the nearest of a list of grids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

from promptlift.errors import OptionError
from promptlift.tokens.chat import (
    GEMMA3,
    GLM4V,
    IDEFICS3,
    INTERNVL,
    KIMI_VL,
    LLAVA_NEXT,
    LLAVA_ONEVISION,
    QWEN2_VL,
    QWEN3_VL,
    Chat,
    ChatTemplate,
    Family,
    counted_by,
    mistral_v3,
    mistral_v7,
    mistral_v7_hf,
    refused,
)
from promptlift.types import Size

__all__ = [
    "MISTRAL_SMALL",
    "MISTRAL_SMALL_HF",
    "PAIR",
    "PIXTRAL",
    "PIXTRAL_HF",
    "AnyRes",
    "Area",
    "Json",
    "Padded",
    "Rows",
    "Squares",
    "Tiles",
    "clip_tokens",
    "flag",
    "gemma3",
    "glm4v",
    "idefics3",
    "internvl",
    "kimi_vl",
    "llava_next",
    "llava_onevision",
    "look_up",
    "mistral_format",
    "mistral_small_hf",
    "number",
    "picture_tokens",
    "pixtral_hf",
    "qwen2_vl",
    "qwen3_vl",
]

Json: TypeAlias = Mapping[str, Any]


def look_up(source: Json | None, path: str) -> object:
    """What lies at a dotted path such as ``vision_config.patch_size``; None where nothing does."""
    found: object = source
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def number(*places: tuple[Json | None, str], default: int) -> int:
    """The first whole number above 0 at any of the places, in order.

    Args:
        places: Parsed files, each with a dotted path into it.
        default: What the well-known checkpoints have.

    Raises:
        OptionError: Something else than such a number is there.
    """
    for source, path in places:
        found = look_up(source, path)
        if isinstance(found, list | tuple) and found:
            found = found[0]  # a height and a width that are the same
        if found is None:
            continue
        # JSON knows no difference between 3136 and 3136.0, and some files have the latter.
        if isinstance(found, bool) or not isinstance(found, int | float) or not _whole(found):
            raise OptionError(
                f"the model's configuration has {found!r} for {path}",
                remedy="give a configuration with a whole number above 0 there",
            )
        return int(found)
    return default


def _whole(found: float) -> bool:
    return 0 < found < float("inf") and int(found) == found


def flag(*places: tuple[Json | None, str], default: bool) -> bool:
    """The first true or false at any of the places, in order."""
    for source, path in places:
        found = look_up(source, path)
        if isinstance(found, bool):
            return found
    return default


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


_MISTRAL = (
    "mistral_common/tokens/tokenizers/image.py (ImageEncoder._image_to_num_tokens) "
    "and instruct.py (InstructTokenizerV3, InstructTokenizerV7)"
)
_HF = (
    "transformers/models/pixtral/image_processing_pixtral.py (get_resize_output_image_size) and "
    "vllm/model_executor/models/pixtral.py (PixtralHFEncoderInfo), mistral3.py"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of patches.

    Attributes:
        side: Longest side in pixels; a longer one is shrunk to it.
        patch: Pixels on a side of what one token stands for (patch size times merge size).
        floor: Whether the shrunk sides are rounded down (Hugging Face) or to the nearest
            (Mistral).
    """

    side: int
    patch: int
    floor: bool


def _image(grid: Rows, size: Size) -> int:
    """Count ``rows * (columns + 1)``: a token a patch, and one that ends each row."""
    width, height = size.width, size.height
    ratio = max(width / grid.side, height / grid.side)
    if ratio > 1:
        whole = math.floor if grid.floor else round
        width, height = max(whole(width / ratio), 1), max(whole(height / ratio), 1)
    columns = (width - 1) // grid.patch + 1
    return ((height - 1) // grid.patch + 1) * (columns + 1)


def _family(name: str, grid: Rows, chat: Chat, *, exact: bool = False) -> Family:
    return Family(
        name=name,
        unit=grid.patch,
        max_side=grid.side,
        image=partial(_image, grid),
        chat=chat,
        source=_HF if grid.floor else _MISTRAL,
        tokenizer="tekken",
        exact=exact,
    )


def mistral_format(params: Json, tekken: Json | None) -> Family:
    """The family of a checkpoint in Mistral's format, Pixtral or Mistral-Small-3.x.

    Args:
        params: ``params.json``.
        tekken: ``tekken.json``, whose image section decides, or that section alone.
    """
    places = ((tekken, "image."), (tekken, "multimodal."), (tekken, ""))
    side = number(
        *((source, f"{path}max_image_size") for source, path in places),
        (params, "vision_encoder.max_image_size"),
        (params, "vision_encoder.image_size"),
        default=1024,
    )
    patch = number(
        *((source, f"{path}image_patch_size") for source, path in places),
        (params, "vision_encoder.patch_size"),
        default=16,
    )
    merge = number(
        *((source, f"{path}spatial_merge_size") for source, path in places),
        (params, "vision_encoder.spatial_merge_size"),
        default=1,
    )
    grid = Rows(side, patch * merge, floor=False)
    if merge == 1:
        return _family("pixtral", grid, mistral_v3, exact=True)
    return _family("mistral-small", grid, mistral_v7)


def pixtral_hf(config: Json, preprocessor: Json | None) -> Family:  # noqa: ARG001
    """The family of a Pixtral in Hugging Face's format.

    vLLM goes by ``vision_config.image_size`` and not by the processor's own size.
    """
    side = number((config, "vision_config.image_size"), default=1024)
    patch = number((config, "vision_config.patch_size"), default=16)
    return _family("pixtral-hf", Rows(side, patch, floor=True), mistral_v3)


def mistral_small_hf(config: Json, preprocessor: Json | None) -> Family:
    """The family of a Mistral-Small-3.x (``mistral3``) in Hugging Face's format."""
    side = number(
        (preprocessor, "size.longest_edge"), (config, "vision_config.image_size"), default=1540
    )
    patch = number((config, "vision_config.patch_size"), default=14)
    merge = number((config, "spatial_merge_size"), default=2)
    return _family("mistral-small-hf", Rows(side, patch * merge, floor=True), mistral_v7_hf)


PIXTRAL = _family("pixtral", Rows(1024, 16, floor=False), mistral_v3, exact=True)
PIXTRAL_HF = pixtral_hf({}, None)
MISTRAL_SMALL = _family("mistral-small", Rows(1540, 28, floor=False), mistral_v7)
MISTRAL_SMALL_HF = mistral_small_hf({}, None)


_MARKERS = 2  # <|vision_start|> and <|vision_end|>

# "<12345.6 seconds>" digit by digit, before each pair of frames.
_TIMESTAMP = 10

# Of the usual checkpoints; a clip's bounds are a frame's in Qwen2.5-VL, the whole's in Qwen3-VL.
_QWEN2_IMAGE = Area(28, least=3136, most=12_845_056)
_QWEN2_FRAME = Area(28, least=128 * 28 * 28, most=768 * 28 * 28)
_QWEN3_IMAGE = Area(32, least=65_536, most=16_777_216)
_QWEN3_CLIP = Area(32, least=4096, most=25_165_824)

_SOURCE = (
    "transformers/models/{0}_vl: image_processing (smart_resize, get_number_of_image_patches) "
    "and video_processing (get_num_of_video_patches); vllm/model_executor/models/{0}_vl.py"
)


def qwen2_vl(
    config: Json,
    preprocessor: Json | None = None,
    video: Json | None = None,
    *,
    name: str = "qwen2.5-vl",
) -> Family:
    """The family of a Qwen2-VL or Qwen2.5-VL.

    Args:
        config: ``config.json``.
        preprocessor: ``preprocessor_config.json``.
        video: ``video_preprocessor_config.json``; without it the image's bounds hold for frames
            where `preprocessor` has any, as older checkpoints have one file for both.
        name: The family's name.
    """
    factor = _factor(config, preprocessor, patch=14)
    image = _bounds(preprocessor, factor, _QWEN2_IMAGE)
    frame = _bounds(video or preprocessor, factor, _QWEN2_FRAME)
    return Family(
        name=name,
        unit=1,
        max_side=None,
        image=partial(_image_qwen, image),
        chat=counted_by(QWEN2_VL),
        source=_SOURCE.format("qwen2"),
        max_pixels=image.most,
        video=partial(_video_by_frame, frame),
    )


def qwen3_vl(
    config: Json,
    preprocessor: Json | None = None,
    video: Json | None = None,
    *,
    name: str = "qwen3-vl",
) -> Family:
    """The family of a Qwen3-VL; the arguments are those of `qwen2_vl`."""
    factor = _factor(config, preprocessor, patch=16)
    image = _bounds(preprocessor, factor, _QWEN3_IMAGE)
    clip = _bounds(video, factor, _QWEN3_CLIP)
    return Family(
        name=name,
        unit=1,
        max_side=None,
        image=partial(_image_qwen, image),
        chat=counted_by(QWEN3_VL),
        source=_SOURCE.format("qwen3"),
        max_pixels=image.most,
        video=partial(_video_by_clip, clip),
    )


def _factor(config: Json, preprocessor: Json | None, *, patch: int) -> int:
    side = number((preprocessor, "patch_size"), (config, "vision_config.patch_size"), default=patch)
    merge = number(
        (preprocessor, "merge_size"), (config, "vision_config.spatial_merge_size"), default=2
    )
    return side * merge


def _bounds(preprocessor: Json | None, factor: int, usual: Area) -> Area:
    """Read the bounds; the old names win over the new where a file has both."""
    least = number(
        (preprocessor, "min_pixels"),
        (preprocessor, "size.shortest_edge"),
        (preprocessor, "size.min_pixels"),
        default=usual.least,
    )
    most = number(
        (preprocessor, "max_pixels"),
        (preprocessor, "size.longest_edge"),
        (preprocessor, "size.max_pixels"),
        default=usual.most,
    )
    return Area(factor, least, most)


def _image_qwen(area: Area, size: Size) -> int:
    return picture_tokens(area, size) + _MARKERS


def _video_by_frame(area: Area, size: Size, frames: int) -> int:
    """Count ``pairs * squares``: a lone last frame is doubled, the bounds hold for each frame."""
    return _pairs(frames) * picture_tokens(area, size) + _MARKERS


def _video_by_clip(area: Area, size: Size, frames: int) -> int:
    """Count each pair with its time and markers; the bounds hold for the clip as a whole."""
    pairs = _pairs(frames)
    return pairs * (_TIMESTAMP + _MARKERS + clip_tokens(area, size, frames)) + _MARKERS


def _pairs(frames: int) -> int:
    if frames < 1:
        raise OptionError(f"a video of {frames} frames was asked for", remedy="give at least 1")
    return -(-frames // PAIR)


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
    tokens = number(
        (processor, "image_seq_len"), default=_merged_tiles(config, image) or usual_tokens
    )
    return Family(
        name=name,
        unit=1,
        max_side=longest,
        image=partial(_idefics3, Squares(longest, side, tokens)),
        chat=counted_by(IDEFICS3),
        source="transformers/models/idefics3: image_processing_idefics3.py "
        "(get_number_of_image_patches) and processing_idefics3.py (_get_num_multimodal_tokens)",
    )


def _merged_tiles(config: Json, image: int) -> int:
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
    return _family_anyres("llava-next", grid, LLAVA_NEXT)


def llava_onevision(config: Json, preprocessor: Json | None = None) -> Family:
    """The family of a LLaVA-OneVision.

    Of several images in a prompt each costs no more than it would alone: newer processors then
    leave the tiles out, older ones do not.
    """
    aspect = look_up(config, "vision_aspect_ratio")
    digits = str(aspect or "anyres_max_9").removeprefix("anyres_max_")
    most = int(digits) if digits.isdecimal() else 9
    grid = _grid(config, preprocessor, AnyRes(384, 27, _ONE, most))
    return _family_anyres("llava-onevision", grid, LLAVA_ONEVISION)


def _family_anyres(name: str, grid: AnyRes, template: ChatTemplate) -> Family:
    return Family(
        name=name,
        unit=1,
        max_side=max(max(r.width, r.height) for r in grid.resolutions),
        image=partial(_image_anyres, grid),
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


def _image_anyres(grid: AnyRes, size: Size) -> int:
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
