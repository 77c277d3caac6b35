"""Write what a batch has made of the prompts of spec files back into such files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from promptlift.batch.outcomes import Outcome
from promptlift.batch.rows import Row
from promptlift.core.record import Record
from promptlift.cosmos.items import Item, Misfit
from promptlift.cosmos.jobs import Job, Kept, decide
from promptlift.cosmos.outputs import Claims, Output, Outputs, write
from promptlift.cosmos.results import Finished, Result, answered, changes, left
from promptlift.cosmos.rows import Origin, known_in
from promptlift.cosmos.sidecar import Known
from promptlift.errors import InputError, SpecError

__all__ = ["Refused", "Returned", "write_back"]

Returned: TypeAlias = tuple[Outcome, Mapping[str, Any] | None]
"""What became of a row, and its record as JSON values; see `promptlift.batch.outcomes.joined`."""

_CHANGED = "the spec is not what it was when the batch read it"
_READ_AGAIN = "run the batch again, which asks only what is new"


class Refused(NamedTuple):
    """A spec whose results could not be written, and why."""

    spec: Path
    error: InputError


def write_back(
    rows: Iterable[Returned], folder: Path | None = None, *, in_place: bool = False
) -> Iterator[Finished | Refused]:
    """Write the results of rows that `SpecRows` gave, each spec in its own format.

    The result is the same file as ``promptlift cosmos upsample`` writes, with its sidecar: the
    long prompts in place, whatever was kept or failed as it was.

    A spec's rows may be spread over several readings, as shards are, so that all rows are taken
    before the first spec is written.

    Args:
        rows: What became of the rows, in any order.
        folder: Where results go; None for beside the specs, as ``NAME.upsampled.json``.
        in_place: Replace the specs.

    Yields:
        Each spec, when it is written; one that cannot be is told of, and the others go on.

    Raises:
        SpecError: A row came from no spec.
        OutputError: A file cannot be written.
    """
    outputs = Outputs(folder, in_place=in_place)
    for origin, given in _by_spec(rows).items():
        try:
            finished = _finished(origin, given, outputs)
        except InputError as error:
            yield Refused(Path(origin.spec), error)
            continue
        write(finished.changes)
        yield finished


class _Row(NamedTuple):
    """What became of a row, with the record as JSON, which takes a tenth of its memory."""

    outcome: Outcome
    record: str | None

    @property
    def is_done(self) -> bool:
        """Whether it has a prompt that is fit to use."""
        return self.outcome.status in ("ok", "repaired")


def _by_spec(rows: Iterable[Returned]) -> dict[Origin, dict[int | None, _Row]]:
    """The rows of each spec, by the place of their items."""
    specs: dict[Origin, dict[int | None, _Row]] = {}
    for outcome, record in rows:
        origin, place = Origin.of(outcome.row)
        given = specs.setdefault(origin, {})
        if place not in given or not given[place].is_done:
            given[place] = _Row(outcome, None if record is None else json.dumps(record))
    return specs


def _finished(origin: Origin, given: Mapping[int | None, _Row], outputs: Outputs) -> Finished:
    spec = origin.read()
    output = outputs.place(spec)
    if not set(given) <= {None, *range(len(spec.items))}:
        raise SpecError(_CHANGED, remedy=_READ_AGAIN)
    returning = _Returning(origin, output)
    results = tuple(
        returning.result(item, given.get(place)) for place, item in enumerate(spec.items)
    )
    return Finished(output, results, changes(output, results))


class _Returning:
    """Joins the items of one spec, decided again, with what became of their rows."""

    def __init__(self, origin: Origin, output: Output) -> None:
        self._settings = origin.settings
        self._output = output
        self._here = known_in(output.spec.path)
        self._claims = Claims()

    def result(self, item: Item | Misfit, row: _Row | None) -> Result:
        """What becomes of an item."""
        if isinstance(item, Misfit):
            return Result(item, "failed", "", reason=str(item.error))
        try:
            job = self._decided(item, row)
            if isinstance(job, Kept):
                return left(item, job)
            return self._joined(item, job, row)
        except InputError as error:
            return self._failed(item, str(error))

    def _decided(self, item: Item, row: _Row | None) -> Job | Kept:
        """As when the batch read it; what an earlier export wrote stands only if this has none."""
        known, settings = self._here, self._settings
        if row is not None and row.is_done:
            settings = dataclasses.replace(settings, may_be_gone=True)
        else:
            known = Known(self._here.results, self._output.known.finished)
        return decide(item, self._output.spec, known, settings)

    def _joined(self, item: Item, job: Job, row: _Row | None) -> Result:
        if row is None or not _is_of(job, row.outcome.row):
            raise SpecError(_CHANGED, remedy=_READ_AGAIN)
        if row.record is None:
            raise SpecError("it has not been asked yet", remedy="finish the batch")
        self._claims.take(self._output, item, job.prompt_file.path if job.prompt_file else None)
        record = Record.model_validate_json(row.record)
        failed = record.error if row.outcome.status == "failed" else None
        why = SpecError(failed.message, remedy=failed.remedy) if failed else ""
        return answered(item, job, record, error=str(why))

    def _failed(self, item: Item, reason: str) -> Result:
        prompt = item.prompt or ""
        entry = self._output.known.results.get(prompt)
        return Result(item, "failed", prompt, reason=reason, entry=entry)


def _is_of(job: Job, row: Row) -> bool:
    """Whether a row was made of what the spec says now; a video may have been cleared away."""
    video = job.video.path.absolute()
    return row.prompt == job.short and (row.video == str(video) or not video.exists())
