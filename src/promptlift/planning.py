"""The plan alone: what frames of a video cost, before anything is decoded or loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.core.budget import DEFAULT_CONTEXT, DEFAULT_RESERVE, Budget, Plan, make_plan
from promptlift.core.text import check_short_prompt
from promptlift.core.tokens import family as token_family
from promptlift.core.video import Size
from promptlift.tokenizers.counting import counter_for

if TYPE_CHECKING:
    from promptlift.frames import Source

__all__ = ["plan"]


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
        family: The model's family in `promptlift.core.tokens`.
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
    from promptlift.frames import probe

    return probe(video).size
