"""Exports as a folder: the long prompt as NAME.txt and the record as NAME.json for every row.

They are not written beside the videos: there a ``.txt`` is where the *short* prompt is read from,
so that the next reading of the folder would take the result for the question. Since a row without
an id gives its video's name, the folder serves as the ``metas`` beside a folder ``videos``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from promptlift.batch.export.names import Names
from promptlift.batch.outcomes import Outcome
from promptlift.batch.plain import compact, plain_text
from promptlift.errors import OutputError

__all__ = ["LISTING", "check_folder", "write_sidecars"]

LISTING = "promptlift-sidecars.jsonl"
"""Says which row each file belongs to, and by that which files are ours. Written last."""


def check_folder(folder: Path) -> None:
    """See that the folder is new, empty, or holds an export that nobody has touched since.

    Raises:
        OutputError: It holds something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{str(folder)!r} is a file", remedy="name a folder for --form sidecars")
    known, written_at = _listed(folder)
    for entry in sorted(folder.iterdir()):
        if not entry.is_file() or entry.is_symlink():
            why = "which is no regular file"
        elif entry.name not in known:
            why = "which is not from an earlier export"
        elif entry.stat().st_mtime_ns > written_at:
            why = "which was changed since it was exported"
        else:
            continue
        raise OutputError(
            f"the folder {str(folder)!r} holds {entry.name!r}, {why}",
            remedy="name a new folder, or move the file away",
        )


def write_sidecars(
    rows: Iterable[tuple[Outcome, dict[str, Any] | None]], folder: Path, *, record: bool = True
) -> int:
    """Write the folder beside, then put it in the place of an earlier one; gives the rows.

    Args:
        rows: Outcomes with their records.
        folder: Where to; its parent is there.
        record: Whether the records are written as well.

    Raises:
        OutputError: It cannot be written, or holds other things; see `check_folder`.
    """
    folder = folder.resolve()
    check_folder(folder)
    temporary = folder.with_name(f".promptlift-{secrets.token_hex(8)}")
    try:
        temporary.mkdir()
        count = _fill(temporary, rows, record=record)
        check_folder(folder)
        _swap(temporary, folder)
    except OSError as error:
        raise OutputError(
            f"cannot write the folder {str(folder)!r}: {error.strerror or error}",
            remedy="choose another place or make room",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


def _fill(
    folder: Path, rows: Iterable[tuple[Outcome, dict[str, Any] | None]], *, record: bool
) -> int:
    names = Names()
    count = 0
    listing = folder / LISTING
    with listing.open("w", encoding="utf-8", newline="\n") as file:
        for outcome, found in rows:
            name = names.name(outcome.row)
            files: list[str] = []
            long_prompt = (found or {}).get("prompt")
            if long_prompt is not None:
                files.append(f"{name}.txt")
                _write(folder / files[-1], f"{plain_text(long_prompt)}\n")
            if record and found is not None:
                files.append(f"{name}.json")
                _write(folder / files[-1], f"{_indented(found)}\n")
            file.write(f"{compact(_entry(outcome, files))}\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    listing.touch()
    return count


def _entry(outcome: Outcome, files: list[str]) -> dict[str, Any]:
    row = outcome.row
    return {
        "files": files,
        "id": row.id,
        "video": row.video,
        "prompt": row.prompt,
        "status": outcome.status,
        "key": outcome.key,
    }


def _indented(record: dict[str, Any]) -> str:
    return plain_text(json.dumps(record, ensure_ascii=False, indent=2))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _swap(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
        return
    for path in (folder, *folder.iterdir()):
        successor = temporary / path.relative_to(folder)
        if successor.exists():
            successor.chmod(stat.S_IMODE(path.stat().st_mode))
    old = temporary.with_name(f"{temporary.name}-old")
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def _listed(folder: Path) -> tuple[set[str], int]:
    """The names that an earlier export wrote, and when it was finished."""
    listing = folder / LISTING
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
        files = {name for line in lines for name in json.loads(line)["files"]}
        return {LISTING, *files}, listing.stat().st_mtime_ns
    except (OSError, ValueError, KeyError, TypeError):
        return set(), 0
