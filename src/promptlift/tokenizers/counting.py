"""Which counter a model's text is counted with."""

from __future__ import annotations

from promptlift.core.tokens import CountText, Family, estimate_text_tokens

__all__ = ["counter_for"]


def counter_for(family: Family) -> CountText:
    """The counter of a family: its own vocabulary, or an estimate from above.

    Raises:
        ConfigEngineError: The vocabulary is missing or damaged.
    """
    if family.tokenizer == "tekken":
        from promptlift.tokenizers.tekken import load_counter

        return load_counter()
    return estimate_text_tokens
