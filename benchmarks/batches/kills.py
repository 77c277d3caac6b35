"""What is lost when every process is killed in the middle and the same command is run again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batches import job
from batches.contenders import Contender
from batches.engine import engine, seen
from batches.tables import show

_LOOK_SECONDS = 0.05
_MOST_RERUNS = 3


@dataclass(frozen=True)
class Rerun:
    """What came of it.

    Attributes:
        before: Requests that had been answered when everything was killed.
        repeated: Requests that were sent for a row that had been sent already.
        answers: Rows that have an answer in the result.
        twice: Answers in the result that are there already.
        code: Exit status of the last rerun.
    """

    before: int
    repeated: int
    answers: int
    twice: int
    code: int


def measure(contenders: Sequence[Contender], *, rows: int, slots: int, latency: float) -> None:
    """Print the table."""
    head = [f"{rows} rows, killed at half", "answered before", "sent again", "rows in the result"]
    lines = []
    for contender in contenders:
        for what, turned in (("the same again", False), ("the input reversed", True)):
            one = killed(contender, rows, slots, latency, turned=turned)
            numbers = (one.before, one.repeated, one.answers, rows - one.answers, one.twice)
            lines.append([f"{contender.name}, {what}", *map(str, numbers), str(one.code)])
    show([*head, "lost", "twice", "exit code"], lines)


def killed(contender: Contender, rows: int, slots: int, latency: float, *, turned: bool) -> Rerun:
    """Kill one in the middle of the job, and run it again until it says that it is done."""
    asked = job.asks(rows)
    with tempfile.TemporaryDirectory() as made, engine(latency) as url:
        folder = Path(made)
        path = contender.rows(folder / "rows.jsonl", asked)
        watched = contender.begin(path, folder, url, slots)
        while watched.running and (before := len(seen(url).spans)) < rows // 2:
            time.sleep(_LOOK_SECONDS)
        watched.kill()
        if turned:
            contender.rows(path, asked[::-1])
        for _ in range(_MOST_RERUNS):
            took = contender.begin(path, folder, url, slots).wait()
            if took.code == 0:
                break
        contender.finish(folder)
        answers = contender.answers(folder)
        twice = answers.total() - len(answers)
        return Rerun(before, seen(url).repeated, len(answers), twice, took.code)
