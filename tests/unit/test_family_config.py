"""Families made of the models' own configuration files: the constants in them are what counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptlift.errors import OptionError
from promptlift.tokens import Family, family, family_from_config
from promptlift.types import Size

SIZES = [Size(*size) for size in ((1, 1), (640, 480), (1280, 720), (720, 1280), (3000, 2900))]

QWEN2_5: dict[str, Any] = {
    "model_type": "qwen2_5_vl",
    "vision_config": {"patch_size": 14, "spatial_merge_size": 2},
}
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]

# The files of well-known checkpoints, as far as they matter: config, preprocessor, processor.
KNOWN: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]] = {
    "pixtral": (
        {"dim": 5120, "vision_encoder": {"image_size": 1024, "patch_size": 16}},
        {"image": {"image_patch_size": 16, "max_image_size": 1024}, "vocab": []},
        None,
    ),
    "pixtral-hf": (
        {
            "model_type": "llava",
            "vision_config": {"model_type": "pixtral", "image_size": 1024, "patch_size": 16},
        },
        {"size": {"longest_edge": 1024}, "patch_size": {"height": 16, "width": 16}},
        None,
    ),
    "mistral-small": (
        {
            "vision_encoder": {
                "image_size": 1540,
                "max_image_size": 1540,
                "patch_size": 14,
                "spatial_merge_size": 2,
            }
        },
        None,
        None,
    ),
    "mistral-small-hf": (
        {
            "model_type": "mistral3",
            "spatial_merge_size": 2,
            "vision_config": {"model_type": "pixtral", "image_size": 1540, "patch_size": 14},
        },
        {"size": {"longest_edge": 1540}, "patch_size": 14},
        None,
    ),
    "qwen2-vl": (
        QWEN2_5 | {"model_type": "qwen2_vl"},
        {"min_pixels": 3136, "max_pixels": 12_845_056, "patch_size": 14, "merge_size": 2},
        None,
    ),
    "qwen2.5-vl": (
        QWEN2_5,
        {"size": {"shortest_edge": 3136, "longest_edge": 12_845_056}},
        None,
    ),
    "qwen3-vl": (
        {"model_type": "qwen3_vl_moe", "vision_config": {"patch_size": 16}},
        {
            "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
            "patch_size": 16,
            "merge_size": 2,
        },
        None,
    ),
    "internvl3": (
        {
            "model_type": "internvl_chat",
            "force_image_size": 448,
            "downsample_ratio": 0.5,
            "dynamic_image_size": True,
            "max_dynamic_patch": 12,
            "min_dynamic_patch": 1,
            "use_thumbnail": True,
            "vision_config": {"image_size": 448, "patch_size": 14},
        },
        {"size": 448, "crop_size": 448},
        None,
    ),
    "idefics3": (
        {
            "model_type": "idefics3",
            "scale_factor": 2,
            "vision_config": {"image_size": 364, "patch_size": 14},
        },
        {"size": {"longest_edge": 1456}, "max_image_size": {"longest_edge": 364}},
        {"image_seq_len": 169},
    ),
    "smolvlm2": (
        {
            "model_type": "smolvlm",
            "scale_factor": 3,
            "vision_config": {"image_size": 384, "patch_size": 14},
        },
        {"size": {"longest_edge": 1536}, "max_image_size": {"longest_edge": 384}},
        None,
    ),
    "smolvlm2-small": (
        {
            "model_type": "smolvlm",
            "scale_factor": 4,
            "vision_config": {"image_size": 512, "patch_size": 16},
        },
        {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}},
        {"image_seq_len": 64},
    ),
    "gemma3": (
        {"model_type": "gemma3", "mm_tokens_per_image": 256, "vision_config": {"image_size": 896}},
        {"size": {"height": 896, "width": 896}, "do_pan_and_scan": None},
        None,
    ),
    "llava-next": (
        {
            "model_type": "llava_next",
            "image_grid_pinpoints": PINPOINTS,
            "vision_config": {"image_size": 336, "patch_size": 14},
        },
        {"size": {"shortest_edge": 336}},
        None,
    ),
    "llava-onevision": (
        {
            "model_type": "llava_onevision",
            "vision_aspect_ratio": "anyres_max_9",
            "image_grid_pinpoints": [[384 * h, 384 * w] for h in range(1, 7) for w in range(1, 7)],
            "vision_config": {"image_size": 384, "patch_size": 14},
        },
        None,
        None,
    ),
    "kimi-vl": (
        {"model_type": "kimi_vl", "vision_config": {"patch_size": 14}},
        {"in_token_limit": 4096, "merge_kernel_size": [2, 2], "patch_size": 14},
        None,
    ),
    "glm-4v": (
        {"model_type": "glm4v_moe", "vision_config": {"patch_size": 14, "spatial_merge_size": 2}},
        {"size": {"shortest_edge": 12_544, "longest_edge": 11_760_000}},
        None,
    ),
}


def counts(made: Family) -> list[int]:
    """What the family counts for a few sizes."""
    return [made.image(size) for size in SIZES]


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_checkpoint_comes_to_the_family_of_that_name(name: str) -> None:
    """Read from files in their usual form, a family is the one that is built in.

    The kind of model alone gives a family too: what is not said has the usual value.
    """
    config, preprocessor, processor = KNOWN[name]
    made = family_from_config(config, preprocessor, processor=processor)
    built_in = family(name)
    assert counts(made) == counts(built_in) == counts(family_from_config(config))
    for attribute in ("name", "unit", "max_side", "max_pixels", "tokenizer"):
        assert getattr(made, attribute) == getattr(built_in, attribute), attribute


def test_variants_are_told_apart_by_their_constants() -> None:
    """A SmolVLM that calls itself an Idefics3, and a Kimi-VL with a larger limit, are known."""
    first = {"vision_config": {"image_size": 384, "patch_size": 14}, "scale_factor": 3}
    made = family_from_config({"model_type": "idefics3", **first})
    assert (made.name, counts(made)) == ("smolvlm2", counts(family("smolvlm2")))
    bare = family_from_config({"model_type": "smolvlm"})
    assert (bare.name, counts(bare)) == ("smolvlm2", counts(family("smolvlm2")))
    larger = family_from_config({"model_type": "kimi_vl"}, {"in_token_limit": 16_384})
    assert (larger.name, counts(larger)) == ("kimi-vl-2506", counts(family("kimi-vl-2506")))


@pytest.mark.parametrize(
    ("name", "change", "size", "count"),
    [
        ("qwen2.5-vl", {"max_pixels": 200_704}, "1280x720", 21 * 12 + 2),
        ("qwen3-vl", {"size": {"longest_edge": 262_144}}, "1024x1024", 256 + 2),
        ("idefics3", {"size": {"longest_edge": 728}}, "1280x720", 172 + 2 * (2 * 171 + 1)),
        ("kimi-vl", {"in_token_limit": 1024}, "8000x8000", 256 + 4),
        ("glm-4v", {"size": {"longest_edge": 784 * 200}}, "1000x1000", 100 + 2),
    ],
)
def test_the_preprocessors_constants_count(
    name: str, change: dict[str, Any], size: str, count: int
) -> None:
    """A limit that somebody set in the preprocessor's file is the one that holds."""
    width, height = map(int, size.split("x"))
    made = family_from_config(KNOWN[name][0], change)
    assert made.image(Size(width, height)) == count


@pytest.mark.parametrize(
    ("name", "change", "count"),
    [
        ("internvl3", {"max_dynamic_patch": 6}, 3 * 256 + 2),
        ("gemma3", {"mm_tokens_per_image": 64}, 68),
        ("llava-next", {"image_grid_pinpoints": [[336, 336]]}, 576 + 14 * 24 + 14),
        ("llava-onevision", {"vision_aspect_ratio": "anyres_max_4"}, 729 + 72 * 40 + 40),
        ("mistral-small-hf", {"spatial_merge_size": 1}, 93 * 52),
    ],
)
def test_the_models_constants_count(name: str, change: dict[str, Any], count: int) -> None:
    """A constant in the model's own configuration is the one that holds, for 1280x720."""
    made = family_from_config(KNOWN[name][0] | change)
    assert made.image(Size(1280, 720)) == count


def test_a_processor_file_may_hold_the_others() -> None:
    """Newer checkpoints nest the image's constants in another file."""
    nested = {"image_processor": {"size": {"shortest_edge": 3136, "longest_edge": 200_704}}}
    made = family_from_config(QWEN2_5, processor=nested)
    assert made.image(Size(1280, 720)) == 21 * 12 + 2


def test_sides_may_be_given_twice() -> None:
    """InternVL's files in Hugging Face's format have a height and a width."""
    made = family_from_config(
        {
            "model_type": "internvl",
            "image_seq_length": 256,
            "vision_config": {"image_size": [448, 448], "patch_size": [14, 14]},
        },
        {"size": {"height": 448, "width": 448}, "max_patches": 12, "crop_to_patches": False},
    )
    assert counts(made) == counts(family("internvl3"))


@pytest.mark.parametrize("config", [{}, {"model_type": "mllama"}, {"model_type": "llava"}], ids=str)
def test_a_kind_that_is_not_known_is_refused(config: dict[str, Any]) -> None:
    """The error names the kind and the way out."""
    with pytest.raises(OptionError, match=r"a model of the type .* Let the engine count"):
        family_from_config(config)


@pytest.mark.parametrize("value", ["28", -14, 0, 14.5, True, {}, [], "Infinity"], ids=repr)
def test_a_senseless_constant_is_refused(value: object) -> None:
    """A constant that is no whole number above 0 is named with its place."""
    config = json.loads(json.dumps({**QWEN2_5, "vision_config": {"patch_size": value}}))
    with pytest.raises(OptionError, match=r"for vision_config\.patch_size"):
        family_from_config(config)
