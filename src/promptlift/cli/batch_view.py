"""What a person sees of a run: a live picture on a terminal, a line every 30 s elsewhere."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from promptlift.batch.words import span

if TYPE_CHECKING:
    from rich.console import Group

    from promptlift.batch.mirror import Place
    from promptlift.batch.runner import Stop
    from promptlift.batch.runner.tally import Tally

__all__ = ["View"]

_LINE_SECONDS = 30.0
_LIVE_SECONDS = 0.25
_WINDOW = 30.0
_BAR = 40

_WHY: dict[str, str] = {
    "done": "done",
    "limit": "stopped at the limit of items",
    "time": "stopped, as the time is over",
    "signal": "stopped",
    "engine_down": "stopped, as the engine does not answer",
    "config": "stopped, as every item would fail",
    "journal": "stopped, as the journal cannot be written",
}


class _Sample(NamedTuple):
    seconds: float
    finished: int
    tokens: int
    engine: float
    decode: float


class Rates:
    """Rates over the last half minute, from counts that only grow."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._samples: deque[_Sample] = deque()
        self.take()

    def take(self) -> None:
        """Note how the counts are now."""
        tally = self._tally
        self._samples.append(
            _Sample(
                tally.seconds,
                tally.now.total(),
                tally.answer_tokens,
                tally.engine_seconds,
                tally.decode_seconds,
            )
        )
        while self._samples[-1].seconds - self._samples[0].seconds > _WINDOW:
            self._samples.popleft()

    def _per_second(self, name: str) -> float:
        first, last = self._samples[0], self._samples[-1]
        spent = last.seconds - first.seconds
        return (getattr(last, name) - getattr(first, name)) / spent if spent > 0 else 0.0

    @property
    def items(self) -> float:
        """Items a second, now."""
        return self._per_second("finished")

    @property
    def overall(self) -> float:
        """Items a second since the run began."""
        return self._tally.now.total() / max(self._tally.seconds, 1e-9)

    @property
    def tokens(self) -> float:
        """Tokens of answers a second, now."""
        return self._per_second("tokens")

    @property
    def engine(self) -> float:
        """Requests in flight, as a share of how many may be."""
        return min(1.0, self._per_second("engine") / max(1, self._tally.limit))

    @property
    def decoders(self) -> float:
        """Decoding processes that are busy, as a share of all."""
        return min(1.0, self._per_second("decode") / max(1, self._tally.workers))

    @property
    def eta(self) -> float | None:
        """Seconds until the end at the present rate; None where that cannot be told."""
        left, rate = self._tally.left, self.items or self.overall
        return None if left is None or not rate else left / rate


class View:
    """Shows a run on stderr.

    Args:
        quiet: Show nothing but what must be said.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._over = threading.Event()

    def say(self, line: str) -> None:
        """Print one line, above the live picture where there is one."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def starting(self, stage: str, seconds: float) -> None:
        """Tell how far an engine is that is being started."""
        if not self._quiet and sys.stderr.isatty():
            sys.stderr.write(f"\rstarting vLLM: {stage}, {seconds:.0f} s   ")

    @contextmanager
    def watching(self, tally: Tally) -> Iterator[None]:
        """Show the counts while the block runs."""
        if self._quiet:
            yield
            return
        show = self._live if sys.stderr.isatty() else self._lines
        watcher = threading.Thread(target=show, args=(tally,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def conclude(self, tally: Tally, why: Stop, run_dir: Place) -> None:
        """Say how it ended, and what to do next."""
        if self._quiet:
            return
        self.say(f"promptlift: {_WHY[why]}: {_counts(tally)} in {span(tally.seconds)}")
        if tally.failed or tally.rejected:
            self.say(f"promptlift: why they failed: promptlift status {run_dir}")
        if tally.left or tally.left is None or tally.again:
            self.say("promptlift: the same command again goes on from here")

    def _lines(self, tally: Tally) -> None:
        rates, paused, told = Rates(tally), None, tally.seconds
        while not self._over.wait(_LIVE_SECONDS):
            rates.take()
            if tally.paused != paused:  # at once: it may be a mistyped address
                paused = tally.paused
                self.say(f"promptlift: {f'paused: {paused}' if paused else 'going on'}")
            if tally.seconds - told >= _LINE_SECONDS:
                told = tally.seconds
                self.say(f"promptlift: {_plain_line(tally, rates)}")

    def _live(self, tally: Tally) -> None:
        from rich.console import Console
        from rich.live import Live

        rates = Rates(tally)
        console = Console(stderr=True)
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while not self._over.wait(_LIVE_SECONDS):
                rates.take()
                live.update(_picture(tally, rates))


def _counts(tally: Tally) -> str:
    total = "?" if tally.total is None else f"{tally.total:,}"
    parts = [f"{tally.finished:,} of {total} finished", f"{tally.fit:,} fit to use"]
    parts += [f"{tally.rejected:,} rejected"] if tally.rejected else []
    parts += [f"{tally.failed:,} failed"] if tally.failed else []
    return ", ".join(parts)


def _plain_line(tally: Tally, rates: Rates) -> str:
    eta = rates.eta
    parts = [
        _counts(tally),
        f"{tally.in_flight} in flight",
        f"{rates.items:.1f}/s",
        f"{rates.tokens:.0f} tokens/s",
        "" if eta is None else f"{span(eta)} left",
        "" if tally.paused is None else f"PAUSED: {tally.paused}",
    ]
    return ", ".join(part for part in parts if part)


def _picture(tally: Tally, rates: Rates) -> Group:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    total = tally.total
    head = Table.grid(padding=(0, 2))
    share = "" if not total else f"{tally.finished / total:.0%}"
    bar = ProgressBar(total=total or None, completed=tally.finished, width=_BAR)
    head.add_row(bar, f"{tally.finished:,}/{'?' if total is None else f'{total:,}'}", share)
    eta = rates.eta
    states = Text.assemble(
        (f"{tally.fit:,} fit", "green"),
        (f"   {tally.rejected:,} rejected", "yellow" if tally.rejected else "dim"),
        (f"   {tally.failed:,} failed", "red" if tally.failed else "dim"),
        f"   {tally.in_work:,} under way",
        f"   {tally.repeats:,} sent again" if tally.repeats else "",
    )
    speed = Text(
        f"{rates.items:.1f} items/s (overall {rates.overall:.1f})   {rates.tokens:,.0f} tokens/s"
        f"   engine {rates.engine:.0%} of {tally.limit}   decoders {rates.decoders:.0%}"
        + ("" if eta is None else f"   {span(eta)} left")
    )
    paused = Text(f"paused: {tally.paused}", "bold yellow") if tally.paused else Text("")
    return Group(head, states, speed, *([paused] if tally.paused else []))
