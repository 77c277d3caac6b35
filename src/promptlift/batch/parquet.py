"""Parquet in and out; needs the extra ``promptlift[parquet]``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from promptlift.batch.readers import (
    BadRecord,
    InputRecord,
    missing_video_column,
    unreadable_input,
)
from promptlift.errors import InputError, OptionError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

__all__ = ["open_parquet", "parquet_records", "require_pyarrow", "write_parquet"]

_BATCH_ROWS = 1000
_BATCH_BYTES = 8 * 2**20
_STREAM_BYTES = 2**20
_GROUP_ROWS = 2000  # of a written row group: a record is about 8 kB of JSON, so 16 MB
_MAX_BINARY_BYTES = 65_536  # of one row: what is carried through is copied into the run's folder


def require_pyarrow(what: str) -> None:
    """Check that PyArrow is installed, before any work is done for it.

    Args:
        what: What needs it, for the message.

    Raises:
        OptionError: It is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - only whether it is there
    except ImportError:
        raise OptionError(
            f"{what} needs PyArrow, which is not installed",
            remedy="run `pip install 'promptlift[parquet]'`",
        ) from None


def open_parquet(path: Path) -> ParquetFile:
    """Open a Parquet file of rows.

    Raises:
        OptionError: PyArrow is not installed.
        InputError: The file cannot be read, or has no column ``video``.
    """
    require_pyarrow(f"{str(path)!r} is Parquet and")
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path, buffer_size=_STREAM_BYTES, pre_buffer=False)
    except ArrowInvalid as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise unreadable_input(path, error) from error
    names = file.schema_arrow.names
    if not {"video", "prompt", "image"} & set(names):
        file.close()
        raise missing_video_column(names)
    return file


def parquet_records(path: Path) -> Iterator[InputRecord]:
    """The records of a Parquet file; errors as of `open_parquet`."""
    with open_parquet(path) as file:
        for line, record in enumerate(_records(path, file), 1):
            binary = sum(len(value) for value in record.values() if isinstance(value, bytes))
            if binary <= _MAX_BINARY_BYTES:
                yield _json_record(record)
            else:
                error = InputError(
                    f"the row holds {binary} bytes of binary data",
                    remedy="leave that column out, or put its data into files",
                )
                yield BadRecord(repr(record)[:1000], line, error)


def _records(path: Path, file: ParquetFile) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException

    groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
    row_bytes = sum(group.total_byte_size for group in groups) // max(1, file.metadata.num_rows)
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))
    try:
        for batch in file.iter_batches(batch_size=rows, use_threads=False):
            yield from _with_microseconds(batch).to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{str(path)!r} cannot be read as Parquet: {str(error)[:200]}",
        remedy="write the file again",
    )


def _json_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record as JSON has it.

    Times and dates become ISO 8601 texts, durations their seconds, decimals and UUIDs texts, bytes
    base64, NaN and the infinities null, maps lists of pairs.
    """
    for name in ("video", "prompt", "id"):  # older writers do not mark a text as one
        if isinstance(record.get(name), bytes):
            record[name] = record[name].decode(errors="surrogateescape")
    made: dict[str, Any] = to_jsonable_python(
        record, bytes_mode="base64", timedelta_mode="float", inf_nan_mode="null", fallback=str
    )
    return made


def _with_microseconds(batch: pa.RecordBatch) -> pa.Table:
    """The batch with times in microseconds: Python has none in nanoseconds."""
    import pyarrow as pa

    def coarser(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_dictionary(kind):
            return kind.value_type
        if pa.types.is_timestamp(kind):
            return pa.timestamp("us", kind.tz)
        if pa.types.is_time64(kind):
            return pa.time64("us")
        return pa.duration("us") if pa.types.is_duration(kind) else kind

    schema = pa.schema([field.with_type(coarser(field.type)) for field in batch.schema])
    return pa.Table.from_batches([batch]).cast(schema, safe=False)


def write_parquet(
    lines: Iterable[Mapping[str, Any]], columns: Mapping[str, str], path: Path
) -> None:
    """Write rows in groups; the types are those of `columns`, whatever the rows hold.

    Args:
        lines: The rows, as column to value.
        columns: The type of each column: ``string``, ``int64``, ``double``, ``bool``, ``json`` for
            JSON text, or ``strings`` for a list of texts.
        path: The file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "json": pa.string(),
        "strings": pa.list_(pa.string()),
    }
    schema = pa.schema([pa.field(name, types[kind]) for name, kind in columns.items()])
    rest = iter(lines)
    with path.open("wb") as file:
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            while group := list(islice(rest, _GROUP_ROWS)):
                arrays = [
                    pa.array([line[field.name] for line in group], field.type) for field in schema
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        os.fsync(file.fileno())
