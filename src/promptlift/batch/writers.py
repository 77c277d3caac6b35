"""The writers of a run: which still work, which ended, and which were killed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from promptlift.batch.journal.names import runs

if TYPE_CHECKING:
    from promptlift.batch.journal.segment import Run

__all__ = ["Life", "WriterSeen", "active_seconds", "see_writers"]

BEAT_WITHIN_S = 30.0
"""A writer tells every ten seconds that it lives; one that has not for so long has died."""

_RATE_BEATS = 6

Life: TypeAlias = Literal["live", "silent", "ended", "killed"]
"""``silent`` is one that tells nothing though there is a process of its number on this machine: it
waits for a full disk or is stopped, or the number is another's by now."""


@dataclass(frozen=True, slots=True)
class WriterSeen:
    """One process's part in the run.

    Attributes:
        name: ``<host>-<pid>-<random>``.
        host: Its machine; empty where its first line is damaged.
        pid: Its process there; None likewise.
        turn: Which turn it has; 0 likewise.
        life: Whether it works, ended by itself, or did neither.
        reason: Why it ended; empty where it did not.
        began: Seconds since 1970; None where unknown.
        last: When it last said how far it is; None likewise.
        rate: Rows that it finished in a second of its last minute; 0 where it told of none.
        counts: What it last counted; see `promptlift.batch.runner.tally.Tally.counts`.
    """

    name: str
    host: str
    pid: int | None
    turn: int
    life: Life
    reason: str
    began: float | None
    last: float | None
    rate: float
    counts: Mapping[str, Any]

    @property
    def finished(self) -> int:
        """Rows that it finished, as far as it told."""
        return int(_finished(self.counts))

    @property
    def seconds(self) -> float:
        """How long it worked, as far as it told."""
        told = _number(self.counts.get("seconds"))
        return told or max(0.0, (self.last or 0.0) - (self.began or 0.0))


def see_writers(runs: Iterable[Run], *, now: float | None = None) -> tuple[WriterSeen, ...]:
    """What the journal says of each writer, in the order of their turns.

    Args:
        runs: As `promptlift.batch.journal.Index.runs` has them.
        now: Seconds since 1970; None for the clock's.
    """
    moment = time.time() if now is None else now
    return tuple(_seen(run, moment) for run in runs)


def active_seconds(writers: Iterable[WriterSeen]) -> float:
    """Seconds during which at least one writer worked; pauses between runs do not count."""
    spans = sorted((w.began, w.last) for w in writers if w.began is not None and w.last is not None)
    total, reached = 0.0, float("-inf")
    for began, last in spans:
        total += max(0.0, last - max(began, reached))
        reached = max(reached, last)
    return total


def _seen(run: Run, now: float) -> WriterSeen:
    start, beat = run.start, run.beats[-1] if run.beats else {}
    times = [line.get("at") for line in (start, beat, run.end or {})]
    known = [at for at in times if isinstance(at, int | float)]
    last = known[-1] if known else None
    pid = start.get("pid")
    host = str(start.get("host", ""))
    pid = pid if isinstance(pid, int) else None
    return WriterSeen(
        name=run.segment.removesuffix(".jsonl"),
        host=host,
        pid=pid,
        turn=int(start.get("turn") or 0),
        life=_life(run, host, pid, last, now),
        reason=str((run.end or {}).get("reason", "")),
        began=start.get("at"),
        last=last,
        rate=_rate(run.beats),
        counts=beat.get("counts") or {},
    )


def _rate(beats: Sequence[Mapping[str, Any]]) -> float:
    """Rows a second between the last beat and the one a minute before it."""
    recent = beats[-1 - _RATE_BEATS :]
    if len(recent) < 2:
        counts = recent[-1].get("counts") or {} if recent else {}
        seconds = counts.get("seconds") or 0
        return _finished(counts) / seconds if seconds else 0.0
    first, last = recent[0], recent[-1]
    seconds = _number(last.get("at")) - _number(first.get("at"))
    rows = _finished(last.get("counts") or {}) - _finished(first.get("counts") or {})
    return rows / seconds if seconds > 0 else 0.0


def _finished(counts: Mapping[str, Any]) -> float:
    now = counts.get("now")
    return sum(map(_number, now.values())) if isinstance(now, Mapping) else 0.0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _life(run: Run, host: str, pid: int | None, last: float | None, now: float) -> Life:
    if run.end is not None:
        return "ended"
    # A clock that is ahead on the writer's machine makes a beat of the future; it is fresh.
    fresh = last is not None and now - last < BEAT_WITHIN_S
    if pid is not None and host == socket.gethostname():
        if not runs(pid):
            return "killed"
        return "live" if fresh else "silent"
    return "live" if fresh else "killed"
