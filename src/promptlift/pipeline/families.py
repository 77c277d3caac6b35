"""Which token formula an engine is planned by; a model that nobody knows is measured first."""

from __future__ import annotations

import asyncio
import weakref
from fractions import Fraction

import numpy as np

from promptlift.core.sampling import Sampling
from promptlift.core.tokens import FAMILIES, PIXTRAL, Family, calibrate
from promptlift.core.video import Frame, Size
from promptlift.engines.base import CountsTokens, Engine, EngineInfo, Request, innermost
from promptlift.errors import ConfigEngineError, EngineError

__all__ = ["family_of"]

# A small and a large picture of each shape, as `calibrate` asks for.
_SAMPLES = (Size(64, 64), Size(448, 256), Size(448, 448), Size(896, 504), Size(504, 896))
_LEARNT: weakref.WeakKeyDictionary[Engine, Family] = weakref.WeakKeyDictionary()
_LEARNING: weakref.WeakKeyDictionary[Engine, asyncio.Task[Family]] = weakref.WeakKeyDictionary()


async def family_of(engine: Engine, who: EngineInfo) -> Family:
    """The formula for an engine, learnt from a few small requests where none is known.

    An engine that takes no tokens is planned for as Pixtral is.

    Raises:
        ConfigEngineError: None is known, and the engine does not say what it counts.
    """
    if who.family is None:
        return PIXTRAL
    if who.family in FAMILIES and who.family != "unknown":
        return FAMILIES[who.family]
    asked = innermost(engine)
    if asked in _LEARNT:
        return _LEARNT[asked]
    learning = _LEARNING.get(asked)
    if learning is None or learning.done():  # one that failed is tried again
        learning = _LEARNING[asked] = asyncio.create_task(_measured(engine, who))
    _LEARNT[asked] = await asyncio.shield(learning)  # others may wait for it too
    return _LEARNT[asked]


async def _measured(engine: Engine, who: EngineInfo) -> Family:
    bare = await _tokens(engine, None)
    counted = [(size, await _tokens(engine, size)) for size in _SAMPLES]
    samples = [
        (size, tokens - bare)
        for size, tokens in counted
        if tokens is not None and bare is not None and tokens > bare
    ]
    if len(samples) < len(_SAMPLES):
        raise ConfigEngineError(
            f"nothing is known of how the model {who.model!r} counts images, and the engine does "
            "not tell",
            remedy=f"name its family with --family, one of {', '.join(FAMILIES)}",
        )
    return calibrate(samples)


async def _tokens(engine: Engine, size: Size | None) -> int | None:
    """What the engine counts for a word and one picture, or for the word alone."""
    frames = () if size is None else (_blank(size),)
    request = Request("Hello", frames, sampling=Sampling(max_tokens=1, temperature=0))
    try:
        if isinstance(engine, CountsTokens):
            counted = await engine.count(request)
            if counted is not None:
                return counted
        return (await engine.complete(request)).prompt_tokens
    except EngineError:
        return None


def _blank(size: Size) -> Frame:
    image = np.full((size.height, size.width, 3), 127, dtype=np.uint8)
    return Frame(Fraction(0), image, wanted=Fraction(0))
