"""Conduct a run for a person: signals in, progress and an exit code out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from promptlift.batch.inputs import Input
from promptlift.batch.invocation import Invocation
from promptlift.batch.journal import open_folder
from promptlift.batch.mirror import Place
from promptlift.batch.runner import BatchRun, EngineDown, RunSettings, Stop
from promptlift.batch.runner.tally import Tally
from promptlift.cli.batch_view import View
from promptlift.engines.registry import make_engine

__all__ = ["Run", "attend", "conduct"]

WORK_IS_LEFT = 75
"""EX_TEMPFAIL of sysexits.h: the same command later goes on."""

INTERRUPTED = 130
_SOME_UNFIT = 1


class Run(Protocol):
    """A run, wherever it runs; see `promptlift.batch.runner.BatchRun`."""

    @property
    def tally(self) -> Tally:
        """What is counted while it runs."""
        ...

    async def run(self) -> Stop:
        """Do what is to be done, and say why it ended."""
        ...

    def stop(self) -> None:
        """Begin nothing more."""
        ...

    def cancel(self) -> None:
        """Stop now."""
        ...


async def conduct(
    invocation: Invocation,
    rows: Input | None,
    run_dir: Path,
    settings: RunSettings,
    *,
    quiet: bool,
    named: Place | None = None,
) -> int:
    """Run, and give the exit code.

    Args:
        invocation: The engine and the options.
        rows: The input; None for the rows that the folder has.
        run_dir: The run's folder.
        settings: How the run goes about it.
        quiet: Show no progress.
        named: What the folder is called to the person; None for its path.

    Raises:
        PromptliftError: The folder, the input or the engine cannot be used.
    """
    logging.getLogger("stamina").setLevel(logging.ERROR)
    options = invocation.item_options
    view = View(quiet=quiet)
    open_folder(run_dir)
    engine = make_engine(invocation.engine, progress=view.starting, **invocation.patient_settings)
    try:
        run = BatchRun(engine, options, rows, run_dir, settings, invocation)
        return await attend(run, view, named or run_dir)
    finally:
        await engine.close()


async def attend(run: Run, view: View, run_dir: Place) -> int:
    """See a run through: show it, heed signals, say how it ended, and give the exit code."""
    interrupts: list[signal.Signals] = []
    why: Stop
    with _signals(run, view, interrupts), view.watching(run.tally):
        try:
            why = await run.run()
        except EngineDown as error:
            why = "signal" if interrupts else "engine_down"
            if not interrupts:
                view.say(f"promptlift: error: {error}")
        except asyncio.CancelledError:
            if not interrupts:
                raise
            why = "signal"
    view.conclude(run.tally, why, run_dir)
    if signal.SIGINT in interrupts:
        return INTERRUPTED
    return _exit_code(run.tally, why)


def _exit_code(tally: Tally, why: Stop) -> int:
    if why == "engine_down" or tally.again or tally.left is None or tally.left:
        return WORK_IS_LEFT
    return 0 if tally.fit == tally.finished else _SOME_UNFIT


@contextmanager
def _signals(run: Run, view: View, interrupts: list[signal.Signals]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM stops the taking, the second everything."""
    loop = asyncio.get_running_loop()

    def caught(number: signal.Signals) -> None:
        interrupts.append(number)
        if len(interrupts) == 1:
            view.say("promptlift: finishing what is in flight; once more stops at once")
            run.stop()
        else:
            run.cancel()

    numbers = [signal.SIGINT, signal.SIGTERM]
    added = []
    for number in numbers:
        # Windows has no such handlers; there Ctrl-C breaks off, and nothing finished is lost.
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, caught, number)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
