"""Tiny GGUF vision models, made with gguf-py: real files that the real llama.cpp runs.

A vision tower has the sizes that decide how many tokens a picture takes as in its family's
well-known models, and next to nothing else.

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
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import gguf
import numpy as np

__all__ = [
    "SENTENCE",
    "TEMPLATE_TOKENS",
    "WIDTH",
    "Pair",
    "Speech",
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
_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[answer]"
)
TEMPLATE_TOKENS = 1 + len("[user]") + len("[answer]")
"""Tokens around a user's text: the vocabulary has a token a byte, so they can be counted."""


_FOUR = 4 * INNER  # four patches are merged


@dataclass(frozen=True, slots=True)
class _Tower:
    """A kind of vision tower.

    Attributes:
        side: Pixels of the picture, or the tile, that it was trained for.
        patch: Pixels on a side of a patch.
        shapes: Its own tensors beside those that all have.
        fields: Its own fields, likewise.
        architecture: Of the text model.
    """

    side: int
    patch: int
    shapes: Mapping[str, tuple[int, ...]]
    fields: Mapping[str, Any] = field(default_factory=dict)
    architecture: Architecture = "llama"


_BIASED = ("attn_q", "attn_k", "attn_v", "attn_out", "ln1", "ln2", "ffn_up", "ffn_down")
_POST = {"v.post_ln.weight": (INNER,), "v.post_ln.bias": (INNER,)}
_SECOND_FRAME = "v.patch_embd.weight.1"
_PATCH_BIAS = {"v.patch_embd.bias": (INNER,)}
_QWEN = {
    "mm.0.weight": (_FOUR, _FOUR),
    "mm.0.bias": (_FOUR,),
    "mm.2.weight": (WIDTH, _FOUR),
    "mm.2.bias": (WIDTH,),
}

TOWERS: dict[str, _Tower] = {
    "pixtral": _Tower(
        1024,
        16,
        {
            "v.pre_ln.weight": (INNER,),
            "v.blk.0.ffn_gate.weight": (INNER, INNER),
            "v.token_embd.img_break": (WIDTH,),
            "mm.1.weight": (WIDTH, INNER),
            "mm.2.weight": (WIDTH, WIDTH),
        },
        {"clip.use_silu": True},
    ),
    "pixtral merged": _Tower(  # as Mistral Small has it
        1540,
        14,
        {
            "v.pre_ln.weight": (INNER,),
            "v.blk.0.ffn_gate.weight": (INNER, INNER),
            "v.token_embd.img_break": (WIDTH,),
            "mm.input_norm.weight": (INNER,),
            "mm.patch_merger.weight": (INNER, _FOUR),
            "mm.1.weight": (WIDTH, INNER),
            "mm.2.weight": (WIDTH, WIDTH),
        },
        {"clip.use_silu": True, "clip.vision.spatial_merge_size": 2},
    ),
    "idefics3": _Tower(
        512,
        16,
        _POST
        | _PATCH_BIAS
        | {"v.position_embd.weight": (1024, INNER), "mm.model.fc.weight": (WIDTH, 16 * INNER)},
        {"clip.vision.projector.scale_factor": 4, "clip.vision.preproc_image_size": 2048},
    ),
    "internvl": _Tower(
        448,
        14,
        _PATCH_BIAS
        | {
            "v.class_embd": (INNER,),
            "v.position_embd.weight": (1025, INNER),
            "v.blk.0.ls1.weight": (INNER,),
            "v.blk.0.ls2.weight": (INNER,),
            "mm.model.mlp.0.weight": (_FOUR,),
            "mm.model.mlp.0.bias": (_FOUR,),
            "mm.model.mlp.1.weight": (WIDTH, _FOUR),
            "mm.model.mlp.1.bias": (WIDTH,),
            "mm.model.mlp.3.weight": (WIDTH, WIDTH),
            "mm.model.mlp.3.bias": (WIDTH,),
        },
        {
            "clip.vision.projector.scale_factor": 2,
            "clip.vision.preproc_min_tiles": 1,
            "clip.vision.preproc_max_tiles": 12,
        },
    ),
    "gemma3": _Tower(
        896,
        14,
        _POST
        | _PATCH_BIAS
        | {
            "v.position_embd.weight": (4096, INNER),
            "mm.input_projection.weight": (INNER, WIDTH),
            "mm.soft_emb_norm.weight": (INNER,),
        },
    ),
    "qwen2vl_merger": _Tower(
        560, 14, _POST | _QWEN | {_SECOND_FRAME: (INNER, 3, 14, 14)}, architecture="qwen2vl"
    ),
    "qwen2.5vl_merger": _Tower(
        560,
        14,
        _QWEN
        | {
            "v.post_ln.weight": (INNER,),
            "v.blk.0.ffn_gate.weight": (INNER, INNER),
            _SECOND_FRAME: (INNER, 3, 14, 14),
        },
        {"clip.use_silu": True, "clip.vision.n_wa_pattern": 2},
        architecture="qwen2vl",
    ),
    "qwen3vl_merger": _Tower(
        768,
        16,
        _POST
        | _PATCH_BIAS
        | _QWEN
        | {
            "v.position_embd.weight": (48 * 48, INNER),
            "v.blk.0.attn_qkv.weight": (3 * INNER, INNER),
            "v.blk.0.attn_qkv.bias": (3 * INNER,),
            _SECOND_FRAME: (INNER, 3, 16, 16),
        },
        {"clip.vision.spatial_merge_size": 2, "clip.vision.is_deepstack_layers": [False]},
        architecture="qwen2vl",
    ),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A model and its projector."""

    model: Path
    mmproj: Path


@functools.cache
def pair(speech: Speech = "scripted", tower: str = "pixtral") -> Pair:
    """A model and a projector that belong together, in a folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="promptlift-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Pair(folder / "tiny.gguf", folder / "mmproj-tiny.gguf")
    context = 100_000 if speech == "endless" else 4096
    architecture = TOWERS[tower].architecture
    write_model(made.model, speech=speech, context=context, architecture=architecture)
    write_projector(made.mmproj, tower)
    return made


def write_model(
    path: Path,
    *,
    speech: Speech = "scripted",
    width: int = WIDTH,
    context: int = 4096,
    name: str = "Tiny Pixtral",
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
    words = _add_vocabulary(writer)
    embedding, output = _weights(words, width, speech)
    _add_layer(writer, "blk", width, gain=float(speech == "random"))
    _add_norms(writer, width, "output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    _finish(writer)


def write_projector(
    path: Path,
    tower: str = "pixtral",
    *,
    width: int = WIDTH,
    fields: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a vision tower and its projector; `fields` replace those of the file."""
    kind = TOWERS[tower]
    values: dict[str, Any] = {
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": tower.partition(" ")[0],
        "clip.use_gelu": "clip.use_silu" not in kind.fields,
        "clip.vision.image_size": kind.side,
        "clip.vision.patch_size": kind.patch,
        "clip.vision.embedding_length": INNER,
        "clip.vision.feed_forward_length": INNER,
        "clip.vision.projection_dim": width,
        "clip.vision.block_count": 1,
        "clip.vision.attention.head_count": 2,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
        **kind.fields,
        **fields,
    }
    writer = gguf.GGUFWriter(path, "clip")
    add: dict[type, Any] = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        list: writer.add_array,
        str: writer.add_string,
    }
    for key, value in values.items():
        add[type(value)](key, value)
    random = np.random.default_rng(3)
    shapes = {"v.patch_embd.weight": (INNER, 3, kind.patch, kind.patch), **kind.shapes}
    _add_layer(writer, "v.blk", INNER, out="attn_out", gate=False)
    _add_norms(writer, INNER, "v.blk.0.ln1", "v.blk.0.ln2")
    for name in _BIASED:
        writer.add_tensor(f"v.blk.0.{name}.bias", np.zeros(INNER, np.float32))
    for name, shape in shapes.items():
        own = (width if side == WIDTH else side for side in shape)
        writer.add_tensor(name, _noise(random, *own))
    _finish(writer)


def _add_vocabulary(writer: gguf.GGUFWriter) -> list[int]:
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
    writer.add_chat_template(_TEMPLATE)
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
        return _noise(random, count, width), _noise(random, count, width)
    embedding = np.zeros((count, width), np.float32)
    output = np.zeros((count, width), np.float32)
    embedding[:, 0] = 1
    output[words[0], 0] = _SURE
    last = _EOS if speech == "scripted" else words[0]
    for at, (word, following) in enumerate(zip(words, [*words[1:], last], strict=True), start=1):
        embedding[word] = np.eye(width, dtype=np.float32)[at]
        output[following, at] = _SURE
    return embedding, output


def _add_layer(
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
        writer.add_tensor(f"{prefix}.0.{name}.weight", _noise(random, width, width))
    writer.add_tensor(f"{prefix}.0.{out}.weight", gain * _noise(random, width, width))
    for name in ("ffn_gate", "ffn_up")[not gate :]:
        writer.add_tensor(f"{prefix}.0.{name}.weight", _noise(random, INNER, width))
    writer.add_tensor(f"{prefix}.0.ffn_down.weight", gain * _noise(random, width, INNER))


def _add_norms(writer: gguf.GGUFWriter, width: int, *names: str) -> None:
    """Add norms that change nothing but the length."""
    for name in names:
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))


def _noise(random: np.random.Generator, *shape: int) -> Any:
    """Random weights, of the size that keeps a layer's output about as large as its input."""
    return random.normal(0, 0.3, shape).astype(np.float32)


def _finish(writer: gguf.GGUFWriter) -> None:
    """Write all that was added, and close the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
