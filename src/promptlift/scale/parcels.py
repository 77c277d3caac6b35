"""What travels between the stages: rows that were looked at, and what became of them.

Frames travel inside a pickle of protocol 5, in one binary cell of an Arrow table. A cell is
written and read as it is, while a tensor column would be built and taken apart for every block,
since frames of different clips have different shapes.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from promptlift.batch.runner.items import Item
from promptlift.core.video import Frame, Size
from promptlift.errors import PromptliftError
from promptlift.pipeline.seeing import Survey

__all__ = ["Back", "Fate", "Look", "Seen", "Ticketed", "pack", "unpack"]

Fate: TypeAlias = Literal["ask", "follow", "leave"] | tuple[Literal["before"], str]
"""What is to become of a row: it is asked, another row is the same item, the run is to stop, or
the item was finished before, with its state."""

Ticketed: TypeAlias = tuple[int, Item]
"""A row's work and its number within this run."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the frames of a video, and what came of it."""

    count: int
    size: Size
    found: tuple[Frame, ...] | PromptliftError


@dataclass(frozen=True, slots=True)
class Seen:
    """A row after it was looked at.

    Attributes:
        ticket: The row's number within this run.
        item: The row's work, with its key.
        fate: What is to become of it.
        lines: What the journal is to say besides.
        survey: The survey or why there is none; None where nobody looked.
        looks: The looks at its frames.
        seconds: How long decoding took.
        defect: A traceback where we failed and not the video; empty for none.
    """

    ticket: int
    item: Item
    fate: Fate
    lines: tuple[bytes, ...] = ()
    survey: Survey | PromptliftError | None = None
    looks: tuple[Look, ...] = ()
    seconds: float = 0.0
    defect: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """What became of a row.

    Attributes:
        ticket: The row's number within this run.
        fate: ``done``, ``before`` or ``follow`` where the row is finished; ``left`` where the run
            was stopped first; ``fatal`` where `error` must end the run.
        key: The item's key; empty where nothing is known of it.
        state: Its state; None where it has none yet.
        code: Why it failed; None for nothing.
        retryable: Whether the next run asks again.
        prompt_tokens: Tokens of the prompt, as the engine counted.
        answer_tokens: Tokens of the answers, likewise.
        seconds: How long decoding took.
        error: What must end the run.
    """

    ticket: int
    fate: Literal["done", "before", "follow", "left", "fatal"]
    key: str = ""
    state: str | None = None
    code: str | None = None
    retryable: bool = False
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    error: Exception | None = None


def pack(values: Sequence[Any]) -> bytes:
    """Values as one binary cell."""
    return pickle.dumps(tuple(values), protocol=5)


def unpack(cell: Any) -> tuple[Any, ...]:
    """The values of a cell, which only processes of this run have written."""
    values: tuple[Any, ...] = pickle.loads(cell)  # noqa: S301
    return values
