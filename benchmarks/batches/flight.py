"""How busy an engine is kept, and what that takes: promptlift, and others beside it."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from batches import job
from batches.contenders import Contender, Promptlift
from batches.engine import Seen, engine, seen
from batches.tables import show
from batches.watch import Took

_OURS = Promptlift()


@dataclass(frozen=True)
class Flight:
    """One contender's run of the job.

    Attributes:
        took: What its commands took.
        seen: What the engine saw.
        answers: How many rows have an answer in the result.
    """

    took: Took
    seen: Seen
    answers: int


def measure(
    contenders: Sequence[Contender], *, rows: int, slots: int, latency: float, rounds: int
) -> None:
    """Print the table; the contenders take turns."""
    jobs = {one.name: (one, job.asks(rows)) for one in contenders}
    jobs[f"{_OURS.name}, each row another clip"] = _OURS, job.asks(rows, in_turn=True)
    flights: dict[str, list[Flight]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, (contender, asked) in jobs.items():
            flights[name].append(fly(contender, asked, slots, latency))
    head = [f"{rows} rows, {slots} in flight, {1000 * latency:.0f} ms", "engine busy"]
    head += ["in the middle", "wall s", "CPU s", "peak MB", "requests", "answers"]
    show(head, [[name, *_middles(some, slots)] for name, some in flights.items()])


def fly(contender: Contender, rows: list[job.Ask], slots: int, latency: float) -> Flight:
    """Let one do the job once, from nothing to its result."""
    with tempfile.TemporaryDirectory() as made, engine(latency) as url:
        folder = Path(made)
        path = contender.rows(folder / "rows.jsonl", rows)
        took = contender.begin(path, folder, url, slots).wait()
        assert took.code == 0, took.said
        written = contender.finish(folder)
        took = took if written is None else took + written
        return Flight(took, seen(url), len(contender.answers(folder)))


def _middles(flights: Sequence[Flight], slots: int) -> list[str]:
    """The numbers of a line: medians."""

    def middle(of: Callable[[Flight], float]) -> float:
        return statistics.median(map(of, flights))

    return [
        f"{middle(lambda f: f.seen.whole(slots)):.1%}",
        f"{middle(lambda f: f.seen.middle(slots)):.1%}",
        f"{middle(lambda f: f.took.seconds):.1f}",
        f"{middle(lambda f: f.took.cpu):.1f}",
        f"{middle(lambda f: f.took.peak_mb):.0f}",
        f"{middle(lambda f: f.seen.requests):.0f}",
        f"{middle(lambda f: f.answers):.0f}",
    ]
