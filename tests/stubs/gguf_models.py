"""Tiny GGUF vision models, made with gguf-py: real files that the real llama.cpp runs.

A *scripted* model always says the same sentence and then ends: nothing but the embedding of the
last token reaches the output, and each word's embedding points at the next word. An *endless* one
begins again. A *random* one says nothing sensible, but what it says depends on the prompt, the
pictures and the seed.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import gguf
import numpy as np

__all__ = [
    "INNER",
    "SENTENCE",
    "TEMPLATE",
    "TEMPLATE_TOKENS",
    "WIDTH",
    "Architecture",
    "Pair",
    "Speech",
    "add_layers",
    "add_norms",
    "add_value",
    "finish",
    "noise",
    "pair",
    "write_model",
    "write_projector",
]

Architecture: TypeAlias = Literal["llama", "qwen2vl"]
Speech: TypeAlias = Literal["scripted", "endless", "random"]

SENTENCE = (
    "One robot arm slowly lifts the white cup off its table and hands it to someone in red while "
    "soft daylight falls from a window."
)
WIDTH = 64
INNER = 32
_BOS, _EOS = 256, 257
# What llama.cpp puts around pictures, as text that must be one token each.
_MARKS = (
    "<s>",
    "</s>",
    *("[IMG_END]", "<img>", "</img>", "<start_of_image>", "<end_of_image>"),
    *("<|vision_start|>", "<|vision_end|>", "<fake_token_around_image>", "<global-img>"),
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
)
_TWO_LINES = "ĊĊ"
_CONTROL, _NORMAL = 3, 1
_SURE = 10.0
TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[answer]"
TEMPLATE_TOKENS = 1 + len("[user]") + len("[answer]")
"""Tokens around a user's text: the vocabulary has a token a byte, so they can be counted."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A model and its projector."""

    model: Path
    mmproj: Path


@functools.cache
def pair(speech: Speech = "scripted") -> Pair:
    """A model and a projector that belong together, in a folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="promptlift-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Pair(folder / "tiny.gguf", folder / "mmproj-tiny.gguf")
    write_model(made.model, speech=speech, context=100_000 if speech == "endless" else 4096)
    write_projector(made.mmproj)
    return made


def write_model(
    path: Path,
    *,
    speech: Speech = "scripted",
    width: int = WIDTH,
    context: int = 4096,
    name: str = "Tiny Pixtral",
    template: str = TEMPLATE,
    architecture: Architecture = "llama",
    tensors_a_part: int = 0,
) -> None:
    """Write a model of one layer with a token for each byte and each word of `SENTENCE`.

    With `tensors_a_part` it is written in parts beside `path`, named as llama.cpp wants them.
    """
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_a_part)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    if architecture == "llama":
        writer.add_rope_dimension_count(width // 2)
    else:
        # Positions in time, down and across; the models that have them are Qwen's.
        writer.add_rope_dimension_sections([width // 8, width // 16, width // 16, 0])
    words = _add_vocabulary(writer, template)
    embedding, output = _weights(words, width, speech)
    add_layers(writer, "blk", width, gain=float(speech == "random"))
    add_norms(writer, width, "output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    finish(writer)


def write_projector(
    path: Path, *, width: int = WIDTH, fields: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Write a vision tower and projector of Pixtral's type; `fields` replace those of the file."""
    inner = INNER
    values: dict[str, Any] = {
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": "pixtral",
        "clip.use_silu": True,
        "clip.vision.image_size": 1024,
        "clip.vision.patch_size": 16,
        "clip.vision.embedding_length": inner,
        "clip.vision.feed_forward_length": inner,
        "clip.vision.projection_dim": width,
        "clip.vision.block_count": 1,
        "clip.vision.attention.head_count": 2,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        **fields,
    }
    writer = gguf.GGUFWriter(path, str(values.pop("general.architecture", "clip")))
    for key, value in values.items():
        add_value(writer, key, value)
    writer.add_array("clip.vision.image_mean", [0.48, 0.46, 0.41])
    writer.add_array("clip.vision.image_std", [0.27, 0.26, 0.28])
    random = np.random.default_rng(1)
    writer.add_tensor("v.patch_embd.weight", noise(random, inner, 3, 16, 16))
    add_layers(writer, "v.blk", inner, out="attn_out")
    add_norms(writer, inner, "v.pre_ln", "v.blk.0.ln1", "v.blk.0.ln2")
    writer.add_tensor("mm.1.weight", noise(random, width, inner))
    writer.add_tensor("mm.2.weight", noise(random, width, width))
    writer.add_tensor("v.token_embd.img_break", noise(random, width))
    finish(writer)


def add_value(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    """Add a field of the type of its value."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        writer.add_string(key, str(value))


def _add_vocabulary(writer: gguf.GGUFWriter, template: str) -> list[int]:
    """Add a token a byte, in GPT-2's spelling of bytes, the marks, and the words."""
    words = ["Ġ" * bool(at) + word for at, word in enumerate(SENTENCE.split())]
    assert len(set(words)) == len(words), "each word is followed by one other"
    tokens = [*_byte_letters(), *_MARKS, _TWO_LINES, *words]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [_NORMAL] * 256 + [_CONTROL] * len(_MARKS) + [_NORMAL] * (1 + len(words))
    )
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(_BOS)
    writer.add_eos_token_id(_EOS)
    writer.add_add_bos_token(True)
    writer.add_chat_template(template)
    return [tokens.index(word) for word in words]


def _byte_letters() -> list[str]:
    """GPT-2 spells a byte as its own letter if it can be seen, else as one from 256 on."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(256, 512))
    return [chr(byte if byte in seen else next(hidden)) for byte in range(256)]


def _weights(words: list[int], width: int, speech: Speech) -> tuple[Any, Any]:
    """The embedding and the output; unless random, each token leads surely to one other."""
    count = words[-1] + 1
    random = np.random.default_rng(0)
    if speech == "random":
        return noise(random, count, width), noise(random, count, width)
    embedding = np.zeros((count, width), np.float32)
    output = np.zeros((count, width), np.float32)
    embedding[:, 0] = 1
    output[words[0], 0] = _SURE
    last = _EOS if speech == "scripted" else words[0]
    for at, (word, following) in enumerate(zip(words, [*words[1:], last], strict=True), start=1):
        embedding[word] = np.eye(width, dtype=np.float32)[at]
        output[following, at] = _SURE
    return embedding, output


def add_layers(
    writer: gguf.GGUFWriter,
    prefix: str,
    width: int,
    *,
    gain: float = 1.0,
    out: str = "attn_output",
    gate: bool = True,
) -> None:
    """Add one layer; without gain nothing of it reaches its output."""
    random = np.random.default_rng(2)
    for name in ("attn_q", "attn_k", "attn_v"):
        writer.add_tensor(f"{prefix}.0.{name}.weight", noise(random, width, width))
    writer.add_tensor(f"{prefix}.0.{out}.weight", gain * noise(random, width, width))
    for name in ("ffn_gate", "ffn_up")[not gate :]:
        writer.add_tensor(f"{prefix}.0.{name}.weight", noise(random, INNER, width))
    writer.add_tensor(f"{prefix}.0.ffn_down.weight", gain * noise(random, width, INNER))


def add_norms(writer: gguf.GGUFWriter, width: int, *names: str) -> None:
    """Add norms that change nothing but the length."""
    for name in names:
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))


def noise(random: np.random.Generator, *shape: int) -> Any:
    """Random weights, of the size that keeps a layer's output about as large as its input."""
    return random.normal(0, 0.3, shape).astype(np.float32)


def finish(writer: gguf.GGUFWriter) -> None:
    """Write all that was added, and close the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
