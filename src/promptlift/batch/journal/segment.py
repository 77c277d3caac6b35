"""Read one segment from where the last reading stopped, line by line, and count the damage.

A line is whatever stands between two newlines, so that damage costs the lines that it touches
and no other. What follows the last newline is a line that is being written, or was never ended:
it is looked at again by the next reading.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlift import __version__
from promptlift.batch.journal.lines import BODY_AT, SCHEMA, check, fields_of
from promptlift.errors import OutputError

__all__ = ["Damage", "Run", "Segment"]

_BLOCK_BYTES = 2**20
_LONGEST_LINE = 2**26
_FIRST_BYTES = 2**16
_BEATS_KEPT = 360


@dataclass(frozen=True, slots=True)
class Run:
    """What a writer said of itself.

    Attributes:
        segment: Name of its file.
        start: Fields of its ``run`` line; empty if that is damaged.
        beats: Fields of its last hour of ``beat`` lines, oldest first.
        end: Fields of its ``end`` line; None if it has not ended by itself.
    """

    segment: str
    start: dict[str, Any]
    beats: tuple[dict[str, Any], ...]
    end: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with one segment.

    Attributes:
        segment: Name of its file.
        corrupt: Whole lines that were left out, because their sum or their front is wrong.
        torn: Bytes after the last newline. No damage while its writer lives.
        trouble: Why the file could not be read, or what became of it; None for nothing.
    """

    segment: str
    corrupt: int = 0
    torn: int = 0
    trouble: str | None = None


@dataclass(slots=True)
class Segment:
    """One file of the journal and how far it has been read.

    Attributes:
        path: The file.
        turn: Of its writer; 0 until its first line is read, or if that is damaged.
        place: Bytes that have been read for good, up to a newline.
    """

    path: Path
    turn: int = 0
    place: int = 0
    corrupt: int = 0
    torn: int = 0
    trouble: str | None = None
    start: dict[str, Any] = field(default_factory=dict)
    beats: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_BEATS_KEPT))
    end: dict[str, Any] | None = None

    @property
    def order(self) -> tuple[int, str]:
        """Segments with a greater one are the later; writers of one turn go by their names."""
        return self.turn, self.path.name

    def run(self) -> Run:
        """What its writer said of itself."""
        return Run(self.path.name, self.start, tuple(self.beats), self.end)

    def damage(self) -> Damage:
        """What is wrong with it."""
        return Damage(self.path.name, self.corrupt, self.torn, self.trouble)

    def peek(self) -> None:
        """Learn the turn, so that segments can be read in their order."""
        try:
            with self.path.open("rb") as file:
                first = file.readline(_FIRST_BYTES)
        except OSError:
            return  # `new_lines` meets the same trouble, and it is reported there.
        if first.endswith(b"\n") and check(first):
            self.take(first)

    def take(self, line: bytes) -> bool:
        """Take in a line about the writer; lines of kinds that are not known are passed over.

        Returns:
            False if the line is not as its kind should be.

        Raises:
            OutputError: A newer version of promptlift wrote the segment.
        """
        try:
            fields = fields_of(line)
            match fields.get("kind"):
                case "run":
                    self._begin(fields)
                case "beat":
                    self.beats.append(fields)
                case "end":
                    self.end = fields
        except (ValueError, KeyError, TypeError):
            return False
        return True

    def _begin(self, fields: dict[str, Any]) -> None:
        if int(fields.get("schema", SCHEMA)) > SCHEMA:
            raise OutputError(
                f"{str(self.path)!r} was written by promptlift {fields.get('promptlift')}, "
                f"in a format that {__version__} does not know",
                remedy="use that version or a newer one for this folder",
            )
        self.turn = int(fields["turn"])
        self.start = fields

    def new_lines(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Give each line that has been added since the last time, its sum checked.

        Yields:
            Bytes, where the line begins and where its newline is in them, and where it begins
            in the file.

        Raises:
            OSError: The file cannot be read.
        """
        handle = os.open(self.path, os.O_RDONLY)
        try:
            for block in self._blocks(handle):
                base = self.place - len(block)
                for begin, end in self._whole(block):
                    yield block, begin, end, base + begin
        finally:
            os.close(handle)

    def _blocks(self, handle: int) -> Iterator[bytes]:
        """Give whole lines, about a block's worth at a time."""
        want = _BLOCK_BYTES
        while True:
            block = os.pread(handle, want, self.place)
            cut = block.rfind(b"\n") + 1
            if cut:
                self.place += cut
                yield block[:cut]
                want = _BLOCK_BYTES
            elif len(block) < want:
                self.torn = len(block)
                return
            elif want < _LONGEST_LINE:
                want *= 2
            else:  # No writer wrote this; what is left of it is one more bad line.
                self.place += len(block)
                self.corrupt += 1

    def _whole(self, block: bytes) -> Iterator[tuple[int, int]]:
        view = memoryview(block)
        begin = 0
        while (end := block.find(b"\n", begin)) >= 0:
            if _sum_holds(view[begin:end]):
                yield begin, end
            elif end > begin:
                self.corrupt += 1
            begin = end + 1


def _sum_holds(line: memoryview) -> bool:
    return b'{"sum":"%08x",' % zlib.crc32(line[BODY_AT:]) == line[:BODY_AT]
