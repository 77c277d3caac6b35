"""What all segments of a run say together, read without locks and without their records.

Segments are read in the order of their turns, each from where the last reading stopped. Which of
several results stands does not depend on the order of reading; see the design's table.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from promptlift.batch.journal.contents import Contents
from promptlift.batch.journal.folder import SEGMENTS
from promptlift.batch.journal.lines import BODY_AT, check, result_head
from promptlift.batch.journal.segment import Damage, Run, Segment
from promptlift.batch.journal.table import Place, Standing
from promptlift.errors import OutputError

__all__ = ["Index", "Standing", "Stored"]

_REMEDY = "run the same command again: it does over what was lost"


class Stored(NamedTuple):
    """A result that stands and where its line is: file name, first byte, length in bytes."""

    key: str
    standing: Standing
    segment: str
    offset: int
    length: int


class Index:
    """The journal of a run as it is now; for one thread at a time.

    It never writes, so that it serves on a folder that may only be read, and while others append.

    Attributes:
        run_dir: The folder of the run; it need not exist yet.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._lost: dict[str, str] = {}
        self._handle: tuple[int, int] | None = None
        self._forget()

    def __del__(self) -> None:
        self.close()

    @classmethod
    def load(cls, run_dir: Path) -> Self:
        """Read all segments. Raises as `refresh`."""
        index = cls(run_dir)
        index.refresh()
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file that `record` keeps open; the index can still be used."""
        if self._handle is not None:
            os.close(self._handle[1])
            self._handle = None

    def refresh(self) -> int:
        """Read what has been added since the last time, new segments too.

        Returns:
            The number of whole lines that were read.

        Raises:
            OutputError: The folder cannot be read, or a newer version of promptlift wrote it.
        """
        sizes = self._sizes()
        if self._has_lost(sizes):
            self._forget()
        try:
            for name in sorted(sizes.keys() - self._numbers.keys()):
                self._begin(name)
            grown = [s for s in self._segments if sizes[s.path.name] > s.place]
            return sum(self._read(segment) for segment in _in_turn(grown))
        except OutputError:
            self._forget()  # Half of a segment has been taken in.
            raise

    def state(self, key: str) -> Standing | None:
        """The result that stands for an item; None where it has none."""
        items = self._contents.items
        number = items.find(bytes.fromhex(key))
        return None if number is None else items.standing(number)

    def key_of(self, row_digest: str) -> str | None:
        """The key of the item that a row was last found to be; None where none was noted."""
        return self._contents.key_of(row_digest)

    def content_of(self, path: str, size: int, mtime_ns: int) -> str | None:
        """What a path holds, if its size and time of change are as they were last noted."""
        return self._contents.content_of(path, size, mtime_ns)

    def latest_content(self, path: str) -> str | None:
        """What a path was last noted to hold, whatever it holds now."""
        return self._contents.latest_content(path)

    def record(self, key: str) -> dict[str, Any]:
        """The record that stands for an item, read from its place and its sum checked again.

        Raises:
            KeyError: The item has no result.
            OutputError: The line can no longer be read, or has changed.
        """
        fields: dict[str, Any] = json.loads(self.raw_record(key))
        return fields

    def raw_record(self, key: str) -> bytes:
        """The same as JSON text, byte for byte as it was written. Raises as `record`."""
        items = self._contents.items
        number = items.find(bytes.fromhex(key))
        if number is None or items.standing(number) is None:
            raise KeyError(key)
        place = items.place(number)
        path = self._segments[place.segment].path
        try:
            line = os.pread(self._open(place.segment), place.length, place.offset)
        except OSError as error:
            raise _unreadable(path, error) from error
        head = result_head(line, BODY_AT) if check(line) else None
        if head is None or head.key.decode() != key:
            raise OutputError(
                f"the line of {key[:12]} in {str(path)!r} has changed since it was read",
                remedy=_REMEDY,
            )
        return line[head.record_at : -1]

    def places(self) -> Iterator[Stored]:
        """Every result that stands, in the order in which the keys first appeared."""
        items = self._contents.items
        for number in items.done():
            place, standing = items.place(number), items.standing(number)
            assert standing is not None
            name = self._segments[place.segment].path.name
            yield Stored(items.keys[number].hex(), standing, name, place.offset, place.length)

    def counts(self) -> Counter[Standing]:
        """How many items each standing has."""
        return self._contents.items.counts()

    @property
    def runs(self) -> list[Run]:
        """What the writers said of themselves, in the order of their turns."""
        return [segment.run() for segment in _in_turn(self._segments)]

    @property
    def damage(self) -> list[Damage]:
        """The segments that something is wrong with, those that are gone among them."""
        found = [s.damage() for s in _in_turn(self._segments)]
        here = {damage.segment for damage in found}
        found = [replace(d, trouble=d.trouble or self._lost.get(d.segment)) for d in found]
        gone = [Damage(n, trouble=why) for n, why in self._lost.items() if n not in here]
        return [d for d in found + gone if d.corrupt or d.torn or d.trouble]

    @property
    def highest_turn(self) -> int:
        """The turn of the latest writer; 0 where there was none."""
        return max((segment.turn for segment in self._segments), default=0)

    def _forget(self) -> None:
        self.close()
        self._segments: list[Segment] = []
        self._numbers: dict[str, int] = {}
        self._contents = Contents(self._segments)

    def _sizes(self) -> dict[str, int]:
        """Bytes of each segment that is there."""
        sizes: dict[str, int] = {}
        folder = self.run_dir / SEGMENTS
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(".jsonl") and entry.is_file():
                        sizes[entry.name] = entry.stat().st_size
        except FileNotFoundError:
            return sizes
        except OSError as error:
            raise _unreadable(folder, error) from error
        return sizes

    def _has_lost(self, sizes: dict[str, int]) -> bool:
        """Note segments that are gone or shorter; what they said can only be found by reading."""
        lost = {}
        for segment in self._segments:
            name = segment.path.name
            if name not in sizes:
                lost[name] = "it is gone"
            elif sizes[name] < segment.place:
                lost[name] = f"it has been cut from {segment.place} to {sizes[name]} bytes"
        self._lost |= lost
        return bool(lost)

    def _begin(self, name: str) -> None:
        self._numbers[name] = len(self._segments)
        self._segments.append(Segment(self.run_dir / SEGMENTS / name))
        self._segments[-1].peek()

    def _read(self, segment: Segment) -> int:
        number = self._numbers[segment.path.name]
        segment.trouble = None
        count = 0
        try:
            for data, begin, end, offset in segment.new_lines():
                count += 1
                place = Place(number, offset, end - begin)
                if not self._take(segment, place, data, begin, end):
                    segment.corrupt += 1
        except OSError as error:
            segment.trouble = error.strerror or str(error)
        return count

    def _take(self, segment: Segment, place: Place, data: bytes, begin: int, end: int) -> bool:
        understood = self._contents.take(data, begin + BODY_AT, place)
        return segment.take(data[begin:end]) if understood is None else understood

    def _open(self, number: int) -> int:
        """The file of a segment, kept open until another is asked for."""
        if self._handle is None or self._handle[0] != number:
            self.close()
            self._handle = number, os.open(self._segments[number].path, os.O_RDONLY)
        return self._handle[1]


def _in_turn(segments: Iterable[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda segment: segment.order)


def _unreadable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot read {str(path)!r}: {error.strerror or error}",
        remedy="see that it is there and may be read",
    )
