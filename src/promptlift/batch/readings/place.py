"""Which reading stands: an earlier one that is used again, a new one that takes its place."""

from __future__ import annotations

import contextlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from promptlift.batch.journal.folder import sync_folder
from promptlift.batch.journal.names import here, process_of, runs
from promptlift.batch.readings.files import (
    End,
    Header,
    blocks,
    complete_path,
    parts_of,
    read_end,
    read_header,
    rows_of_shard,
    source_name,
)

__all__ = ["Found", "put_in_place", "remove_superseded", "reusable"]

_DEAD_FOR_SURE_S = 86_400


@dataclass(frozen=True, slots=True)
class Found:
    """An earlier reading that can be used again.

    Attributes:
        path: Its file.
        rows: How many rows the consumer gets of it.
        blocks: Start and bytes of pieces of whole lines.
    """

    path: Path
    rows: int
    blocks: list[tuple[int, int]]


def reusable(folder: Path, header: Header, shard: tuple[int, int] | None) -> Found | None:
    """The complete reading of the same unchanged input; None where there is none.

    All of it is checked against its sum, so that a damaged one is made anew.

    Args:
        folder: Where readings lie.
        header: What a new reading would be.
        shard: The consumer's part of the rows.
    """
    path = complete_path(folder, source_name(header.source))
    if header.stamp is None or not path.exists():
        return None
    with path.open("rb") as file:
        said = read_header(file)
        start = file.tell()
        ending = read_end(file)
        if said is None or ending is None or not _is_same(said, header, ending[1]):
            return None
        file.seek(0)
        sum_ = zlib.crc32(file.read(start))
        found = Found(path, 0, [])
        count = lines = 0
        for block in blocks(file, start, ending[0]):
            sum_ = zlib.crc32(block, sum_)
            found.blocks.append((start, len(block)))
            start += len(block)
            lines += block.count(b"\n")
            count += 0 if shard is None else rows_of_shard(block, shard)
    if (sum_, lines) != (ending[1].sum, ending[1].rows):
        return None
    return Found(path, ending[1].rows if shard is None else count, found.blocks)


def _is_same(said: Header, header: Header, end: End) -> bool:
    stamp = json.loads(json.dumps(header.stamp))  # as it comes back: tuples are lists
    return end.same and said.source == header.source and said.stamp == stamp


def put_in_place(part: Path, header: Header) -> None:
    """Make a complete part the reading that stands, unless a later run's stands already."""
    whole = complete_path(part.parent, source_name(header.source))
    if _turn(whole) > header.turn:
        part.unlink(missing_ok=True)
        return
    part.replace(whole)
    sync_folder(part.parent)


def remove_superseded(folder: Path, header: Header) -> None:
    """Remove the parts of earlier turns whose writers are gone.

    Nobody reads them any more; one that a writer may still hold open is left to a later run,
    since a network file system would take it away from him.
    """
    whole = complete_path(folder, source_name(header.source))
    with contextlib.suppress(OSError):  # what stays is in nobody's way
        now = whole.stat().st_mtime
        for path in parts_of(folder, source_name(header.source)):
            if _turn(path) < header.turn and _is_dead(path, now):
                path.unlink(missing_ok=True)


def _turn(path: Path) -> int:
    """The turn of a reading; 0 where there is none."""
    try:
        with path.open("rb") as file:
            header = read_header(file)
    except FileNotFoundError:
        return 0
    return header.turn if header else 0


def _is_dead(path: Path, now: float) -> bool:
    """Whether the writer of a part is surely gone: by its process here, by its age elsewhere."""
    process = process_of(path.name.partition(".")[2].removesuffix(".part"))
    if process is None or process[0] != here():
        return path.stat().st_mtime < now - _DEAD_FOR_SURE_S
    return not runs(process[1])
