"""The state of a run: what became of each row, what failed and why, and who works on it.

Counting reads no record except those of a few examples, so that 200,000 rows take as long as
reading their states once. What the records say together is in `promptlift.batch.report`.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from promptlift.batch.rows import CurrentKeys, Row, rows_of
from promptlift.errors import OptionError, OutputError
from promptlift.review.result import check_of
from promptlift.review.verify import Verification
from promptlift.store.index import FIT, Index, PartDamage, WriterLog
from promptlift.store.remote import RunPlace
from promptlift.store.results import process_runs
from promptlift.store.run_dir import RunDir
from promptlift.text import compact_json, counted

__all__ = [
    "FINISHED",
    "STATUSES",
    "FailureExample",
    "FailureGroup",
    "FailureReason",
    "RowResult",
    "RowStatus",
    "RunSummary",
    "WriterLife",
    "WriterStatus",
    "active_seconds",
    "damage_lines",
    "failed_checks",
    "find_rows",
    "format_duration",
    "format_rate",
    "item_text",
    "next_steps",
    "raw_record",
    "reason_of",
    "row_results",
    "status_text",
    "summarise",
    "writer_statuses",
]

RowStatus: TypeAlias = Literal["ok", "repaired", "unchanged", "rejected", "failed", "missing"]
STATUSES: tuple[RowStatus, ...] = get_args(RowStatus)
FINISHED: tuple[RowStatus, ...] = ("ok", "repaired", "unchanged", "rejected", "failed")

WriterLife: TypeAlias = Literal["live", "ended", "killed"]

_ALIVE_SECONDS = 30.0  # a writer reports every ten
_RATE_LINES = 6
_EXAMPLES = 3

_STATUS_NOTES = {
    "unchanged": "  the short prompt itself: without a model nothing could be added",
    "missing": "  no result yet",
}

# What may help, by the check that failed first; see `promptlift.review`.
_REMEDIES = {
    "empty": "ask again with another --seed",
    "cut": "raise --reserve, or ask again",
    "refusal": "word the short prompt otherwise, or use another model",
    "thinking": "switch the model's thinking off, or raise --reserve",
    "meta": "ask again with another --seed",
    "language": "ask again, or use a model that keeps to English",
    "loop": "raise --temperature, or ask again with another --seed",
    "too_long": "lower --reserve, or ask again",
    "length": "raise --reserve, or ask again",
    "unfaithful": "compare the short prompt with the video, or use a larger model",
    "artefact": "check what --control says, or leave it out, and ask again",
}


# ---- rows


class FailureReason(NamedTuple):
    """Why there is no prompt that is fit to use."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of a row.

    Attributes:
        row: The row.
        source: The input that it is in.
        key: Its item's key; None where it was never begun.
        status: The result that stands for it; ``missing`` for none yet.
        code: Of the failure, or of the first failed check; None for neither.
        retryable: Whether a rerun tries again by itself.
    """

    row: Row
    source: str
    key: str | None
    status: RowStatus
    code: str | None = None
    retryable: bool = False


def row_results(run: RunDir) -> Iterator[RowResult]:
    """What became of every row, in the order of the inputs, without reading their records."""
    keys = CurrentKeys(run.index, run.config)
    for copy in run.inputs:
        for row in rows_of(copy):
            key = keys.key_of(row)
            state = None if key is None else run.index.state(key)
            if state is None:
                yield RowResult(row, copy.source, key, "missing")
            else:
                yield RowResult(row, copy.source, key, state.status, state.code, state.retryable)


def raw_record(index: Index, result: RowResult) -> tuple[RowResult, str | None]:
    """A result with its record as JSON text; ``missing`` where the line was damaged meanwhile."""
    if result.key is None or result.status == "missing":
        return result, None
    try:
        return result, index.raw_record(result.key).decode()
    except (KeyError, OutputError):
        return replace(result, status="missing", code=None, retryable=False), None


def reason_of(record: Mapping[str, Any]) -> FailureReason | None:
    """Why a record has no prompt that is fit to use; None where it has one."""
    error = record.get("error")
    if error:
        return FailureReason(error["code"], error["message"], error["remedy"])
    if record.get("status") != "rejected":
        return None
    review = record.get("review") or {}
    for name in failed_checks(record) or ():
        errors = (
            one["message"].rstrip(".")
            for one in review.get("findings", ())
            if one["severity"] == "error" and check_of(one["name"]) == name
        )
        message = ". ".join(errors) or f"the check {name!r} failed"
        return FailureReason(name, message, _REMEDIES.get(name, "ask again"))
    return None


def failed_checks(record: Mapping[str, Any]) -> list[str] | None:
    """Names of the checks that the best answer failed; None where there is no review."""
    review = record.get("review")
    if review is None:
        return None
    return [check["name"] for check in review["checks"] if not check["passed"]]


def find_rows(run: RunDir, wanted: str) -> list[RowResult]:
    """The rows of one item; several where rows share it.

    Args:
        run: The run.
        wanted: A row's id, or at least four digits of a key. An id comes first.

    Raises:
        OptionError: There is none, or several items match.
    """
    start = wanted.lower() if re.fullmatch(r"[0-9a-fA-F]{4,64}", wanted) else None
    found, by_key = [], []
    for result in row_results(run):
        if result.row.id == wanted:
            found.append(result)
        elif start is not None and (result.key or "").startswith(start):
            by_key.append(result)
    found = found or by_key
    if not found:
        raise OptionError(
            f"no row has the id {wanted!r}, and no key begins with it",
            remedy="take an id or a key from `promptlift batch status` or from an export",
        )
    items = {result.key or f"row {result.row.number + 1} of {result.source}" for result in found}
    if len(items) > 1:
        raise OptionError(
            f"{wanted!r} is {len(items)} items: {', '.join(sorted(items)[:5])}",
            remedy="pass one of these keys",
        )
    return found


# ---- the run


@dataclass(frozen=True, slots=True)
class FailureExample:
    """One row of a group; the key is None where its item has none."""

    id: str
    video: str
    key: str | None
    message: str
    remedy: str


@dataclass(slots=True)
class FailureGroup:
    """Rows that failed or were rejected for the same reason.

    Attributes:
        status: ``failed`` or ``rejected``.
        code: Of the failure, or the name of the check that failed first.
        retryable: Whether a rerun tries again by itself.
        rows: How many.
        examples: The first few in the order of the input.
    """

    status: RowStatus
    code: str
    retryable: bool
    rows: int = 0
    examples: list[FailureExample] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The state of a run.

    Attributes:
        run_dir: The folder, or the URL that it is a copy of.
        rows: Rows by status.
        groups: What failed, then what was rejected, the most rows first.
        retryable: Failed rows that a rerun tries again.
        inputs: How many rows each input has, by their descriptions.
        complete: Whether all rows of the inputs are known, so that `total` is final.
        writers: The processes that worked on it, in their order.
        damage: Parts that something is wrong with.
        active_s: Seconds in which at least one process worked.
    """

    run_dir: RunPlace
    rows: Counter[RowStatus]
    groups: tuple[FailureGroup, ...]
    retryable: int
    inputs: Mapping[str, int]
    complete: bool
    writers: tuple[WriterStatus, ...]
    damage: tuple[PartDamage, ...]
    active_s: float

    @property
    def total(self) -> int:
        """All rows that are known."""
        return self.rows.total()

    @property
    def fit(self) -> int:
        """Rows with a prompt that is fit to use."""
        return self.rows["ok"] + self.rows["repaired"]

    @property
    def left(self) -> int:
        """Rows that a rerun works on."""
        return self.rows["missing"] + self.retryable

    @property
    def state(self) -> Literal["running", "finished", "unfinished"]:
        """Whether a process works on it, all is done, or a rerun has work to do."""
        if self.live:
            return "running"
        return "finished" if self.complete and not self.left else "unfinished"

    @property
    def rate(self) -> float:
        """Rows a second at present, of all processes together."""
        return sum(writer.rate for writer in self.live)

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the present rate; None where it is not known."""
        known = self.complete and self.left > 0 and self.rate > 0
        return self.left / self.rate if known else None

    @property
    def live(self) -> tuple[WriterStatus, ...]:
        """The processes that work now."""
        return tuple(writer for writer in self.writers if writer.life == "live")


def summarise(run: RunDir, *, place: RunPlace | None = None) -> RunSummary:
    """The state of a run, which may be live, finished or dead, or on another machine.

    Args:
        run: The run.
        place: What the run is called; None for its folder.
    """
    rows: Counter[RowStatus] = Counter()
    inputs = {copy.source: 0 for copy in run.inputs}
    groups: dict[tuple[RowStatus, str, bool], FailureGroup] = {}
    retryable = 0
    for result in row_results(run):
        rows[result.status] += 1
        inputs[result.source] += 1
        if result.status in FIT or result.status in ("unchanged", "missing"):
            continue
        retryable += result.status == "failed" and result.retryable
        which = (result.status, result.code or "unknown", result.retryable)
        group = groups.setdefault(which, FailureGroup(*which))
        group.rows += 1
        if len(group.examples) < _EXAMPLES:
            _, raw = raw_record(run.index, result)
            reason = reason_of({} if raw is None else json.loads(raw))
            _, message, remedy = reason or FailureReason("", "", "")
            row = result.row
            example = FailureExample(row.id, row.video, result.key, message, remedy)
            group.examples.append(example)
    writers = writer_statuses(run.index.writers)
    return RunSummary(
        run_dir=place or run.path,
        rows=rows,
        # Failures first, which somebody has to mend, and the most rows first.
        groups=tuple(
            sorted(groups.values(), key=lambda g: (g.status == "rejected", -g.rows, g.code))
        ),
        retryable=retryable,
        inputs=inputs,
        complete=bool(run.inputs),
        writers=writers,
        damage=tuple(run.index.damage),
        active_s=active_seconds(writers),
    )


def next_steps(summary: RunSummary) -> Iterator[tuple[str, str]]:
    """What an operator may do now, each as a purpose and a command."""
    folder = shlex.quote(str(summary.run_dir))
    if summary.live:
        yield "follow the run", f"promptlift batch status {folder}"
        return
    if summary.left or not summary.complete:
        rows = f" with the {counted(summary.left, 'row')} left" if summary.left else ""
        yield f"go on{rows}", "the same `promptlift batch run` command again"
    if summary.rows["failed"] > summary.retryable:
        yield "try again what failed, once it is mended", f"promptlift batch retry {folder}"
    if summary.rows["rejected"]:
        yield "try again what was rejected", f"promptlift batch retry {folder} --what rejected"
    if summary.groups:
        yield (
            "list what went wrong",
            f"promptlift batch export {folder} -o wrong.csv --only failed,rejected",
        )
    if summary.rows["unchanged"]:
        yield "get a model for what is unchanged", "promptlift doctor"
    if summary.fit or summary.rows["unchanged"]:
        yield "export the results", f"promptlift batch export {folder} -o prompts.jsonl"


def damage_lines(summary: RunSummary) -> Iterator[str]:
    """What is damaged in the folder, a sentence each."""
    working = {writer.name for writer in summary.live}
    if torn := sum(one.torn > 0 and one.writer not in working for one in summary.damage):
        parts = counted(torn, "part")
        yield f"The last line of {parts} was torn by a kill; its item is done again."
    if corrupt := sum(one.lines for one in summary.damage):
        lines = counted(corrupt, "stored line")
        yield f"{lines} damaged and left out; their items are done again."
    for one in summary.damage:
        if one.error:
            yield f"{one.part}: {one.error}"


# ---- the processes


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """One process's part in the run.

    Attributes:
        name: ``<host>-<pid>-<random>``.
        life: Whether it works, ended by itself, or neither.
        reason: Why it ended; empty where it did not.
        began: Seconds since 1970; None where unknown.
        last: When it last reported; None likewise.
        rate: Rows a second in its last minute; 0 where unknown.
        counts: What it last counted; see `promptlift.batch.progress`.
    """

    name: str
    life: WriterLife
    reason: str
    began: float | None
    last: float | None
    rate: float
    counts: Mapping[str, Any]

    @property
    def finished(self) -> int:
        """Rows that it finished."""
        return _finished(self.counts)

    @property
    def seconds(self) -> float:
        """How long it worked."""
        return self.counts.get("seconds") or max(0.0, (self.last or 0.0) - (self.began or 0.0))

    def describe(self) -> str:
        """What is known of it besides `life`, in words."""
        if self.life == "ended":
            return self.reason
        if self.life == "killed":
            ago = "unknown" if self.last is None else format_duration(time.time() - self.last)
            return f"or its machine is gone; time since its last report: {ago}"
        flying, paused = self.counts.get("in_flight"), self.counts.get("paused")
        parts = [
            "" if flying is None else f"{flying} in flight",
            format_rate(self.rate, "rows"),
            f"PAUSED: {paused}" if paused else "",
        ]
        return ", ".join(filter(None, parts))


def writer_statuses(logs: Iterable[WriterLog]) -> tuple[WriterStatus, ...]:
    """What is known of each process, in their order; for `promptlift.store.index.Index.writers`."""
    now, here = time.time(), socket.gethostname()
    statuses = []
    for log in logs:
        start, end, progress = log.start, log.end, log.progress
        last = max((line.at for line in (start, *progress[-1:], end) if line), default=None)
        # A clock that is ahead on the writer's machine gives reports of the future: they are fresh.
        alive = last is not None and now - last < _ALIVE_SECONDS
        if start is not None and start.host == here:
            alive = process_runs(start.pid)  # it may wait for room on a full disk
        life: WriterLife = "ended" if end is not None else "live" if alive else "killed"
        counts = progress[-1].counts if progress else {}
        finished, seconds = _finished(counts), counts.get("seconds", 0.0)
        if recent := progress[-1 - _RATE_LINES : -1]:  # of the last minute
            finished -= _finished(recent[0].counts)
            seconds = progress[-1].at - recent[0].at
        statuses.append(
            WriterStatus(
                name=log.name,
                life=life,
                reason="" if end is None else end.reason,
                began=None if start is None else start.at,
                last=last,
                rate=finished / seconds if seconds > 0 else 0.0,
                counts=counts,
            )
        )
    return tuple(statuses)


def _finished(counts: Mapping[str, Any]) -> int:
    return sum(counts.get("now", {}).values())


def active_seconds(writers: Iterable[WriterStatus]) -> float:
    """Seconds in which at least one process worked; pauses between runs do not count."""
    spans = sorted((w.began, w.last) for w in writers if w.began is not None and w.last is not None)
    total, reached = 0.0, float("-inf")
    for began, last in spans:
        total += max(0.0, last - max(began, reached))
        reached = max(reached, last)
    return total


# ---- numbers in words


def format_duration(seconds: float) -> str:
    """``0.04 s``, ``9.5 s``, ``4 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    hours = whole // 3600
    if hours < 48:
        return f"{hours} h {whole % 3600 // 60:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def format_rate(per_second: float, what: str) -> str:
    """A rate in the unit that gives a number above one: ``3.2 rows/s``, ``14 rows/min``."""
    number, unit = per_second, "s"
    for longer in ("min", "h"):
        if 0 < number < 1:
            number, unit = number * 60, longer
    return f"{number:.1f} {what}/{unit}" if number < 10 else f"{number:,.0f} {what}/{unit}"


# ---- what `status` and `show` print


def status_text(summary: RunSummary) -> str:
    """The state of a run for a person."""
    state = {"unfinished": "not running; work is left"}.get(summary.state, summary.state)
    lines = [f"{summary.run_dir}: {state}"]
    inputs = f" of {len(summary.inputs)} inputs" if len(summary.inputs) > 1 else ""
    unread = "" if summary.complete else " so far; the input was not read to its end"
    lines.append(f"  {counted(summary.total, 'row')}{inputs}{unread}")
    for name in STATUSES:
        if count := summary.rows[name]:
            note = _STATUS_NOTES.get(name, "")
            lines.append(f"  {count:>10,}  {name:<10}{count / summary.total:7.1%}{note}")
    if summary.live:
        eta = "" if summary.eta_s is None else f", about {format_duration(summary.eta_s)} left"
        lines.append(f"  now {format_rate(summary.rate, 'rows')}{eta}")
    for group in summary.groups:
        again = "; a rerun tries again" if group.retryable else ""
        lines.append(f"\n{group.status}: {group.code}: {counted(group.rows, 'row')}{again}")
        lines += [f"  {example.id}: {example.message}" for example in group.examples]
        remedies = dict.fromkeys(example.remedy for example in group.examples if example.remedy)
        lines += [f"  -> {remedy}" for remedy in remedies]
    if summary.writers:
        lines.append("\nprocesses")
        # Those first that have not ended, and the latest of each kind.
        writers = list(reversed(summary.writers))
        writers.sort(key=lambda one: one.life == "ended")
        lines += [f"  {w.name}: {w.life}: {w.describe()}" for w in writers[:8]]
        if len(writers) > 8:
            lines.append(f"  and {len(writers) - 8} more")
    if damage := list(damage_lines(summary)):
        lines += ["", *damage]
    if not summary.live and (steps := list(next_steps(summary))):
        width = max(len(command) for _, command in steps)
        lines += ["\nnext", *(f"  {command:<{width}}  # {what}" for what, command in steps)]
    return "\n".join(lines)


def item_text(found: Sequence[RowResult], result: RowResult, record: Mapping[str, Any]) -> str:
    """One item for a person.

    Args:
        found: The rows that share it.
        result: What became of it.
        record: Its record; empty where there is none.
    """
    row = result.row
    fields = [("key", result.key or "not asked yet")]
    fields += [("input", f"row {one.row.number + 1} of {one.source}") for one in found]
    fields += [("video", row.video or "(none)")]
    fields += [("prompt", row.prompt or "(empty: describe what is there)")]
    for name, value in {**row.options, **row.extra}.items():
        fields.append((name, value if isinstance(value, str) else compact_json(value)))
    if (reason := reason_of(record)) is not None:
        again = " (a rerun tries again)" if result.retryable else ""
        fields += [
            ("error", f"{reason.code}: {reason.message}{again}"),
            ("", f"-> {reason.remedy}"),
        ]
    if record.get("note"):
        fields.append(("note", record["note"]))
    for check in (record.get("review") or {}).get("checks", ()):
        if not check["passed"] or check["repaired"]:
            outcome = "repaired" if check["passed"] else "failed"
            fields.append(("check", f"{check['name']} {outcome}: {check['detail']}"))
    if record.get("verification"):
        fields.append(("judge", Verification(**record["verification"]).summary))
    lines = [f"{row.id}: {result.status}", *(f"  {name:<8} {value}" for name, value in fields)]
    negative = record.get("negative_prompt")
    if record.get("prompt") is not None:
        lines += ["", record["prompt"]]
        lines += ["", f"Negative prompt: {negative}"] if negative else []
    else:
        for number, one in enumerate(record.get("attempts", ()), 1):
            head = f"answer {number}, seed {one['sampling']['seed']}"
            told = [f"told: {one['feedback']}"] if one.get("feedback") else []
            lines += ["", f"{head}, failed: {', '.join(one['failed'])}", *told, one["text"]]
    return "\n".join(lines)
