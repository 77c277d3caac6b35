"""How an engine counts, and making sure that what is sent fits its context.

The formulas predict; where the engine can count, it is asked before anything is sent, once for
each shape. What it counts beyond the prediction is added to the budget, and the frames are
planned again, smaller. An engine that cannot count and refuses an item is given less, at most
twice, before the item is given up.
"""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from fractions import Fraction

from promptlift.engines.base import CountsTokens, Engine, Request, innermost
from promptlift.errors import ConfigEngineError, EngineError
from promptlift.tokens import FAMILIES, PIXTRAL, Family, calibrate, family
from promptlift.types import EngineInfo, Frame, Sampling, Size

__all__ = ["Adjustment", "ContextFit", "EngineProfile", "profile_of"]

# A small and a large picture of each shape, as `calibrate` asks for.
_SAMPLES = (Size(64, 64), Size(448, 256), Size(448, 448), Size(896, 504), Size(504, 896))
_MOST_SHRINKS = 2
# What is left of a prompt that the engine refused without saying why.
_SHRINK = 0.75

_Shape = tuple[str, Size, int]
_learned: weakref.WeakKeyDictionary[Engine, asyncio.Task[Family]] = weakref.WeakKeyDictionary()
_excess: weakref.WeakKeyDictionary[Engine, dict[_Shape, int]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """Who answers, and how it counts images. Picklable.

    Attributes:
        info: As `Engine.describe` gives it.
        family: The token formula; an engine that takes no tokens is planned for as Pixtral is.
    """

    info: EngineInfo
    family: Family


async def profile_of(engine: Engine) -> EngineProfile:
    """Describe an engine; the formula of an unknown model is learned from a few small requests.

    Raises:
        EngineError: Nobody answers, or the settings are wrong.
        ConfigEngineError: No formula is known, and the engine does not say what it counts.
    """
    info = await engine.describe()
    if info.family is None:
        return EngineProfile(info, PIXTRAL)
    if info.family in FAMILIES and info.family != "unknown":
        return EngineProfile(info, family(info.family))
    engine = innermost(engine)
    task = _learned.get(engine)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = _learned[engine] = asyncio.create_task(_learn_family(engine, info))
    return EngineProfile(info, await asyncio.shield(task))  # others may wait for it too


async def _learn_family(engine: Engine, info: EngineInfo) -> Family:
    bare = await _count_sample(engine, None)
    counts = [(size, await _count_sample(engine, size)) for size in _SAMPLES]
    samples = [
        (size, tokens - bare)
        for size, tokens in counts
        if tokens is not None and bare is not None and tokens > bare
    ]
    if len(samples) < len(_SAMPLES):
        raise ConfigEngineError(
            f"nothing is known of how the model {info.model!r} counts images, and the engine does "
            "not tell",
            remedy=f"name its family with --family, one of {', '.join(FAMILIES)}",
        )
    return calibrate(samples)


async def _count_sample(engine: Engine, size: Size | None) -> int | None:
    """What the engine counts for a word and one picture, or for the word alone."""
    frames = () if size is None else (_blank(size),)
    request = Request("Hello", frames, sampling=Sampling(max_tokens=1, temperature=0))
    try:
        if isinstance(engine, CountsTokens):
            tokens = await engine.count(request)
            if tokens is not None:
                return tokens
        return (await engine.complete(request)).prompt_tokens
    except EngineError:
        return None


def _blank(size: Size) -> Frame:
    import numpy as np

    image = np.full((size.height, size.width, 3), 127, dtype=np.uint8)
    return Frame(Fraction(0), image, wanted=Fraction(0))


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What an engine taught about the size of a prompt, for planning it again.

    Attributes:
        extra_tokens: Tokens by which the engine's count exceeds the prediction.
        context: Tokens to plan for instead of the engine's context; None for that context.
        shrinks: How often the frames were planned smaller.
    """

    extra_tokens: int = 0
    context: int | None = None
    shrinks: int = 0


class ContextFit:
    """Decides whether a prompt can be sent, or has to be planned smaller first.

    Args:
        adjustment: What is known already.

    Attributes:
        adjustment: What is known by now.
        counted: What the engine counts for the prompt, from an earlier item of the same shape
            where there was one; None if it does not count.
    """

    def __init__(self, adjustment: Adjustment) -> None:
        self.adjustment = adjustment
        self.counted: int | None = None

    async def fits(
        self,
        engine: Engine,
        request: Request,
        *,
        predicted: int,
        reserve: int,
        context: int,
        family: Family,
    ) -> bool:
        """Whether to send a request; where not, `adjustment` says how to plan it again.

        Args:
            engine: Who counts.
            request: What is to be sent.
            predicted: Tokens of it by the formula alone.
            reserve: Tokens kept for the answer.
            context: Tokens of prompt and answer together.
            family: The formula.
        """
        excess = await _excess_of(engine, request, predicted, family)
        if excess is None:
            return True
        self.counted = predicted + excess
        known = self.adjustment
        if self.counted + reserve <= context or known.shrinks == _MOST_SHRINKS:
            return True
        extra = max(known.extra_tokens, excess)
        self.adjustment = Adjustment(extra, known.context, known.shrinks + 1)
        return False

    def shrink_refused(self, cost: int) -> bool:
        """Whether to plan a refused prompt smaller; `adjustment` then says how.

        Not where the engine has counted the prompt: then its refusal has another reason.

        Args:
            cost: Tokens of the refused prompt and its reserve, as predicted.
        """
        known = self.adjustment
        if self.counted is not None or known.shrinks == _MOST_SHRINKS:
            return False
        self.adjustment = Adjustment(known.extra_tokens, int(cost * _SHRINK), known.shrinks + 1)
        return True


async def _excess_of(
    engine: Engine, request: Request, predicted: int, family: Family
) -> int | None:
    """How many tokens the engine counts beyond the prediction; None if it does not count.

    It is asked once for each shape. The text changes from item to item, and the images' share
    does not; where the text is only estimated, from above, an earlier item's difference is a
    lower bound of nothing, and only an excess is remembered.
    """
    if not isinstance(engine, CountsTokens) or not request.frames:
        return None
    known = _excess.setdefault(innermost(engine), {})
    shape = (family.name, request.frames[0].size, len(request.frames))
    if shape not in known:
        try:
            counted = await engine.count(request)
        except EngineError:
            return None  # it will say so itself when it is asked for the answer
        if counted is None:
            return None
        excess = counted - predicted
        known[shape] = excess if family.tokenizer == "tekken" else max(0, excess)
        return excess
    return known[shape]
