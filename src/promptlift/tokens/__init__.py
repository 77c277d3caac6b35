"""What an image, a text and a chat turn cost in tokens, per model family.

Counting the text itself is the tokenizer's work: callers pass a `CountText`, the one that
`counter_for` gives for a family.
"""

from __future__ import annotations

from promptlift.tokens.families import (
    FAMILIES,
    PIXTRAL,
    UNKNOWN,
    CountText,
    Family,
    calibrate,
    family,
    family_for_model,
    family_from_config,
    is_reasoning_model,
)
from promptlift.tokens.text import counter_for, estimate_text_tokens, load_target_counter

__all__ = [
    "FAMILIES",
    "PIXTRAL",
    "UNKNOWN",
    "CountText",
    "Family",
    "calibrate",
    "counter_for",
    "estimate_text_tokens",
    "family",
    "family_for_model",
    "family_from_config",
    "is_reasoning_model",
    "load_target_counter",
]
