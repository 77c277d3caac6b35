"""A family with the constants of the model's own configuration files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from promptlift.core.tokens.anyres import llava_next, llava_onevision
from promptlift.core.tokens.constants import Json, look_up
from promptlift.core.tokens.family import Family
from promptlift.core.tokens.grids import glm4v, kimi_vl
from promptlift.core.tokens.pixtral import mistral_format, mistral_small_hf, pixtral_hf
from promptlift.core.tokens.qwen import qwen2_vl, qwen3_vl
from promptlift.core.tokens.tiles import gemma3, idefics3, internvl
from promptlift.errors import OptionError

__all__ = ["family_from_config"]

_Builder: TypeAlias = Callable[[Json, Json | None], Family]

_BY_MODEL_TYPE: dict[str, _Builder] = {
    "mistral3": mistral_small_hf,
    "internvl": internvl,
    "internvl_chat": internvl,
    "gemma3": gemma3,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "kimi_vl": kimi_vl,
    "glm4v": glm4v,
    "glm4v_moe": glm4v,
    "glm46v": glm4v,
}
_QWEN2 = {"qwen2_vl": "qwen2-vl", "qwen2_5_vl": "qwen2.5-vl"}
_QWEN3 = frozenset({"qwen3_vl", "qwen3_vl_moe"})
_IDEFICS3 = frozenset({"idefics3", "smolvlm"})


def family_from_config(
    config: Json,
    preprocessor: Json | None = None,
    *,
    processor: Json | None = None,
    video: Json | None = None,
) -> Family:
    """Make the family of a model from its configuration files, parsed.

    What a file does not say, or a file that is not given, is taken to be as in the well-known
    checkpoints of the family.

    Args:
        config: ``config.json``, or ``params.json`` of a checkpoint in Mistral's format.
        preprocessor: ``preprocessor_config.json``, or ``tekken.json`` in Mistral's format.
        processor: ``processor_config.json``. In newer checkpoints it holds the other two.
        video: ``video_preprocessor_config.json``.

    Raises:
        OptionError: The kind of model is not known here, or a constant makes no sense.
    """
    preprocessor = preprocessor or _part(processor, "image_processor")
    video = video or _part(processor, "video_processor")
    kind = config.get("model_type")
    if kind is None and "vision_encoder" in config:
        return mistral_format(config, preprocessor)
    if kind == "llava" and look_up(config, "vision_config.model_type") == "pixtral":
        return pixtral_hf(config, preprocessor)
    if kind in _QWEN2:
        return qwen2_vl(config, preprocessor, video, name=_QWEN2[kind])
    if kind in _QWEN3:
        return qwen3_vl(config, preprocessor, video)
    if kind in _IDEFICS3:
        return idefics3(config, preprocessor, processor)
    if kind in _BY_MODEL_TYPE:
        return _BY_MODEL_TYPE[kind](config, preprocessor)
    raise OptionError(
        f"no token formula is known for a model of the type {kind!r}",
        remedy="let the engine count a few images and calibrate by them",
    )


def _part(processor: Json | None, key: str) -> Json | None:
    found = look_up(processor, key)
    return found if isinstance(found, dict) else None
