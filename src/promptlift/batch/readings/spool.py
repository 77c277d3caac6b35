"""Read an input into the run's folder at full speed, and hand its rows on as they are wanted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from promptlift.batch.inputs.base import Input
from promptlift.batch.journal.folder import INPUTS
from promptlift.batch.readings.files import End, Header, rows_in, source_name
from promptlift.batch.readings.part import Part, is_full
from promptlift.batch.readings.place import put_in_place, remove_superseded, reusable
from promptlift.batch.rows import Row, row_line
from promptlift.errors import InputError, OutputError

__all__ = ["Spool"]

T = TypeVar("T")

_CHUNK_ROWS = 1000
_CHUNKS_IN_MEMORY = 8
_LINGER_S = 0.05  # how long rows may wait for more to come
_PAUSE_S = 1.0


class _StoppedError(Exception):
    """The consumer wants no more."""


@dataclass(slots=True)
class _Chunk:
    """Some rows: where they lie in the file, and themselves where memory had room for them."""

    start: int
    size: int
    rows: list[Row] | None = None


class Spool:
    """Reads one input in a thread of its own; a context manager.

    The rows go into ``inputs/<source>.<writer>.part`` first and are handed on from memory while
    the consumer keeps up; where it lags they are read back from the file, so that memory does not
    grow. At the end of the input the file takes the place of ``inputs/<source>.jsonl``. Where
    that is a reading of the same unchanged input already, the input is not read at all. While the
    disk is full the reading waits.

    Args:
        run_dir: A folder that `open_folder` has opened.
        writer: The name of this run's journal segment.
        source: The input.
        turn: The turn of this run.
        shard: ``(i, n)`` to hand on only the i-th of n parts of the rows, counted from 1.

    Attributes:
        seen: How many rows have been found for the consumer so far.
        total: How many there are in all; None until the end of the input is known.
        waiting: Whether the reading waits for room on the disk.
        reused: Whether an earlier reading is used again.
    """

    def __init__(
        self,
        run_dir: Path,
        writer: str,
        source: Input,
        *,
        turn: int,
        shard: tuple[int, int] | None = None,
    ) -> None:
        self.seen = 0
        self.total: int | None = None
        self.waiting = False
        self.reused = False
        self._input = source
        self._shard = shard
        self._header = Header(source.description, source.stamp, writer, turn)
        self._folder = run_dir / INPUTS
        self._path = self._folder / f"{source_name(source.description)}.{writer}.part"
        self._part: Part | None = None
        self._rows_read = 0
        # Guarded by the lock: what waits to be written, and what waits to be taken.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._lines: list[str] = []
        self._rows: list[Row] = []
        self._ready: deque[_Chunk] = deque()
        self._in_memory = 0
        self._stopped = threading.Event()
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stop(self) -> None:
        """Have the reading stop and `chunks` end at once; from any thread, safe to call twice."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and give back the file; a thread in an input that is silent is left behind."""
        self.stop()
        self._thread.join(_PAUSE_S)
        if self._part is not None and not self._thread.is_alive():
            self._part.close()

    def chunks(self) -> Iterator[list[Row]]:
        """The rows as they come, in lists of up to about a thousand; blocks until there are some.

        Raises:
            PromptliftError: The input cannot be read on, or its rows cannot be kept. All rows
                before that have been handed on.
        """
        while (chunk := self._next()) is not None:
            rows = chunk.rows if chunk.rows is not None else self._read_back(chunk)
            if rows:
                yield rows

    def _next(self) -> _Chunk | None:
        with self._changed:
            while not self._stopped.is_set():
                if self._ready:
                    chunk = self._ready.popleft()
                    self._in_memory -= chunk.rows is not None
                    return chunk
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    return None
                if not self._changed.wait(_LINGER_S) and self._lines:
                    self._try_to_hand_over()
        return None

    def _try_to_hand_over(self) -> None:
        """Take what the reader has while its input is silent; on a full disk later."""
        try:
            self._hand_over()
        except OSError as error:
            if not is_full(error):
                raise self._not_kept(error) from error

    def _read_back(self, chunk: _Chunk) -> list[Row]:
        assert self._part is not None
        try:
            rows = rows_in(self._part.read(chunk.start, chunk.size))
        except OSError as error:
            raise self._not_kept(error) from error
        shard = self._shard
        return rows if shard is None else [row for row in rows if row.in_shard(shard)]

    # What follows runs in the reader's thread.

    def _run(self) -> None:
        error: Exception | None = None
        try:
            if not self._reuse():
                self._read()
        except _StoppedError:
            pass
        except OSError as problem:
            error = InputError(
                f"cannot read {self._header.source!r} to its end: {problem.strerror or problem}",
                remedy="see that it can be read, and give the same command again",
            )
        except Exception as problem:  # noqa: BLE001 - it is raised again in the consumer
            error = problem
        with self._changed:
            self._error = error
            self._ended = True
            self._changed.notify_all()

    def _reuse(self) -> bool:
        """Take the rows of an earlier reading of the same unchanged input, where there is one."""
        found = self._patiently(lambda: reusable(self._folder, self._header, self._shard))
        if found is None:
            return False
        self._part = self._patiently(lambda: Part(found.path, new=False))
        with self._changed:
            self.reused = True
            self.seen = self.total = found.rows
            self._ready.extend(_Chunk(start, size) for start, size in found.blocks)
            self._changed.notify_all()
        remove_superseded(self._folder, self._header)
        return True

    def _read(self) -> None:
        part = self._part = self._patiently(lambda: Part(self._path, new=True))
        self._patiently(lambda: part.append(self._header.line()))
        try:
            for row in self._input.rows():
                self._add(row)
        finally:  # the rows before an error are rows as well
            self._patiently(self._hand_over)
        self.total = self.seen
        stamp = self._header.stamp
        same = stamp is not None and self._input.stamp == stamp
        end = End(self._rows_read, part.sum, same)
        self._patiently(lambda: part.append(end.line()))
        self._patiently(part.sync)
        self._patiently(lambda: put_in_place(self._path, self._header))
        remove_superseded(self._folder, self._header)

    def _add(self, row: Row) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        line = row_line(row)
        self._rows_read += 1
        mine = self._shard is None or row.in_shard(self._shard)
        with self._lock:
            self._lines.append(line)
            if mine:
                self._rows.append(row)
                self.seen += 1
            full = len(self._lines) >= _CHUNK_ROWS
        if full:
            self._patiently(self._hand_over)

    def _hand_over(self) -> None:
        """Write the rows that wait, and give them to the consumer; both or neither."""
        with self._changed:
            if not self._lines:
                return
            assert self._part is not None
            data = "".join(self._lines).encode("ascii")
            start = self._part.append(data)
            rows, self._rows, self._lines = self._rows, [], []
            if not rows:
                return
            keep = self._in_memory < _CHUNKS_IN_MEMORY
            self._in_memory += keep
            self._ready.append(_Chunk(start, len(data), rows if keep else None))
            self._changed.notify_all()

    def _patiently(self, action: Callable[[], T]) -> T:
        """Do something with the folder, again and again while the disk is full."""
        while True:
            try:
                result = action()
            except OSError as error:
                if not is_full(error):
                    raise self._not_kept(error) from error
            else:
                self.waiting = False
                return result
            self.waiting = True
            if self._stopped.wait(_PAUSE_S):
                raise _StoppedError

    def _not_kept(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot keep the rows of {self._header.source!r} in {str(self._folder)!r}: "
            f"{error.strerror or error}",
            remedy="see that the folder can be written to, and give the same command again",
        )
