"""What every input is."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from promptlift.batch.rows import Row
from promptlift.errors import InputError

__all__ = ["Input", "file_stamp", "shown", "unreadable"]

_FINE_NS = 50_000_000
_COARSE_NS = 2_000_000_000
_LONGEST = 60  # characters of what an input says that a message shows


class Input(Protocol):
    """Rows from somewhere."""

    @property
    def description(self) -> str:
        """What it is, such as an absolute path or pattern; its hash names the reading."""
        ...

    @property
    def stamp(self) -> Any:
        """What tells that the input is unchanged, as a JSON value.

        An earlier complete reading with the same stamp is used again. None where nothing tells,
        such as for a folder. Asked before a reading and after it: an input that finds while it is
        read that its rows depend on more than itself gives None from then on.
        """
        ...

    def rows(self) -> Iterator[Row]:
        """The rows, one after the other; memory does not grow with their number.

        Raises:
            InputError: The input is wholly wrong; before the first row.
        """
        ...


def file_stamp(path: Path) -> list[Any] | None:
    """Absolute path, bytes and time of change in ns; None where these would not tell a change.

    That is for what is no regular file, and for one changed so recently that another change could
    bear the same time: some file systems count in seconds.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    tick = _COARSE_NS if status.st_mtime_ns % 1_000_000_000 == 0 else _FINE_NS
    if not stat.S_ISREG(status.st_mode) or time.time_ns() - status.st_mtime_ns < tick:
        return None
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]  # noqa: PTH100 - no links followed


def unreadable(path: Path | str, error: OSError) -> InputError:
    """The error for an input that the system does not let be read."""
    return InputError(
        f"cannot read {str(path)!r}: {error.strerror or error}",
        remedy="check the path and its permissions",
    )


def shown(text: str) -> str:
    """The beginning of a text, quoted, for a message."""
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")
