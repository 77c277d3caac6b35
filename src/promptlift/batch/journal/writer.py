"""Write one segment: every line one write, on the disk within a second, whatever the disk does.

A kill loses nothing that was written, because the system has it; a power cut loses what was
written since the last fsync. An error in the middle of a line leaves a torn piece: the next line
begins on a line of its own. An error of fsync may have dropped any line since the last good one,
on network file systems without another sign, so these are kept until then and written again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from promptlift import __version__
from promptlift.batch.journal import lines
from promptlift.batch.journal.aside import Aside
from promptlift.batch.journal.folder import SEGMENTS, sync_folder
from promptlift.batch.journal.names import new_name
from promptlift.errors import OutputError

__all__ = ["JournalFull", "Writer"]

_WINDOW_S = 1.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING = _FULL | {errno.EIO, errno.ETIMEDOUT, errno.ESTALE}
_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


class JournalFull(OutputError):
    """A line could not be written now; the same line may be written later."""

    retryable: ClassVar[bool] = True


class Writer:
    """One process's segment; its methods may be called from any thread.

    Args:
        run_dir: A folder that `open_folder` has opened.
        turn: One more than the highest in the folder.
        window_s: Seconds within which a written line is on the disk.

    Attributes:
        name: ``<host>-<pid>-<random>``, the segment's name without its suffix.
        path: The segment.
        turn: As given.

    Raises:
        OutputError: The segment cannot be made.
        JournalFull: It can, but its first line does not fit on the disk.
    """

    def __init__(self, run_dir: Path, *, turn: int, window_s: float = _WINDOW_S) -> None:
        self.name = new_name()
        self.path = run_dir / SEGMENTS / f"{self.name}.jsonl"
        self.turn = turn
        self._window_s = window_s
        self._lock = threading.Lock()
        self._torn = False
        self._unsynced: list[bytes] = []
        self._doubtful = False
        self._full = False
        self._told = False
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._handle = _new_segment(self.path)
        try:
            self.append(self._first_line())
        except OutputError:
            os.close(self._handle)
            self.path.unlink(missing_ok=True)
            raise
        self._aside = Aside("journal")
        self._syncer = threading.Thread(target=self._keep_synced, name="journal-sync", daemon=True)
        self._syncer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def full(self) -> bool:
        """Whether the last line that was tried did not fit on the disk."""
        return self._full

    def video(self, path: str, size: int, mtime_ns: int, content: str) -> None:
        """Note what a path holds. Raises as `append`."""
        self.append(lines.video_line(path, size, mtime_ns, content))

    def row(self, digest: str, key: str) -> None:
        """Note which item a row is. Raises as `append`."""
        self.append(lines.row_line(digest, key))

    def result(
        self,
        key: str,
        state: lines.State,
        code: str | None,
        retryable: bool,
        record_json: bytes | str,
    ) -> None:
        """Note an item's result; see `lines.result_line`. Raises as `append`."""
        line = lines.result_line(key, state, code, retryable, record_json, at=now())
        self.append(line)

    def beat(self, counts: Mapping[str, Any]) -> None:
        """Note how far the run is. Raises as `append`."""
        self.append(lines.encode("beat", {"at": now(), "counts": dict(counts)}))

    def end(self, reason: str) -> None:
        """Note why the writer ends. Raises as `append`."""
        self.append(lines.encode("end", {"at": now(), "reason": reason}))

    def append(self, line: bytes) -> None:
        """Write one line of `lines`, in one write.

        Raises:
            JournalFull: The disk is full or does not answer; the line is not there.
            OutputError: The segment cannot be written to any more.
            ValueError: The writer is closed.
        """
        with self._lock:
            if self._closing.is_set():
                raise ValueError("the writer is closed")
            self._full = True
            self._mend()
            self._write(line)
            self._unsynced.append(line)
            self._full = self._told = False
        self._dirty.set()

    async def append_waiting(
        self, line: bytes, told: Callable[[JournalFull], None] | None = None
    ) -> None:
        """Write one line without holding up the loop, and wait for room where there is none.

        Cancelling it ends the waiting for room; the write itself is carried to its end.

        Args:
            line: One line of `lines`.
            told: Called once each time that the disk becomes full, however many lines wait.

        Raises:
            OutputError: The segment cannot be written to any more.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._aside.do(partial(self.append, line))
            except JournalFull as error:
                if told is not None and not self._told:
                    self._told = True
                    told(error)
            else:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Have everything on the disk and let go of the segment; safe to call twice.

        Raises:
            OutputError: The last lines may not be on the disk.
        """
        self._aside.close()
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
        self._dirty.set()
        self._syncer.join()
        try:
            self._sync()
        finally:
            os.close(self._handle)

    def _first_line(self) -> bytes:
        return lines.encode(
            "run",
            {
                "turn": self.turn,
                "writer": self.name,
                "at": now(),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "promptlift": __version__,
                "schema": lines.SCHEMA,
            },
        )

    def _write(self, line: bytes) -> None:
        data = b"\n" + line if self._torn else line
        self._torn = True
        try:
            written = os.write(self._handle, data)
        except OSError as error:
            raise self._error(error) from error
        if written < len(data):
            raise self._error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._torn = False

    def _mend(self) -> None:
        """Write again what a failed fsync may have dropped; twice is no harm in a journal."""
        if self._doubtful:
            for line in self._unsynced:
                self._write(line)
            self._doubtful = False

    def _keep_synced(self) -> None:
        # `close` says that it closes before it wakes this thread. So its waking may be cleared away
        # here together with that of a line, and the closing is then seen at the next turn.
        while not self._closing.is_set():
            self._dirty.wait()
            # Half of the window is left for the fsync itself.
            if self._closing.wait(self._window_s / 2):
                return
            self._dirty.clear()
            try:
                self._sync()
            except OutputError:
                self._dirty.set()

    def _sync(self) -> None:
        with self._lock:
            self._mend()
            count = len(self._unsynced)
        try:
            os.fsync(self._handle)
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                with self._lock:
                    self._doubtful = bool(self._unsynced)
                raise self._error(error) from error
        with self._lock:
            del self._unsynced[:count]

    def _error(self, error: OSError) -> OutputError:
        why = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        message = f"cannot write to {str(self.path)!r}: {why}"
        if error.errno in _PASSING:
            return JournalFull(message, remedy="make room; the run goes on by itself")
        return OutputError(message, remedy="run the same command again once the disk is well")


def now() -> float:
    """Seconds since 1970 to the millisecond, for people only."""
    return round(time.time(), 3)


def _new_segment(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        raise OutputError(
            f"cannot begin the segment {str(path)!r}: {error.strerror}",
            remedy="name a folder that can be written to",
        ) from error
    sync_folder(path.parent)
    return handle
