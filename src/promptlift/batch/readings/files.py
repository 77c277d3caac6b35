"""The files of readings: a line of JSON that says what it is, the rows, a line that ends it.

::

    {"kind":"reading","source":...,"stamp":...,"writer":...,"turn":...}
    {"digest":...,"number":...,...}
    {"kind":"end","rows":...,"sum":"<CRC-32 of all before>","same":true}

``same`` says that the input's stamp was the same after the reading as before it, so that a later
run may use the reading again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from promptlift.batch.rows import Row, row_of

__all__ = [
    "BLOCK_BYTES",
    "End",
    "Header",
    "blocks",
    "complete_path",
    "parts_of",
    "read_end",
    "read_header",
    "rows_in",
    "rows_of_shard",
    "source_name",
]

BLOCK_BYTES = 96 * 1024
"""Of rows that are read at once: about a thousand of the shortest."""

_NAME_DIGITS = 16
_HEADER_BYTES = 2**20
_TAIL_BYTES = 256
_DIGEST = re.compile(rb'^\{"digest":"([0-9a-f]{32})"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Header:
    """What a reading is of.

    Attributes:
        source: The input's description.
        stamp: The input's stamp as the reading began.
        writer: The run that read.
        turn: Its turn.
    """

    source: str
    stamp: Any
    writer: str
    turn: int

    def line(self) -> bytes:
        """The first line."""
        said = {
            "kind": "reading",
            "source": self.source,
            "stamp": self.stamp,
            "writer": self.writer,
            "turn": self.turn,
        }
        return _line(said)


@dataclass(frozen=True, slots=True)
class End:
    """What ends a complete reading.

    Attributes:
        rows: How many there are.
        sum: CRC-32 of all bytes before the line.
        same: Whether the input did not change while it was read.
    """

    rows: int
    sum: int
    same: bool

    def line(self) -> bytes:
        """The last line."""
        return _line(
            {"kind": "end", "rows": self.rows, "sum": f"{self.sum:08x}", "same": self.same}
        )


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def source_name(description: str) -> str:
    """The name of an input in the folder: 16 hexadecimal digits."""
    data = description.encode(errors="surrogateescape")
    return hashlib.sha256(data).hexdigest()[:_NAME_DIGITS]


def complete_path(folder: Path, source: str) -> Path:
    """The file of the last complete reading of an input of that name."""
    return folder / f"{source}.jsonl"


def parts_of(folder: Path, source: str) -> list[Path]:
    """The files of readings of it that are under way or were cut off."""
    return sorted(folder.glob(f"{source}.*.part"))


def read_header(file: BinaryIO) -> Header | None:
    """The header, leaving the file at its end; None where it is torn or damaged."""
    file.seek(0)
    line = file.readline(_HEADER_BYTES)
    if not line.endswith(b"\n"):
        return None
    try:
        said = json.loads(line)
        if said["kind"] != "reading":
            return None
        return Header(str(said["source"]), said["stamp"], str(said["writer"]), int(said["turn"]))
    except (ValueError, LookupError, TypeError):
        return None


def read_end(file: BinaryIO) -> tuple[int, End] | None:
    """Where the last line begins and what it says; None where the file has no such end."""
    size = file.seek(0, 2)
    start = file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    at = tail.rfind(b"\n", 0, len(tail) - 1) + 1
    if not tail.endswith(b"\n"):
        return None
    try:
        said = json.loads(tail[at:])
        if said["kind"] != "end":
            return None
        return start + at, End(int(said["rows"]), int(said["sum"], 16), said["same"] is True)
    except (ValueError, LookupError, TypeError):
        return None


def blocks(file: BinaryIO, start: int, end: int | None = None) -> Iterator[bytes]:
    """The lines from a place on, in blocks of whole ones; a torn last line is left out.

    Args:
        file: The file.
        start: Where the first line begins.
        end: Where the last one ends; None for the end of the file as it is when it is reached.
    """
    while end is None or start < end:
        file.seek(start)
        block = file.read(BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - start))
        if not block.endswith(b"\n"):
            block += file.readline()
        block = block[: block.rfind(b"\n") + 1]
        if not block:
            return
        yield block
        start += len(block)


def rows_in(block: bytes) -> list[Row]:
    """The rows of whole lines; what is none, such as a header or a damaged line, is left out."""
    lines = block.decode("ascii", errors="replace").split("\n")
    return [row for line in lines if line and (row := row_of(line)) is not None]


def rows_of_shard(block: bytes, shard: tuple[int, int]) -> int:
    """How many rows of whole lines belong to a shard; see `Row.in_shard`."""
    part, parts = shard
    return sum(int(digest, 16) % parts == part - 1 for digest in _DIGEST.findall(block))
