"""Parquet files; needs the extra ``promptlift[parquet]``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.batch.inputs.base import file_stamp, unreadable
from promptlift.batch.inputs.columns import Columns, no_video_column
from promptlift.batch.inputs.values import json_value
from promptlift.batch.rows import Row
from promptlift.errors import InputError, OptionError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

__all__ = ["Parquet"]

_ROWS = 1000  # at once
_BYTES = 8 * 2**20  # likewise
_STREAM_BYTES = 2**20
_WORDS = ("video", "prompt", "id")


class Parquet:
    """Rows of a Parquet file.

    Args:
        path: The file.
        prompt: The short prompt of rows without one, where no text lies beside the video either.

    Raises:
        OptionError: pyarrow is not installed.
        InputError: The file cannot be read, or has no column ``video``.
    """

    def __init__(self, path: Path, prompt: str | None) -> None:
        self._path = path
        self._prompt = prompt
        self._columns: Columns | None = None
        self.description = str(path.absolute())
        with self._open() as file:
            names = file.schema_arrow.names
        if "video" not in names:
            raise no_video_column(names)

    @property
    def stamp(self) -> Any:
        """See `Input.stamp`; None where rows depended on files beside it."""
        if self._columns and self._columns.places.looked_around:
            return None
        stamp = file_stamp(self._path)
        return None if stamp is None else [*stamp, self._prompt]

    def rows(self) -> Iterator[Row]:
        """See `Input.rows`."""
        self._columns = Columns(self._path.absolute().parent, self._prompt)
        return self._rows(self._columns)

    def _rows(self, columns: Columns) -> Iterator[Row]:
        line = 0
        with self._open() as file:
            for batch in self._batches(file):
                for record in _plain(batch).to_pylist():
                    line += 1
                    yield _row(record, line, columns)

    def _open(self) -> ParquetFile:
        try:
            from pyarrow import ArrowInvalid
            from pyarrow.parquet import ParquetFile
        except ImportError:
            raise OptionError(
                f"{str(self._path)!r} is Parquet, and pyarrow is not installed",
                remedy="pip install 'promptlift[parquet]'",
            ) from None
        try:
            return ParquetFile(self._path, buffer_size=_STREAM_BYTES, pre_buffer=False)
        except ArrowInvalid as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise unreadable(self._path, error) from error

    def _batches(self, file: ParquetFile) -> Iterator[pa.RecordBatch]:
        from pyarrow import ArrowException

        bytes_of_all = sum(
            file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups)
        )
        bytes_of_one = max(1, bytes_of_all // max(1, file.metadata.num_rows))
        rows = max(1, min(_ROWS, _BYTES // bytes_of_one))
        try:
            yield from file.iter_batches(batch_size=rows, use_threads=False)
        except (ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"{str(self._path)!r} cannot be read as Parquet: {str(error)[:200]}",
            remedy="write the file again",
        )


def _row(record: dict[str, Any], line: int, columns: Columns) -> Row:
    try:
        for name in _WORDS:  # older writers do not say that a text is one
            if isinstance(record.get(name), bytes):
                record[name] = record[name].decode()
        values = {name: json_value(value) for name, value in record.items()}
    except UnicodeDecodeError as error:
        fault = InputError(f"a text is not UTF-8: {error.reason}", remedy="correct the row")
        return columns.broken(repr(record)[:1000], fault, line)
    except InputError as error:
        return columns.broken(repr(record)[:1000], error, line)
    return columns.row(values)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With times in microseconds: Python's have no finer ones."""
    import pyarrow as pa

    wanted = pa.schema([field.with_type(_coarser(field.type)) for field in batch.schema])
    if wanted.equals(batch.schema):
        return batch
    columns = [
        column.cast(field.type, safe=False)
        for column, field in zip(batch.columns, wanted, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _coarser(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarser(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_coarser(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_coarser(field.type)) for field in kind])
    if pa.types.is_dictionary(kind):
        return _coarser(kind.value_type)
    return kind
