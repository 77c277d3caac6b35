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
        number: Place in its feed, from 1.
        name: ``queued``, ``stage``, ``facts``, ``plan``, ``frames``, ``text``; and at the end
            ``record`` or ``error``.
        data: JSON.
    """

    number: int
    name: str
    data: str


class Feed:
    """The events of one job, in their order. Who joins late is told all of them.

    How the job ended is not among them: whoever follows says it from what the job has become, so
    that thousands of feeds hold no records.
    """

    def __init__(self) -> None:
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
        if self.closed:
            return
        self._told += 1
        text = data if isinstance(data, str) else json.dumps(data)
        self._events.append(Event(self._told, name, text))
        self._wake()

    def close(self) -> None:
        """The job is over. Those who follow are told the rest; for others it is forgotten."""
        self.closed = True
        self._events = []
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def follow(self, after: int = 0) -> AsyncIterator[Event | None]:
        """Give each event after a number, as it comes; None now and then while nothing happens."""
        events, place = self._events, max(0, after)
        while True:
            for event in events[place:]:
                yield event
            place = max(place, len(events))
            if self.closed:
                return
            more = self._more
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
    return f"id: {event.number}\nevent: {event.name}\ndata: {event.data}\n\n".encode()
