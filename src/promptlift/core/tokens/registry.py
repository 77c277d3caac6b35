"""The families by name, and by the name of a model."""

from __future__ import annotations

from promptlift.core.tokens.anyres import llava_next, llava_onevision
from promptlift.core.tokens.chat import UNKNOWN as UNKNOWN_TEMPLATE
from promptlift.core.tokens.chat import counted_by
from promptlift.core.tokens.family import Family
from promptlift.core.tokens.grids import glm4v, kimi_vl
from promptlift.core.tokens.pixtral import MISTRAL_SMALL, MISTRAL_SMALL_HF, PIXTRAL, PIXTRAL_HF
from promptlift.core.tokens.qwen import qwen2_vl, qwen3_vl
from promptlift.core.tokens.tiles import gemma3, idefics3, internvl
from promptlift.core.video import Size
from promptlift.errors import BudgetError, OptionError

__all__ = ["FAMILIES", "UNKNOWN", "family", "family_for_model"]

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
