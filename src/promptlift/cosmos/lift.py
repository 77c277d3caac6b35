"""Upsample the items of spec files, several at a time, and finish the specs in their order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from promptlift.cosmos.asking import Asker
from promptlift.cosmos.items import Item
from promptlift.cosmos.results import Finished, Result, changes

if TYPE_CHECKING:
    from promptlift.api import Upsampler
    from promptlift.cosmos.items import Misfit
    from promptlift.cosmos.jobs import Settings
    from promptlift.cosmos.outputs import Output

__all__ = ["AT_ONCE", "SAVE_AFTER", "lift"]

AT_ONCE = 4
"""Items under way at a time: enough for an engine to have work while videos are read."""

SAVE_AFTER = 5.0
"""Seconds after which what is finished of a long spec is saved, for a rerun to go on from."""

_SAVING_SHARE = 0.05  # of the time; the more there is, the longer it takes to write


async def lift(
    outputs: Sequence[Output],
    upsampler: Upsampler,
    settings: Settings,
    *,
    finished: Callable[[Finished], None],
    saved: Callable[[Finished], None],
    began: Callable[[Item], None] | None = None,
    pictures: bool = False,
) -> None:
    """Upsample the items of spec files.

    What is wrong with an item is in its result; the others go on.

    Args:
        outputs: The specs and their places.
        upsampler: Who is asked, and with which options.
        settings: How the specs are treated.
        finished: Takes each spec when its items are through, in the order given.
        saved: Takes what there is of a spec so far, now and then and where the run ends early.
        began: Is told when an item's turn has come.
        pictures: Keep the hint frames for a review sheet.

    Raises:
        ConfigEngineError: The engine is set up wrongly; every item would fail.
        OptionError: An option makes no sense; likewise.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    asker = Asker(upsampler, settings, pictures=pictures)

    async def one(item: Item | Misfit, output: Output) -> Result:
        async with gate:
            if began is not None and isinstance(item, Item):
                began(item)
            return await asker.result(item, output)

    work = [_Work(output, one) for output in outputs]
    pending = list(work)
    try:
        while pending:
            await pending[0].through(saved)
            finished(pending[0].so_far())
            del pending[0]
    except BaseException:
        for spec in pending:
            if spec.has_begun:
                saved(spec.so_far())
        raise
    finally:
        tasks = [task for spec in work for task in spec.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_One = Callable[["Item | Misfit", "Output"], Coroutine[Any, Any, Result]]


class _Work:
    """The items of one spec, under way."""

    def __init__(self, output: Output, one: _One) -> None:
        self.output = output
        self.tasks = [asyncio.create_task(one(item, output)) for item in output.spec.items]

    async def through(self, saved: Callable[[Finished], None]) -> None:
        """Wait for all items, saving what there is now and then."""
        due = time.monotonic() + SAVE_AFTER
        for task in self.tasks:
            await task
            if (start := time.monotonic()) >= due and task is not self.tasks[-1]:
                saved(self.so_far())
                end = time.monotonic()
                due = end + max(SAVE_AFTER, (end - start) / _SAVING_SHARE)

    @property
    def has_begun(self) -> bool:
        """Whether any item is through."""
        return any(map(_is_through, self.tasks))

    def so_far(self) -> Finished:
        """What there is; items that are not through count as failed."""
        results = tuple(
            task.result() if _is_through(task) else self._unreached(item)
            for item, task in zip(self.output.spec.items, self.tasks, strict=True)
        )
        return Finished(self.output, results, changes(self.output, results))

    def _unreached(self, item: Item | Misfit) -> Result:
        prompt = (item.prompt or "") if isinstance(item, Item) else ""
        entry = self.output.known.results.get(prompt)
        return Result(item, "failed", prompt, reason="the run ended before its turn", entry=entry)


def _is_through(task: asyncio.Task[Result]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
