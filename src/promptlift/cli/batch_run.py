"""Attend a batch run: options and signals in; progress on stderr and an exit code out."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.batch.retrying import EngineDown
from promptlift.batch.runner import BatchRun, RunSettings, Stop
from promptlift.batch.status import format_duration, format_rate
from promptlift.cli.progress import StatusLine
from promptlift.engines.registry import close_engines, make_engine, make_judge
from promptlift.errors import OptionError
from promptlift.store.remote import RemoteRun
from promptlift.store.run_dir import create_run_dir
from promptlift.targets import target

if TYPE_CHECKING:
    from promptlift.batch.progress import BatchProgress
    from promptlift.batch.readers import Input
    from promptlift.cluster.ray import ClusterSettings
    from promptlift.store.remote import RunPlace
    from promptlift.store.run_dir import RunCommand

__all__ = ["run_batch"]

_WORK_IS_LEFT = 75  # EX_TEMPFAIL of sysexits.h: the same command later goes on
_INTERRUPTED = 130
_SOME_UNFIT = 1
_LINE_SECONDS = 30.0
_REFRESH_SECONDS = 0.25
_STOP_TEXTS: dict[Stop, str] = {
    "done": "done",
    "limit": "stopped at the limit of items",
    "time": "stopped, as the time is over",
    "signal": "stopped",
    "engine_down": "stopped, as the engine does not answer",
    "config": "stopped, as every item would fail",
    "output": "stopped, as results cannot be written",
}


def run_batch(
    command: RunCommand, rows: Input | None, place: RunPlace, given: Mapping[str, Any]
) -> int:
    """Run on this machine or on a Ray cluster, and give the exit code.

    Args:
        command: The engine and the options.
        rows: The input; None for the rows that the run has.
        place: The run's folder or URL.
        given: The options of the command that are the run's; None for those not given.

    Raises:
        PromptliftError: The folder, the input or the engine cannot be used.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    quiet, upload_seconds = settings.pop("quiet"), settings.pop("upload_every")
    cluster = _take_cluster_settings(settings, command)
    with ExitStack() as stack:
        folder = place
        if not isinstance(folder, Path):
            settings["part_seconds"] = upload_seconds
            folder = stack.enter_context(RemoteRun(folder).syncing(upload_seconds, _print))
        status = stack.enter_context(StatusLine("starting", quiet=quiet))
        made = RunSettings(**settings)
        return asyncio.run(_conduct(command, rows, folder, made, cluster, place, status))


def _take_cluster_settings(settings: dict[str, Any], command: RunCommand) -> ClusterSettings | None:
    """Take what is the cluster's out of a run's settings; None for a run on this machine."""
    address = settings.pop("ray", None)
    names = ("engines", "decode_cpus", "engine_cpus")
    given = {name: settings.pop(name) for name in names if name in settings}
    if address is not None:
        from promptlift.cluster.ray import CONCURRENCY, ClusterSettings

        cluster = ClusterSettings(address=address, addresses=command.addresses, **given)
        settings.setdefault("workers", max(1, int(cluster.engine_cpus)))
        settings.setdefault("concurrency", CONCURRENCY)
        return cluster
    if given or len(command.addresses) > 1:
        what = next((f"--{name.replace('_', '-')}" for name in given), "a second --base-url")
        raise OptionError(f"{what} needs --ray", remedy="pass --ray, or remove the option")
    return None


async def _conduct(
    command: RunCommand,
    rows: Input | None,
    run_dir: Path,
    settings: RunSettings,
    cluster: ClusterSettings | None,
    place: RunPlace,
    status: StatusLine,
) -> int:
    """Make the run, show it, heed signals, and report how it ended."""
    run: BatchRun
    if cluster is not None:
        from promptlift.cluster.ray import RayRun

        # Before the signals are caught: Ray sets handlers of its own when it connects.
        run = RayRun(command, rows, run_dir, settings, cluster)
        close = run.close
    else:
        create_run_dir(run_dir)
        judge = make_judge(command.judge)
        engine = make_engine(
            command.engine,
            progress=lambda stage, seconds: status.update(
                f"starting vLLM, {seconds:.0f} s: {stage}"
            ),
            **command.settings_without_retries,
        )
        run = BatchRun(engine, command.options, rows, run_dir, settings, command, judge)
        close = partial(close_engines, engine, judge)
    interrupts: list[signal.Signals] = []
    progress = run.progress
    why: Stop
    showing = asyncio.create_task(_show(progress, status))
    try:
        with _signals(run, interrupts):
            why = await run.run()
    except EngineDown as error:
        why = "signal" if interrupts else "engine_down"
        if not interrupts:
            _say(f"error: {error}")
    except asyncio.CancelledError:
        if not interrupts:
            raise
        why = "signal"
    finally:
        showing.cancel()
        status.close()
        await close()
    if not status.quiet:
        _report_end(why, progress, place)
        if extender := target(command.options.target).extender:
            _say(f"{target(command.options.target).name}: {extender}")
    if signal.SIGINT in interrupts:
        return _INTERRUPTED
    if why == "engine_down" or progress.again or progress.left != 0:
        return _WORK_IS_LEFT
    return 0 if progress.fit + progress.unchanged == progress.finished else _SOME_UNFIT


def _report_end(why: Stop, progress: BatchProgress, place: RunPlace) -> None:
    _say(f"{_STOP_TEXTS[why]}: {_counts(progress)} in {format_duration(progress.seconds)}")
    if progress.failed or progress.rejected:
        _say(f"why they failed: promptlift batch status {place}")
    if progress.unchanged:
        from promptlift.engines.no_model import HOW_TO_GET_A_MODEL

        _say(f"unchanged prompts could not be extended without a model; {HOW_TO_GET_A_MODEL}")
    if progress.again or progress.left != 0:
        _say("the same command again goes on from here")


@contextmanager
def _signals(run: BatchRun, interrupts: list[signal.Signals]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the beginning of items, the second everything."""
    loop = asyncio.get_running_loop()

    def caught(number: signal.Signals) -> None:
        interrupts.append(number)
        if len(interrupts) == 1:
            _say("finishing what is in flight; once more stops at once")
            run.stop()
        else:
            run.cancel()

    added = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no such handlers; there Ctrl-C breaks off, and nothing finished is lost.
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, caught, number)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)


# ---- progress


def _print(line: str) -> None:
    sys.stderr.write(f"{line}\n")  # above the live line, as rich replaces the stream


def _say(line: str) -> None:
    _print(f"promptlift: {line}")


async def _show(progress: BatchProgress, status: StatusLine) -> None:
    """Show the counts: live on a terminal, elsewhere a line every 30 s."""
    paused, printed = None, progress.seconds
    while not status.quiet:
        await asyncio.sleep(_REFRESH_SECONDS)
        if status.shown and progress.total is not None:
            status.update(f"{_counts(progress)}, {_speed(progress)}")
        elif progress.paused != paused and not status.shown:
            paused = progress.paused  # at once: it may be a mistyped address
            _say(f"paused: {paused}" if paused else "going on")
        elif progress.seconds - printed >= _LINE_SECONDS and not status.shown:
            printed = progress.seconds
            _say(f"{_counts(progress)}, {_speed(progress)}")


def _counts(progress: BatchProgress) -> str:
    total = "?" if progress.total is None else f"{progress.total:,}"
    parts = [f"{progress.finished:,} of {total} finished", f"{progress.fit:,} fit to use"]
    parts += [f"{progress.unchanged:,} unchanged"] if progress.unchanged else []
    parts += [f"{progress.rejected:,} rejected"] if progress.rejected else []
    parts += [f"{progress.failed:,} failed"] if progress.failed else []
    return ", ".join(parts)


def _speed(progress: BatchProgress) -> str:
    """How fast this run has been so far, and what it does now."""
    seconds = max(progress.seconds, 1e-9)
    rate, left = progress.now.total() / seconds, progress.left
    decoders = progress.decode_seconds / seconds / max(1, progress.workers)
    parts = [
        f"{progress.in_flight} of {progress.limit} requests in flight",
        f"decoders {min(1.0, decoders):.0%} busy",
        format_rate(rate, "rows"),
        format_rate(progress.answer_tokens / seconds, "tokens"),
        f"{format_duration(left / rate)} left" if left and rate else "",
        f"PAUSED: {progress.paused}" if progress.paused else "",
    ]
    return ", ".join(filter(None, parts))
