"""What a run counts while it runs, for whoever watches."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from promptlift.record import Record
from promptlift.store.index import FIT

__all__ = ["BatchProgress", "ItemCounts"]


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """What is counted of one item.

    Attributes:
        status: What became of it.
        retryable: Whether the next run tries it again.
        answer_tokens: Tokens of all answers, as the engine counted.
    """

    status: str
    retryable: bool
    answer_tokens: int

    @classmethod
    def of(cls, record: Record) -> Self:
        """The counts of an item's record."""
        return cls(
            record.status,
            record.error is not None and record.error.retryable,
            sum(one.completion_tokens or 0 for one in record.attempts),
        )


@dataclass(slots=True)
class BatchProgress:
    """Counts of rows, except where they say otherwise.

    Attributes:
        total: Rows of the input; None until it was copied.
        before: Rows by status that were finished when this run began.
        now: Rows by status that this run has finished, items that share an answer each counted.
        again: Failures of this run that the next one tries again.
        in_work: Items that were begun and are not finished.
        in_flight: Requests that are with the engine.
        asked: Items that were begun.
        answer_tokens: Tokens of answers, as the engine counted.
        requests: Requests that were sent.
        decode_seconds: Seconds of decoding, added up over all workers.
        limit: How many requests may be in flight at present.
        workers: Processes that decode.
        paused: Why nothing moves; None where it does.
        began: When the run began, on the monotonic clock.
    """

    total: int | None = None
    before: Counter[str] = field(default_factory=Counter)
    now: Counter[str] = field(default_factory=Counter)
    again: int = 0
    in_work: int = 0
    in_flight: int = 0
    asked: int = 0
    answer_tokens: int = 0
    requests: int = 0
    decode_seconds: float = 0.0
    limit: int = 0
    workers: int = 0
    paused: str | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.began

    @property
    def finished(self) -> int:
        """Rows that are finished, by this run or an earlier one."""
        return self.before.total() + self.now.total()

    @property
    def left(self) -> int | None:
        """Rows that are not; None while the total is not known."""
        return None if self.total is None else max(0, self.total - self.finished)

    @property
    def fit(self) -> int:
        """Rows with a result that is fit to use."""
        return sum(counts[status] for counts in (self.before, self.now) for status in FIT)

    @property
    def unchanged(self) -> int:
        """Rows whose short prompt stands as it is."""
        return self.before["unchanged"] + self.now["unchanged"]

    @property
    def rejected(self) -> int:
        """Rows whose answers all failed the review."""
        return self.before["rejected"] + self.now["rejected"]

    @property
    def failed(self) -> int:
        """Rows without an answer."""
        return self.before["failed"] + self.now["failed"]

    def settle(self, item: ItemCounts, rows: int) -> None:
        """Note that rows are finished that share an item."""
        self.now[item.status] += rows
        self.again += rows * item.retryable
        self.answer_tokens += item.answer_tokens

    def counts(self) -> dict[str, Any]:
        """All of it as JSON values, for a line of the store."""
        counts: dict[str, Any] = msgspec.to_builtins(self)
        return {**counts, "seconds": round(self.seconds, 3)}
