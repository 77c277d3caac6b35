"""Compose a prompt from the user's words and what was measured, with no model.

The text states nothing that was neither said nor measured. `said` finds what the user has
already said, `sentences` offers several wordings of each fact that is left, `writer` picks among
them, and `phrases` is the phrase book that they all take their words from.
"""

from promptlift.core.compose.phrases import REVISION
from promptlift.core.compose.writer import MAX_WORDS, MIN_WORDS, compose

__all__ = ["MAX_WORDS", "MIN_WORDS", "REVISION", "compose"]
