"""What a job tells while it runs, as server-sent events that anybody may join late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["PING", "Event", "Feed", "as_sse"]

PING: Final = b": still here\n\n"
_PING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        number: Place in its feed, from 1; 0 for what is told of a draft, which has no place.
        name: ``queued``, ``stage``, ``facts``, ``plan``, ``frames``, ``text``; of a draft
            ``attempt`` and ``piece``; and at the end ``record`` or ``error``.
        data: JSON.
    """

    number: int
    name: str
    data: str


class Feed:
    """The events of one job, in their order. Who joins late is told all of them.

    How the job ended is not among them: whoever follows says it from what the job has become, so
    that thousands of feeds hold no records.

    Besides, it holds the answer as far as it is written. Whoever follows is told what it lacks of
    it, so that a slow reader gets few large pieces and costs no memory.

    Args:
        followed: Whether anybody may follow it; if not, nothing is kept of what it is told.
    """

    def __init__(self, *, followed: bool = True) -> None:
        self.followed = followed
        self._draft = ""
        self._attempt = 0
        self._events: list[Event] = []
        self._more = asyncio.Event()
        self._told = 0
        self.closed = False

    @property
    def last(self) -> int:
        """The number of the event that says how the job ended."""
        return self._told + 1

    def tell(self, name: str, data: Any) -> None:
        """Add an event, unless the job is over."""
        if self.closed or not self.followed:
            return
        self._told += 1
        text = data if isinstance(data, str) else json.dumps(data)
        self._events.append(Event(self._told, name, text))
        self._wake()

    def write(self, piece: str | None) -> None:
        """Add to the draft of the answer; None throws it away and begins another."""
        if self.closed:
            return
        if piece is None:
            self._attempt += 1
        self._draft = "" if piece is None else self._draft + piece
        self._wake()

    def end_draft(self) -> None:
        """Tell no more of the draft: the answer is there."""
        self._draft = ""
        self._attempt = 0

    def close(self) -> None:
        """The job is over. Those who follow are told the rest; for others it is forgotten."""
        self.closed = True
        self._events = []
        self.end_draft()
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def follow(self, after: int = 0) -> AsyncIterator[Event | None]:
        """Give each event after a number, as it comes; None now and then while nothing happens."""
        events, place = self._events, max(0, after)
        attempt, length = 0, 0
        while True:
            # Taken first: what is told while a reader is slow wakes it again.
            more = self._more
            for event in events[place:]:
                place += 1
                yield event
            if self.closed and place >= len(events):
                return
            if self._attempt and self._attempt != attempt:
                attempt, length = self._attempt, 0
                yield Event(0, "attempt", json.dumps({"number": attempt}))
            if self._attempt == attempt and len(self._draft) > length:
                piece, length = self._draft[length:], len(self._draft)
                yield Event(0, "piece", json.dumps({"piece": piece}))
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    await more.wait()
            except TimeoutError:
                yield None


def as_sse(event: Event | None) -> bytes:
    """An event as it goes over the wire; a comment where there is none, to keep the line open."""
    if event is None:
        return PING
    # JSON holds no line break outside of its strings' escapes, so one data line does.
    place = f"id: {event.number}\n" if event.number else ""
    return f"{place}event: {event.name}\ndata: {event.data}\n\n".encode()
