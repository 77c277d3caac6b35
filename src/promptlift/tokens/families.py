"""Model families by name, by a model's name, by its config file, and by measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from promptlift.errors import BudgetError, OptionError
from promptlift.text import counted
from promptlift.tokens.chat import UNKNOWN as UNKNOWN_TEMPLATE
from promptlift.tokens.chat import Family, counted_by
from promptlift.tokens.images import (
    MISTRAL_SMALL,
    MISTRAL_SMALL_HF,
    PIXTRAL,
    PIXTRAL_HF,
    Json,
    gemma3,
    glm4v,
    idefics3,
    internvl,
    kimi_vl,
    llava_next,
    llava_onevision,
    look_up,
    mistral_format,
    mistral_small_hf,
    pixtral_hf,
    qwen2_vl,
    qwen3_vl,
)
from promptlift.types import Size

__all__ = ["FAMILIES", "UNKNOWN", "calibrate", "family", "family_for_model", "family_from_config"]

_KNOWN: tuple[Family, ...] = (
    PIXTRAL,
    PIXTRAL_HF,
    MISTRAL_SMALL,
    MISTRAL_SMALL_HF,
    qwen2_vl({}, name="qwen2-vl"),
    qwen2_vl({}),
    qwen2_vl({}, name="cosmos-reason1"),
    qwen3_vl({}),
    qwen3_vl({}, name="cosmos-reason2"),
    internvl({}),
    idefics3({}),
    idefics3({"vision_config": {"image_size": 384}}),
    idefics3({"vision_config": {"image_size": 512}}),
    gemma3({}),
    llava_next({}),
    llava_onevision({}),
    kimi_vl({}),
    kimi_vl({}, {"in_token_limit": 16_384}),
    glm4v({}),
)


def _dearest(size: Size) -> int:
    """The most that any known family takes for a picture."""
    return max(_tokens(each, size) for each in _KNOWN)


def _tokens(each: Family, size: Size) -> int:
    try:
        return each.image(size)
    except BudgetError:
        return 0


UNKNOWN = Family(
    name="unknown",
    unit=1,
    max_side=2048,
    image=_dearest,
    chat=counted_by(UNKNOWN_TEMPLATE),
    source="the dearest of the known families for each size",
)
"""For a model of which nothing is known: it is taken to cost what the dearest known one does.

That leaves little room in a small context; `calibrate` makes a better family from a few counts.
"""

FAMILIES: dict[str, Family] = {each.name: each for each in (*_KNOWN, UNKNOWN)}


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        OptionError: There is none.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        known = ", ".join(sorted(FAMILIES))
        raise OptionError(
            f"no token formula is known for the model family {name!r}",
            remedy=f"use one of: {known}",
        ) from None


# Parts of model names, in small letters, the more special first. The Cosmos upsampler is a
# fine-tune of Pixtral-12B. A name that tells of no family is on the list where it would be
# taken for one.
_FAMILY_OF_NAME: dict[str, str | None] = {
    "mistral-community/pixtral": "pixtral-hf",
    "pixtral-12b-hf": "pixtral-hf",
    "pixtral-large": None,
    "pixtral": "pixtral",
    "cosmos-upsampleprompt1": "pixtral",
    "cosmos-reason1": "cosmos-reason1",
    "cosmos-reason2": "cosmos-reason2",
    "mistral-small-3.1": "mistral-small",
    "mistral-small-3.2": "mistral-small",
    "qwen2-vl": "qwen2-vl",
    "qwen2.5-vl": "qwen2.5-vl",
    "qwen3-vl": "qwen3-vl",
    "internvl2": "internvl3",
    "internvl3": "internvl3",
    "idefics3": "idefics3",
    "smolvlm-256m": "smolvlm2-small",
    "smolvlm-500m": "smolvlm2-small",
    "smolvlm2-256m": "smolvlm2-small",
    "smolvlm2-500m": "smolvlm2-small",
    "smolvlm": "smolvlm2",
    "gemma-3-1b": None,
    "gemma-3-270m": None,
    "gemma-3-": "gemma3",
    "llava-onevision-1.5": None,
    "llava-onevision": "llava-onevision",
    "llava-v1.6": "llava-next",
    "llava-next-video": None,
    "llava-next": "llava-next",
    "kimi-vl-a3b-thinking-2506": "kimi-vl-2506",
    "kimi-vl": "kimi-vl",
    "glm-4.1v": "glm-4v",
    "glm-4.5v": "glm-4v",
    "glm-4.6v": "glm-4v",
}


def family_for_model(name: str) -> str | None:
    """The family of a model, by its name or path; None where it tells nothing."""
    lowered = name.lower()
    return next((found for part, found in _FAMILY_OF_NAME.items() if part in lowered), None)


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


_CELL = 28
_MARGIN = 1.1
"""For the squares that models really have, which are not of 28 pixels."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    """The least curve that no cost can pass that grows with the area, and no faster than it.

    Attributes:
        samples: Cells and tokens, ascending in both.
    """

    samples: tuple[tuple[int, int], ...]

    def __call__(self, size: Size) -> int:
        cells = _cells(size)
        rate = max(tokens / at for at, tokens in self.samples)
        bound = max(self.samples[0][1], min(rate * cells, self._no_more_than(cells)))
        # The small step down keeps an exact product from being raised by its rounding error.
        return math.ceil(_MARGIN * bound - 1e-9)

    def _no_more_than(self, cells: int) -> float:
        """What the next larger sample took; past the largest, in proportion to the area."""
        for at, tokens in self.samples:
            if cells <= at:
                return tokens
        at, tokens = self.samples[-1]
        return tokens * cells / at


def calibrate(samples: Sequence[tuple[Size, int]], *, name: str = "calibrated") -> Family:
    """Make a family from a few images that the engine has counted.

    A picture is taken to cost no more than the next larger sample did, and no more for its area
    than the dearest sample did for its own, and no less than the smallest sample; past the largest
    sample the cost is taken to grow with the area. A tenth is added. Areas are in squares of 28
    pixels, part ones included.

    This is never below what was observed, and above the truth for every model whose cost grows
    with the area and no faster; it comes near where the samples are close. Give at least a small
    and a large picture of the shape that is to be planned: models that work in tiles go by it.

    Args:
        samples: Sizes in pixels and the tokens that one image of each took, markers included.
        name: The family's name.

    Raises:
        OptionError: There is no sample, or one has no tokens.
    """
    if not samples:
        raise OptionError("no counted image was given", remedy="let the engine count at least one")
    for size, tokens in samples:
        if tokens < 1:
            raise OptionError(
                f"an image of {size} was counted as {tokens} tokens",
                remedy="give the tokens that one image adds to a prompt",
            )
    return Family(
        name=name,
        unit=1,
        max_side=None,
        image=_Envelope(_ascending(samples)),
        chat=counted_by(UNKNOWN_TEMPLATE),
        source=f"{counted(len(samples), 'image')} that the engine counted",
    )


def _ascending(samples: Sequence[tuple[Size, int]]) -> tuple[tuple[int, int], ...]:
    """Order by cells; a sample that took less than a smaller one is raised to it."""
    dearest: dict[int, int] = {}
    most = 0
    for cells, tokens in sorted((_cells(size), tokens) for size, tokens in samples):
        most = max(most, tokens)
        dearest[cells] = most
    return tuple(dearest.items())


def _cells(size: Size) -> int:
    return -(-size.width // _CELL) * -(-size.height // _CELL)
