"""A run to disturb in a test: a folder with clips, a server in this process, the real command."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault.command import Batch, Process
from fault.ledger import exported, finished
from fault.scene import Said, plain_rows, write_rows
from fault.server import FaultServer, Plan

__all__ = ["SHIMS", "Desk", "desk_in", "until"]

SHIMS = str(Path(__file__).with_name("shims"))
_TICK = 0.005
_LONGEST = 60.0


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + _LONGEST
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(_TICK)


@dataclass
class Desk:
    """A run and its surroundings.

    Attributes:
        folder: Where all of it is.
        clips: Its videos, which may be changed.
        server: The engine.
        batch: The command.
    """

    folder: Path
    clips: Path
    server: FaultServer
    batch: Batch

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.batch.run_dir

    def rows(self, count: int, *, first: int = 0) -> list[Said]:
        """Rows with nothing wrong with them."""
        return plain_rows(self.clips, count, first=first)

    def put(self, rows: Sequence[Said | str], name: str = "in.jsonl") -> Path:
        """Write an input."""
        return write_rows(self.folder / name, rows)

    def run(self, *more: str, source: str = "in.jsonl") -> tuple[int, list[int]]:
        """Run to the end; gives the exit code and the items that the server was asked for."""
        before = len(self.server.asked)
        code = self.batch.run_here(*more, source=source)
        return code, self.server.asked[before:]

    def start(self, *more: str, source: str = "in.jsonl") -> Process:
        """Start a run."""
        return self.batch.start(*more, source=source)

    def written(self) -> int:
        """Results that are written."""
        return len(finished(self.run_dir))

    def exported(self) -> dict[str, dict[str, Any]]:
        """The export by the rows' ids, each of which is there once."""
        rows = exported(self.run_dir)
        by_id = {row["id"]: row for row in rows}
        assert len(by_id) == len(rows), "a row is there twice"
        return by_id

    def statuses(self) -> Counter[str]:
        """How many rows of the export have each status."""
        return Counter(row["status"] for row in self.exported().values())


@contextmanager
def desk_in(folder: Path, clips: Path, *arguments: str, plan: Plan | None = None) -> Iterator[Desk]:
    """Lay a desk."""
    with FaultServer(plan) as server:
        settings = ("--workers", "1", "--concurrency", "4", "--quiet", *arguments)
        batch = Batch(folder, server.base_url, settings)
        try:
            yield Desk(folder, clips, server, batch)
        finally:
            batch.close()
        assert server.violations == []
