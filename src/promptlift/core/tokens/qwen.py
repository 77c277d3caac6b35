"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL, images and video.

Cosmos-Reason1 is a Qwen2.5-VL, Cosmos-Reason2 a Qwen3-VL.
"""

from __future__ import annotations

from functools import partial

from promptlift.core.tokens.area import PAIR, Area, clip_tokens, picture_tokens
from promptlift.core.tokens.chat import QWEN2_VL, QWEN3_VL, counted_by
from promptlift.core.tokens.constants import Json, number
from promptlift.core.tokens.family import Family
from promptlift.core.video import Size
from promptlift.errors import OptionError

__all__ = ["qwen2_vl", "qwen3_vl"]

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
        image=partial(_image, image),
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
        image=partial(_image, image),
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


def _image(area: Area, size: Size) -> int:
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
