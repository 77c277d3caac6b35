"""Writing files so that nothing ever leaves half of one, and naming them by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
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
    """Give a temporary path beside `path`; on success it takes its place, else it is removed.

    The temporary file keeps the suffix, so that writers that go by it work.

    Raises:
        OutputError: The folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    temporary = path.with_name(f".promptlift-{secrets.token_hex(8)}{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all, and have it on the disk on return.

    Raises:
        OutputError: It cannot be written there.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _output_error(path: Path, error: OSError) -> OutputError:
    if isinstance(error, IsADirectoryError):
        what, remedy = "it is a folder", "give a file name"
    elif isinstance(error, FileNotFoundError):
        what, remedy = f"there is no folder {str(path.parent)!r}", "make it first"
    else:
        what, remedy = error.strerror or str(error), "choose another place or make room"
    return OutputError(f"cannot write {str(path)!r}: {what}", remedy=remedy)
