"""The folder of a run: made where it is missing, refused where it is something else."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from promptlift.errors import OutputError

__all__ = ["ANSWERS", "INPUTS", "MANIFEST", "SEGMENTS", "open_folder", "sync_folder"]

MANIFEST = "manifest.json"
SEGMENTS = "segments"
INPUTS = "inputs"
ANSWERS = "answers"

_OURS = {MANIFEST, SEGMENTS, INPUTS, ANSWERS}
_OF_THE_DISK = {"lost+found"}
_NAMED = 3


def open_folder(run_dir: Path) -> None:
    """Make the folder of a run, or see that it is one and can be written to.

    Raises:
        OutputError: It is a file, it may not be written to, or it holds other things.
    """
    try:
        if run_dir.exists():
            _refuse_strange(run_dir)
        for folder in (run_dir, run_dir / SEGMENTS, run_dir / INPUTS):
            _make(folder)
    except FileExistsError as error:
        raise _refused(Path(error.filename), "it is a file, not a folder") from error
    except NotADirectoryError as error:
        raise _refused(run_dir, "a part of that path is a file") from error
    except OSError as error:
        raise _refused(run_dir, error.strerror or str(error)) from error
    if not os.access(run_dir / SEGMENTS, os.W_OK | os.X_OK):
        raise _refused(run_dir, "it may not be written to")


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; in vain where a file system does not offer it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.parent)


def _refuse_strange(run_dir: Path) -> None:
    if not run_dir.is_dir():
        raise FileExistsError(errno.EEXIST, "it is a file", str(run_dir))
    names = sorted(entry.name for entry in run_dir.iterdir())
    strange = [n for n in names if n not in _OURS | _OF_THE_DISK and not n.startswith(".")]
    if strange and MANIFEST not in names:
        named = ", ".join(repr(name) for name in strange[:_NAMED])
        more = f" and {len(strange) - _NAMED} more" if len(strange) > _NAMED else ""
        raise OutputError(
            f"{str(run_dir)!r} is not the folder of a run: it holds {named}{more}",
            remedy="name a new or an empty folder",
        )


def _refused(folder: Path, why: str) -> OutputError:
    return OutputError(
        f"cannot keep a run in {str(folder)!r}: {why}",
        remedy="name a folder that can be written to",
    )
