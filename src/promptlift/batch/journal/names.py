"""What a writer is called, and whether the process of that name still runs."""

from __future__ import annotations

import os
import re
import secrets
import socket

__all__ = ["here", "new_name", "process_of", "runs"]

_NAME = re.compile(r"(?P<host>[A-Za-z0-9._]+)-(?P<pid>\d{1,18})-[0-9a-f]{8}")


def here() -> str:
    """This machine's name as it stands in a writer's."""
    return re.sub(r"[^A-Za-z0-9._]", "_", socket.gethostname())[:64] or "host"


def new_name() -> str:
    """``<host>-<pid>-<random>``, for a writer of this process."""
    return f"{here()}-{os.getpid()}-{secrets.token_hex(4)}"


def process_of(name: str) -> tuple[str, int] | None:
    """The machine and the process of a writer's name; None for what is none."""
    found = _NAME.fullmatch(name)
    return None if found is None else (found["host"], int(found["pid"]))


def runs(pid: int) -> bool:
    """Whether this machine has a process of that number, whoever's it is."""
    import psutil

    try:
        return bool(psutil.pid_exists(pid))
    except OverflowError:
        return False
