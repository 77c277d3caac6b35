"""Watching processes that may end by themselves."""

from __future__ import annotations

import os
import time
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def await_end(pid: int) -> None:
    """Come back once the process is gone."""
    while alive(pid):
        time.sleep(0.01)


def await_pid(path: Path) -> int:
    """The number in a file, once it is there."""
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)
    return int(path.read_text())
