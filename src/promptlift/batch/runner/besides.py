"""What goes on beside the items: the beat in the journal, others' results, the engine's queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial

from promptlift.batch.journal import JournalFull, Writer
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.tally import Tally
from promptlift.engines.base import CountsWaiting, Engine
from promptlift.errors import PromptliftError

__all__ = ["beat", "every", "gauge", "together"]

Often = Callable[[], Awaitable[None]]


async def every(seconds: float, do: Often) -> None:
    """Do something again and again, until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        with contextlib.suppress(PromptliftError):  # what keeps failing shows where it matters
            await do()


@asynccontextmanager
async def together(work: Iterable[tuple[float, Often]]) -> AsyncIterator[None]:
    """Do each of these every so many seconds while the block runs."""
    tasks = [asyncio.create_task(every(seconds, do)) for seconds, do in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def beat(writer: Writer, tally: Tally) -> None:
    """Say in the journal how far the run is; on a full disk it goes without saying."""
    with contextlib.suppress(JournalFull):
        await asyncio.to_thread(writer.beat, tally.counts())


def gauge(engine: Engine, limit: Limit) -> Often | None:
    """Keep the limit from growing while requests wait in the engine; None where it cannot tell."""
    return partial(_look, engine, limit) if isinstance(engine, CountsWaiting) else None


async def _look(engine: CountsWaiting, limit: Limit) -> None:
    limit.held = bool(await engine.waiting())
