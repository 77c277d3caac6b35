"""A file that only grows, in which a write that failed leaves nothing that counts."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import zlib
from pathlib import Path

__all__ = ["Part", "is_full"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room, and may go away by itself."""
    return error.errno in _FULL


class Part:
    """Opens a file to append to it and to read it back; its methods may be called by any thread.

    Args:
        path: The file.
        new: Whether it is made, or there and only read.

    Attributes:
        path: As given.
        sum: CRC-32 of what has been appended.

    Raises:
        OSError: From every method: what the system says. The same call may be made again.
    """

    def __init__(self, path: Path, *, new: bool) -> None:
        self.path = path
        self.sum = 0
        self._lock = threading.Lock()
        self._end = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC if new else os.O_RDONLY
        self._handle: int | None = os.open(path, flags | os.O_CLOEXEC, 0o644)

    def append(self, data: bytes) -> int:
        """Write behind the last write that succeeded, over what a failed one may have left.

        Returns:
            Where the data begin.
        """
        with self._lock:
            start = self._end
            view = memoryview(data)
            while view:
                view = view[os.pwrite(self._open(), view, start + len(data) - len(view)) :]
            self._end += len(data)
            self.sum = zlib.crc32(data, self.sum)
            return start

    def read(self, start: int, size: int) -> bytes:
        """The bytes there; fewer at the end of the file, none once it is closed."""
        with self._lock:
            return b"" if self._handle is None else os.pread(self._handle, size, start)

    def sync(self) -> None:
        """Have all of it on the disk."""
        try:
            os.fsync(self._open())
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise

    def close(self) -> None:
        """Give the file back; safe to call twice."""
        with self._lock, contextlib.suppress(OSError):
            handle, self._handle = self._handle, None
            if handle is not None:
                os.close(handle)

    def _open(self) -> int:
        if self._handle is None:
            raise OSError(errno.EBADF, "it has been closed")
        return self._handle
