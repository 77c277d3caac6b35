"""The plan: how large the frames may be, so that nothing overflows and nothing is wasted.

The context of a model holds the images, the text around them and the answer::

    context >= frames * image_tokens(size) + chat_tokens + reserve

`make_plan` looks for the largest size for which that holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from promptlift.errors import BudgetError, OptionError
from promptlift.targets import DEFAULT_TARGET, Target
from promptlift.targets import target as find_target
from promptlift.text import check_short_prompt
from promptlift.tokens import PIXTRAL, Family, counter_for, is_reasoning_model
from promptlift.tokens import family as token_family
from promptlift.types import Size, fit

if TYPE_CHECKING:
    from promptlift.video.source import Source

__all__ = [
    "DEFAULT_CONTEXT",
    "DEFAULT_RESERVE",
    "Budget",
    "Cost",
    "Plan",
    "answer_reserve",
    "make_plan",
    "plan",
    "plan_text",
]

DEFAULT_CONTEXT = 4096
"""``max_model_len`` in Cosmos-Transfer1: auxiliary/upsampler/model/upsampler.py."""
DEFAULT_RESERVE = 300
"""``max_tokens`` in the same file."""
_TOKENS_A_WORD = 1.4  # of English prose
_TOKENS_A_FOREIGN_WORD = 2.2  # or for the Chinese characters that stand for a word
_JSON_SHARE = 1.3  # with the keys
_THINKING = 10  # times the answer

MIN_SIDE = 64
"""A frame whose longer side is below this tells a model nothing; the plan fails instead."""
ASPECT_TOLERANCE = Fraction(1, 100)


@dataclass(frozen=True, slots=True)
class Budget:
    """What there is to spend.

    Attributes:
        family: How images are counted.
        context: Tokens that prompt and answer may take together.
        reserve: Tokens kept for the answer.
        chat_tokens: Tokens of the turn without its images.
    """

    family: Family = PIXTRAL
    context: int = DEFAULT_CONTEXT
    reserve: int = DEFAULT_RESERVE
    chat_tokens: int = 3

    def __post_init__(self) -> None:
        for name, value, least in (("context", self.context, 1), ("reserve", self.reserve, 1)):
            if value < least:
                raise OptionError(f"the {name} is {value} tokens", remedy=f"give at least {least}")

    def cost(self, size: Size, frames: int) -> Cost:
        """What so many frames of that size cost, and whether the answer still has its room."""
        each = self.family.image(size)
        prompt = self.family.prompt(size, frames, self.chat_tokens)
        fits = prompt + self.reserve <= self.context
        return Cost(size.width, size.height, frames, each, prompt, fits)


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of some frames of one size.

    Attributes:
        width: Pixels across of each frame.
        height: Pixels down of each frame.
        frames: How many.
        tokens_per_frame: Tokens of one frame, markers included.
        prompt_tokens: Tokens of the whole prompt.
        fits: Whether the prompt and the reserved answer fit the context.
    """

    width: int
    height: int
    frames: int
    tokens_per_frame: int
    prompt_tokens: int
    fits: bool

    @property
    def size(self) -> Size:
        """Pixels of each frame."""
        return Size(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the frames are shown, and the arithmetic; without pictures, of none with no pixels.

    Attributes:
        family: The token formula.
        context: Tokens of prompt and answer together.
        reserve: Tokens kept for the answer.
        text_tokens: Tokens of the turn without its images.
        source: What the frames would cost unresized.
        chosen: What they cost as planned.
        strategy: Which frames; empty where only sizes were planned.
        exact: Whether nearby keyframes were ruled out.
        shrinks: How often they were planned smaller after the engine had said that they do not fit.
    """

    family: str
    context: int
    reserve: int
    text_tokens: int
    source: Cost
    chosen: Cost
    strategy: str = ""
    exact: bool = False
    shrinks: int = 0

    @property
    def size(self) -> Size:
        """Pixels of each frame as it is shown."""
        return self.chosen.size


def answer_reserve(
    goal: Target,
    *,
    language: str = "English",
    reasons: bool = False,
    context: int = DEFAULT_CONTEXT,
) -> int:
    """Tokens to keep for an answer that is as long as a target's prompts may be.

    Args:
        goal: The target.
        language: The language of the answer.
        reasons: Whether the model thinks before it answers, which takes tokens as well.
        context: Tokens that prompt and answer may take together; thoughts get half of it at most.
    """
    each = _TOKENS_A_WORD if language == "English" else _TOKENS_A_FOREIGN_WORD
    answer = max(DEFAULT_RESERVE, math.ceil(each * goal.max_words))
    if goal.form == "json":  # a shorter one is worth more than none
        answer = max(DEFAULT_RESERVE, min(math.ceil(_JSON_SHARE * answer), context // 2))
    return max(answer, min(_THINKING * answer, context // 2)) if reasons else answer


def make_plan(
    source: Size,
    frames: int,
    budget: Budget,
    *,
    size: Size | None = None,
    max_side: int | None = None,
) -> Plan:
    """Choose the largest frame size that fits.

    Args:
        source: Displayed size of the video.
        frames: How many frames are shown, at least 1.
        budget: What there is to spend.
        size: A box in pixels that the user insists on; the frames are fitted into it as they
            are and never enlarged.
        max_side: Longest side in pixels; smaller is fine.

    Returns:
        The plan; its aspect ratio is within 1 % of the source's, its pixels fill the patches
        that they pay for, and no side is larger than the source's.

    Raises:
        BudgetError: Nothing fits, or the size that the user insists on does not.
        OptionError: A number makes no sense.
    """
    if frames < 1:
        raise OptionError(f"{frames} frames were asked for", remedy="ask for at least 1")
    if size is not None and max_side is not None:
        raise OptionError(
            f"both a size ({size}) and a longest side ({max_side}) are given",
            remedy="remove one of them",
        )
    if size is not None and min(size.width, size.height) < 1:
        raise OptionError(f"the size {size} has no pixels", remedy="give at least 1x1")
    if max_side is not None and max_side < 1:
        raise OptionError(f"the longest side is {max_side} pixels", remedy="give at least 1")
    if size is not None:
        chosen = budget.cost(fit(source, size), frames)
        is_possible, remedy = chosen.fits, "give a smaller size, or none to have it chosen"
    else:
        best = _largest(source, frames, budget, max_side)
        chosen = budget.cost(best or fit(source, Size(MIN_SIDE, MIN_SIDE)), frames)
        is_possible = best is not None
        remedy = (
            "shorten the prompt, show fewer frames, reserve less for the answer, "
            "or use an engine with a longer context"
        )
    if not is_possible:
        total = chosen.prompt_tokens + budget.reserve
        raise BudgetError(
            f"the frames ({frames} of {chosen.size}) take {frames * chosen.tokens_per_frame:,} "
            f"tokens, the text {budget.chat_tokens:,} and the reserved answer "
            f"{budget.reserve:,}: {total:,} together, {total - budget.context:,} more than the "
            f"context of {budget.context:,}",
            remedy=remedy,
        )
    return Plan(
        family=budget.family.name,
        context=budget.context,
        reserve=budget.reserve,
        text_tokens=budget.chat_tokens,
        source=budget.cost(source, frames),
        chosen=chosen,
    )


def plan_text(budget: Budget) -> Plan:
    """The plan of a prompt without pictures.

    Raises:
        BudgetError: The text and the answer do not fit.
    """
    total = budget.chat_tokens + budget.reserve
    if total > budget.context:
        raise BudgetError(
            f"the text takes {budget.chat_tokens:,} tokens and the reserved answer "
            f"{budget.reserve:,}: {total:,} together, {total - budget.context:,} more than the "
            f"context of {budget.context:,}",
            remedy="shorten the prompt, reserve less for the answer, or use an engine with a "
            "longer context",
        )
    cost = Cost(0, 0, 0, 0, budget.chat_tokens, fits=True)
    return Plan(
        family=budget.family.name,
        context=budget.context,
        reserve=budget.reserve,
        text_tokens=budget.chat_tokens,
        source=cost,
        chosen=cost,
    )


def _largest(source: Size, frames: int, budget: Budget, max_side: int | None) -> Size | None:
    """The size with most pixels that fits; of equals, the one truest to the shape."""
    family = budget.family
    room = (budget.context - budget.reserve - budget.chat_tokens) // frames
    # The largest size that is of use to the model and that the user allows.
    bounds = [side for side in (family.max_side, max_side) if side is not None]
    limit = fit(source, Size(min(bounds), min(bounds))) if bounds else source
    longest = max(limit.width, limit.height)
    if family.max_pixels is not None and limit.pixels > family.max_pixels:
        longest = max(1, math.floor(longest * math.sqrt(family.max_pixels / limit.pixels)))
        limit = fit(source, Size(longest, longest))
    if family.unit == 1:
        return _largest_stretched(source, max(limit.width, limit.height), family, room)
    if not budget.cost(fit(source, Size(MIN_SIDE, MIN_SIDE)), frames).fits:
        return None
    priced = _priced(source, limit, family)
    return next((size for size, tokens in priced if tokens <= room), None)


def _largest_stretched(source: Size, longest: int, family: Family, room: int) -> Size | None:
    """For models that stretch every picture to a grid of their own.

    What a size costs may go up or down with the size, or not depend on it, so that all are tried,
    the largest first. One that rounding has bent out of shape is taken only if no other is left.
    """
    bent = None
    for long in range(longest, min(MIN_SIDE, longest) - 1, -1):
        size = fit(source, Size(long, long))
        try:
            if family.image(size) > room:
                continue
        except BudgetError:  # the model refuses the shape
            continue
        ratio = Fraction(size.width * source.height, size.height * source.width)
        if abs(ratio - 1) <= ASPECT_TOLERANCE:
            return size
        bent = bent or size
    return bent


@lru_cache(maxsize=64)
def _priced(source: Size, limit: Size, family: Family) -> tuple[tuple[Size, int], ...]:
    """For models that pay for part of a square as for a whole one: every candidate and its tokens.

    The best comes first. Kept, since a batch has few shapes.
    """
    ranked = sorted(
        ((size.pixels, -error, size) for size, error in _candidates(source, limit, family.unit)),
        reverse=True,
    )
    return tuple((size, family.image(size)) for _, _, size in ranked)


def _candidates(source: Size, limit: Size, unit: int) -> Iterator[tuple[Size, Fraction]]:
    """Sizes of nearly the source's shape whose patches are worth their price.

    Walks along the longer side; for each length the other side takes every value within the
    aspect tolerance, or the nearest one where the picture is narrower than a patch.
    """

    def worthwhile(side: int) -> bool:
        # The last patch of a side is filled by more than half; the first is always paid.
        return side <= unit or side % unit == 0 or 2 * (side % unit) > unit

    short_limit, long_limit = sorted((limit.width, limit.height))
    ratio = Fraction(min(source.width, source.height), max(source.width, source.height))
    for long in filter(worthwhile, range(1, long_limit + 1)):
        true = long * ratio
        low = max(1, math.ceil(true * (1 - ASPECT_TOLERANCE)))
        high = min(short_limit, math.floor(true * (1 + ASPECT_TOLERANCE)))
        sides = list(filter(worthwhile, range(low, high + 1)))
        if not sides and true < unit:
            sides = [max(1, min(short_limit, round(true)))]
        for short in sides:
            wide = source.width >= source.height
            size = Size(long, short) if wide else Size(short, long)
            yield size, abs(short / true - 1)


def plan(
    video: Source | Size,
    prompt: str = "",
    *,
    frames: int = 2,
    context: int = DEFAULT_CONTEXT,
    reserve: int | None = None,
    target: str | Target = DEFAULT_TARGET,
    family: str = "pixtral",
    size: Size | None = None,
    max_side: int | None = None,
) -> Plan:
    """Say at which size so many frames of a video would be shown, and what they cost.

    Args:
        video: A video, or its size in pixels.
        prompt: The text that goes with the frames, as it is sent.
        frames: How many frames are shown.
        context: Tokens that prompt and answer may take together.
        reserve: Tokens kept for the answer; None for what the target's prompts take.
        target: The generator that the prompt is for.
        family: The model's family in `promptlift.tokens`.
        size: A box in pixels to fit each frame into, instead of the largest size that fits.
        max_side: Longest side in pixels.

    Raises:
        BudgetError: Nothing fits, or `size` does not.
        InputError: The video or a number is at fault.
    """
    counted = token_family(family)
    chat_tokens = counted.chat("", check_short_prompt(prompt), frames, counter_for(counted))
    if isinstance(video, Size):
        source = video
    else:
        from promptlift.video.source import probe  # a bare size never loads the decoder

        source = probe(video).size
    if reserve is None:
        reasons = is_reasoning_model(family)
        reserve = answer_reserve(find_target(target), reasons=reasons, context=context)
    budget = Budget(counted, context, reserve, chat_tokens)
    return make_plan(source, frames, budget, size=size, max_side=max_side)
