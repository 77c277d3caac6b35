"""Files: written whole or not at all, named by their content; the user's cache; templates."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from promptlift.errors import OutputError

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "GIT_LFS_REMEDY",
    "LFS_POINTER",
    "cache_folder",
    "check_folder",
    "content_id",
    "html_templates",
    "replacing",
    "write_atomic",
]

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that stands for another, which a clone without Git LFS leaves out."""
GIT_LFS_REMEDY = "run `git lfs pull` in its repository"

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
    sampled = size > _WHOLE_BYTES
    digest = hashlib.sha256(str(size).encode() if sampled else b"")
    try:
        if sampled:
            for part in range(_BLOCKS):
                file.seek((size - _BLOCK_BYTES) * part // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
            return f"sha256-sampled:{digest.hexdigest()}"
        file.seek(0)
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        return f"sha256:{digest.hexdigest()}"
    finally:
        file.seek(place)


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
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError
        if target.is_file() or not path.exists():
            with _beside(target) as temporary:
                yield temporary
            return
        with tempfile.TemporaryDirectory(prefix="promptlift-") as folder:
            temporary = Path(folder) / f"output{path.suffix}"
            yield temporary
            # Without O_CREAT: if it is gone by now, no regular file takes its place.
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOCTTY)
            with temporary.open("rb") as data, open(descriptor, "wb") as sink:  # noqa: PTH123
                shutil.copyfileobj(data, sink)
    except OSError as error:
        if isinstance(error, IsADirectoryError):
            what, remedy = "it is a directory", "pass the name of a file in it"
        elif isinstance(error, FileNotFoundError):
            folder = str((target if path.is_symlink() else path).parent)
            what, remedy = (
                f"there is no directory {folder!r}",
                f"run `mkdir -p {shlex.quote(folder)}` first",
            )
        else:
            what = error.strerror or str(error)
            remedy = "free disk space, or choose another path"
        raise OutputError(f"cannot write {str(path)!r}: {what}", remedy=remedy) from error


def check_folder(output: Path | None) -> None:
    """See that the folder of an output is there, before anything is spent on it.

    Raises:
        OutputError: It is not.
    """
    if output is not None and not output.parent.is_dir():
        folder = str(output.parent)
        raise OutputError(
            f"there is no directory {folder!r}",
            remedy=f"run `mkdir -p {shlex.quote(folder)}` first",
        )


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    temporary = target.with_name(f".promptlift-{secrets.token_hex(8)}{target.suffix}")
    try:
        # What replaces a file is never readable by more people than the file was.
        temporary.touch(mode=0o666 if mode is None else 0o600, exist_ok=False)
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` as `replacing` does, and have it on the disk on return.

    Raises:
        OutputError: It cannot be written there.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def cache_folder() -> Path:
    """The directory of what can be made again: ``PROMPTLIFT_CACHE``, or one in the user's cache."""
    import platformdirs

    return Path(os.environ.get("PROMPTLIFT_CACHE") or platformdirs.user_cache_dir("promptlift"))


def html_templates(package: str) -> Environment:
    """The HTML templates of a package; every value is escaped, and a missing one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
