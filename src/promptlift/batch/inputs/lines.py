"""JSON lines from a file, a pipe or standard input; and a JSON array of the same objects."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from promptlift.batch.inputs.base import file_stamp, shown, unreadable
from promptlift.batch.inputs.columns import Columns
from promptlift.batch.rows import Row
from promptlift.errors import InputError

__all__ = ["LINE_BYTES", "JsonLines"]

LINE_BYTES = 2**20
ARRAY_BYTES = 64 * 2**20
_BUFFER_BYTES = 2**18
_STDIN = "-"
_BOM = b"\xef\xbb\xbf"
_SPLIT = "make lines of it with: jq -c '.[]'"


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


# NaN and the infinities are no JSON and would make the export none: they become null.
_decode = json.JSONDecoder(parse_float=_finite, parse_constant=lambda _: None).decode


class JsonLines:
    """One JSON object a line; blank lines are passed over.

    Args:
        source: Path of a file or a pipe; ``-`` for standard input.
        prompt: The short prompt of rows without one, where no text lies beside the video either.

    Raises:
        InputError: The file cannot be read, or holds one array too large to be read whole.
    """

    def __init__(self, source: str | Path, prompt: str | None) -> None:
        self._path = None if str(source) == _STDIN else Path(source)
        self._prompt = prompt
        self._regular = self._path is not None and self._path.is_file()
        self._columns: Columns | None = None
        self.description = _STDIN if self._path is None else str(self._path.absolute())
        self._array = self._regular and self._is_array()

    @property
    def stamp(self) -> Any:
        """See `Input.stamp`; None for a pipe, and where rows depended on files beside it."""
        if self._path is None or (self._columns and self._columns.places.looked_around):
            return None
        stamp = file_stamp(self._path)
        return None if stamp is None else [*stamp, self._prompt]

    def rows(self) -> Iterator[Row]:
        """See `Input.rows`."""
        folder = self._path.absolute().parent if self._path and self._regular else None
        self._columns = Columns(folder, self._prompt)
        if self._array:
            return _of_array(self._path, self._columns)
        return self._of_lines(self._columns)

    def _open(self) -> BinaryIO:
        try:
            if self._path is None:
                # Not sys.stdin: a thread that waits in it when the process ends is fatal.
                return open(0, "rb", buffering=_BUFFER_BYTES, closefd=False)
            return self._path.open("rb", buffering=_BUFFER_BYTES)
        except OSError as error:
            raise unreadable(self._path or "standard input", error) from error

    def _of_lines(self, columns: Columns) -> Iterator[Row]:
        with self._open() as file:
            for number, line in enumerate(_lines(file), 1):
                said = line.removeprefix(_BOM) if number == 1 else line
                if number == 1:
                    _refuse_opened_array(said, self.description)
                if row := _row(said, number, columns):
                    yield row

    def _is_array(self) -> bool:
        """Whether the file is one array, and not lines of which the first is one."""
        assert self._path is not None
        with self._open() as file:
            first = _first_line(file)
        if not first.startswith(b"["):
            return False
        if self._path.stat().st_size <= ARRAY_BYTES:
            return _array(self._path) is not None or not _is_whole(first)
        if _is_whole(first):
            return False
        raise InputError(
            f"{str(self._path)!r} is a JSON array of more than {ARRAY_BYTES >> 20} MiB",
            remedy=_SPLIT,
        )


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that is too long its beginning, one byte more than allowed."""
    while line := file.readline(LINE_BYTES + 1):
        yield line
        while len(line) > LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES + 1)


def _first_line(file: BinaryIO) -> bytes:
    for line in _lines(file):
        if text := line.removeprefix(_BOM).strip():
            return text
    return b""


def _row(line: bytes, number: int, columns: Columns) -> Row | None:
    try:
        text = line.decode().strip()
        if not text:
            return None
        record = _decode(text)
    except (ValueError, RecursionError) as error:
        return columns.broken(line.decode(errors="replace").strip(), _fault(line, error), number)
    if isinstance(record, dict) and len(line) <= LINE_BYTES:
        return columns.row(record)
    fault = _no_object(text, record) if len(line) <= LINE_BYTES else _fault(line, ValueError())
    return columns.broken(text, fault, number)


def _fault(line: bytes, error: Exception) -> InputError:
    if len(line) > LINE_BYTES:
        return InputError(
            f"a line is longer than {LINE_BYTES >> 20} MiB", remedy="leave large columns out"
        )
    if isinstance(error, UnicodeDecodeError):
        return InputError(
            f"a line is not UTF-8 at its byte {error.start + 1}", remedy="save it as UTF-8"
        )
    if isinstance(error, json.JSONDecodeError):
        what = f"not JSON at its column {error.colno}: {error.msg}"
    else:
        what = "too deep or too large to be read"
    return InputError(
        f"the line {shown(line.decode().strip())} is {what}",
        remedy='write one object a line, such as {"video": "clip.mp4", "prompt": "a robot"}',
    )


def _no_object(text: str, record: Any) -> InputError:
    remedy = _SPLIT if isinstance(record, list) else 'write {"video": "clip.mp4"}'
    return InputError(f"the line {shown(text.strip())} is no JSON object", remedy=remedy)


def _is_whole(line: bytes) -> bool:
    try:
        _decode(line.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_opened_array(line: bytes, name: str) -> None:
    """Refuse an array over many lines where it cannot be read whole, such as from a pipe."""
    if line.lstrip().startswith(b"[") and not _is_whole(line):
        raise InputError(f"{name!r} is a JSON array and not JSON lines", remedy=_SPLIT)


def _array(path: Path) -> list[Any] | None:
    """The items of a file that is one JSON array; None where it is none."""
    try:
        found = _decode(path.read_bytes().removeprefix(_BOM).decode())
    except (ValueError, RecursionError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    return found if isinstance(found, list) else None


def _of_array(path: Path | None, columns: Columns) -> Iterator[Row]:
    assert path is not None
    items = _array(path)
    if items is None:
        raise InputError(
            f"{str(path)!r} begins as a JSON array and is not JSON", remedy="correct the file"
        )
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield columns.row(item)
        else:
            text = json.dumps(item)
            yield columns.broken(text, _no_object(text, item), number)
