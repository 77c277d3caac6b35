"""How many tokens transformers and vLLM themselves count for images, by their own classes.

Run it with the Python of `real_vllm.environment`. It reads a JSON list of ``[width, height]`` from
its standard input and writes a JSON object: for each reference its counts, null where it refuses
the shape and -1 where it was not asked. Processors are built from their class's defaults or the
checkpoint's known constants, without a tokenizer, so that nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402
from transformers import (  # noqa: E402
    LlavaNextConfig,
    LlavaOnevisionConfig,
    Mistral3Config,
    PixtralVisionConfig,
)
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor  # noqa: E402
from transformers.models.glm4v.image_processing_glm4v import Glm4vImageProcessor  # noqa: E402
from transformers.models.glm46v.image_processing_glm46v import (  # noqa: E402
    Glm46VImageProcessor,
)
from transformers.models.got_ocr2.image_processing_got_ocr2 import (  # noqa: E402
    GotOcr2ImageProcessor,
)
from transformers.models.idefics3.image_processing_idefics3 import (  # noqa: E402
    Idefics3ImageProcessor,
)
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor  # noqa: E402
from transformers.models.internvl.processing_internvl import InternVLProcessor  # noqa: E402
from transformers.models.llava_next.image_processing_llava_next import (  # noqa: E402
    LlavaNextImageProcessor,
)
from transformers.models.llava_next.processing_llava_next import (  # noqa: E402
    LlavaNextProcessor,
)
from transformers.models.llava_onevision.image_processing_llava_onevision import (  # noqa: E402
    LlavaOnevisionImageProcessor,
)
from transformers.models.llava_onevision.processing_llava_onevision import (  # noqa: E402
    LlavaOnevisionProcessor,
)
from transformers.models.pixtral.image_processing_pixtral import (  # noqa: E402
    PixtralImageProcessor,
)
from transformers.models.pixtral.processing_pixtral import PixtralProcessor  # noqa: E402
from transformers.models.qwen2_vl.image_processing_qwen2_vl import (  # noqa: E402
    Qwen2VLImageProcessor,
)
from transformers.models.smolvlm.image_processing_smolvlm import (  # noqa: E402
    SmolVLMImageProcessor,
)

Count = Callable[[int, int], int]


def bare(kind: Any, **attributes: Any) -> Any:
    """An object of a class whose constructor wants more than counting does."""
    made = object.__new__(kind)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def stub(**attributes: Any) -> Any:
    """Something with these attributes."""
    return type(
        "Stub",
        (),
        {
            name: staticmethod(value) if callable(value) else value
            for name, value in attributes.items()
        },
    )()


def by_processor(processor: Any) -> Count:
    """What a processor tells vLLM about an image of a size."""

    def count(width: int, height: int) -> int:
        told = processor._get_num_multimodal_tokens(image_sizes=[(height, width)])
        return int(told.num_image_tokens[0])

    return count


def by_patches(image_processor: Any) -> Count:
    """Patches of an image processor, four to a token."""
    return lambda width, height: image_processor.get_number_of_image_patches(height, width, {}) // 4


def by_pixels(image_processor: Any, enough: int = 400) -> Count:
    """The grid that an image processor lays over real pixels; others are not asked."""

    def count(width: int, height: int) -> int:
        if max(width, height) > enough:
            return -1
        picture = torch.zeros((3, height, width), dtype=torch.uint8)
        grid = image_processor(images=[picture], return_tensors="pt")["image_grid_thw"][0]
        return int(grid.prod()) // 4

    return count


def idefics3(image_processor: Any, tokens: int) -> Count:
    """Idefics3's own processor around an image processor; line breaks are taken to merge."""
    one = {"input_ids": [0]}
    return by_processor(
        bare(
            Idefics3Processor,
            image_processor=image_processor,
            image_seq_len=tokens,
            tokenizer=lambda *_, **__: one,
        )
    )


def transformers_images() -> dict[str, Count]:
    """One counter a family, from transformers."""
    qwen2 = Qwen2VLImageProcessor(min_pixels=3136, max_pixels=12_845_056)
    qwen3 = Qwen2VLImageProcessor(
        patch_size=16, size={"shortest_edge": 65_536, "longest_edge": 16_777_216}
    )
    return {
        "pixtral-hf": by_processor(
            bare(
                PixtralProcessor,
                image_processor=PixtralImageProcessor(),
                patch_size=16,
                spatial_merge_size=1,
            )
        ),
        "mistral-small-hf": by_processor(
            bare(
                PixtralProcessor,
                image_processor=PixtralImageProcessor(size={"longest_edge": 1540}, patch_size=14),
                patch_size=14,
                spatial_merge_size=2,
            )
        ),
        "qwen2.5-vl": by_patches(qwen2),
        "qwen2.5-vl pixels": by_pixels(qwen2),
        "qwen3-vl": by_patches(qwen3),
        "qwen3-vl pixels": by_pixels(qwen3),
        "glm-4v": by_patches(Glm4vImageProcessor()),
        "glm-4v 4.6": by_patches(Glm46VImageProcessor()),
        "glm-4v pixels": by_pixels(Glm4vImageProcessor()),
        "internvl3": by_processor(
            bare(
                InternVLProcessor,
                image_processor=GotOcr2ImageProcessor(
                    size={"height": 448, "width": 448}, crop_to_patches=True
                ),
                image_seq_length=256,
            )
        ),
        "idefics3": idefics3(Idefics3ImageProcessor(), 169),
        "smolvlm2": idefics3(
            SmolVLMImageProcessor(
                size={"longest_edge": 1536}, max_image_size={"longest_edge": 384}
            ),
            81,
        ),
        "smolvlm2-small": idefics3(
            SmolVLMImageProcessor(
                size={"longest_edge": 2048}, max_image_size={"longest_edge": 512}
            ),
            64,
        ),
        "gemma3": by_processor(bare(Gemma3Processor, image_seq_length=256)),
        "llava-next": by_processor(
            bare(
                LlavaNextProcessor,
                image_processor=LlavaNextImageProcessor(size={"shortest_edge": 336}),
                patch_size=14,
                num_additional_image_tokens=1,
                vision_feature_select_strategy="default",
            )
        ),
        "llava-onevision": by_processor(
            bare(
                LlavaOnevisionProcessor,
                image_processor=LlavaOnevisionImageProcessor(),
                num_image_tokens=729,
                vision_feature_select_strategy="full",
                vision_aspect_ratio="anyres_max_9",
            )
        ),
    }


def by_info(info: Any) -> Count:
    """What vLLM's processing information says about an image of a size."""
    return lambda width, height: info.get_num_image_tokens(image_width=width, image_height=height)


def with_config(kind: Any, config: Any) -> Any:
    """Processing information in vLLM, made of a model's configuration alone."""
    info = bare(kind)
    info.get_hf_config = lambda: config
    return info


def kimi(limit: int) -> Count:
    """The formula for Kimi-VL, in vLLM."""
    from vllm.model_executor.models.kimi_vl import KimiVLProcessingInfo

    images = stub(patch_size=14, merge_kernel_size=(2, 2), in_token_limit=limit)
    info = bare(KimiVLProcessingInfo)
    info.get_hf_processor = lambda: stub(image_processor=images)
    return by_info(info)


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

    tiles = InternVLImageProcessor(448, 1, 12, True, True)
    pixtral = bare(PixtralHFEncoderInfo, vision_config=PixtralVisionConfig(), hf_config=stub())
    small = bare(
        Mistral3HFEncoderInfo,
        vision_config=PixtralVisionConfig(image_size=1540, patch_size=14),
        hf_config=Mistral3Config(spatial_merge_size=2),
        image_size=1540,
    )
    return {
        "kimi-vl vllm": kimi(4096),
        "kimi-vl-2506 vllm": kimi(16_384),
        "internvl3 vllm": by_info(
            bare(InternVLProcessor, image_processor=tiles, image_seq_length=256)
        ),
        "llava-next vllm": by_info(with_config(LlavaNextProcessingInfo, LlavaNextConfig())),
        "llava-onevision vllm": by_info(
            with_config(LlavaOnevisionProcessingInfo, LlavaOnevisionConfig())
        ),
        "pixtral-hf vllm": lambda width, height: grid_with_row_ends(pixtral, width, height),
        "mistral-small-hf vllm": lambda width, height: grid_with_row_ends(small, width, height),
    }


def grid_with_row_ends(info: Any, width: int, height: int) -> int:
    """The grid for Pixtral in vLLM, and the token that ends each row."""
    columns, rows = info.get_patch_grid_size(image_width=width, image_height=height)
    return int(rows * (columns + 1))


def tried(count: Count, width: int, height: int) -> int | None:
    """A count; None where the reference refuses the shape."""
    try:
        return int(count(width, height))
    except ValueError:
        return None


def main() -> None:
    """Count every size by every reference."""
    sizes = json.load(sys.stdin)
    references = transformers_images() | vllm_images()
    counted = {
        name: [tried(count, width, height) for width, height in sizes]
        for name, count in references.items()
    }
    json.dump(counted, sys.stdout)


if __name__ == "__main__":
    main()
