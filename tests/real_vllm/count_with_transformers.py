"""How many tokens transformers and vLLM themselves count for images, by their own classes.

Run it with the Python of `real_vllm.environment`. It reads a JSON list of ``[width, height]`` from
its standard input and writes a JSON object: for each reference its counts, null where it refuses
the shape. Processors are built from their class's defaults or the checkpoint's known constants,
without a tokenizer, so that nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import transformers as hf  # noqa: E402

Count = Callable[[int, int], int]


def bare(kind: Any, **attributes: Any) -> Any:
    """An object of a class whose constructor wants more than counting does."""
    made = object.__new__(kind)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def by_processor(kind: Any, image_processor: Any = None, **attributes: Any) -> Count:
    """What a processor tells vLLM about an image of a size."""
    processor = bare(kind, image_processor=image_processor, **attributes)

    def count(width: int, height: int) -> int:
        answer = processor._get_num_multimodal_tokens(image_sizes=[(height, width)])
        return int(answer.num_image_tokens[0])

    return count


def by_patches(image_processor: Any) -> Count:
    """Patches of an image processor, four to a token."""
    return lambda width, height: image_processor.get_number_of_image_patches(height, width, {}) // 4


def idefics3(image_processor: Any, tokens: int) -> Count:
    """Idefics3's own processor around an image processor; line breaks are taken to merge."""
    one = {"input_ids": [0]}
    options = {"image_seq_len": tokens, "tokenizer": lambda *_, **__: one}
    return by_processor(hf.Idefics3Processor, image_processor, **options)


def smolvlm(longest: int, tile: int) -> Any:
    """The image processor of a SmolVLM2."""
    limits = {"size": {"longest_edge": longest}, "max_image_size": {"longest_edge": tile}}
    return hf.SmolVLMImageProcessor(**limits)


def transformers_images() -> dict[str, Count]:
    """One counter a family, from transformers."""
    qwen3_size = {"shortest_edge": 65_536, "longest_edge": 16_777_216}
    tiles = {"size": {"height": 448, "width": 448}, "crop_to_patches": True}
    small = hf.PixtralImageProcessor(size={"longest_edge": 1540}, patch_size=14)
    return {
        "pixtral-hf": by_processor(
            hf.PixtralProcessor, hf.PixtralImageProcessor(), patch_size=16, spatial_merge_size=1
        ),
        "mistral-small-hf": by_processor(
            hf.PixtralProcessor, small, patch_size=14, spatial_merge_size=2
        ),
        "qwen2.5-vl": by_patches(hf.Qwen2VLImageProcessor(min_pixels=3136, max_pixels=12_845_056)),
        "qwen3-vl": by_patches(hf.Qwen2VLImageProcessor(patch_size=16, size=qwen3_size)),
        "glm-4v": by_patches(hf.Glm4vImageProcessor()),
        "glm-4v 4.6": by_patches(hf.Glm46VImageProcessor()),
        "internvl3": by_processor(
            hf.InternVLProcessor, hf.GotOcr2ImageProcessor(**tiles), image_seq_length=256
        ),
        "idefics3": idefics3(hf.Idefics3ImageProcessor(), 169),
        "smolvlm2": idefics3(smolvlm(1536, 384), 81),
        "smolvlm2-small": idefics3(smolvlm(2048, 512), 64),
        "gemma3": by_processor(hf.Gemma3Processor, image_seq_length=256),
        "llava-next": by_processor(
            hf.LlavaNextProcessor,
            hf.LlavaNextImageProcessor(size={"shortest_edge": 336}),
            patch_size=14,
            num_additional_image_tokens=1,
            vision_feature_select_strategy="default",
        ),
        "llava-onevision": by_processor(
            hf.LlavaOnevisionProcessor,
            hf.LlavaOnevisionImageProcessor(),
            num_image_tokens=729,
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_9",
        ),
    }


def by_info(info: Any) -> Count:
    """What vLLM's processing information says about an image of a size."""
    return lambda width, height: info.get_num_image_tokens(image_width=width, image_height=height)


def kimi(limit: int) -> Count:
    """The formula for Kimi-VL, in vLLM."""
    from vllm.model_executor.models.kimi_vl import KimiVLProcessingInfo

    images = SimpleNamespace(patch_size=14, merge_kernel_size=(2, 2), in_token_limit=limit)
    processor = SimpleNamespace(image_processor=images)
    return by_info(bare(KimiVLProcessingInfo, get_hf_processor=lambda: processor))


def with_row_ends(info: Any) -> Count:
    """The grid for Pixtral in vLLM, and the token that ends each row."""

    def count(width: int, height: int) -> int:
        columns, rows = info.get_patch_grid_size(image_width=width, image_height=height)
        return int(rows * (columns + 1))

    return count


def vllm_images() -> dict[str, Count]:
    """One counter a family, from vLLM."""
    from vllm.model_executor.models.llava_next import LlavaNextProcessingInfo
    from vllm.model_executor.models.llava_onevision import LlavaOnevisionProcessingInfo
    from vllm.model_executor.models.mistral3 import Mistral3HFEncoderInfo
    from vllm.model_executor.models.pixtral import PixtralHFEncoderInfo
    from vllm.transformers_utils.processors.internvl import (
        InternVLImageProcessor,
        InternVLProcessor,
    )

    pixtral = hf.PixtralVisionConfig()
    small = hf.PixtralVisionConfig(image_size=1540, patch_size=14)
    merged = hf.Mistral3Config(spatial_merge_size=2)
    internvl = bare(
        InternVLProcessor,
        image_processor=InternVLImageProcessor(448, 1, 12, True, True),
        image_seq_length=256,
    )
    llava = {
        "llava-next vllm": (LlavaNextProcessingInfo, hf.LlavaNextConfig()),
        "llava-onevision vllm": (LlavaOnevisionProcessingInfo, hf.LlavaOnevisionConfig()),
    }
    return {
        "kimi-vl vllm": kimi(4096),
        "kimi-vl-2506 vllm": kimi(16_384),
        "internvl3 vllm": by_info(internvl),
        **{
            name: by_info(bare(kind, get_hf_config=lambda config=config: config))
            for name, (kind, config) in llava.items()
        },
        "pixtral-hf vllm": with_row_ends(
            bare(PixtralHFEncoderInfo, vision_config=pixtral, hf_config=SimpleNamespace())
        ),
        "mistral-small-hf vllm": with_row_ends(
            bare(Mistral3HFEncoderInfo, vision_config=small, hf_config=merged, image_size=1540)
        ),
    }


def attempt(count: Count, width: int, height: int) -> int | None:
    """A count; None where the reference refuses the shape."""
    try:
        return int(count(width, height))
    except ValueError:
        return None


if __name__ == "__main__":
    SIZES = json.load(sys.stdin)
    REFERENCES = transformers_images() | vllm_images()
    COUNTED = {
        name: [attempt(count, *size) for size in SIZES] for name, count in REFERENCES.items()
    }
    json.dump(COUNTED, sys.stdout)
