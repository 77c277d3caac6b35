"""What a family of models is to the planner: how it counts, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from promptlift.core.video import Size
from promptlift.errors import BudgetError

__all__ = ["CountText", "Family", "Tokenizer", "refused"]

CountText: TypeAlias = Callable[[str], int]
"""Gives the number of tokens of a text, without any marker."""

Tokenizer: TypeAlias = Literal["tekken", "estimate"]
"""Which counter a family's text is counted with.

``tekken``: Mistral's vocabulary; ``estimate``: `estimate_text_tokens`, an estimate from above.
"""


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of models counts.

    Attributes:
        name: As engines name it.
        unit: Pixels on a side of the square that one image token stands for, where a part of a
            square costs a whole one; 1 where the processor stretches the picture to its own
            grid, so that no size is better filled than another.
        max_side: Longest side in pixels that is of any use: what is longer is shrunk by the
            processor, or refused; None if any.
        image: Tokens that one image of a size takes, markers included. Raises `BudgetError`
            where the processor refuses the shape.
        chat: Tokens of the turn without its images: system text, user text, the number of
            images, and the counter.
        source: Where the formulas come from.
        max_pixels: Pixels of an image beyond which the processor shrinks it; None if any.
        tokenizer: The counter to give to `chat`.
        exact: Whether the prediction of a whole prompt is exact; else it is from above.
        video: Tokens of so many frames of a size sent as one video, markers included; None
            where the family takes none or it is not known how it counts.
    """

    name: str
    unit: int
    max_side: int | None
    image: Callable[[Size], int]
    chat: Callable[[str, str, int, CountText], int]
    source: str
    max_pixels: int | None = None
    tokenizer: Tokenizer = "estimate"
    exact: bool = False
    video: Callable[[Size, int], int] | None = None

    def prompt(self, size: Size, frames: int, chat_tokens: int) -> int:
        """Tokens of a whole prompt: `frames` images of one size and the turn around them."""
        return frames * self.image(size) + chat_tokens


def refused(size: Size, why: str) -> BudgetError:
    """The error for a shape that a family's processor does not take."""
    return BudgetError(
        f"the model takes no picture of {size}: {why}",
        remedy="crop the video to a less extreme shape, or use another model",
    )
