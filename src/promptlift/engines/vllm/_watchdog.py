"""A small process between the owner and the engine: when the owner ends, the engine ends.

Run by path, with the standard library alone: ``_watchdog.py OWNER LOG -- COMMAND...``.

The owner holds the write end of the watchdog's standard input. The kernel closes it when the
owner ends, whatever ended it; the watchdog reads the end of the file and ends the engine's whole
process group. It checks its parent's id as well, because a process that the owner forked may
hold the pipe open after it. In the other direction the kernel kills the engine when the watchdog
dies (Linux), and the owner ends the group when it finds its watchdog gone. Processes that leave
the group are found too, because the watchdog adopts the engine's orphans (Linux).

It writes one line with the engine's process id, and one with its exit status once it has ended.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

__all__: list[str] = []

_GRACE = 4.0  # seconds between SIGTERM and SIGKILL
_POLL = 0.25
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> None:
    """Start the command, wait for its end or the owner's, and leave no process behind."""
    owner, log, _, *command = arguments
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with open(log, "ab") as output:  # noqa: PTH123 - no import that is not needed
        engine = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Safe here: the watchdog has one thread and no locks.
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    _report(engine.pid)
    try:
        while engine.poll() is None and os.getppid() == int(owner):
            readable, _, _ = select.select([0], [], [], _POLL)
            if readable and not os.read(0, 1024):
                break
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _end_group(engine)
        _report(engine.returncode)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_group(engine: subprocess.Popen[bytes]) -> None:
    """Terminate the group, kill what is left after a grace period, and every orphan."""
    deadline = time.monotonic() + _GRACE
    _signal_group(engine.pid, signal.SIGTERM)
    while _signal_group(engine.pid, 0) and time.monotonic() < deadline:
        if engine.poll() is not None:
            _reap()
        time.sleep(0.05)
    _signal_group(engine.pid, signal.SIGKILL)
    engine.wait()
    while children := _children():
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _reap()
        time.sleep(0.02)


def _signal_group(group: int, number: int) -> bool:
    """Whether there is such a group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _report(number: int) -> None:
    with suppress(OSError):  # the owner may be gone
        os.write(1, f"{number}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
