"""A tiny Qwen3-VL with random weights, in Hugging Face's format.

Run it with the Python of `real_vllm.environment`: ``qwen.py FOLDER``. Patch size, merging and the
bounds of the resizing are those of the published models, so the tokens of a picture are the real
ones; the tokenizer is made on the spot, one token a byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SPECIAL = {
    "pad_token": "<|endoftext|>",
    "start": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}
_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n"
    "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
    "{% for part in turn['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXT = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 32_768,
    "bos_token_id": None,
    "tie_word_embeddings": False,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5e6,
        "mrope_section": [6, 5, 5],
        "mrope_interleaved": True,
    },
}
_VISION = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 2,
    "out_hidden_size": 64,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [0],
}
_IMAGES = {
    "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "processor_class": "Qwen3VLProcessor",
}
_VIDEOS = {
    "size": {"longest_edge": 25_165_824, "shortest_edge": 4096},
    "video_processor_type": "Qwen3VLVideoProcessor",
}


def write(folder: Path) -> None:
    """Write configuration, tokenizer, processors and weights into `folder`."""
    import torch
    import transformers

    tokenizer = _tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in _SPECIAL.items()}
    config = transformers.Qwen3VLConfig(
        text_config=_TEXT | {"eos_token_id": ids["eos_token"]},
        vision_config=_VISION,
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
        dtype="bfloat16",
    )
    torch.manual_seed(7)
    model = transformers.Qwen3VLForConditionalGeneration(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    named = json.loads(settings.read_text()) | {"processor_class": _IMAGES["processor_class"]}
    images = _IMAGES | {"image_processor_type": "Qwen2VLImageProcessorFast"}
    for name, content in {
        settings.name: named,
        "preprocessor_config.json": images,
        "video_preprocessor_config.json": _IMAGES | _VIDEOS,
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1))


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in _SPECIAL.values()]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_SPECIAL["eos_token"],
        pad_token=_SPECIAL["pad_token"],
        model_max_length=131_072,
        extra_special_tokens={
            name: token for name, token in _SPECIAL.items() if name.startswith(("vi", "im"))
        },
    )
    made.chat_template = _TEMPLATE
    return made


if __name__ == "__main__":
    write(Path(sys.argv[1]))
