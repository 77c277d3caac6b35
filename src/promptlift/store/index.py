"""What all parts of a run say together: the state of every item and where its record is.

Parts are read without locks and from where the last reading stopped. Which of several results
stands does not depend on the order of reading: a better status stands before a worse one, and among
equals, as for rows and videos, the later line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final, Literal, Self, cast

import msgspec

from promptlift.errors import OutputError
from promptlift.store.results import (
    SCHEMA,
    EndLine,
    ItemStatus,
    Line,
    PartName,
    ProgressLine,
    ResultLine,
    RowLine,
    VideoLine,
    WriterLine,
    path_text,
)

__all__ = [
    "FIT",
    "PARTS",
    "Index",
    "KeyState",
    "PartDamage",
    "RetryPolicy",
    "WriterLog",
]

PARTS: Final = "parts"
"""The folder of the parts in a run's folder."""

RetryPolicy = Literal["failed", "rejected", "unchanged", "all"]

FIT: frozenset[str] = frozenset({"ok", "repaired"})
"""The states with a result that is fit to use."""

_RANK: Final = {"failed": 1, "rejected": 2, "unchanged": 3, "repaired": 4, "ok": 4}
_PROGRESS_LINES = 360


class KeyState(msgspec.Struct, frozen=True, gc=False):
    """The result that stands for an item.

    Attributes:
        status: What became of it.
        code: Of the failure or of the first failed check; None for neither.
        retryable: Whether its failure may pass by itself.
    """

    status: ItemStatus
    code: str | None
    retryable: bool

    def is_done(self, retry: RetryPolicy | None = None) -> bool:
        """Whether a rerun leaves the item as it is.

        Args:
            retry: What is done again besides failures that may pass.
        """
        if self.status == "failed":
            return not self.retryable and retry not in ("failed", "all")
        is_fit = self.status not in ("rejected", "unchanged")
        return is_fit or retry not in (self.status, "all")


class _Stored(msgspec.Struct, frozen=True, gc=False):
    """The state of an item and the place of its line: part, first byte, bytes."""

    state: KeyState
    part: int
    offset: int
    length: int


@dataclass(slots=True)
class WriterLog:
    """What a writer said of itself.

    Attributes:
        name: ``<host>-<pid>-<random>``.
        turn: Later writers have a higher one.
        start: Its ``writer`` line; None if that is damaged.
        progress: Its last hour of ``progress`` lines, oldest first.
        end: Its ``end`` line; None if it has not ended by itself.
    """

    name: str
    turn: int
    start: WriterLine | None = None
    progress: list[ProgressLine] = field(default_factory=list)
    end: EndLine | None = None


@dataclass(slots=True)
class PartDamage:
    """What is wrong with one part.

    Attributes:
        part: Name of the file.
        writer: Who wrote it.
        lines: Whole lines that were left out because they cannot be understood.
        torn: Bytes after the last newline. No damage while its writer lives.
        error: Why the file could not be read; None for nothing.
    """

    part: str
    writer: str
    lines: int = 0
    torn: int = 0
    error: str | None = None


@dataclass(slots=True)
class _Part:
    path: Path
    name: PartName
    damage: PartDamage
    place: int = 0  # bytes that have been read for good, up to a newline


_decode = msgspec.json.Decoder(Line).decode
_decode_result = msgspec.json.Decoder(ResultLine).decode


class Index:
    """The results of a run as they are now; for one thread at a time.

    It never writes, so it serves on a folder that may only be read, and while others append.

    Args:
        run_dir: The folder of the run; it need not exist yet.

    Raises:
        OutputError: As `refresh`.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._file: FileIO | None = None  # of the part of the latest record
        self._parts: list[_Part] = []
        self._writers: dict[str, WriterLog] = {}
        self._results: dict[bytes, _Stored] = {}
        self._rows: dict[bytes, tuple[bytes, int]] = {}
        self._videos: dict[str, tuple[int, VideoLine]] = {}
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that `raw_record` keeps open; the index can still be used."""
        if self._file is not None:
            self._file.close()

    def refresh(self) -> None:
        """Read what has been added since the last time, new parts too.

        Raises:
            OutputError: The folder cannot be read, or a newer version of promptlift wrote it.
        """
        sizes = self._sizes()
        known = {part.path.name for part in self._parts}
        for name in sizes.keys() - known:
            parsed = PartName.parse(name)
            if parsed is not None:
                damage = PartDamage(name, parsed.writer)
                self._parts.append(_Part(self.run_dir / PARTS / name, parsed, damage))
        order = sorted(range(len(self._parts)), key=lambda number: self._parts[number].name)
        for number in order:
            if sizes.get(self._parts[number].path.name, 0) > self._parts[number].place:
                self._read(number)

    def state(self, key: str) -> KeyState | None:
        """The result that stands for an item; None where it has none."""
        found = self._results.get(bytes.fromhex(key))
        return None if found is None else found.state

    def key_of(self, row_digest: str) -> str | None:
        """The key of the item that a row was last found to be; None where none was noted."""
        found = self._rows.get(bytes.fromhex(row_digest))
        return None if found is None else found[0].hex()

    def video(self, path: str) -> VideoLine | None:
        """What a path was last noted to hold, and its size and time of change then."""
        found = self._videos.get(path_text(path))
        return None if found is None else found[1]

    def raw_record(self, key: str) -> bytes:
        """The record that stands for an item, as the JSON text that was written.

        Raises:
            KeyError: The item has no result.
            OutputError: The line can no longer be read, or has changed.
        """
        found = self._results.get(bytes.fromhex(key))
        if found is None:
            raise KeyError(key)
        path = self._parts[found.part].path
        try:
            if self._file is None or self._file.closed or self._file.name != path:
                self.close()
                self._file = FileIO(path)
            self._file.seek(found.offset)
            result = _decode_result(self._file.read(found.length))
        except OSError as error:
            raise _unreadable(path, error) from error
        except msgspec.DecodeError:
            result = None
        if result is None or result.key != key:
            raise OutputError(
                f"the line of {key[:12]} in {str(path)!r} has changed since it was read",
                remedy="run the same command again: it does over what was lost",
            )
        return bytes(result.record)

    def items(self) -> Iterator[tuple[str, KeyState]]:
        """Every key that has a result, and the state that stands."""
        return ((key.hex(), found.state) for key, found in self._results.items())

    def __len__(self) -> int:
        return len(self._results)

    @property
    def writers(self) -> list[WriterLog]:
        """What the writers said of themselves, the later ones last."""
        return sorted(self._writers.values(), key=lambda log: (log.turn, log.name))

    @property
    def damage(self) -> list[PartDamage]:
        """The parts that something is wrong with."""
        parts = sorted(self._parts, key=lambda part: part.name)
        found = (part.damage for part in parts)
        return [one for one in found if one.lines or one.torn or one.error]

    @property
    def highest_turn(self) -> int:
        """The turn of the latest writer; 0 where there was none."""
        return max((part.name.turn for part in self._parts), default=0)

    def _sizes(self) -> dict[str, int]:
        """Bytes of each part that is there."""
        folder = self.run_dir / PARTS
        try:
            with os.scandir(folder) as entries:
                return {
                    entry.name: entry.stat().st_size
                    for entry in entries
                    if entry.name.endswith(".jsonl") and entry.is_file()
                }
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise _unreadable(folder, error) from error

    def _read(self, number: int) -> None:
        part = self._parts[number]
        damage = part.damage
        damage.error, damage.torn = None, 0
        try:
            with part.path.open("rb", buffering=1 << 20) as file:
                file.seek(part.place)
                for line in file:
                    if not line.endswith(b"\n"):
                        damage.torn = len(line)  # being written, or torn by a kill
                        break
                    try:
                        self._take(number, part, line)
                    except (msgspec.DecodeError, ValueError):
                        damage.lines += line != b"\n"
                    part.place += len(line)
        except OSError as error:
            damage.error = error.strerror or str(error)

    def _take(self, number: int, part: _Part, line: bytes) -> None:
        value = _decode(line)
        if isinstance(value, ResultLine):
            self._take_result(value, number, part.place, len(line) - 1)
        elif isinstance(value, RowLine):
            row, key = bytes.fromhex(value.row), bytes.fromhex(value.key)
            if row not in self._rows or not self._is_later(self._rows[row][1], number):
                self._rows[row] = key, number
        elif isinstance(value, VideoLine):
            path = value.path
            if path not in self._videos or not self._is_later(self._videos[path][0], number):
                self._videos[path] = number, value
        else:
            self._take_writer(value, part)

    def _take_result(self, line: ResultLine, number: int, offset: int, length: int) -> None:
        rank = _RANK.get(line.status)
        if rank is None:
            return  # a status of a newer version: to this one the item has no result
        key = bytes.fromhex(line.key)
        known = self._results.get(key)
        if known is not None:
            stands = _RANK[known.state.status]
            if rank < stands or (rank == stands and self._is_later(known.part, number)):
                return
        state = KeyState(cast("ItemStatus", line.status), line.code, line.retryable)
        self._results[key] = _Stored(state, number, offset, length)

    def _take_writer(self, line: WriterLine | ProgressLine | EndLine, part: _Part) -> None:
        name = part.name
        log = self._writers.setdefault(name.writer, WriterLog(name.writer, name.turn))
        if isinstance(line, ProgressLine):
            log.progress = [*log.progress[1 - _PROGRESS_LINES :], line]
        elif isinstance(line, EndLine):
            log.end = line
        elif line.schema > SCHEMA:
            raise OutputError(
                f"{str(part.path)!r} was written by promptlift {line.promptlift}, in a format "
                "that this version does not know",
                remedy="use that version or a newer one for this folder",
            )
        else:
            log.start = log.start or line

    def _is_later(self, one: int, other: int) -> bool:
        return self._parts[one].name > self._parts[other].name


def _unreadable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot read {str(path)!r}: {error.strerror or error}",
        remedy="see that it is there and may be read",
    )
