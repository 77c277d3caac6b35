"""Open a video safely: regular local files and bytes only, known by what they hold.

Nothing here, and nothing that reads through it, follows a name that stands inside a file.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from promptlift.errors import VideoNotFound, VideoRefused, VideoUnreadable
from promptlift.files import content_id

__all__ = ["DEFAULT_LIMITS", "Limits", "Opened", "Picture", "Source", "content_of", "open_source"]

Picture: TypeAlias = str | os.PathLike[str] | bytes
Source: TypeAlias = Picture | Sequence[Picture]

_HEAD_BYTES = 64 * 1024
_LONGEST_NAME = 200  # characters of a path in a message


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is taken on before it is refused.

    Attributes:
        max_pixels: Most pixels of one decoded picture; the default takes 8192x8192.
        max_bytes: Most bytes of one file.
    """

    max_pixels: int = 8192 * 8192 * 11 // 10
    max_bytes: int = 64 * 2**30


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that is open for reading.

    Attributes:
        file: The bytes; closed by whoever called `open_source`.
        name: What to call it in a message, safe to print.
        size: Length in bytes.
        head: The first 64 KiB.
    """

    file: BinaryIO
    name: str
    size: int
    head: bytes


def open_source(source: Picture, limits: Limits = DEFAULT_LIMITS) -> Opened:
    """Open a regular file, or bytes, for reading.

    Raises:
        VideoNotFound: There is no such file, or it may not be read.
        VideoRefused: It is a directory, a pipe or a device, or it is too large.
        VideoUnreadable: It is empty.
    """
    name = "the given bytes" if isinstance(source, bytes) else printable(os.fspath(source))
    file = io.BytesIO(source) if isinstance(source, bytes) else _open_path(source, name)
    try:
        size = file.seek(0, io.SEEK_END)
        _check_size(name, size, limits)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Opened(file, name, size, head)


def content_of(path: str | os.PathLike[str]) -> str:
    """Hash of a file's content, see `promptlift.files.content_id`; nothing is decoded.

    Raises:
        VideoError: It cannot be read.
    """
    opened = open_source(path)
    with opened.file as file:
        return content_id(file, opened.size)


def printable(name: str) -> str:
    """Give a file name without control characters and undecodable bytes, for messages."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= _LONGEST_NAME else f"...{shown[-_LONGEST_NAME:]}"


def _open_path(path: str | os.PathLike[str], name: str) -> BinaryIO:
    # The kind is checked before opening, because opening a device can do something, and again
    # on the open file, because the name may mean another file by then. O_NONBLOCK keeps the
    # open of a named pipe from waiting for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        _check_regular(name, Path(path).stat().st_mode)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _cannot_open(name, error) from error
    try:
        _check_regular(name, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb", buffering=0)


def _cannot_open(name: str, error: Exception) -> VideoNotFound:
    code = getattr(error, "errno", None)
    if code in (errno.ENOENT, errno.ENOTDIR):
        return VideoNotFound(f"{name}: no such file", remedy="check the name and the folder")
    if code in (errno.EACCES, errno.EPERM):
        return VideoNotFound(
            f"{name}: no permission to read it", remedy="make the file readable for this user"
        )
    reason = getattr(error, "strerror", None) or str(error)
    return VideoNotFound(f"{name}: cannot be opened ({reason})", remedy="check the name")


def _check_regular(name: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    kind = next((text for is_kind, text in kinds if is_kind(mode)), "a device")
    raise VideoRefused(
        f"{name}: it is {kind}, not a file", remedy="give a regular file, or the bytes themselves"
    )


def _check_size(name: str, size: int, limits: Limits) -> None:
    if size == 0:
        raise VideoUnreadable(f"{name}: it is empty", remedy="copy or download the file again")
    if size > limits.max_bytes:
        raise VideoRefused(
            f"{name}: {size} bytes are more than the limit of {limits.max_bytes}",
            remedy="cut the video, or raise the limit",
        )
