"""A tiny Pixtral with random weights that gives one scripted answer, in Mistral's own format.

Run it with the Python of `real_vllm.environment`, which has torch: ``checkpoint.py FOLDER REPLY``.
Tokenizer and image settings are the real ones (mistral-common carries tekken_240911, which says
patches of 16 pixels and at most 1024 of them a side), so that every token count is the real one.
The weights are 17 million random numbers, except for the output matrix: the row of each token of
the reply points along the embedding of the token before it, so that greedy and sampled decoding
alike walk from the end of the instruction through the reply to the end of the answer.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["REPLY", "write"]

REPLY = (
    "A red balloon drifts slowly over golden dunes while warm evening light "
    "fades behind distant mountains."
)
"""What it answers unless told otherwise; no token of it occurs twice, which the chain needs."""

_WIDTH, _HIDDEN, _VOCABULARY = 64, 128, 131_072
_HEADS, _KV_HEADS, _HEAD_SIZE = 2, 1, 32  # vLLM's attention for CPUs knows few sizes; 32 is one
_VISION = {
    "hidden_size": 64,
    "num_channels": 3,
    "max_image_size": 1024,
    "image_size": 1024,
    "patch_size": 16,
    "rope_theta": 10_000.0,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "adapter_bias": True,
    "image_token_id": 10,
}
_PARAMS = {
    "dim": _WIDTH,
    "n_layers": 1,
    "head_dim": _HEAD_SIZE,
    "hidden_dim": _HIDDEN,
    "n_heads": _HEADS,
    "n_kv_heads": _KV_HEADS,
    "rope_theta": 1e9,
    "norm_eps": 1e-5,
    "vocab_size": _VOCABULARY,
    "max_position_embeddings": 131_072,
    "vision_encoder": _VISION,
}
# How far the scripted token's logit stands above the rest: certain at any temperature up to 2.
_GAIN = 40.0
_SEED = 7


def write(folder: Path, reply: str = REPLY) -> Path:
    """Write params.json, tekken.json and consolidated.safetensors into `folder`."""
    import mistral_common
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tekken = folder / "tekken.json"
    shutil.copyfile(Path(mistral_common.__file__).parent / "data" / "tekken_240911.json", tekken)
    (folder / "params.json").write_text(json.dumps(_PARAMS, indent=2))
    weights = dict(_weights())
    _script(weights, tekken, reply)
    save_file(weights, folder / "consolidated.safetensors")
    return folder


def _weights() -> Iterator[tuple[str, Tensor]]:
    import torch

    generator = torch.Generator().manual_seed(_SEED)

    def noise(*shape: int, scale: float = 0.02) -> Tensor:
        return (torch.randn(*shape, generator=generator) * scale).to(torch.bfloat16)

    def ones(size: int) -> Tensor:
        return torch.ones(size, dtype=torch.bfloat16)

    def layer(at: str, width: int, hidden: int, q: int, kv: int) -> Iterator[tuple[str, Tensor]]:
        yield f"{at}.attention.wq.weight", noise(q, width)
        yield f"{at}.attention.wk.weight", noise(kv, width)
        yield f"{at}.attention.wv.weight", noise(kv, width)
        yield f"{at}.attention.wo.weight", noise(width, q)
        yield f"{at}.attention_norm.weight", ones(width)
        yield f"{at}.feed_forward.w1.weight", noise(hidden, width)
        yield f"{at}.feed_forward.w2.weight", noise(width, hidden)
        yield f"{at}.feed_forward.w3.weight", noise(hidden, width)
        yield f"{at}.ffn_norm.weight", ones(width)

    yield "tok_embeddings.weight", noise(_VOCABULARY, _WIDTH, scale=1.0)
    yield "norm.weight", ones(_WIDTH)
    yield "output.weight", noise(_VOCABULARY, _WIDTH)
    yield from layer("layers.0", _WIDTH, _HIDDEN, _HEADS * _HEAD_SIZE, _KV_HEADS * _HEAD_SIZE)
    yield "vision_encoder.patch_conv.weight", noise(64, 3, 16, 16)
    yield "vision_encoder.ln_pre.weight", ones(64)
    yield from layer("vision_encoder.transformer.layers.0", 64, 128, 64, 64)
    yield "vision_language_adapter.w_in.weight", noise(_WIDTH, 64)
    yield "vision_language_adapter.w_in.bias", torch.zeros(_WIDTH, dtype=torch.bfloat16)
    yield "vision_language_adapter.w_out.weight", noise(_WIDTH, _WIDTH)
    yield "vision_language_adapter.w_out.bias", torch.zeros(_WIDTH, dtype=torch.bfloat16)


def _script(weights: dict[str, Tensor], tekken: Path, reply: str) -> None:
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    tokenizer = Tekkenizer.from_file(tekken)
    tokens = tokenizer.encode(reply, bos=False, eos=False)
    if len(set(tokens)) != len(tokens):
        twice = sorted({tokenizer.decode([t]) for t in tokens if tokens.count(t) > 1})
        sys.exit(f"a token occurs twice in the reply: {twice}")
    embeddings = weights["tok_embeddings.weight"].float()
    output = weights["output.weight"]
    chain = [tokenizer.get_special_token("[/INST]"), *tokens, tokenizer.eos_id]
    for here, following in pairwise(chain):
        # The last norm leaves the embedding at unit mean square, so that its product with itself
        # is the width; dividing by that makes the logit the gain.
        unit = embeddings[here] / embeddings[here].pow(2).mean().sqrt()
        output[following] = (unit * _GAIN / _WIDTH).to(output.dtype)


if __name__ == "__main__":
    write(Path(sys.argv[1]), *sys.argv[2:3])
