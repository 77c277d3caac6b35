"""The columns of an export: the same for success and failure, known before the first row.

``prompt`` is the short prompt, as the input's column is called, and ``long_prompt`` the result, so
that an export joins with its input. What the input says besides comes along: columns that mean
nothing to a run, and options that a row sets for itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from promptlift.batch.outcomes import Outcome, failed_checks
from promptlift.batch.plain import compact, plain, plain_text
from promptlift.batch.rows import Row
from promptlift.core.record import SCHEMA_VERSION

__all__ = ["COLUMNS", "RECORD", "Columns", "Kind", "Line"]

Kind: TypeAlias = Literal["string", "int64", "double", "bool", "json", "strings"]
"""What a column holds besides null; ``json`` is the JSON text of each value."""

Line: TypeAlias = dict[str, Any]
"""One row of an export, as column to value."""

COLUMNS: Mapping[str, Kind] = {
    "id": "string",
    "video": "string",
    "prompt": "string",
    "long_prompt": "string",
    "status": "string",
    "error_code": "string",
    "error_message": "string",
    "error_remedy": "string",
    "error_retryable": "bool",
    "failed_checks": "strings",
    "key": "string",
    "engine": "string",
    "model": "string",
    "revision": "string",
    "target": "string",
    "template": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
    "target_tokens": "int64",
    "target_limit": "int64",
    "seed": "int64",
    "temperature": "double",
    "attempts": "int64",
    "seconds": "double",
    "schema_version": "int64",
}
"""Our own columns in their order. The carried ones follow, and ``record`` is the last."""

RECORD = "record"

_INT64 = range(-(2**63), 2**63)
_EXACT_AS_DOUBLE = range(-(2**53), 2**53 + 1)
_TAKEN = "input_"


class Columns:
    """The columns of one export, and what a row says in each.

    A carried column keeps its name, or is called ``input_<name>`` where that is taken. Its kind
    follows from all values of all rows: booleans, integers, numbers or texts stay what they are;
    a column of lists, of objects or of several kinds holds the JSON text of each value; one
    without any value holds texts.

    Args:
        rows: All rows of the export.
        record: Whether there is a column with the whole record.

    Attributes:
        kinds: The kind of each column, in their order, without `RECORD`.
        record: As given.
    """

    def __init__(self, rows: Iterable[Row], *, record: bool = True) -> None:
        self.record = record
        found: dict[str, set[str]] = {}
        for row in rows:
            for name, value in _carried(row):
                found.setdefault(name, set()).add(_kind_of(value))
        self._named = dict(_renamed(found))
        carried = {self._named[name]: _unified(kinds) for name, kinds in found.items()}
        self.kinds: dict[str, Kind] = {**COLUMNS, **carried}

    @property
    def names(self) -> tuple[str, ...]:
        """All columns in their order."""
        return (*self.kinds, RECORD) if self.record else tuple(self.kinds)

    def line(self, outcome: Outcome, record: str | None) -> Line:
        """What one row says in each column; the record stays JSON text.

        Args:
            outcome: What became of the row.
            record: Its record as JSON text; None where there is none.
        """
        line: Line = dict.fromkeys(self.names)
        line |= _own(outcome, {} if record is None else json.loads(record))
        for name, value in _carried(outcome.row):
            column = self._named[name]
            line[column] = _as_kind(value, self.kinds[column])
        if self.record:
            line[RECORD] = record
        return line


def _carried(row: Row) -> Iterator[tuple[str, Any]]:
    yield from row.extra.items()
    yield from row.options.items()


def _own(outcome: Outcome, record: Mapping[str, Any]) -> Line:
    row, trouble = outcome.row, outcome.trouble(record)
    engine, tokens = record.get("engine") or {}, record.get("tokens") or {}
    sampling, timings = record.get("sampling") or {}, record.get("timings") or {}
    counted = (tokens.get(name) for name in ("actual", "counted", "predicted"))
    return {
        "id": plain_text(row.id),
        "video": plain_text(row.video),
        "prompt": plain_text(row.prompt),
        "long_prompt": record.get("prompt"),
        "status": outcome.status,
        "error_code": trouble.code if trouble else None,
        "error_message": trouble.message if trouble else None,
        "error_remedy": trouble.remedy if trouble else None,
        "error_retryable": outcome.retryable if outcome.status == "failed" else None,
        "failed_checks": failed_checks(record),
        "key": outcome.key,
        "engine": engine.get("name"),
        "model": engine.get("model"),
        "revision": engine.get("revision"),
        "target": record.get("target"),
        "template": record.get("template"),
        "prompt_tokens": next((count for count in counted if count is not None), None),
        "completion_tokens": tokens.get("completion"),
        "target_tokens": tokens.get("target"),
        "target_limit": tokens.get("target_limit"),
        "seed": sampling.get("seed"),
        "temperature": sampling.get("temperature"),
        "attempts": len(record["attempts"]) if "attempts" in record else None,
        "seconds": round(sum(timings.values()), 6) if timings else None,
        "schema_version": SCHEMA_VERSION,
    }


def _renamed(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each carried name with the one that it gets; the second depends on the set of names only."""
    names = list(names)
    taken = {*COLUMNS, RECORD, *names}
    for name in names:
        column = name
        if name in COLUMNS or name == RECORD:
            while column in taken:
                column = f"{_TAKEN}{column}"
            taken.add(column)
        yield name, plain_text(column)


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if value in _EXACT_AS_DOUBLE:
            return "int64"
        return "large" if value in _INT64 else "json"
    if isinstance(value, float):
        return "double"
    return "string" if isinstance(value, str) else "json"


_UNIONS: Mapping[frozenset[str], Kind] = {
    frozenset[str](): "string",
    frozenset({"string"}): "string",
    frozenset({"bool"}): "bool",
    frozenset({"int64"}): "int64",
    frozenset({"large"}): "int64",
    frozenset({"int64", "large"}): "int64",
    frozenset({"double"}): "double",
    frozenset({"int64", "double"}): "double",
}


def _unified(kinds: set[str]) -> Kind:
    return _UNIONS.get(frozenset(kinds - {"null"}), "json")


def _as_kind(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind == "json":
        return compact(value)
    if kind == "double":
        return plain(float(value))
    return plain(value)
