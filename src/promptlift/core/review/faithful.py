"""Does the answer keep to what the user said and to what was measured?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.core.facts import Facts

__all__ = ["unfaithful"]


def unfaithful(text: str, short_prompt: str, facts: Facts | None = None) -> tuple[str, str]:
    """Compare an answer with the user's words and the facts.

    Returns:
        What is missing or contradicted (empty for nothing), and what could not be checked.
    """
    return "", ""
