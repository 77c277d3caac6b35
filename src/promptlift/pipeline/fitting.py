"""Making sure that what is sent fits the engine's context.

The formulas predict; where the engine can count, it is asked before anything is sent, once for
each shape. What it counts beyond the prediction is added to the budget, and the frames are
planned again, smaller. An engine that cannot count and refuses an item is given less, at most
twice, before the item is given up.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace

from promptlift.core.budget import Budget
from promptlift.core.tokens import Family
from promptlift.core.video import Size
from promptlift.engines.base import CountsTokens, Engine, Request, innermost
from promptlift.errors import EngineError

__all__ = ["Fit"]

_MOST_SHRINKS = 2
# What is left of a prompt that the engine refused without saying why.
_SHRINK = 0.75


_Shape = tuple[str, Size, int]
_COUNTED: weakref.WeakKeyDictionary[Engine, dict[_Shape, int]] = weakref.WeakKeyDictionary()


@dataclass(slots=True)
class Fit:
    """What was learnt about one item's fit; grows while the item is worked on.

    Attributes:
        extra: Tokens by which the engine's count lies above the prediction.
        shrinks: How often the frames were planned smaller than at first.
        counted: What the engine counts for what is sent, from an earlier item of the same shape
            where there was one; None if it does not count.
    """

    extra: int = 0
    shrinks: int = 0
    counted: int | None = None
    _refused: int | None = None

    def budget(self, planned: Budget) -> Budget:
        """The budget with what was learnt taken off."""
        context = planned.context if self._refused is None else int(self._refused * _SHRINK)
        return replace(planned, context=context, chat_tokens=planned.chat_tokens + self.extra)

    async def holds(self, engine: Engine, request: Request, predicted: int, budget: Budget) -> bool:
        """Whether to send the request; False after a note to plan it smaller.

        Args:
            engine: Who counts.
            request: What is to be sent.
            predicted: Tokens of it by the formula alone.
            budget: What there is to spend.
        """
        beyond = await _beyond(engine, request, predicted, budget.family)
        if beyond is None:
            return True
        self.counted = predicted + beyond
        if self.counted + budget.reserve <= budget.context or self.shrinks == _MOST_SHRINKS:
            return True
        self.extra = max(self.extra, beyond)
        self.shrinks += 1
        return False

    def retry_smaller(self, cost: int) -> bool:
        """Whether a refused item is to be planned smaller and sent again, and a note of that.

        Not where the engine has counted the prompt: then its refusal has another reason.

        Args:
            cost: Tokens of the refused prompt and its reserve, as predicted.
        """
        if self.counted is not None or self.shrinks == _MOST_SHRINKS:
            return False
        self._refused = cost
        self.shrinks += 1
        return True


async def _beyond(engine: Engine, request: Request, predicted: int, family: Family) -> int | None:
    """How many tokens the engine counts beyond the prediction; None if it does not count.

    It is asked once for each shape. The text changes from item to item, and the images' share
    does not; where the text is only estimated, from above, an earlier item's difference is a
    lower bound of nothing, and only an excess is kept.
    """
    if not isinstance(engine, CountsTokens) or not request.frames:
        return None
    known = _COUNTED.setdefault(innermost(engine), {})
    shape = (family.name, request.frames[0].size, len(request.frames))
    if shape not in known:
        try:
            counted = await engine.count(request)
        except EngineError:
            return None  # it will say so itself when it is asked for the answer
        if counted is None:
            return None
        beyond = counted - predicted
        known[shape] = beyond if family.tokenizer == "tekken" else max(0, beyond)
        return beyond
    return known[shape]
