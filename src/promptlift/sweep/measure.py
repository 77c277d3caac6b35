"""Sending the bare requests, one after another, so that the times mean something."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from promptlift.core.sampling import Sampling
from promptlift.core.video import Size
from promptlift.engines.base import CountsTokens, Engine, Request
from promptlift.errors import ItemEngineError
from promptlift.sweep.rows import Measured, Row

if TYPE_CHECKING:
    from promptlift.core.video import Frame

__all__ = ["Pictures", "measure"]

Pictures: TypeAlias = "Callable[[Size, int], tuple[Frame, ...]]"
"""Gives so many frames of the very size."""


async def measure(
    engine: Engine,
    rows: Sequence[Row],
    pictures: Pictures,
    *,
    prompt: str,
    keep_answers: bool = False,
) -> AsyncIterator[Row]:
    """Send each row's bare request, and yield the row with what became of it.

    A refusal is a result. The rows are to be of the engine's own family.

    Raises:
        TransientEngineError: The engine does not answer.
        ConfigEngineError: Every request would fail.
    """
    for row in rows:
        request = Request(
            text=prompt,
            frames=pictures(row.size, row.frames),
            sampling=Sampling(max_tokens=row.reserve, temperature=0, seed=0),
            short_prompt=prompt,
        )
        yield row.with_measured(await _sent(engine, request, keep_answers=keep_answers))


async def _sent(engine: Engine, request: Request, *, keep_answers: bool) -> Measured:
    counted = await engine.count(request) if isinstance(engine, CountsTokens) else None
    start = time.perf_counter()
    try:
        done = await engine.complete(request)
    except ItemEngineError as refusal:
        seconds = time.perf_counter() - start
        return Measured(counted, False, None, refusal.message, seconds)
    return Measured(
        done.prompt_tokens if counted is None else counted,
        True,
        done.finish_reason,
        None,
        time.perf_counter() - start,
        done.text if keep_answers else None,
    )
