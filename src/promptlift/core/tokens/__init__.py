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

from promptlift.core.tokens.calibrate import calibrate
from promptlift.core.tokens.config import family_from_config
from promptlift.core.tokens.family import CountText, Family, Tokenizer
from promptlift.core.tokens.pixtral import PIXTRAL
from promptlift.core.tokens.registry import FAMILIES, UNKNOWN, family, family_for_model
from promptlift.core.tokens.text import estimate_text_tokens

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
]
