"""Forgetting what ended long ago: from a journal that nobody writes to, and files beside it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from promptlift.batch.journal import lines
from promptlift.batch.journal.folder import SEGMENTS, sync_folder
from promptlift.batch.journal.segment import Segment
from promptlift.errors import OutputError
from promptlift.server.ledger import job_line, read_jobs

__all__ = ["forget"]

_NEW = ".new"
_AT = b'"at":'


def forget(data: Path, age: float) -> int:
    """Take results and ended jobs out of a server's folder, and what the page kept for them.

    Each segment of the journal is replaced as a whole, so that a kill leaves it as it was or as it
    is to be, and what is done again does no harm. Jobs that have not ended stay, however old.

    Args:
        data: The server's folder; no server may be running in it.
        age: Seconds; what ended longer ago goes.

    Returns:
        How many results and jobs are gone.

    Raises:
        OutputError: The journal cannot be read or written to.
    """
    before = time.time() - age
    journal = data / "journal"
    for kind in ("thumbnails", "batches"):
        _forget_files(data / "page" / kind, before)
    try:
        over = {job["id"] for job in read_jobs(journal) if _ended_before(job, before)}
        paths = sorted((journal / SEGMENTS).glob("*.jsonl"))
        return sum(_without(path, over, before) for path in paths)
    except OSError as error:
        raise OutputError(
            f"cannot forget what is old in {str(journal)!r}: {error.strerror}",
            remedy="see that it may be written to and that there is room, or start without --keep",
        ) from error


def _without(path: Path, over: set[str], before: float) -> int:
    """Write a segment again without what is old, or remove it; gives how much of it is gone."""
    gone = sum(_is_old(line, over, before) for line in _lines(path))
    if not gone:
        return 0
    beside = path.with_name(f".{path.name}{_NEW}")
    try:
        if _copied(path, beside, over, before):
            shutil.copystat(path, beside)  # its mode, and its times: jobs are read in that order
            beside.replace(path)
        else:
            path.unlink()
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)
    return gone


def _copied(path: Path, beside: Path, over: set[str], before: float) -> bool:
    """Copy what stays; gives whether there is any result or job in it."""
    holds_any = False
    with beside.open("wb") as file:
        for line in _lines(path):
            if not _is_old(line, over, before):
                holds_any = holds_any or _at_of(line) is not None or job_line(line)
                file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return holds_any


def _lines(path: Path) -> Iterator[bytes]:
    """Every whole line, its newline included; damaged ones are nobody's."""
    for data, begin, end, _ in Segment(path).new_lines():
        yield data[begin : end + 1]


def _is_old(line: bytes, over: set[str], before: float) -> bool:
    at = _at_of(line)
    if at is not None:
        return at < before
    return job_line(line) and json.loads(line)["id"] in over


def _at_of(line: bytes) -> float | None:
    """When a result came, in seconds since 1970; None for another kind of line."""
    head = lines.result_head(line, lines.BODY_AT)
    if head is None:
        return None
    return float(line[: head.record_at].rpartition(_AT)[2].partition(b",")[0])


def _ended_before(job: dict[str, object], before: float) -> bool:
    at = job["at"]
    return job["step"] == "ended" and isinstance(at, float | int) and at < before


def _forget_files(folder: Path, before: float) -> None:
    with suppress(OSError):  # there are none, or they are the page's loss and no one else's
        for path in folder.iterdir():
            if path.stat().st_mtime < before:
                path.unlink()
