"""The one place that knows which rows are open, who has which item, and whether the run goes on.

Rows are sifted here against the journal before they cost anything. A row that leaves the desk has
a ticket and is open until what became of it is back, so that rows that were lost with a node are
known, and handed out again.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from promptlift.batch.journal import Index
from promptlift.batch.policy import Retry
from promptlift.batch.rows import Row
from promptlift.batch.runner.items import Meanings
from promptlift.batch.runner.sieve import Sieve
from promptlift.config import Options
from promptlift.engines.base import EngineInfo
from promptlift.scale.parcels import Back, Fate, Ticketed

__all__ = ["AnyDesk", "Desk", "Offered", "Order"]

Order: TypeAlias = Literal["go on", "leave", "break off"]
"""What an engine is to do: all it is given, only what it has in flight, or nothing more."""

_REFRESH_SECONDS = 5.0
_FRESH_SECONDS = 5.0


class AnyDesk(Protocol):
    """The desk, wherever it is asked from."""

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of the methods of `Desk`, and wait for what it gives."""
        ...

    def tell(self, name: str, *args: Any) -> None:
        """Call one of them, and wait for nothing."""
        ...

    def claim(self, ticket: int, key: str, sifted: bool) -> Fate:
        """See `Desk.claim`."""
        ...


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of rows that were offered.

    Attributes:
        begun: How many are to be worked on.
        finished: How many are finished, by the state of their items.
        news: Rows that are finished and were not known to be these items: digest and key.
        waiting: How many rows lie on the desk now.
        more: Whether rows were turned away, since no more are to be begun.
    """

    begun: int
    finished: Counter[str]
    news: list[tuple[str, str]]
    waiting: int
    more: bool


@dataclass(slots=True)
class _Report:
    at: float
    address: str | None
    counts: Mapping[str, Any] = field(default_factory=dict)


class Desk:
    """Hands out rows; for one caller at a time.

    Args:
        run_dir: The run's folder.
        options: How items are treated where their rows say nothing.
        who: The engine.
        retry: What is done again besides what a rerun always does.
        parcel: The most rows that are handed out together.
        spread: How many may come for rows at a time; with few rows left each gets fewer.
        addresses: Base URLs that engines are shared out over.
    """

    def __init__(
        self,
        run_dir: Path,
        options: Options,
        who: EngineInfo,
        retry: Retry | None,
        *,
        parcel: int,
        spread: int,
        addresses: tuple[str, ...] = (),
    ) -> None:
        self._index = Index.load(run_dir)
        self._sieve = Sieve(self._index, Meanings(options, who), retry)
        self._refreshed = time.monotonic()
        self._parcel = parcel
        self._spread = spread
        self._addresses = addresses
        self._tickets = 0
        self._queue: deque[Ticketed] = deque()
        self._open: dict[int, Ticketed] = {}
        self._settled: dict[int, Back] = {}
        self._owners: dict[bytes, int] = {}
        self._over = False
        self._order: Order = "go on"
        self._reports: dict[str, _Report] = {}

    def turn(self) -> int:
        """The turn that the writers of this run take."""
        return self._index.highest_turn + 1

    def offer(self, rows: Iterable[Row], most: int | None) -> Offered:
        """Take in rows, and lay those on the desk that are to be worked on.

        Args:
            rows: The rows.
            most: How many may be begun; None for all.
        """
        if time.monotonic() - self._refreshed >= _REFRESH_SECONDS:
            self._sieve.refresh()
            self._refreshed = time.monotonic()
        sifted = self._sieve.sift(rows)
        begun = [] if self._order != "go on" else sifted.todo[:most]
        for item in begun:
            self._open[self._tickets] = self._tickets, item
            self._queue.append(self._open[self._tickets])
            self._tickets += 1
        more = len(begun) < len(sifted.todo)
        return Offered(len(begun), sifted.finished, sifted.news, len(self._queue), more)

    def take(self) -> list[Ticketed] | None:
        """Some rows to look at; none while none are there, and None when no more will come."""
        if not self._queue:
            return None if self._over else []
        size = min(self._parcel, max(1, len(self._queue) // self._spread))
        return [self._queue.popleft() for _ in range(size)]

    def claim(self, ticket: int, key: str, *, sifted: bool) -> Fate:
        """What is to become of a row whose key is known now; the same when it is asked again.

        Args:
            ticket: The row's number.
            key: Its item's key.
            sifted: Whether the key was known, and looked up, when the row was offered.
        """
        if self._order != "go on":
            return "leave"
        if bytes.fromhex(key) not in self._owners and not sifted:
            state = self._sieve.settled(key)
            if state is not None:
                return "before", state
        owner = self._owners.setdefault(bytes.fromhex(key), ticket)
        return "ask" if owner == ticket else "follow"

    def settle(self, back: Back) -> None:
        """Note what became of a row, told by its engine before its parcel is on its way back.

        A parcel comes back as a whole, and is done again as a whole where it is lost.
        """
        if back.ticket in self._open:
            self._settled[back.ticket] = back

    def settled(self, tickets: Sequence[int]) -> list[Back]:
        """Those of these rows that nobody needs to be asked about any more.

        What was told of them, or ``left`` where they are back and counted: a parcel is done again
        too when its node is lost between handing on what came of it and saying that it is done.
        """
        back = [t for t in tickets if t < self._tickets and t not in self._open]
        told = [self._settled[t] for t in tickets if t in self._settled]
        return [*(Back(ticket, "left") for ticket in back), *told]

    def back(self, tickets: Iterable[int]) -> int:
        """Note that rows are finished and back, and say how many are open still."""
        for ticket in tickets:
            self._open.pop(ticket, None)
            self._settled.pop(ticket, None)
        return len(self._open)

    def again(self) -> int:
        """Lay all open rows on the desk once more, and say how many there are."""
        self._queue = deque(self._open.values())
        return len(self._queue)

    def finish(self) -> None:
        """Note that no more rows will be offered."""
        self._over = True

    def leave(self) -> None:
        """Have everyone stop: what lies on the desk stays undone."""
        self._stop("leave")

    def break_off(self) -> None:
        """Have everyone stop at once: what is in flight stays undone too."""
        self._stop("break off")

    def address(self, name: str) -> str | None:
        """The base URL that an engine is to use: the one that fewest use."""
        if not self._addresses:
            return None
        used = Counter(report.address for report in self._fresh())
        chosen = min(self._addresses, key=lambda address: used[address])
        self._reports[name] = _Report(time.monotonic(), chosen)
        return chosen

    def report(self, name: str, counts: Mapping[str, Any]) -> Order:
        """Note what an engine's actor counts, and tell it what to do."""
        before = self._reports.get(name)
        address = before.address if before else None
        self._reports[name] = _Report(time.monotonic(), address, dict(counts))
        return self._order

    def counts(self) -> dict[str, Any]:
        """What all actors counted, added up; of what is under way only what live ones have."""
        every, fresh = self._reports.values(), self._fresh()
        total: dict[str, Any] = {
            name: sum(report.counts.get(name, 0) for report in every)
            for name in ("requests", "repeats", "engine_seconds")
        }
        for name in ("in_flight", "limit"):
            total[name] = sum(report.counts.get(name, 0) for report in fresh)
        paused = [report.counts.get("paused") for report in fresh]
        total["paused"] = next(filter(None, paused), None)
        total["engines"] = len(fresh)
        total["open"] = len(self._open)
        total["waiting"] = len(self._queue)
        return total

    def _stop(self, order: Order) -> None:
        self._over, self._order = True, order
        self._queue.clear()

    def _fresh(self) -> list[_Report]:
        since = time.monotonic() - _FRESH_SECONDS
        return [report for report in self._reports.values() if report.at >= since]
