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
from promptlift.text import check_short_prompt
from promptlift.tokens import PIXTRAL, Family
from promptlift.tokens import family as token_family
from promptlift.tokens.text import counter_for
from promptlift.types import Size, fit

if TYPE_CHECKING:
    from promptlift.video.source import Source

__all__ = ["DEFAULT_CONTEXT", "DEFAULT_RESERVE", "Budget", "Cost", "Plan", "make_plan", "plan"]

DEFAULT_CONTEXT = 4096
"""``max_model_len`` in Cosmos-Transfer1: auxiliary/upsampler/model/upsampler.py."""
DEFAULT_RESERVE = 300
"""``max_tokens`` in the same file."""

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

    def plan(self, source: Cost, chosen: Cost) -> Plan:
        """The plan that spends this budget on the chosen frames."""
        return Plan(
            family=self.family.name,
            context=self.context,
            reserve=self.reserve,
            text_tokens=self.chat_tokens,
            source=source,
            chosen=chosen,
        )


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
    """How the frames are shown, and the arithmetic.

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
    _check(frames, size, max_side)
    if size is not None:
        chosen = budget.cost(fit(source, size), frames)
        if not chosen.fits:
            raise _too_much(chosen, budget, "give a smaller size, or none to have it chosen")
        return budget.plan(budget.cost(source, frames), chosen)
    best = _largest(source, frames, budget, max_side)
    return budget.plan(budget.cost(source, frames), budget.cost(best, frames))


def _check(frames: int, size: Size | None, max_side: int | None) -> None:
    if frames < 1:
        raise OptionError(f"{frames} frames were asked for", remedy="ask for at least 1")
    if size is not None and max_side is not None:
        raise OptionError(
            f"both a size ({size}) and a longest side ({max_side}) are given", remedy="give one"
        )
    if size is not None and min(size.width, size.height) < 1:
        raise OptionError(f"the size {size} has no pixels", remedy="give at least 1x1")
    if max_side is not None and max_side < 1:
        raise OptionError(f"the longest side is {max_side} pixels", remedy="give at least 1")


def _largest(source: Size, frames: int, budget: Budget, max_side: int | None) -> Size:
    """Find the size with most pixels that fits; of equals, the one truest to the shape."""
    family = budget.family
    room = (budget.context - budget.reserve - budget.chat_tokens) // frames
    limit = _limit(source, family, max_side)
    smallest = budget.cost(fit(source, Size(MIN_SIDE, MIN_SIDE)), frames)
    if family.unit == 1:
        best = _largest_stretched(source, limit, family, room)
    elif smallest.fits:
        best = _largest_filled(source, limit, family, room)
    else:
        best = None
    if best is None:
        raise _too_much(
            smallest,
            budget,
            "shorten the prompt, show fewer frames, reserve less for the answer, "
            "or use an engine with a longer context",
        )
    return best


def _limit(source: Size, family: Family, max_side: int | None) -> Size:
    """The largest size that is of use to the model and that the user allows."""
    bounds = [side for side in (family.max_side, max_side) if side is not None]
    limit = fit(source, Size(min(bounds), min(bounds))) if bounds else source
    if family.max_pixels is None or limit.pixels <= family.max_pixels:
        return limit
    scale = math.sqrt(family.max_pixels / limit.pixels)
    longest = max(1, math.floor(max(limit.width, limit.height) * scale))
    return fit(source, Size(longest, longest))


def _largest_filled(source: Size, limit: Size, family: Family, room: int) -> Size | None:
    """For models that pay for part of a square as for a whole one."""
    priced = _priced(source, limit, family)
    return next((size for size, tokens in priced if tokens <= room), None)


@lru_cache(maxsize=64)
def _priced(source: Size, limit: Size, family: Family) -> tuple[tuple[Size, int], ...]:
    """Every candidate with its tokens, the best first; kept, since a batch has few shapes."""
    ranked = sorted(
        ((size.pixels, -error, size) for size, error in _candidates(source, limit, family.unit)),
        reverse=True,
    )
    return tuple((size, family.image(size)) for _, _, size in ranked)


def _largest_stretched(source: Size, limit: Size, family: Family, room: int) -> Size | None:
    """For models that stretch every picture to a grid of their own.

    What a size costs may go up or down with the size, or not depend on it, so that all are tried,
    the largest first. One that rounding has bent out of shape is taken only if no other is left.
    """
    longest = max(limit.width, limit.height)
    bent = None
    for long in range(longest, min(MIN_SIDE, longest) - 1, -1):
        size = fit(source, Size(long, long))
        if not _affordable(family, size, room):
            continue
        if _bend(size, source) <= ASPECT_TOLERANCE:
            return size
        bent = bent or size
    return bent


def _affordable(family: Family, size: Size, room: int) -> bool:
    """Whether a picture fits; one whose shape the model refuses never does."""
    try:
        return family.image(size) <= room
    except BudgetError:
        return False


def _bend(size: Size, source: Size) -> Fraction:
    return abs(Fraction(size.width * source.height, size.height * source.width) - 1)


def _candidates(source: Size, limit: Size, unit: int) -> Iterator[tuple[Size, Fraction]]:
    """Sizes of nearly the source's shape whose patches are worth their price.

    Walks along the longer side; for each length the other side takes every value within the
    aspect tolerance, or the nearest one where the picture is narrower than a patch.
    """
    wide = source.width >= source.height
    short_limit, long_limit = sorted((limit.width, limit.height))
    ratio = Fraction(min(source.width, source.height), max(source.width, source.height))
    for long in range(1, long_limit + 1):
        if not _worthwhile(long, unit):
            continue
        for short in _short_sides(long * ratio, short_limit, unit):
            error = abs(Fraction(short, long) / ratio - 1)
            yield (Size(long, short) if wide else Size(short, long)), error


def _short_sides(true: Fraction, limit: int, unit: int) -> list[int]:
    low = math.ceil(true * (1 - ASPECT_TOLERANCE))
    high = min(limit, math.floor(true * (1 + ASPECT_TOLERANCE)))
    within = [short for short in range(max(1, low), high + 1) if _worthwhile(short, unit)]
    if within or true >= unit:
        return within
    return [max(1, min(limit, round(true)))]


def _worthwhile(side: int, unit: int) -> bool:
    """Whether the last patch of a side is filled by more than half; the first is always paid."""
    rest = side % unit
    return side <= unit or rest == 0 or 2 * rest > unit


def _too_much(cost: Cost, budget: Budget, remedy: str) -> BudgetError:
    total = cost.prompt_tokens + budget.reserve
    images = cost.frames * cost.tokens_per_frame
    return BudgetError(
        f"the frames ({cost.frames} of {cost.size}) take {images:,} tokens, the text "
        f"{budget.chat_tokens:,} and the reserved answer {budget.reserve:,}: {total:,} together, "
        f"{total - budget.context:,} more than the context of {budget.context:,}",
        remedy=remedy,
    )


def plan(
    video: Source | Size,
    prompt: str = "",
    *,
    frames: int = 2,
    context: int = DEFAULT_CONTEXT,
    reserve: int = DEFAULT_RESERVE,
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
        reserve: Tokens kept for the answer.
        family: The model's family in `promptlift.tokens`.
        size: A box in pixels to fit each frame into, instead of the largest size that fits.
        max_side: Longest side in pixels.

    Raises:
        BudgetError: Nothing fits, or `size` does not.
        InputError: The video or a number is at fault.
    """
    counted = token_family(family)
    chat_tokens = counted.chat("", check_short_prompt(prompt), frames, counter_for(counted))
    source = video if isinstance(video, Size) else _probed(video)
    budget = Budget(counted, context, reserve, chat_tokens)
    return make_plan(source, frames, budget, size=size, max_side=max_side)


def _probed(video: Source) -> Size:
    """Open the video; only here, so that a bare size never loads the decoder."""
    from promptlift.video.source import probe

    return probe(video).size
