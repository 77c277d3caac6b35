"""Is a text fit to use? What is asked for in the short prompt, and what the text makes of it.

`review.answers.review` is the way in: it cleans a text, has it judged by every check (`checks`,
`talk`), and compares what it says (`claims`) with the request (`request`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from promptlift.review.result import CHECKS, Check, CheckName, Claim, Finding, Review, Verdict

if TYPE_CHECKING:
    from promptlift.review.answers import review
    from promptlift.review.clean import clean_answer
    from promptlift.review.negative import negative_prompt
    from promptlift.review.request import understand

__all__ = [
    "CHECKS",
    "Check",
    "CheckName",
    "Claim",
    "Finding",
    "Review",
    "Verdict",
    "clean_answer",
    "negative_prompt",
    "review",
    "understand",
]

# Loaded when they are used: most commands review no text, and the patterns take time.
_LAZY = {
    "clean_answer": "clean",
    "negative_prompt": "negative",
    "review": "answers",
    "understand": "request",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(f"promptlift.review.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
