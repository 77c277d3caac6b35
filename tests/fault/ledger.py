"""What the results were at a moment, what the server saw, and what must follow from both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault.server import Event, take_of
from promptlift.batch.export import export
from promptlift.store import Index, PartDamage

__all__ = [
    "Finished",
    "Snapshot",
    "damage",
    "exported",
    "finished",
    "sent_again",
    "strays",
]

SAME = ("id", "video", "prompt", "status", "error_code", "key", "long_prompt", "place")
"""The columns that must not depend on what happened on the way."""

Finished = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run's folder at the moment of a kill.

    Attributes:
        at: Seconds since 1970.
        finished: The records that nothing will ask for again, by key.
    """

    at: float
    finished: Finished

    @property
    def takes(self) -> set[int]:
        """The items of these records, as the server knows them."""
        prompts = (json.loads(record)["short_prompt"] for record in self.finished.values())
        return {take for prompt in prompts if (take := take_of(prompt)) is not None}


def finished(run_dir: Path) -> Finished:
    """The records of a folder that a rerun leaves as they are, byte for byte."""
    with Index(run_dir) as index:
        return {key: index.raw_record(key) for key, state in index.items() if state.is_done()}


def exported(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of an export, with those columns that must not differ."""
    output = run_dir.parent / "out.jsonl"
    export(run_dir, output)
    lines = output.read_text().splitlines()
    return [{name: line.get(name) for name in SAME} for line in map(json.loads, lines)]


def sent_again(events: Iterable[Event], since: float, at: float) -> set[tuple[str, int]]:
    """The requests that a killed run had sent, and that were neither lost on the way nor spared.

    Args:
        events: Of the server.
        since: When that run began.
        at: When it was killed.

    Returns:
        Of each the digest and the seed.
    """
    events = list(events)
    befallen = {event.number for event in events if event.kind == "fault"}
    # A probe of the client is no item, and every run may send its own.
    items = [event for event in events if event.take is not None]
    came = [event for event in items if event.kind == "in" and event.number not in befallen]
    before = {(event.request, event.seed) for event in came if since <= event.at <= at}
    after = {(event.request, event.seed) for event in items if event.at > at}
    return before & after


def strays(run_dir: Path) -> list[str]:
    """Files that are no part of a finished run: copies of inputs under way, temporary files.

    The hidden one in whose place a kill left ``run.json`` as it was may stay: its name says that it
    is nobody's, and another writer's looks the same.
    """
    expected = {"run.json", "inputs/*.jsonl", "parts/*.jsonl", ".promptlift-*"}
    names = [path.relative_to(run_dir) for path in run_dir.rglob("*") if path.is_file()]
    return sorted(
        str(name)
        for name in names
        if not any(name.match(pattern) for pattern in expected)
        or (len(name.parts) > 1 and name.name.startswith("."))
    )


def damage(run_dir: Path) -> Sequence[PartDamage]:
    """What is wrong with the results besides torn ends."""
    with Index(run_dir) as index:
        return [one for one in index.damage if one.lines or one.error]
