"""Exports as text: JSON lines, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from promptlift.batch.export.columns import RECORD, Columns, Line
from promptlift.batch.plain import compact

__all__ = ["json_line", "write_csv", "write_jsonl"]


def write_jsonl(lines: Iterable[Line], columns: Columns, path: Path) -> int:
    """Write one JSON object a line, the record nested; gives the number of lines."""
    del columns
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(f"{json_line(line)}\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def write_csv(lines: Iterable[Line], columns: Columns, path: Path) -> int:
    """Write a head and one line a row, empty for null; gives the number of rows."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.names)
        for line in lines:
            writer.writerow([_cell(line[name]) for name in columns.names])
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def json_line(line: Line) -> str:
    """One row as one JSON object, the record nested in it as it was written."""
    flat = {name: value for name, value in line.items() if name != RECORD}
    try:
        text = json.dumps(flat, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
    except ValueError:  # a number or a text that no reader of JSON takes
        text = compact(flat)
    return f'{text[:-1]},"{RECORD}":{line[RECORD] or "null"}}}' if RECORD in line else text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(value)
    return str(value)
