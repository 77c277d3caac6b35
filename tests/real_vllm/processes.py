"""Who is alive in a process group or session."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import psutil

__all__ = ["group_members", "wait_until_gone"]


def group_members(group: int) -> list[int]:
    """Ids of the living processes of a process group or of the session of that number."""
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            is_member = group in (os.getpgid(process.pid), os.getsid(process.pid))
            if is_member and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members


def wait_until_gone(group: int) -> list[int]:
    """Those that are still there when there was time enough to end."""
    deadline = time.monotonic() + 60
    while (left := group_members(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
