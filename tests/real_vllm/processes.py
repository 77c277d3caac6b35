"""Who is alive in a process group or session, from /proc."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["environment_of", "group_members", "wait_until_gone"]

_PATIENCE = 60.0


def group_members(group: int) -> list[int]:
    """Ids of the living processes of a process group or of the session of that number."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # state, parent, group, session come after the name in brackets
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if str(group) in fields[2:4] and fields[0] not in "ZX":
            members.append(int(entry.name))
    return members


def wait_until_gone(group: int) -> list[int]:
    """Those that are still there when there was time enough to end."""
    deadline = time.monotonic() + _PATIENCE
    while (left := group_members(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
