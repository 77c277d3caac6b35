"""Words: the user's, checked and made one line, and our own around a number."""

from __future__ import annotations

import unicodedata

from promptlift.errors import PromptError

__all__ = ["check_short_prompt", "counted"]


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 row``, ``2,000 rows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def check_short_prompt(text: str) -> str:
    """The user's words with runs of white space made one space.

    An empty prompt is fine and means "describe what is there".

    Raises:
        PromptError: It holds a control character, or bytes that are no text.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())  # most are; a batch checks a million of them
    for position, character in enumerate(text):
        category = unicodedata.category(character)
        if category == "Cs":
            raise PromptError(
                f"the prompt is not valid text: character {position + 1} is half of a pair or a "
                "byte that is not UTF-8",
                remedy="give the prompt as UTF-8",
            )
        if category == "Cc" and character not in "\t\n\r":
            raise PromptError(
                f"the prompt holds the control character U+{ord(character):04X} as its "
                f"character {position + 1}",
                remedy="remove it",
            )
    return " ".join(text.split())
