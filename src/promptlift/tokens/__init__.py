"""What an image and a chat turn cost in tokens, per model family: data and small functions.

A family says how its processor resizes an image and how many tokens come of it, and what its
chat template adds to the text. Counting the text itself is the tokenizer's work: callers pass
a `CountText`, the one that `Family.tokenizer` names.

One module for each kind of arithmetic: `pixtral` (rows of patches), `area` and `qwen` (stretched
within bounds of area), `grids` (GLM, Kimi), `tiles` (InternVL, Idefics3, Gemma 3), `anyres`
(LLaVA); `registry` has them by name, `config` reads a model's own constants, and `calibrate`
makes a family for a model that is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.tokens.chat import CountText, Family, Tokenizer
from promptlift.tokens.families import (
    FAMILIES,
    UNKNOWN,
    calibrate,
    family,
    family_for_model,
    family_from_config,
)
from promptlift.tokens.images import PIXTRAL
from promptlift.tokens.text import estimate_text_tokens

if TYPE_CHECKING:
    from promptlift.tokens.tekken import load_counter

__all__ = [
    "FAMILIES",
    "PIXTRAL",
    "UNKNOWN",
    "CountText",
    "Family",
    "Tokenizer",
    "calibrate",
    "estimate_text_tokens",
    "family",
    "family_for_model",
    "family_from_config",
    "load_counter",
]


def __getattr__(name: str) -> object:
    """Load `load_counter` on first use: its vocabulary is for models that count exactly."""
    if name != "load_counter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from promptlift.tokens.tekken import load_counter

    return load_counter
