"""Run a command and see what its whole tree of processes takes; kill it on the way, if asked."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOOK_SECONDS = 0.2
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Took:
    """What a command took.

    Attributes:
        seconds: From its start to its end.
        cpu: Seconds of processor, of all its processes; too few where it was killed.
        peak_mb: The most resident memory of all its processes together, looked at five times a
            second; what they share is counted for each.
        code: Exit status.
        said: The end of what it wrote.
    """

    seconds: float
    cpu: float
    peak_mb: float
    code: int
    said: str

    def __add__(self, then: Took) -> Took:
        """One command after the other."""
        return Took(
            self.seconds + then.seconds,
            self.cpu + then.cpu,
            max(self.peak_mb, then.peak_mb),
            self.code or then.code,
            then.said,
        )


class Watched:
    """A command under way, in a session of its own.

    Args:
        command: What to run.
        log: Takes all that it writes.
        environ: Is added to the environment.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        self._began = time.monotonic()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
        self._peak = 0
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def kill(self) -> Took:
        """Kill every process of it at once, as a lost machine does."""
        self._end()
        return self.wait()

    def wait(self) -> Took:
        """See it to its end; it does not outlive an interrupted benchmark."""
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except BaseException:
            self._end()
            raise
        seconds = time.monotonic() - self._began
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._over.set()
        self._watcher.join()
        said = self._log.read_text(errors="replace")[-2000:]
        cpu = usage.ru_utime + usage.ru_stime
        return Took(seconds, cpu, self._peak / 1e6, self._process.returncode, said)

    def _end(self) -> None:
        for pid in [self._process.pid, *_family(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            pids = [self._process.pid, *_family(self._process.pid)]
            self._peak = max(self._peak, sum(map(_resident, pids)))


def run(command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> Took:
    """Run a command to its end."""
    return Watched(command, log, environ).wait()


def _family(pid: int) -> list[int]:
    """All descendants of a process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(int(entry.name)), []).append(int(entry.name))
    found, ahead = list[int](), [pid]
    while ahead:
        mine = children.get(ahead.pop(), [])
        found += mine
        ahead += mine
    return found


def _parent(pid: int) -> int:
    try:
        # The name in brackets may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
