"""Writing files so that nothing ever leaves half of one, and naming them by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from promptlift.errors import OutputError

__all__ = ["content_id", "replacing", "write_atomic"]

_WHOLE_BYTES = 64 * 2**20
_BLOCK_BYTES = 2**20
_BLOCKS = 18


def content_id(file: BinaryIO, size: int) -> str:
    """Name the content: ``sha256:<hex>``, or ``sha256-sampled:<hex>`` above 64 MiB.

    The sampled hash covers the size and 18 blocks of 1 MiB: the head, the tail and 16 evenly
    spaced ones, so that a file of any size is named in a fraction of a second. A video and a
    model are named the same way.

    Args:
        file: Can be sought; whoever else reads it goes on where he was.
        size: Its bytes.
    """
    place = file.tell()
    try:
        if size <= _WHOLE_BYTES:
            return f"sha256:{_digest_of_all(file)}"
        return f"sha256-sampled:{_digest_of_parts(file, size)}"
    finally:
        file.seek(place)


def _digest_of_all(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _digest_of_parts(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    for part in range(_BLOCKS):
        file.seek((size - _BLOCK_BYTES) * part // (_BLOCKS - 1))
        digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; on success its content goes to `path`, else nowhere.

    A new file gets the mode that the umask gives, and a file that is replaced keeps its own. A
    symlink stays, and the file that it points to is replaced. What exists and is no regular file,
    such as a FIFO or a device, is written into. The temporary file keeps the suffix, so that
    writers that go by it work.

    Raises:
        OutputError: The folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    try:
        there = _status(path)
        target = Path(os.path.realpath(path))
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError
        if there is None or (stat.S_ISREG(there.st_mode) and _is_at(there, target)):
            with _beside(target, there) as temporary:
                yield temporary
        else:
            with tempfile.TemporaryDirectory(prefix="promptlift-") as folder:
                temporary = Path(folder) / f"output{path.suffix}"
                yield temporary
                _write_into(path, temporary)
    except OSError as error:
        raise _output_error(path, error) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` as `replacing` does, and have it on the disk on return.

    Raises:
        OutputError: It cannot be written there.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _status(path: Path) -> os.stat_result | None:
    """The status of what is at a path, links followed; None where nothing is."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_at(there: os.stat_result, target: Path) -> bool:
    """Whether a resolved path leads to the same file; /dev/stdout may name one that is gone."""
    status = _status(target)
    return status is not None and os.path.samestat(status, there)


@contextlib.contextmanager
def _beside(target: Path, there: os.stat_result | None) -> Iterator[Path]:
    temporary = target.with_name(f".promptlift-{secrets.token_hex(8)}{target.suffix}")
    try:
        # What takes a file's place is never readable by more people than the file was.
        temporary.touch(mode=0o666 if there is None else 0o600, exist_ok=False)
        yield temporary
        if there is not None:
            temporary.chmod(stat.S_IMODE(there.st_mode))
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_into(path: Path, source: Path) -> None:
    # Without O_CREAT: where it is gone by now, no regular file comes in its place.
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOCTTY)
    with source.open("rb") as data, open(descriptor, "wb") as sink:  # noqa: PTH123
        shutil.copyfileobj(data, sink)


def _output_error(path: Path, error: OSError) -> OutputError:
    if isinstance(error, IsADirectoryError):
        what, remedy = "it is a folder", "give a file name"
    elif isinstance(error, FileNotFoundError):
        folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
        what, remedy = f"there is no folder {str(folder)!r}", "make it first"
    else:
        what, remedy = error.strerror or str(error), "choose another place or make room"
    return OutputError(f"cannot write {str(path)!r}: {what}", remedy=remedy)
