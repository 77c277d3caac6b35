"""A tiny Qwen2.5-VL or Qwen3-VL with random weights, in Hugging Face's format.

Run it with the Python of `real_vllm.environment`: ``qwen.py FOLDER qwen2_5_vl|qwen3_vl``. Patch
size, merging and the bounds of the resizing are those of the published models, so the tokens of
a picture are the real ones; the tokenizer is made on the spot, one token a byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_PICTURE, _CLIP = "<|image_pad|>", "<|video_pad|>"
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    _PICTURE,
    _CLIP,
)
_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n"
    "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
    "{% for part in turn['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_VOCABULARY = 512
_TEXT = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32_768,
    "bos_token_id": None,
    "tie_word_embeddings": False,
}
_VISION = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 2,
    "out_hidden_size": 64,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_KINDS: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {
        "config": "Qwen2_5_VLConfig",
        "model": "Qwen2_5_VLForConditionalGeneration",
        "processor": "Qwen2_5_VLProcessor",
        "text": {"rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6]}},
        "theta": 1e6,
        "vision": {
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        "pictures": {"min_pixels": 3136, "max_pixels": 12_845_056, "patch_size": 14},
        "clips": {"video_processor_type": "Qwen2VLVideoProcessor"},
    },
    "qwen3_vl": {
        "config": "Qwen3VLConfig",
        "model": "Qwen3VLForConditionalGeneration",
        "processor": "Qwen3VLProcessor",
        "text": {
            "head_dim": 32,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
        },
        "theta": 5e6,
        "vision": {
            "patch_size": 16,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [0],
        },
        "pictures": {
            "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
            "patch_size": 16,
        },
        "clips": {
            "size": {"longest_edge": 25_165_824, "shortest_edge": 4096},
            "video_processor_type": "Qwen3VLVideoProcessor",
        },
    },
}


def write(folder: Path, kind: str) -> Path:
    """Write configuration, tokenizer, processors and weights into `folder`."""
    import torch
    import transformers

    traits = _KINDS[kind]
    tokenizer = _tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in _SPECIAL}
    text = _TEXT | traits["text"] | {"eos_token_id": ids["<|im_end|>"]}
    text["rope_parameters"] = text["rope_parameters"] | {"rope_theta": traits["theta"]}
    config = getattr(transformers, traits["config"])(
        text_config=text,
        vision_config=_VISION | traits["vision"],
        image_token_id=ids[_PICTURE],
        video_token_id=ids[_CLIP],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        dtype="bfloat16",
    )
    torch.manual_seed(7)
    model = getattr(transformers, traits["model"])(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _name_processor(folder, traits)
    return folder


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(name, special=True, normalized=False) for name in _SPECIAL]
    tokenizer.add_special_tokens(special)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=131_072,
        extra_special_tokens={
            "image_token": _PICTURE,
            "video_token": _CLIP,
            "vision_bos_token": "<|vision_start|>",
            "vision_eos_token": "<|vision_end|>",
        },
    )
    made.chat_template = _TEMPLATE
    return made


def _name_processor(folder: Path, traits: dict[str, Any]) -> None:
    pictures = traits["pictures"] | {
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "processor_class": traits["processor"],
    }
    files: dict[str, dict[str, Any]] = {
        "preprocessor_config.json": pictures
        | {"image_processor_type": "Qwen2VLImageProcessorFast"},
        "video_preprocessor_config.json": pictures | traits["clips"],
    }
    settings = folder / "tokenizer_config.json"
    files[settings.name] = json.loads(settings.read_text()) | {
        "processor_class": traits["processor"]
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
