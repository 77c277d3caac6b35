"""The stub engine of `batches.server` in its process, and what it saw of a run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@contextmanager
def engine(latency: float) -> Iterator[str]:
    """Start one; gives its address."""
    command = [sys.executable, str(Path(__file__).with_name("server.py")), str(latency)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


@dataclass(frozen=True)
class Seen:
    """What the engine saw.

    Attributes:
        prompts: How many times each prompt was asked.
        spans: Seconds at which requests came and were answered; those whose client was gone by
            then are left out.
    """

    prompts: Counter[str]
    spans: list[tuple[float, float]]

    @property
    def requests(self) -> int:
        """How many requests came, answered or not."""
        return self.prompts.total()

    @property
    def repeated(self) -> int:
        """How many of them had been asked before."""
        return self.requests - len(self.prompts)

    def whole(self, slots: int) -> float:
        """Share of the slots that were busy, from the first request to the last answer."""
        begin = min(begin for begin, _ in self.spans)
        return self._busy(slots, begin, max(end for _, end in self.spans))

    def middle(self, slots: int) -> float:
        """The same without the first two waves and what comes after the last request."""
        begins = sorted(begin for begin, _ in self.spans)
        first = begins[min(2 * slots, len(begins) // 2)]
        return self._busy(slots, first, begins[-1])

    @property
    def latency(self) -> float:
        """Median seconds that an answer took."""
        return statistics.median(end - begin for begin, end in self.spans)

    def _busy(self, slots: int, begin: float, end: float) -> float:
        busy = sum(max(0.0, min(b, end) - max(a, begin)) for a, b in self.spans)
        return busy / (slots * (end - begin))


def seen(url: str) -> Seen:
    """Ask an engine what it saw."""
    with urllib.request.urlopen(f"{url}/asked") as answer:
        asked = json.load(answer)
    spans = [(begin, end) for _, begin, end in asked if end is not None]
    return Seen(Counter(prompt for prompt, _, _ in asked), spans)
