"""Pixtral and Mistral-Small: a grid of patches, a token at the end of each row.

Both come in two formats which differ by a pixel: Mistral's own (mistral-common) rounds when it
shrinks an image to the longest side, Hugging Face's takes the floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from promptlift.core.tokens.chat import Chat, mistral_v3, mistral_v7, mistral_v7_hf
from promptlift.core.tokens.constants import Json, number
from promptlift.core.tokens.family import Family
from promptlift.core.video import Size

__all__ = [
    "MISTRAL_SMALL",
    "MISTRAL_SMALL_HF",
    "PIXTRAL",
    "PIXTRAL_HF",
    "Rows",
    "mistral_format",
    "mistral_small_hf",
    "pixtral_hf",
]

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
