"""Exports of a run: JSON lines, Parquet, CSV, TSV, or a folder of text files.

An export has the rows of the inputs in their order, each with the result that stands for it; rows
that share an item each get its result. It is written beside and renamed, so its name holds a whole
export or the earlier one.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias, get_args

from promptlift.batch.rows import Row, rows_of
from promptlift.batch.status import (
    FINISHED,
    RowResult,
    RowStatus,
    failed_checks,
    raw_record,
    reason_of,
    row_results,
)
from promptlift.errors import OptionError, OutputError
from promptlift.files import replacing, write_atomic
from promptlift.record import SCHEMA_VERSION
from promptlift.store.run_dir import RunDir, open_run
from promptlift.text import compact_json, csv_cell, json_safe, plain_text

__all__ = [
    "COLUMNS",
    "ExportColumns",
    "ExportForm",
    "Exported",
    "export",
    "json_line",
    "results_with_records",
    "write_captions",
]

ExportForm: TypeAlias = Literal["jsonl", "parquet", "csv", "tsv", "sidecars"]
FORMS: tuple[ExportForm, ...] = get_args(ExportForm)
ColumnType: TypeAlias = Literal["string", "int64", "double", "bool", "json", "strings"]
"""What a column holds besides null; ``json`` is the JSON text of each value."""

COLUMNS: Mapping[str, ColumnType] = {
    "id": "string",
    "video": "string",
    "prompt": "string",
    "long_prompt": "string",
    "negative_prompt": "string",
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
"""Our own columns in their order. The input's follow, and ``record`` is the last."""

_RECORD = "record"
_LISTING = "promptlift-sidecars.jsonl"
_NAME_BYTES = 96


@dataclass(slots=True)
class Exported:
    """What an export holds.

    Attributes:
        written: Rows by status that are in it.
        left_out: Rows by status that are not.
    """

    written: Counter[RowStatus] = field(default_factory=Counter)
    left_out: Counter[RowStatus] = field(default_factory=Counter)


def export(
    run_dir: Path,
    output: Path,
    *,
    form: ExportForm | None = None,
    only: Collection[RowStatus] = FINISHED,
    source: str | None = None,
    record: bool = True,
) -> Exported:
    """Write the rows of a run with their results, in the order of the input.

    Args:
        run_dir: The folder of the run, live, finished or dead.
        output: The file, or the folder for ``sidecars``.
        form: How; None to go by the name's ending, where no ending is ``sidecars``.
        only: The statuses of the rows that are wanted. ``missing`` is a row without a result.
        source: The one input whose rows are wanted; None for all.
        record: Whether the whole record comes along, which is never the case in CSV and TSV.

    Raises:
        OptionError: The form is not clear, the folder is no run, there is no such input, or
            PyArrow is not installed.
        OutputError: The output cannot be written.
    """
    form = form or _form_of(output)
    if form == "parquet":
        from promptlift.batch.parquet import require_pyarrow

        require_pyarrow("Parquet")
    if form == "sidecars":
        _check_sidecar_folder(output)
    with open_run(run_dir, source=source) as run:
        exported = Exported()
        found = results_with_records(run, only, exported)
        if form == "sidecars":
            _write_sidecars(found, output, record=record)
        else:
            rows = (row for copy in run.inputs for row in rows_of(copy))
            columns = ExportColumns(rows, record=record and form not in ("csv", "tsv"))
            with replacing(output) as temporary:
                _write_lines((columns.line(*one) for one in found), columns, temporary, form)
    return exported


def results_with_records(
    run: RunDir, only: Collection[RowStatus], exported: Exported
) -> Iterator[tuple[RowResult, str | None]]:
    """The rows with these statuses and their records as JSON text; all are counted."""
    for result in row_results(run):
        raw = None
        if result.status in only:  # else its record need not be read
            result, raw = raw_record(run.index, result)
        if result.status in only:
            exported.written[result.status] += 1
            yield result, raw
        else:
            exported.left_out[result.status] += 1


def _form_of(output: Path) -> ExportForm:
    suffix = output.suffix.lower().removeprefix(".")
    if not suffix or output.is_dir():
        return "sidecars"
    for form in FORMS:
        if suffix == form:
            return form
    raise OptionError(
        f"the form of {output.name!r} is not clear from its name",
        remedy="end it in .jsonl, .parquet, .csv or .tsv, name a folder, or give --form",
    )


def _write_lines(
    lines: Iterable[dict[str, Any]], columns: ExportColumns, path: Path, form: ExportForm | None
) -> None:
    if form == "parquet":
        from promptlift.batch.parquet import write_parquet

        types = {**columns.types, _RECORD: "json"} if columns.record else columns.types
        write_parquet(lines, types, path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if form == "jsonl":
            for line in lines:
                file.write(f"{json_line(line)}\n")
        else:
            # With the default CRLF, a lone CR in a cell is quoted as well.
            writer = csv.writer(file, delimiter="\t" if form == "tsv" else ",")
            writer.writerow(map(csv_cell, columns.names))
            for line in lines:
                writer.writerow([csv_cell(line[name]) for name in columns.names])
        file.flush()
        os.fsync(file.fileno())


def json_line(line: Mapping[str, Any]) -> str:
    """One row as one JSON object, with its record nested as it was written."""
    text = compact_json({name: value for name, value in line.items() if name != _RECORD})
    if _RECORD not in line:
        return text
    return f'{text[:-1]},"{_RECORD}":{line[_RECORD] or "null"}}}'


# ---- columns


class ExportColumns:
    """The columns of one export: the same for success and failure, and known before the first row.

    A column of the input keeps its name, or is called ``input_<name>`` where that is taken. Its
    type follows from all values of all rows: booleans, integers, numbers and texts stay what they
    are; a column of lists, of objects or of several types holds the JSON text of each value; one
    without any value holds texts.

    Args:
        rows: All rows of the export.
        record: Whether there is a column with the whole record.

    Attributes:
        types: The type of each column, in their order, without the record.
        record: As given.
    """

    def __init__(self, rows: Iterable[Row], *, record: bool = True) -> None:
        self.record = record
        found: dict[str, set[ColumnType]] = {}
        for row in rows:
            for name, value in _carried(row):
                types = found.setdefault(name, set())
                if value is not None:
                    types.add(_type_of(value))
        taken = {*COLUMNS, _RECORD, *found}
        self._names: dict[str, str] = {}
        for name in found:
            column = name
            if name in COLUMNS or name == _RECORD:
                while column in taken:
                    column = f"input_{column}"
                taken.add(column)
            self._names[name] = plain_text(column)
        carried = {self._names[name]: _common_type(types) for name, types in found.items()}
        self.types: dict[str, ColumnType] = {**COLUMNS, **carried}

    @property
    def names(self) -> tuple[str, ...]:
        """All columns in their order."""
        return (*self.types, _RECORD) if self.record else tuple(self.types)

    def line(self, result: RowResult, record: str | None) -> dict[str, Any]:
        """One row as column to value; the record stays JSON text.

        Args:
            result: What became of the row.
            record: Its record as JSON text; None where there is none.
        """
        line: dict[str, Any] = dict.fromkeys(self.names)
        line |= _own_values(result, {} if record is None else json.loads(record))
        for name, value in _carried(result.row):
            column = self._names[name]
            line[column] = _as_type(value, self.types[column])
        if self.record:
            line[_RECORD] = record
        return line


def _carried(row: Row) -> Iterator[tuple[str, Any]]:
    yield from row.extra.items()
    yield from row.options.items()


def _own_values(result: RowResult, record: Mapping[str, Any]) -> dict[str, Any]:
    row, reason = result.row, reason_of(record)
    engine, tokens = record.get("engine") or {}, record.get("tokens") or {}
    sampling, timings = record.get("sampling") or {}, record.get("timings") or {}
    counts = (tokens.get(name) for name in ("actual", "counted", "predicted"))
    return {
        "id": plain_text(row.id),
        "video": plain_text(row.video),
        "prompt": plain_text(row.prompt),
        "long_prompt": record.get("prompt"),
        "negative_prompt": record.get("negative_prompt") or None,
        "status": result.status,
        "error_code": reason.code if reason else None,
        "error_message": reason.message if reason else None,
        "error_remedy": reason.remedy if reason else None,
        "error_retryable": result.retryable if result.status == "failed" else None,
        "failed_checks": failed_checks(record),
        "key": result.key,
        "engine": engine.get("name"),
        "model": engine.get("model"),
        "revision": engine.get("revision"),
        "target": record.get("target"),
        "template": record.get("template"),
        "prompt_tokens": next((count for count in counts if count is not None), None),
        "completion_tokens": tokens.get("completion"),
        "target_tokens": tokens.get("target"),
        "target_limit": tokens.get("target_limit"),
        "seed": sampling.get("seed"),
        "temperature": sampling.get("temperature"),
        "attempts": len(record["attempts"]) if "attempts" in record else None,
        "seconds": round(sum(timings.values()), 6) if timings else None,
        "schema_version": SCHEMA_VERSION,
    }


def _type_of(value: Any) -> ColumnType:
    kinds: dict[type, ColumnType] = {bool: "bool", int: "int64", float: "double", str: "string"}
    if type(value) is int and not -(2**63) <= value < 2**63:
        return "json"
    return kinds.get(type(value), "json")


def _common_type(types: set[ColumnType]) -> ColumnType:
    if types == {"int64", "double"}:
        return "double"
    return next(iter(types), "string") if len(types) < 2 else "json"


def _as_type(value: Any, kind: ColumnType) -> Any:
    if value is None:
        return None
    if kind == "json":
        return compact_json(value)
    return json_safe(float(value) if kind == "double" else value)


# ---- captions


@dataclass(slots=True)
class Captions:
    """What `write_captions` did.

    Attributes:
        written: Videos whose caption was written, or was there already.
        kept: Files with another text, which were left as they are.
        without: Videos without a prompt that is fit to use.
    """

    written: int = 0
    kept: list[Path] = field(default_factory=list)
    without: int = 0


def write_captions(run_dir: Path, *, overwrite: bool = False) -> Captions:
    """Write each video's prompt to a file beside it, ``clip.txt`` for ``clip.mp4``.

    This is the layout that trainers of video models read.

    Args:
        run_dir: The folder of the run.
        overwrite: Whether a file with another text is replaced.

    Raises:
        OutputError: A file cannot be written.
    """
    done, exported = Captions(), Exported()
    with open_run(run_dir) as run:
        for result, raw in results_with_records(run, ("ok", "repaired"), exported):
            prompt = json.loads(raw or "{}").get("prompt") or ""
            path = Path(result.row.video).with_suffix(".txt")
            content = f"{' '.join(plain_text(prompt).split())}\n".encode()
            there = path.read_bytes() if path.is_file() else None
            if there is not None and there != content and not overwrite:
                done.kept.append(path)
                continue
            if there != content:
                write_atomic(path, content)
            done.written += 1
    done.without = exported.left_out.total()
    return done


# ---- sidecars


def _check_sidecar_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            f"{str(folder)!r} is there and is no empty folder",
            remedy="name a new folder for the sidecars, or remove that one",
        )


def _write_sidecars(
    rows: Iterable[tuple[RowResult, str | None]], folder: Path, *, record: bool
) -> None:
    """Write ``NAME.txt`` with the prompt and ``NAME.json`` with the record for every row.

    A prompt that is a JSON document is ``NAME.prompt.json``, as its generator reads it; a negative
    prompt is in ``NAME.negative.txt``.

    They are not written beside the videos: there a ``.txt`` is the *short* prompt, so the next
    reading of that folder would take the result for the question. The folder is written beside its
    place and renamed. A listing says which files are which row's.
    """
    folder = folder.resolve()
    temporary = folder.with_name(f".promptlift-{secrets.token_hex(8)}")
    taken: set[str] = set()
    try:
        temporary.mkdir()
        with (temporary / _LISTING).open("w", encoding="utf-8", newline="\n") as file:
            for result, raw in rows:
                found = None if raw is None else json.loads(raw)
                row, name = result.row, _sidecar_name(result.row, taken)
                texts = {}
                if found is not None and found.get("prompt") is not None:
                    if found.get("document") and found["prompt"].startswith("{"):
                        document = json.dumps(found["document"], ensure_ascii=False, indent=2)
                        texts[f"{name}.prompt.json"] = document
                    else:
                        texts[f"{name}.txt"] = found["prompt"]
                    if found.get("negative_prompt"):
                        texts[f"{name}.negative.txt"] = found["negative_prompt"]
                if record and found is not None:
                    texts[f"{name}.json"] = json.dumps(found, ensure_ascii=False, indent=2)
                for path, text in texts.items():
                    content = f"{plain_text(text)}\n"
                    (temporary / path).write_text(content, encoding="utf-8", newline="\n")
                entry = {
                    "files": list(texts),
                    "id": row.id,
                    "video": row.video,
                    "prompt": row.prompt,
                    "status": result.status,
                    "key": result.key,
                }
                file.write(f"{compact_json(entry)}\n")
        if folder.exists():
            folder.rmdir()  # which fails if anything has been put there since
        temporary.rename(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write the folder {str(folder)!r}: {error.strerror or error}",
            remedy="choose another directory, or free disk space",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sidecar_name(row: Row, taken: set[str]) -> str:
    """A file name without suffix: the row's id, or its video's name where it has no id.

    A name that had to be changed to be safe on every file system, or that an earlier row has, gets
    eight digits of the row's digest; a row that equals an earlier one gets a number besides.
    """
    own_id = not (row.digest.startswith(row.id) and row.video)
    wanted = plain_text(row.id if own_id else PurePath(row.video).stem)
    # Letters of other scripts take up to four of the 255 bytes that a name may have.
    safe = re.sub(r"[^\w.\- ]", "_", wanted).encode()[:_NAME_BYTES].decode("utf-8", "ignore")
    name = safe = safe.strip(" .") or "_"
    safe = name = safe.removesuffix(".negative") or "_"
    if safe != wanted or name.casefold() in taken:
        name = f"{safe}-{row.digest[:8]}"
    numbers = count(2)
    while name.casefold() in taken:  # some file systems ignore case
        name = f"{safe}-{row.digest[:8]}-{next(numbers)}"
    taken.add(name.casefold())
    return name
