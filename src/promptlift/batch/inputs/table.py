"""Tables of text: CSV and TSV, with whatever of quotes, marks and line ends they come."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from promptlift.batch.inputs.base import file_stamp, shown, unreadable
from promptlift.batch.inputs.columns import Columns, no_video_column
from promptlift.batch.rows import Row
from promptlift.errors import InputError

__all__ = ["Table"]

_LONGEST = 131_072  # characters of a record; what the csv module allows for one cell
_BUFFER_BYTES = 2**18
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, as spreadsheets write it


class Table:
    """Rows of a CSV or TSV file with a header; an empty cell says nothing.

    Args:
        path: The file.
        prompt: The short prompt of rows without one, where no text lies beside the video either.
        tabs: Whether it is TSV; else the header tells commas, semicolons and tabs apart.

    Raises:
        InputError: The file cannot be read, or its header has no column ``video``.
    """

    def __init__(self, path: Path, prompt: str | None, *, tabs: bool) -> None:
        self._path = path
        self._prompt = prompt
        self._columns: Columns | None = None
        self.description = str(path.absolute())
        with self._open() as file:
            self._delimiter = "\t" if tabs else _delimiter(file.readline(_LONGEST))
        with self._open() as file:
            _header(_Records(file, self._delimiter), path)

    @property
    def stamp(self) -> Any:
        """See `Input.stamp`; None where rows depended on files beside it."""
        if self._columns and self._columns.places.looked_around:
            return None
        stamp = file_stamp(self._path)
        return None if stamp is None else [*stamp, self._prompt, self._delimiter]

    def rows(self) -> Iterator[Row]:
        """See `Input.rows`."""
        self._columns = Columns(self._path.absolute().parent, self._prompt)
        return self._rows(self._columns)

    def _rows(self, columns: Columns) -> Iterator[Row]:
        with self._open() as file:
            records = _Records(file, self._delimiter)
            names = _header(records, self._path)
            for line, said, cells in records:
                if isinstance(cells, InputError):
                    yield columns.broken(said, cells, line)
                elif any(cells):
                    fault = _fault(cells, names)
                    if fault is None:
                        yield columns.row(_record(cells, names))
                    else:
                        yield columns.broken(_readable(said), fault, line)

    def _open(self) -> TextIO:
        try:
            file = self._path.open("rb")
            with file:
                if file.read(2) in _OTHER_MARKS:
                    raise InputError(f"{str(self._path)!r} is UTF-16", remedy="save it as UTF-8")
            # A byte that is no UTF-8 is kept as half a character, and found in its own row.
            return self._path.open(
                encoding="utf-8-sig",
                errors="surrogateescape",
                newline="",
                buffering=_BUFFER_BYTES,
            )
        except OSError as error:
            raise unreadable(self._path, error) from error


class _Records:
    """Reads record by record, and takes up again after the line of one that is wrong.

    A quote that is never closed would swallow all lines after it. So the lines of the record
    under way are kept, and where it fails all but its first are read once more.
    """

    def __init__(self, file: TextIO, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._length = 0
        self._line = 0
        self._reader = self._new_reader()

    def _new_reader(self) -> Any:
        return csv.reader(_Feed(self._next_line), delimiter=self._delimiter, strict=True)

    def _next_line(self) -> str:
        line = self._again.popleft() if self._again else self._file.readline(_LONGEST)
        if not line:
            raise StopIteration
        self._taken.append(line)
        self._length += len(line)
        if self._length >= _LONGEST:
            raise csv.Error("longer than a row can be: a quote may not be closed")
        return line

    def __iter__(self) -> Iterator[tuple[int, str, list[str] | InputError]]:
        """Line, counted from 1, text and cells of each record, or why it is none."""
        while True:
            self._taken.clear()
            self._length = 0
            try:
                cells: list[str] | InputError = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = self._take_up_again(error)
            said = "".join(self._taken).strip()
            yield self._line + 1, said, cells
            self._line += len(self._taken)

    def _take_up_again(self, error: csv.Error) -> InputError:
        first, rest = self._taken[0], self._taken[1:]
        self._again.extendleft(reversed(rest))
        del self._taken[1:]
        self._reader = self._new_reader()
        if not rest:
            self._skip_rest_of(first)
        return InputError(
            f"the line {shown(_readable(first).strip())} is not a row: {error}",
            remedy='put a cell with commas or quotes in quotes, and double those: "so ""it"""',
        )

    def _skip_rest_of(self, line: str) -> None:
        while len(line) >= _LONGEST and not line.endswith(("\n", "\r")):
            line = self._file.readline(_LONGEST)


class _Feed:
    """Lines for the reader; unlike a generator it lives on after it has raised."""

    def __init__(self, line: Any) -> None:
        self._line = line

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        return self._line()  # type: ignore[no-any-return]


def _delimiter(header: str) -> str:
    """What parts the cells of a header: the sign that makes a column ``video`` of it."""
    for sign in ",;\t":
        cells = next(csv.reader([header], delimiter=sign), [])
        if "video" in [cell.strip() for cell in cells]:
            return sign
    return ","


def _header(records: _Records, path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        InputError: There is none, no ``video`` among them, or one stands there twice.
    """
    cells = next((cells for _, _, cells in records), None)
    if cells is None:
        raise InputError(f"{str(path)!r} is empty", remedy="give it a header with a column 'video'")
    if isinstance(cells, InputError):
        raise cells
    names = [cell.strip() for cell in cells]
    if "video" not in names:
        raise no_video_column(names)
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(
                f"the column {name[:40]!r} stands twice in {str(path)!r}", remedy="rename one"
            )
    if "options" in names:
        raise InputError(
            "a table of text has no column 'options'",
            remedy="write JSON lines or Parquet, or rename the column to have it carried through",
        )
    return names


def _fault(cells: list[str], names: list[str]) -> InputError | None:
    text = "".join(cells)
    if not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text):
        return InputError(
            f"the row {shown(_readable(text))} is not UTF-8", remedy="save the file as UTF-8"
        )
    if len(cells) > len(names):
        return InputError(
            f"a row has {len(cells)} cells and the header {len(names)}",
            remedy="put a text with commas in quotes",
        )
    return None


def _record(cells: list[str], names: list[str]) -> dict[str, Any]:
    """The cells that say something, by column; no video is an empty one."""
    record: dict[str, Any] = {
        name: cell for name, cell in zip(names, cells, strict=False) if name and cell
    }
    record.setdefault("video", "")
    return record


def _readable(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="replace")
