"""Vision towers of other families than Pixtral's, tiny and of random weights.

Each has the sizes that decide how many tokens a picture takes as in the family's well-known
models, and next to nothing else.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from stubs.gguf_models import (
    INNER,
    WIDTH,
    Architecture,
    Pair,
    add_layers,
    add_norms,
    add_value,
    finish,
    noise,
    write_model,
)

__all__ = ["TOWERS", "tower_pair"]

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
    "pixtral": _Tower(  # as Mistral Small has it, which merges patches
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


@functools.cache
def tower_pair(kind: str) -> Pair:
    """A model and a projector of that kind, in a folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="promptlift-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Pair(folder / "tiny.gguf", folder / "mmproj-tiny.gguf")
    write_model(made.model, name="Tiny", architecture=TOWERS[kind].architecture)
    _write_tower(made.mmproj, kind, TOWERS[kind])
    return made


def _write_tower(path: Path, kind: str, tower: _Tower) -> None:
    values: dict[str, Any] = {
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": kind,
        "clip.use_gelu": "clip.use_silu" not in tower.fields,
        "clip.vision.image_size": tower.side,
        "clip.vision.patch_size": tower.patch,
        "clip.vision.embedding_length": INNER,
        "clip.vision.feed_forward_length": INNER,
        "clip.vision.projection_dim": WIDTH,
        "clip.vision.block_count": 1,
        "clip.vision.attention.head_count": 2,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        **tower.fields,
    }
    writer = gguf.GGUFWriter(path, "clip")
    for key, value in values.items():
        add_value(writer, key, value)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    random = np.random.default_rng(3)
    writer.add_tensor("v.patch_embd.weight", noise(random, INNER, 3, tower.patch, tower.patch))
    add_layers(writer, "v.blk", INNER, out="attn_out", gate=False)
    add_norms(writer, INNER, "v.blk.0.ln1", "v.blk.0.ln2")
    for name in _BIASED:
        writer.add_tensor(f"v.blk.0.{name}.bias", np.zeros(INNER, np.float32))
    for name, shape in tower.shapes.items():
        writer.add_tensor(name, noise(random, *shape))
    finish(writer)
