"""How a run stands: what an operator asks first, from the journal's heads alone.

No record is read but those of a few examples of what went wrong, so that 200,000 rows are told
of in the time that it takes to read them once. What records say is in `promptlift.batch.measure`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from promptlift.batch.mirror import Place
from promptlift.batch.outcomes import Outcome, Status, outcomes, with_record
from promptlift.batch.policy import FIT
from promptlift.batch.run_dir import RunDir, open_run
from promptlift.batch.writers import WriterSeen, active_seconds, see_writers

if TYPE_CHECKING:
    from promptlift.batch.journal.segment import Damage

__all__ = ["Example", "Group", "InputSeen", "State", "Summary", "summarise", "summarise_run"]

State: TypeAlias = Literal["running", "finished", "unfinished"]

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a group.

    Attributes:
        id: The row's.
        video: Its path.
        key: Its item's key; None where there is none.
        message: What went wrong.
        remedy: What to do about it.
    """

    id: str
    video: str
    key: str | None
    message: str
    remedy: str


@dataclass(slots=True)
class Group:
    """Rows that failed or were rejected for the same reason.

    Attributes:
        status: ``failed`` or ``rejected``.
        code: Of the failure, or the name of the check that failed first.
        retryable: Whether a rerun asks again by itself.
        rows: How many.
        examples: The first few in the order of the input.
    """

    status: Status
    code: str
    retryable: bool
    rows: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class InputSeen:
    """One input as it was last read: its name, its rows, and whether that was to its end."""

    source: str
    rows: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run stands.

    Attributes:
        run_dir: The folder, or the URL that it is a copy of.
        rows: Rows by status.
        groups: What failed, then what was rejected, the most rows first.
        items: Different items that have a result, those of other settings among them.
        retryable: Rows that failed and are asked again by a rerun.
        inputs: The inputs, in their order.
        writers: The processes that worked on it, in the order of their turns.
        damage: Segments that something is wrong with.
        active_s: Seconds in which at least one writer worked.
    """

    run_dir: Place
    rows: Counter[Status]
    groups: tuple[Group, ...]
    items: int
    retryable: int
    inputs: tuple[InputSeen, ...]
    writers: tuple[WriterSeen, ...]
    damage: tuple[Damage, ...]
    active_s: float

    @property
    def total(self) -> int:
        """All rows that were read so far."""
        return self.rows.total()

    @property
    def fit(self) -> int:
        """Rows with a prompt that is fit to use."""
        return sum(self.rows[status] for status in ("ok", "repaired"))

    @property
    def left(self) -> int:
        """Rows that a rerun asks."""
        return self.rows["missing"] + self.retryable

    @property
    def complete(self) -> bool:
        """Whether every input was read to its end, so that `total` is the total."""
        return bool(self.inputs) and all(one.complete for one in self.inputs)

    @property
    def state(self) -> State:
        """Whether somebody works on it, all is done, or a rerun has work to do."""
        if self.live:
            return "running"
        return "finished" if self.complete and not self.left else "unfinished"

    @property
    def rate(self) -> float:
        """Rows that are finished in a second now, by all writers together."""
        return sum(writer.rate for writer in self.live)

    @property
    def eta_s(self) -> float | None:
        """Seconds until all is done at the present rate; None where nothing tells."""
        known = self.complete and self.left > 0 and self.rate > 0
        return self.left / self.rate if known else None

    @property
    def live(self) -> tuple[WriterSeen, ...]:
        """The writers that work now."""
        return tuple(writer for writer in self.writers if writer.life == "live")

    @property
    def torn(self) -> int:
        """Writers that were killed in the middle of a line."""
        working = {f"{writer.name}.jsonl" for writer in self.live}
        return sum(d.torn > 0 and d.segment not in working for d in self.damage)

    @property
    def corrupt(self) -> int:
        """Whole lines that were left out because they are damaged."""
        return sum(damage.corrupt for damage in self.damage)


def summarise(run_dir: Path, *, examples: int = _EXAMPLES, now: float | None = None) -> Summary:
    """Tell how a run stands; it may be live, finished or dead, and on another machine.

    Args:
        run_dir: The folder.
        examples: How many rows of each group are shown; 0 reads no record at all.
        now: Seconds since 1970; None for the clock's.

    Raises:
        OptionError: The folder is no run.
        OutputError: It cannot be read.
    """
    with open_run(run_dir) as run:
        return summarise_run(run, examples=examples, now=now)


def summarise_run(run: RunDir, *, examples: int = _EXAMPLES, now: float | None = None) -> Summary:
    """The same for a run that is open."""
    tally = _Tally(run, examples)
    tally.take(outcomes(run))
    inputs = tuple(
        InputSeen(reading.source, tally.sources[reading.source], reading.complete)
        for reading in run.readings
    )
    writers = see_writers(run.index.runs, now=now)
    return Summary(
        run_dir=run.path,
        rows=tally.rows,
        groups=tuple(sorted(tally.groups.values(), key=_order)),
        items=run.index.counts().total(),
        retryable=tally.retryable,
        inputs=inputs,
        writers=writers,
        damage=tuple(run.index.damage),
        active_s=active_seconds(writers),
    )


def _order(group: Group) -> tuple[bool, int, str]:
    """Failures first, which somebody has to mend, and the most rows first."""
    return group.status == "rejected", -group.rows, group.code


class _Tally:
    """Counts rows by status and reason."""

    def __init__(self, run: RunDir, examples: int) -> None:
        self.rows: Counter[Status] = Counter()
        self.sources: Counter[str] = Counter()
        self.groups: dict[tuple[Status, str, bool], Group] = {}
        self.retryable = 0
        self._run = run
        self._examples = examples

    def take(self, found: Iterable[Outcome]) -> None:
        for outcome in found:
            self.rows[outcome.status] += 1
            self.sources[outcome.source] += 1
            if outcome.status in FIT or outcome.status == "missing":
                continue
            self.retryable += outcome.status == "failed" and outcome.retryable
            which = (outcome.status, outcome.code or "unknown", outcome.retryable)
            group = self.groups.get(which)
            if group is None:
                group = self.groups[which] = Group(*which)
            group.rows += 1
            if len(group.examples) < self._examples:
                group.examples.append(self._example(outcome))

    def _example(self, outcome: Outcome) -> Example:
        _, record = with_record(self._run.index, outcome)
        trouble = outcome.trouble(record or {})
        return Example(
            id=outcome.row.id,
            video=outcome.row.video,
            key=outcome.key,
            message=trouble.message if trouble else "",
            remedy=trouble.remedy if trouble else "",
        )
