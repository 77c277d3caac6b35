"""What an index keeps of a million items: a hundred bytes or two for each, and no record."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from promptlift.batch.journal.lines import ResultHead, State

__all__ = ["Items", "Place", "Standing", "rank_of"]

_RANK: Final[dict[str, int]] = {"failed": 1, "rejected": 2, "repaired": 3, "ok": 3}
_NONE: Final = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The result that stands for an item.

    Attributes:
        state: What became of it.
        code: Of the failure or of the first failed check; None for neither.
        retryable: Whether a rerun asks again.
    """

    state: State
    code: str | None
    retryable: bool


class Place(NamedTuple):
    """Where a line stands: number of its segment, first byte, bytes without the newline."""

    segment: int
    offset: int
    length: int


class Items:
    """Keys in the order in which they first appeared, numbered, and what stands for each.

    Columns rather than objects: numbers cost what their digits take.
    """

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self._number: dict[bytes, int] = {}
        self._verdict = array("I")
        self._segment = array("I")
        self._offset = array("Q")
        self._length = array("Q")
        self._standings: list[Standing | None] = [None]
        self._verdicts: dict[tuple[bytes, bytes, bytes], int] = {}

    def number(self, key: bytes) -> int:
        """Number of a key of 32 bytes, given on first sight."""
        known = self._number.get(key)
        if known is not None:
            return known
        self._number[key] = number = len(self.keys)
        self.keys.append(key)
        self._verdict.append(_NONE)
        self._segment.append(0)
        self._offset.append(0)
        self._length.append(0)
        return number

    def find(self, key: bytes) -> int | None:
        """Number of a key, if it has one."""
        return self._number.get(key)

    def standing(self, number: int) -> Standing | None:
        """What stands for an item; None where it has no result."""
        return self._standings[self._verdict[number]]

    def place(self, number: int) -> Place:
        """Where the result that stands was read; only for items that have one."""
        return Place(self._segment[number], self._offset[number], self._length[number])

    def put(self, number: int, head: ResultHead, place: Place) -> None:
        """Let a result stand, whatever stood before."""
        self._verdict[number] = self._verdict_number(head.verdict)
        self._segment[number], self._offset[number], self._length[number] = place

    def rank(self, number: int) -> int:
        """How good the result that stands is; 0 for none."""
        standing = self.standing(number)
        return _RANK[standing.state] if standing else 0

    def done(self) -> Iterator[int]:
        """Numbers of the items that have a result."""
        return (number for number, verdict in enumerate(self._verdict) if verdict != _NONE)

    def counts(self) -> Counter[Standing]:
        """How many items each standing has."""
        numbers = Counter(self._verdict)
        del numbers[_NONE]
        return Counter({cast(Standing, self._standings[v]): n for v, n in numbers.items()})

    def _verdict_number(self, verdict: tuple[bytes, bytes, bytes]) -> int:
        number = self._verdicts.get(verdict)
        if number is None:
            state, code, retryable = verdict
            self._verdicts[verdict] = number = len(self._standings)
            standing = Standing(cast(State, state.decode()), json.loads(code), retryable == b"true")
            self._standings.append(standing)
        return number


def rank_of(head: ResultHead) -> int:
    """How good a result is; 0 for a state that this version does not know."""
    return _RANK.get(head.verdict[0].decode(), 0)
