"""Append results to JSONL parts, one writer per file.

A part is a text file of one JSON object per line. A writer appends to its last part only and begins
a new one after `part_bytes` or `part_seconds`; the earlier parts never change again, so they can be
copied to an object store once each. Nothing is locked, which also works on NFS.

A kill loses nothing that was written, because the kernel has it; a power cut loses what was written
since the last fsync (one second). A failed fsync may have dropped any line since the last good one,
on network file systems without another sign, so these lines are held until then and written again.

==========  =====================================================  =============================
kind        fields                                                 when
==========  =====================================================  =============================
writer      turn, writer, at, host, pid, promptlift, schema        first line of every part
video       path, size, mtime_ns, content                          a file was hashed
row         row, key                                               a row was found to be an item
result      key, status, code, retryable, at, record               an item is answered or failed
progress    at, counts                                             every ten seconds, at the end
end         at, reason                                             the writer ended by itself
==========  =====================================================  =============================

``row`` is a row's digest (32 hexadecimal digits), ``key`` an item's key (64), ``at`` seconds since
1970, for people only. Later is what has the higher *turn*, one more than the highest in the folder
when the writer began, so a clock that jumps changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self, TypeAlias

import msgspec

from promptlift import __version__
from promptlift.errors import OutputError
from promptlift.record import Record

__all__ = [
    "SCHEMA",
    "EndLine",
    "ItemStatus",
    "Line",
    "PartName",
    "PartWriter",
    "ProgressLine",
    "ResultLine",
    "RowLine",
    "StoreFull",
    "VideoLine",
    "WriterLine",
    "path_text",
    "process_runs",
    "sync_file",
    "sync_folder",
    "this_host",
    "writer_process",
]

SCHEMA: Final = 1
"""Version of the folder's format; grows with a change that an older reader would misunderstand."""

ItemStatus = Literal["ok", "repaired", "unchanged", "rejected", "failed"]

_PART_BYTES = 8 << 20
_SYNC_SECONDS = 1.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_encode_lines = msgspec.json.Encoder().encode_lines
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING = _FULL | {errno.EIO, errno.ETIMEDOUT, errno.ESTALE}


class StoreFull(OutputError):
    """A line could not be written now; the same line may be written later."""

    retryable: ClassVar[bool] = True


def _now() -> float:
    return round(time.time(), 3)


class WriterLine(msgspec.Struct, tag_field="kind", tag="writer"):
    """Who writes a part."""

    turn: int
    writer: str
    host: str
    pid: int
    promptlift: str = __version__
    schema: int = SCHEMA
    at: float = msgspec.field(default_factory=_now)


class VideoLine(msgspec.Struct, tag_field="kind", tag="video"):
    """What a path, as `path_text` gives it, held with this size and this time of change."""

    path: str
    size: int
    mtime_ns: int
    content: str


class RowLine(msgspec.Struct, tag_field="kind", tag="row"):
    """The row with this digest is the item with this key."""

    row: str
    key: str


class ResultLine(msgspec.Struct, tag_field="kind", tag="result"):
    """An item's result.

    Attributes:
        key: The item's key, 64 hexadecimal digits.
        status: What became of the item.
        code: Of the failure or of the first failed check; None for neither.
        retryable: Whether a rerun asks again.
        record: A `promptlift.record.Record` as JSON text, which is not parsed here.
        at: Seconds since 1970.
    """

    key: str
    status: str
    code: str | None
    retryable: bool
    record: msgspec.Raw
    at: float = msgspec.field(default_factory=_now)

    @classmethod
    def of(cls, record: Record) -> Self:
        """The result of an item's record, which has a key and is not only planned."""
        error, code = record.error, None
        assert record.key is not None, "an item has a key"
        if error is not None:
            code = error.code
        elif record.status == "rejected" and record.review is not None:
            code = next((check.name for check in record.review.checks if not check.passed), None)
        text = msgspec.Raw(record.model_dump_json().encode())
        return cls(record.key, record.status, code, error is not None and error.retryable, text)


class ProgressLine(msgspec.Struct, tag_field="kind", tag="progress"):
    """How far a writer is; see `promptlift.batch.progress.BatchProgress.counts`."""

    counts: dict[str, Any]
    at: float = msgspec.field(default_factory=_now)


class EndLine(msgspec.Struct, tag_field="kind", tag="end"):
    """Why a writer ended."""

    reason: str
    at: float = msgspec.field(default_factory=_now)


Line: TypeAlias = WriterLine | VideoLine | RowLine | ResultLine | ProgressLine | EndLine


def path_text(path: str) -> str:
    """A path as it stands in a line: itself, or its bytes in hexadecimal where it is no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"bytes:{path.encode(errors='surrogatepass').hex()}"
    return path


class PartName(NamedTuple):
    """The name of a part; they sort in the order of writing.

    Attributes:
        turn: Of the writer.
        writer: ``<host>-<pid>-<random>``.
        number: Of the part, from 0.
    """

    turn: int
    writer: str
    number: int

    @classmethod
    def parse(cls, file_name: str) -> Self | None:
        """The name that a file has; None for a file that is no part."""
        found = _PART_NAME.fullmatch(file_name)
        return None if found is None else cls(int(found[1]), found[2], int(found[3]))

    def __str__(self) -> str:
        return f"{self.turn:05}.{self.writer}.{self.number:05}.jsonl"


_PART_NAME = re.compile(r"(\d{1,12})\.([A-Za-z0-9._]+-\d{1,9}-[0-9a-f]{8})\.(\d{1,12})\.jsonl")


def this_host() -> str:
    """This machine's name as it stands in a writer's name."""
    return re.sub(r"[^A-Za-z0-9._]", "_", socket.gethostname())[:64] or "host"


def writer_process(name: str) -> tuple[str, int]:
    """Host and process of a writer, by its name."""
    host, pid, _ = name.rsplit("-", 2)
    return host, int(pid)


def process_runs(pid: int) -> bool:
    """Whether this machine has a process of that number, whoever's it is."""
    import psutil

    return bool(psutil.pid_exists(pid))


def sync_file(handle: int) -> None:
    """Have a file on the disk, where the file system can do that. Raises `OSError`."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the file system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class PartWriter:
    """Appends lines to the parts of one writer. Methods may be called from any thread.

    Args:
        folder: Where the parts are.
        turn: One more than the highest in the folder.
        part_bytes: A part of this size is complete.
        part_seconds: A part of this age is complete; None for any age.
        sync_seconds: A written line is on the disk within this time.

    Attributes:
        name: ``<host>-<pid>-<random>``.
        turn: As given.

    Raises:
        OutputError: The first part cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        turn: int,
        part_bytes: int = _PART_BYTES,
        part_seconds: float | None = None,
        sync_seconds: float = _SYNC_SECONDS,
    ) -> None:
        self.name = f"{this_host()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.turn = turn
        self._folder = folder
        self._part_bytes = part_bytes
        self._part_seconds = part_seconds
        self._sync_seconds = sync_seconds
        self._lock = threading.Lock()
        self._number = -1
        self._handle: int | None = None
        self._size = 0  # of the last part, without its first line
        self._began = 0.0
        self._torn = False
        self._unsynced = bytearray()
        self._doubtful = False
        self._closing = threading.Event()
        self._begin_part()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="results")
        self._syncer = threading.Thread(target=self._sync_often, name="results-sync", daemon=True)
        self._syncer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The part that was begun last."""
        return self._folder / str(PartName(self.turn, self.name, self._number))

    def append(self, *lines: Line) -> Path:
        """Write lines, in one write.

        Returns:
            The part that they are in.

        Raises:
            StoreFull: The disk is full or does not answer; the lines are not there.
            OutputError: The part cannot be written to any more.
            ValueError: The writer is closed.
        """
        data = _encode_lines(lines)
        with self._lock:
            if self._closing.is_set():
                raise ValueError("the writer is closed")
            if self._is_complete():
                self._finish_part()
            if self._handle is None:
                self._begin_part()
            self._write(data)
            return self.path

    async def write(self, *lines: Line, on_full: Callable[[StoreFull], None] | None = None) -> Path:
        """Write lines without blocking the event loop, and wait while the disk is full.

        Cancelling it ends the waiting; a write that was begun is done.

        Args:
            lines: Lines of this module.
            on_full: Called each time that there is no room.

        Returns:
            The part that they are in.

        Raises:
            OutputError: The part cannot be written to any more.
        """
        pause_s = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._executor, self.append, *lines)
            except StoreFull as error:
                if on_full is not None:
                    on_full(error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Have everything on the disk; safe to call twice.

        Raises:
            OutputError: The last lines may not be on the disk.
        """
        self._executor.shutdown()
        self._closing.set()
        self._syncer.join()
        with self._lock:
            if self._handle is not None:
                self._finish_part()

    def _begin_part(self) -> None:
        path = self._folder / str(PartName(self.turn, self.name, self._number + 1))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._handle = os.open(path, flags, 0o666)
        except OSError as error:
            raise self._error(error, path) from error
        sync_folder(path.parent)
        self._number += 1
        self._began, self._torn = time.monotonic(), False
        first = WriterLine(self.turn, self.name, socket.gethostname(), os.getpid())
        self._write(_encode_lines([first]))
        self._size = 0

    def _is_complete(self) -> bool:
        if not self._size:
            return False
        age = time.monotonic() - self._began
        old = self._part_seconds is not None and age >= self._part_seconds
        return old or self._size >= self._part_bytes

    def _finish_part(self) -> None:
        assert self._handle is not None, "a part was begun"
        self._sync()
        os.close(self._handle)
        self._handle, self._size = None, 0

    def _write(self, data: bytes) -> None:
        assert self._handle is not None, "a part was begun"
        # A write that failed may have left a piece, and a fsync that failed may have dropped any
        # line since the last good one: these are written again, and may well be there twice.
        start = (b"\n" if self._torn else b"") + (self._unsynced if self._doubtful else b"")
        self._torn = True
        try:
            written = os.write(self._handle, start + data)
        except OSError as error:
            raise self._error(error) from error
        self._size += written
        if written < len(start + data):
            raise self._error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._torn = self._doubtful = False
        self._unsynced += data

    def _sync_often(self) -> None:
        # Half of the window is left for the fsync itself.
        while not self._closing.wait(self._sync_seconds / 2):
            with contextlib.suppress(OutputError), self._lock:
                if self._is_complete():
                    self._finish_part()
                    self._begin_part()  # a part with a successor is known to be complete
                elif self._handle is not None and self._unsynced:
                    self._sync()

    def _sync(self) -> None:
        assert self._handle is not None, "a part was begun"
        if self._doubtful:
            self._write(b"")
        try:
            sync_file(self._handle)
        except OSError as error:
            self._doubtful = True
            raise self._error(error) from error
        self._unsynced.clear()

    def _error(self, error: OSError, path: Path | None = None) -> OutputError:
        why = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        message = f"cannot write to {str(path or self.path)!r}: {why}"
        if error.errno in _PASSING:
            return StoreFull(message, remedy="make room; the run goes on by itself")
        return OutputError(message, remedy="run the same command again once the disk is well")
