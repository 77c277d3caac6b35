"""One row of an input: a video, a short prompt, and what else it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Row", "row_digest"]

_ID_DIGITS = 12


def row_digest(video: str, prompt: str, options: Mapping[str, Any], given: str | None) -> str:
    """Name a row by what it says: 32 hexadecimal digits, the same in every run.

    Args:
        video: Path as it is opened.
        prompt: The short prompt.
        options: What the row sets of the options of one item.
        given: The row's own id; None where it has none.
    """
    words = json.dumps([video, prompt, dict(options), given], sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        number: Place in its input, from 0.
        id: The row's own, else twelve digits of its digest. Need not be unique.
        video: Path as it is opened; absolute.
        prompt: The short prompt; empty for "describe what is there".
        digest: See `row_digest`.
        options: What the row sets of the options of one item, such as ``control``.
        extra: Columns that are carried through to the export, as JSON values.
        trouble: Why the row cannot be done, as code, message and remedy; None for nothing. A line
            that is no row at all is a row with trouble, and stops nobody else.
    """

    number: int
    id: str
    video: str
    prompt: str
    digest: str
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    trouble: tuple[str, str, str] | None = None

    @classmethod
    def of(
        cls,
        number: int,
        video: str,
        prompt: str = "",
        *,
        id: str | None = None,  # noqa: A002 - the column's name
        options: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        trouble: tuple[str, str, str] | None = None,
    ) -> Row:
        """A row from what an input says."""
        options = options or {}
        digest = row_digest(video, prompt, options, id)
        label = id if id is not None else digest[:_ID_DIGITS]
        return cls(number, label, video, prompt, digest, options, extra or {}, trouble)
