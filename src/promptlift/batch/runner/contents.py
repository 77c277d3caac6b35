"""What files hold: each is hashed once a run, however many rows it has."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from promptlift.batch.journal import lines
from promptlift.errors import VideoError
from promptlift.frames.source import content_of
from promptlift.pipeline.seeing import Runner

__all__ = ["Contents", "Write", "unread"]

Write = Callable[[bytes], Awaitable[None]]

_Stamped = tuple[str, int, int]
_REMEMBERED = 10_000  # what is forgotten is soon known from the journal


def unread(path: str) -> str:
    """What stands for the content of a file that cannot be read."""
    return f"unread:{path}"


class Contents:
    """Hashes files and notes in the journal what they held.

    Args:
        run: Where videos are read.
        write: Puts a line into the journal.
    """

    def __init__(self, run: Runner, write: Write) -> None:
        self._run = run
        self._write = write
        self._known: OrderedDict[_Stamped, asyncio.Task[str]] = OrderedDict()

    async def of(self, path: str) -> str:
        """Hash of a file's content with its kind before the colon; see `unread`."""
        stamp = _stamp(path)
        if stamp is None:
            return unread(path)
        task = self._known.get(stamp)
        if task is None:
            task = self._known[stamp] = asyncio.create_task(self._hashed(stamp))
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return await asyncio.shield(task)

    async def _hashed(self, stamp: _Stamped) -> str:
        path = stamp[0]
        try:
            content = await self._run(content_of, path)
        except VideoError:
            return unread(path)
        if _stamp(path) == stamp:  # else it is being written
            await self._write(lines.video_line(*stamp, content))
        return content


def _stamp(path: str) -> _Stamped | None:
    """Path, size and time of change; None where there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path may be no text, which Path takes badly
    except (OSError, ValueError):
        return None
    return path, status.st_size, status.st_mtime_ns
