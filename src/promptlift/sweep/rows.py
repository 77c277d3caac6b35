"""One row for each model, number of frames and size: the arithmetic, and room for what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from promptlift.core.budget import Budget, Cost, make_plan
from promptlift.core.sampling import FinishReason
from promptlift.core.tokens import Family
from promptlift.core.video import Size
from promptlift.errors import BudgetError
from promptlift.tokenizers.counting import counter_for

__all__ = ["Measured", "Row", "Verdict", "predict"]

Verdict: TypeAlias = Literal["passes", "cut", "fails"]
"""What becomes of the bare request: ``cut`` where it goes through and leaves the answer less room
than is kept for it, so that the answer may end in the middle of a sentence."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What an engine did with the bare request.

    Attributes:
        tokens: Tokens of the prompt as the engine counted them; None if it does not.
        answered: Whether there was an answer.
        finish_reason: How the answer ended; None without one.
        error: Why there was none.
        seconds: How long the request took.
        text: The answer, where it was to be kept.
    """

    tokens: int | None
    answered: bool
    finish_reason: FinishReason | None
    error: str | None
    seconds: float
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One size, shown to one model so many times.

    Attributes:
        model: The family that counts.
        frames: How many frames.
        size: Pixels of each.
        context: Tokens that prompt and answer may take together.
        reserve: Tokens kept for the answer.
        tokens: Tokens of the bare request; None where the model takes no picture of that shape.
        plan: What promptlift would send instead; None where nothing fits.
        measured: What an engine did; None where none was asked.
    """

    model: str
    frames: int
    size: Size
    context: int
    reserve: int
    tokens: int | None
    plan: Cost | None
    measured: Measured | None = None

    @property
    def room(self) -> int | None:
        """Tokens left for the answer; below 0 where the prompt alone is too long."""
        return None if self.tokens is None else self.context - self.tokens

    @property
    def verdict(self) -> Verdict:
        """What becomes of the bare request, by the arithmetic."""
        if self.room is None or self.room <= 0:
            return "fails"
        return "passes" if self.room >= self.reserve else "cut"

    def with_measured(self, measured: Measured) -> Row:
        """The same with what an engine did."""
        return replace(self, measured=measured)


def predict(
    families: Sequence[Family],
    frames: Sequence[int],
    sizes: Sequence[Size],
    *,
    prompt: str,
    context: int,
    reserve: int,
) -> tuple[Row, ...]:
    """Every row by the formulas alone, in the order of the arguments.

    Raises:
        OptionError: The context, the reserve or a number of frames makes no sense.
    """
    return tuple(_rows(families, frames, sizes, prompt, context, reserve))


def _rows(
    families: Sequence[Family],
    frames: Sequence[int],
    sizes: Sequence[Size],
    prompt: str,
    context: int,
    reserve: int,
) -> Iterator[Row]:
    for family in families:
        for count in frames:
            text = family.chat("", prompt, count, counter_for(family))
            budget = Budget(family, context, reserve, text)
            for size in sizes:
                tokens, plan = _tokens(budget, size, count), _plan(budget, size, count)
                yield Row(family.name, count, size, context, reserve, tokens, plan)


def _tokens(budget: Budget, size: Size, frames: int) -> int | None:
    try:
        return budget.cost(size, frames).prompt_tokens
    except BudgetError:
        return None


def _plan(budget: Budget, size: Size, frames: int) -> Cost | None:
    try:
        return make_plan(size, frames, budget).chosen
    except BudgetError:
        return None
