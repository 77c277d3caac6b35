"""One export, from the folder of a run to a file or a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from promptlift.batch.export.columns import Columns, Line
from promptlift.batch.export.parquet import check_parquet, write_parquet
from promptlift.batch.export.sidecars import check_folder, write_sidecars
from promptlift.batch.export.text import write_csv, write_jsonl
from promptlift.batch.outcomes import FINISHED, Outcome, Status, outcomes, with_raw_record
from promptlift.batch.rows import Row
from promptlift.batch.run_dir import RunDir, open_run
from promptlift.errors import OptionError
from promptlift.files import replacing

__all__ = ["FORMS", "Exported", "Form", "Found", "export", "form_of"]

Form: TypeAlias = Literal["jsonl", "parquet", "csv", "sidecars"]
FORMS: tuple[Form, ...] = get_args(Form)

Found: TypeAlias = tuple[Outcome, dict[str, Any] | None]
"""A row with what became of it, and its record where there is one."""

_LINES: dict[str, Callable[[Iterable[Line], Columns, Path], int]] = {
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "csv": write_csv,
}


@dataclass(slots=True)
class Exported:
    """What an export holds.

    Attributes:
        written: Rows by status that are in it.
        left_out: Rows by status that are not.
        complete: Whether every input was read to its end, so that no row is unknown.
    """

    written: Counter[Status] = field(default_factory=Counter)
    left_out: Counter[Status] = field(default_factory=Counter)
    complete: bool = True


def export(
    run_dir: Path,
    output: Path,
    *,
    form: Form | None = None,
    only: Collection[Status] = FINISHED,
    source: str | None = None,
    record: bool | None = None,
    write: Callable[[Iterable[Found], Path], object] | None = None,
) -> Exported:
    """Write the rows of a run with what became of them, in the order of the input.

    Args:
        run_dir: The folder of the run, live, finished or dead.
        output: The file, or the folder for ``sidecars``.
        form: How; None to go by the name's ending, where none is ``sidecars``.
        only: The statuses of the rows that are wanted. ``missing`` is a row without a result.
        source: The one input whose rows are wanted; None for all.
        record: Whether the whole record comes along; None for yes, but in CSV.
        write: Writes the rows in the place of a form, such as back into the files that they
            came from. Takes each row with its record, streamed, and `output`.

    Raises:
        OptionError: The form cannot be told, the folder is no run, there is no such input, or
            PyArrow is not installed.
        OutputError: The output cannot be written.
    """
    form = None if write is not None else form or form_of(output)
    if form == "parquet":
        check_parquet()
    if form == "sidecars":
        check_folder(output)
    with open_run(run_dir, source=source) as run:
        made = Exported(complete=run.complete)
        wanted = _wanted(run, only, made)
        if form is None or form == "sidecars":
            found = ((outcome, None if raw is None else json.loads(raw)) for outcome, raw in wanted)
            if write is not None:
                write(found, output)
            else:
                write_sidecars(found, output, record=record is not False)
        else:
            with_records = form != "csv" if record is None else record
            columns = Columns(_rows(run), record=with_records)
            lines = (columns.line(*one) for one in wanted)
            with replacing(output) as temporary:
                _LINES[form](lines, columns, temporary)
    return made


def form_of(output: Path) -> Form:
    """The form that the ending of a name stands for.

    Raises:
        OptionError: None.
    """
    suffix = output.suffix.lower().removeprefix(".")
    if not suffix or output.is_dir():
        return "sidecars"
    for form in FORMS:
        if suffix == form:
            return form
    raise OptionError(
        f"what {output.name!r} should be cannot be told from its name",
        remedy="end it in .jsonl, .parquet or .csv, name a folder, or say --form",
    )


def _rows(run: RunDir) -> Iterator[Row]:
    for reading in run.readings:
        yield from reading.rows()


def _wanted(
    run: RunDir, only: Collection[Status], made: Exported
) -> Iterator[tuple[Outcome, str | None]]:
    """The rows that are wanted with their records as JSON, counted as they pass."""
    for outcome in outcomes(run):
        raw = None
        if outcome.status in only:
            outcome, raw = with_raw_record(run.index, outcome)
        if outcome.status in only:
            made.written[outcome.status] += 1
            yield outcome, raw
        else:
            made.left_out[outcome.status] += 1
