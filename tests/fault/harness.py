"""Kill the real command at seeded moments, run it again until it is done, and compare.

With `tests` on the path::

    python -m fault.harness --seeds 50

A line for each seed, and a summary; the exit status is 1 where anything was lost, done twice, or
left behind. A seed decides the order of the rows, the faults of the engine, how many work, when
the command is killed, and what else happens to the folder meanwhile.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault.command import Batch, Process, left_over
from fault.ledger import Snapshot, damage, exported, finished, sent_again, strays
from fault.scene import make_clips, some_rows, write_rows
from fault.server import CHANCES, FaultServer, Plan

__all__ = ["Verdict", "World", "main", "world"]

ROWS = 48
_TICK = 0.002
_MOST_RUNS = 12
_HANGS = {"hang": 0.008, "drip": 0.004}
_SETTINGS = ("--timeout", "2s", "--patience", "30s", "--quiet")


@dataclass
class Verdict:
    """What became of one seed.

    Attributes:
        seed: The seed.
        kills: How the command was killed, in words.
        runs: How often it was started.
        requests: How many requests the server took.
        again: The most requests, and the most items, that one kill had sent again.
        seconds: How long it took.
        wrong: What should not have happened, in words.
    """

    seed: int
    kills: list[str] = field(default_factory=list)
    runs: int = 0
    requests: int = 0
    again: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The verdict as a line."""
        how = ", ".join(self.kills) or "not killed"
        state = "; ".join(self.wrong) or "ok"
        return (
            f"seed {self.seed:3}  {self.seconds:5.1f} s  {self.runs} runs  {self.requests} requests"
            f"  again {self.again[0]}/{self.again[1]}  [{how}]  {state}"
        )


@dataclass(frozen=True)
class World:
    """What all seeds share.

    Attributes:
        folder: Each seed works in a folder of its own below.
        server: The engine.
        clips: The videos.
        expected: The export of a run that nobody disturbed, by the rows' ids.
    """

    folder: Path
    server: FaultServer
    clips: Path
    expected: dict[str, dict[str, Any]]


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make the clips, start the server, and find out what a run comes to that nobody disturbs."""
    clips = make_clips(folder / "clips")
    undisturbed = folder / "undisturbed"
    undisturbed.mkdir()
    write_rows(undisturbed / "in.jsonl", some_rows(clips, ROWS))
    with FaultServer() as server:
        batch = Batch(undisturbed, server.base_url, ("--workers", "1", *_SETTINGS))
        assert batch.run() == 1, "some of the rows cannot be done"
        rows = exported(batch.run_dir)
        assert len({row["id"] for row in rows}) == len(rows) == len(some_rows(clips, ROWS))
        yield World(folder, server, clips, {row["id"]: row for row in rows})


@dataclass
class Seed:
    """One seed's run through all its kills."""

    world: World
    number: int

    def __post_init__(self) -> None:
        self.random = random.Random(self.number)
        self.folder = self.world.folder / f"seed-{self.number}"
        self.folder.mkdir()
        self.most = self.random.choice([2, 4, 8])
        workers = str(self.random.choice([1, 2]))
        settings = ("--concurrency", str(self.most), "--workers", workers, *_SETTINGS)
        self.batch = Batch(self.folder, self.world.server.base_url, settings)
        self.verdict = Verdict(self.number)
        self.snapshots: list[tuple[float, Snapshot]] = []

    def run(self) -> Verdict:
        """Do all of it."""
        start = time.monotonic()
        much = self.random.choice([0.2, 0.5, 1.0])
        chances = {name: share * much for name, share in CHANCES.items()}
        chances |= _HANGS if self.number % 3 == 0 else {}
        delay = self.random.choice([0.0, 0.01, 0.05])
        self.world.server.follow(Plan(self.number, chances, delay))
        self._shuffle()
        for _ in range(self.random.randint(1, 4)):
            if self._killed() is not None:
                break
            if self.random.random() < 0.3:
                self._shuffle()
        self._finish()
        self.look()
        self.verdict.runs = self.batch.runs
        self.verdict.seconds = time.monotonic() - start
        return self.verdict

    def _shuffle(self) -> None:
        rows = some_rows(self.world.clips, ROWS, self.random.randrange(1000))
        write_rows(self.folder / "in.jsonl", rows)

    def _killed(self) -> int | None:
        """Run and kill; the exit code where it was done before."""
        began = time.time()
        process = self.batch.start()
        how = self._await_moment(process)
        if not process.running:
            self._expect_no_crash(process)
            return process.wait()
        process.kill()
        at = time.time()
        self.verdict.kills.append(how)
        self._expect(not left_over(process.mark), "a process is left over")
        self.snapshots.append((began, Snapshot(at, finished(self.batch.run_dir))))
        return None

    def _await_moment(self, process: Process) -> str:
        """Wait for the moment to kill at; gives it in words."""
        kind = self.random.choice(["seconds", "lines", "requests"])
        if kind == "seconds":
            goal = self.random.uniform(0.1, 1.8)
            begun = time.monotonic()
            self._until(process, lambda: time.monotonic() - begun >= goal)
            return f"after {goal:.2f} s"
        measured, most = (self._written, 2 * ROWS) if kind == "lines" else (self._asked, ROWS)
        # Somewhere in what is left, so that a second kill comes as surely as the first.
        goal = measured() + round(self.random.random() * max(1, most - measured()))
        self._until(process, lambda: measured() >= goal)
        return f"at {kind[:-1]} {goal}"

    def _until(self, process: Process, over: Callable[[], bool]) -> None:
        while process.running and not over():
            time.sleep(_TICK)

    def _written(self) -> int:
        parts = (self.batch.run_dir / "parts").glob("*.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in parts)

    def _asked(self) -> int:
        return sum(event.kind == "in" for event in self.world.server.events)

    def _finish(self) -> None:
        """Run until it is done, and look at everything."""
        code = 75
        while code == 75 and self.batch.runs < _MOST_RUNS:
            process = self.batch.start()
            code = process.wait()
            self._expect(code in (1, 75), f"exit code {code}: {process.text[-500:]}")
            self._expect_no_crash(process)
            self._expect(not left_over(process.mark), "a process is left over")
        self._expect(code == 1, f"not done after {self.batch.runs} runs")

    def look(self) -> None:
        """Hold the export, the results and the requests against what must be."""
        self._look_at_export()
        self._look_at_results()
        self._look_at_requests()

    def _look_at_export(self) -> None:
        rows = exported(self.batch.run_dir)
        by_id = {row["id"]: row for row in rows}
        expected = self.world.expected
        self._expect(len(rows) == len(by_id), "a row is twice in the export")
        missing = sorted(expected.keys() - by_id.keys())
        self._expect(not missing, f"missing from the export: {missing}")
        self._expect(by_id.keys() <= expected.keys(), "rows that nobody gave")
        both = sorted(by_id.keys() & expected.keys())
        other = [name for name in both if by_id[name] != expected[name]]
        self._expect(not other, f"other than undisturbed: {[by_id[name] for name in other[:2]]}")

    def _look_at_results(self) -> None:
        last = finished(self.batch.run_dir)
        for _, snapshot in self.snapshots:
            lost = [key for key, record in snapshot.finished.items() if last.get(key) != record]
            self._expect(not lost, f"finished before a kill and other now: {lost[:3]}")
        self._expect(not damage(self.batch.run_dir), "the results are damaged")
        self._expect(not strays(self.batch.run_dir), f"left behind: {strays(self.batch.run_dir)}")

    def _look_at_requests(self) -> None:
        events = self.world.server.events
        self.verdict.requests = sum(event.kind == "in" for event in events)
        for began, snapshot in self.snapshots:
            takes = snapshot.takes
            twice = {e.take for e in events if e.at > snapshot.at and e.take in takes}
            self._expect(not twice, f"finished and asked again: takes {twice}")
            again = sent_again(events, began, snapshot.at)
            items = {request for request, _ in again}
            self.verdict.again = max(self.verdict.again, (len(again), len(items)))
            # An item that was asked a second time for a better answer begins anew.
            most = self.most + math.ceil(self.most / 4)
            self._expect(len(items) <= most, f"{len(items)} items asked again, {most} may be")

    def _expect_no_crash(self, process: Process) -> None:
        # An uncaught error ends with 1 too, as does a run with rows that cannot be done.
        self._expect("Traceback" not in process.text, f"it crashed: {process.text[-500:]}")

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.verdict.wrong.append(otherwise)


def main(arguments: list[str] | None = None) -> int:
    """Try the seeds; gives the exit status."""
    parser = argparse.ArgumentParser(description="Kill batches, and see that nothing is lost.")
    parser.add_argument("--seeds", type=int, default=50, help="How many.")
    parser.add_argument("--first", type=int, default=0, help="The first of them.")
    parser.add_argument("--keep", action="store_true", help="Keep the folders.")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="promptlift-fault-"))
    verdicts = []
    with world(folder) as shared:
        for number in range(given.first, given.first + given.seeds):
            verdicts.append(Seed(shared, number).run())
            print(verdicts[-1].line(), flush=True)
    if given.keep:
        print(f"kept in {folder}")
    else:
        shutil.rmtree(folder)
    wrong = [verdict for verdict in verdicts if verdict.wrong]
    kills = sum(len(verdict.kills) for verdict in verdicts)
    print(f"{len(verdicts)} seeds, {kills} kills, {len(wrong)} with something wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
