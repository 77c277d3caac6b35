"""What became of each row: the rows of all readings, joined with the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from promptlift.batch.rows import Row
from promptlift.errors import OutputError

if TYPE_CHECKING:
    from promptlift.batch.journal import Index
    from promptlift.batch.run_dir import RunDir

__all__ = [
    "FINISHED",
    "STATUSES",
    "Outcome",
    "Status",
    "Trouble",
    "failed_checks",
    "joined",
    "outcomes",
    "trouble_of",
    "with_raw_record",
    "with_record",
]

Status: TypeAlias = Literal["ok", "repaired", "rejected", "failed", "missing"]
STATUSES: tuple[Status, ...] = get_args(Status)
FINISHED: tuple[Status, ...] = ("ok", "repaired", "rejected", "failed")

# What may help, by the check that failed first; see `promptlift.core.review`.
_REMEDIES = {
    "empty": "ask again with another --seed",
    "cut": "raise --reserve, or ask again",
    "refusal": "word the short prompt otherwise, or use another model",
    "meta": "ask again with another --seed",
    "language": "ask again, or use a model that keeps to English",
    "loop": "raise --temperature, or ask again with another --seed",
    "too_long": "lower --reserve, or ask again",
    "unfaithful": "compare the short prompt with the video, or use a larger model",
    "artefact": "check what --control says, or leave it out, and ask again",
}
_ASK_AGAIN = "ask again with --retry rejected"


class Trouble(NamedTuple):
    """Why there is no result that is fit to use."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row.

    Attributes:
        row: The row.
        source: Name of the input that it stands in.
        key: Its item's key; None where it was never begun.
        status: What stands for it; ``missing`` for nothing yet.
        code: Of the failure, or of the first check that failed; None for neither.
        retryable: Whether a rerun asks again by itself.
    """

    row: Row
    source: str
    key: str | None
    status: Status
    code: str | None = None
    retryable: bool = False

    def trouble(self, record: Mapping[str, Any]) -> Trouble | None:
        """Why there is no result, from the record or from the row itself; None where there is."""
        if self.status == "failed" and not record and self.row.trouble is not None:
            return Trouble(*self.row.trouble)
        return trouble_of(record)


def outcomes(run: RunDir) -> Iterator[Outcome]:
    """What became of every row, in the order of the readings, without reading their records."""
    for reading in run.readings:
        for row in reading.rows():
            yield _outcome(run, reading.source, row)


def joined(run: RunDir) -> Iterator[tuple[Outcome, dict[str, Any] | None]]:
    """The same with each row's record. A result that cannot be read any more is none."""
    for outcome in outcomes(run):
        yield with_record(run.index, outcome)


def with_record(index: Index, outcome: Outcome) -> tuple[Outcome, dict[str, Any] | None]:
    """An outcome with its record; ``missing`` where its line was damaged since it was indexed."""
    outcome, raw = with_raw_record(index, outcome)
    return outcome, None if raw is None else json.loads(raw)


def with_raw_record(index: Index, outcome: Outcome) -> tuple[Outcome, str | None]:
    """The same with the record as JSON text, as it was written."""
    if outcome.key is None or outcome.status == "missing":
        return outcome, None
    try:
        return outcome, index.raw_record(outcome.key).decode()
    except (KeyError, OutputError):
        if outcome.row.trouble is not None:
            return outcome, None
        return replace(outcome, status="missing", code=None, retryable=False), None


def trouble_of(record: Mapping[str, Any]) -> Trouble | None:
    """Why a record has no result that is fit to use; None where it has one."""
    error = record.get("error")
    if error:
        return Trouble(error["code"], error["message"], error["remedy"])
    if record.get("status") != "rejected":
        return None
    for check in (record.get("review") or {}).get("checks", ()):
        if not check["passed"]:
            name = check["name"]
            message = check.get("detail") or f"the check {name!r} failed"
            return Trouble(name, message, _REMEDIES.get(name, _ASK_AGAIN))
    return None


def failed_checks(record: Mapping[str, Any]) -> list[str] | None:
    """Names of the checks that the best answer failed; None where there is no review."""
    review = record.get("review")
    if review is None:
        return None
    return [check["name"] for check in review["checks"] if not check["passed"]]


def _outcome(run: RunDir, source: str, row: Row) -> Outcome:
    key = run.index.key_of(row.digest)
    if key is not None and not run.current.has(row, key):
        key = None
    standing = None if key is None else run.index.state(key)
    if standing is not None:
        return Outcome(row, source, key, standing.state, standing.code, standing.retryable)
    if row.trouble is not None:
        return Outcome(row, source, key, "failed", row.trouble[0])
    return Outcome(row, source, key, "missing")
