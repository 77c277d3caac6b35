"""The batch command in processes of its own, and what is left behind when they are killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promptlift.cli.main import _run

__all__ = ["Batch", "Process", "left_over"]

_MARK = "PROMPTLIFT_FAULT_TEST"
_LONGEST = 120.0


@dataclass
class Process:
    """A command that runs.

    Attributes:
        popen: Its process.
        mark: What its environment says, and that of every process that it starts.
        said: File with what it says.
    """

    popen: subprocess.Popen[bytes]
    mark: str
    said: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def kill(self) -> None:
        """End it as a loss of power does, without a last word."""
        self.popen.kill()
        self.popen.wait(_LONGEST)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def wait(self) -> int:
        """Its exit code."""
        return self.popen.wait(_LONGEST)

    @property
    def text(self) -> str:
        """What it has said."""
        return self.said.read_text()


@dataclass
class Batch:
    """The same command, again and again.

    Attributes:
        folder: Where it works.
        base_url: Of the engine.
        arguments: After ``promptlift batch run``, besides the engine.
        environment: What its environment says besides ours.
        processes: What has been started.
    """

    folder: Path
    base_url: str
    arguments: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list, init=False)

    @property
    def runs(self) -> int:
        """How many processes have been started."""
        return len(self.processes)

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.kill()

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    def start(self, *more: str, source: str = "in.jsonl", stdin: int | None = None) -> Process:
        """Start it."""
        return self.start_other(*self._command(source, more), stdin=stdin)

    def start_other(self, *arguments: str, stdin: int | None = None) -> Process:
        """Start another command of ours in the same place."""
        mark = secrets.token_hex(8)
        said = self.folder / f"said-{self.runs + 1}.txt"
        with said.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "promptlift", *arguments],
                cwd=self.folder,
                env={**os.environ, **self.environment, _MARK: mark},
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(Process(popen, mark, said))
        return self.processes[-1]

    def run_here(self, *more: str, source: str = "in.jsonl") -> int:
        """Run it to its end in this process; gives its exit code."""
        with contextlib.chdir(self.folder):
            return _run(self._command(source, more))

    def _command(self, source: str, more: Sequence[str]) -> list[str]:
        engine = ["--engine", "openai", "--base-url", self.base_url]
        command = ["batch", "run", source, "-o", str(self.run_dir), *engine]
        return [*command, *self.arguments, *more]

    def run(self, *more: str, source: str = "in.jsonl") -> int:
        """Run it to its end; gives its exit code."""
        return self.start(*more, source=source).wait()


def left_over(mark: str, patience: float = 20.0) -> list[int]:
    """Processes that a command started and that outlive it, if they do so for long."""
    deadline = time.monotonic() + patience
    while (found := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _marked(mark: str) -> list[int]:
    words = f"{_MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
        except OSError:  # it has ended, or is somebody else's
            continue
        if words in environment.split(b"\0"):
            found.append(int(path.parent.name))
    return found
