"""Exports as Parquet, with every column's type fixed before the first row."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.batch.export.columns import RECORD, Columns, Kind, Line
from promptlift.errors import OptionError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_parquet", "write_parquet"]

_GROUP_ROWS = 2000
"""A record is about 8 kB of JSON, so that a group takes 16 MB and what Parquet needs besides."""


def check_parquet() -> None:
    """See that Parquet can be written, before any work is done for it.

    Raises:
        OptionError: PyArrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - only whether it is there
    except ImportError:
        raise OptionError(
            "Parquet needs PyArrow, which is not installed",
            remedy="pip install 'promptlift[parquet]'",
        ) from None


def write_parquet(lines: Iterable[Line], columns: Columns, path: Path) -> int:
    """Write the rows in groups, the record as JSON text; gives their number."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(columns)
    count = 0
    with path.open("wb") as file:
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for group in _groups(lines):
                arrays = [
                    pa.array([line[field.name] for line in group], field.type) for field in schema
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                count += len(group)
        os.fsync(file.fileno())
    return count


def _groups(lines: Iterable[Line]) -> Iterator[list[Line]]:
    rest = iter(lines)
    while group := list(islice(rest, _GROUP_ROWS)):
        yield group


def _schema(columns: Columns) -> pa.Schema:
    import pyarrow as pa

    kinds: dict[Kind, pa.DataType] = {
        "string": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "json": pa.string(),
        "strings": pa.list_(pa.string()),
    }
    fields = [pa.field(name, kinds[kind]) for name, kind in columns.kinds.items()]
    if columns.record:
        fields.append(pa.field(RECORD, pa.string()))
    return pa.schema(fields)
