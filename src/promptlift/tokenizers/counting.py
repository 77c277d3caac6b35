"""Which counter a model's text is counted with."""

from __future__ import annotations

import sys

from promptlift.core.tokens import CountText, Family, estimate_text_tokens

__all__ = ["counter_for", "loaded_counter"]


def counter_for(family: Family) -> CountText:
    """The counter of a family: its own vocabulary, or an estimate from above.

    Raises:
        ConfigEngineError: The vocabulary is missing or damaged.
    """
    if family.tokenizer == "tekken":
        from promptlift.tokenizers.tekken import load_counter

        return load_counter()
    return estimate_text_tokens


def loaded_counter(family: Family) -> CountText | None:
    """The same where it costs nothing; None where a vocabulary must be loaded first."""
    if family.tokenizer != "tekken":
        return counter_for(family)
    # The module may be in the midst of being imported by another thread.
    load = getattr(sys.modules.get("promptlift.tokenizers.tekken"), "load_counter", None)
    if load is None or not load.cache_info().currsize:
        return None
    return counter_for(family)
