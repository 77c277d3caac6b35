"""Writing files so that a crash, a full disk or a second writer never leaves half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from promptlift.errors import OutputError

__all__ = ["replacing", "write_atomic"]


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
