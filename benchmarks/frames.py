"""Hint frames: promptlift beside ffmpeg, OpenCV and the bare decode, in one run.

``python benchmarks/frames.py [--rounds 5] [--clip NAME]`` prints Markdown. Each way has a process
of its own that is warm (imports are not counted); the ways take turns, so that a slow minute of
the machine slows all of them; the tables give medians and the ratio to promptlift's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from clips import Clip, clips
from ways import WAYS

CASES = [(strategy, count) for strategy in ("first", "fps", "spread") for count in (2, 8)]
# Re-encoding a whole long clip takes minutes a run; once tells enough.
SLOW_SECONDS = 15.0


class Worker:
    """A process that does one way of getting frames, again and again."""

    def __init__(self, way: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(way, theirs), daemon=True)
        self._process.start()
        self.took: list[float] = []
        self.found = 0
        self.peak = 0.0

    def work(self, clip: Clip, strategy: str, count: int) -> None:
        """Do it once and keep how long it took."""
        self._pipe.send((str(clip.path), strategy, count))
        seconds, self.found, self.peak = self._pipe.recv()
        self.took.append(seconds)

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()

    @property
    def median(self) -> float:
        """Median seconds, the first and cold run left out where there are others."""
        return statistics.median(self.took[1:] or self.took)


def _serve(way: str, pipe: Connection) -> None:
    while (job := pipe.recv()) is not None:
        clip, strategy, count = job
        start = time.perf_counter()
        found = WAYS[way](Path(clip), strategy, count)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
        pipe.send((seconds, found, peak / 1024))


def compare(clip: Clip, strategy: str, count: int, rounds: int) -> list[Worker]:
    """Let the ways take turns on one case."""
    workers = [Worker(way) for way in WAYS]
    for _ in range(rounds + 1):
        for worker in workers:
            if not worker.took or worker.took[0] < SLOW_SECONDS:
                worker.work(clip, strategy, count)
    for worker in workers:
        worker.close()
    return workers


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip", default="")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, {platform.system()}, ")
    print(f"Python {platform.python_version()}; medians of {arguments.rounds} warm rounds\n")
    for clip in clips():
        if arguments.clip not in clip.name:
            continue
        print(f"### {clip.name}\n")
        print(f"| frames | {' | '.join(WAYS)} | ffmpeg ÷ | opencv ÷ | ÷ decode | peak MB |")
        print("|---|" + "--:|" * (len(WAYS) + 4))
        for strategy, count in CASES:
            ours, theirs, full, floor = workers = compare(clip, strategy, count, arguments.rounds)
            times = " | ".join(
                f"{w.median:.3f}" if w.found == ours.found else f"{w.median:.3f} ({w.found} found)"
                for w in workers
            )
            ratios = (
                f"{theirs.median / ours.median:.1f} | {full.median / ours.median:.1f} | "
                f"{ours.median / floor.median:.2f}"
            )
            peaks = " / ".join(f"{w.peak:.0f}" for w in workers)
            print(f"| {strategy} {count} | {times} | {ratios} | {peaks} |", flush=True)
        print()


if __name__ == "__main__":
    main()
