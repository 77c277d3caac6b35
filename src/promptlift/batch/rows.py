"""One row of an input: a video, a short prompt, and what else it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from promptlift.errors import InputError

__all__ = ["Row", "row_digest", "row_line", "row_of"]

_ID_DIGITS = 12
_dumps = json.JSONEncoder(separators=(",", ":")).encode
_scan = json.JSONDecoder().raw_decode


def row_digest(video: str, prompt: str, options: Mapping[str, Any], given: str | None) -> str:
    """Name a row by what it says: 32 hexadecimal digits, the same in every run.

    Args:
        video: Path as it is opened.
        prompt: The short prompt.
        options: What the row sets of the options of one item.
        given: The row's own id; None where it has none.
    """
    # The same text as json.dumps([video, prompt, options, given], sort_keys=True), put together
    # by hand because a million rows are named before the first is worked on.
    asked = json.dumps(dict(options), sort_keys=True) if options else "{}"
    own = "null" if given is None else _quoted(given)
    words = f"[{_quoted(video)}, {_quoted(prompt)}, {asked}, {own}]"
    return hashlib.sha256(words.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        number: Place in its input, from 0.
        id: The row's own, else twelve digits of its digest. Need not be unique.
        video: Path as it is opened; absolute. As it was written where the row has trouble.
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

    @classmethod
    def broken(
        cls,
        number: int,
        said: str,
        error: InputError,
        *,
        video: str = "",
        prompt: str = "",
        id: str | None = None,  # noqa: A002 - the column's name
        extra: Mapping[str, Any] | None = None,
    ) -> Row:
        """A row that cannot be done.

        Args:
            number: Place in its input, from 0.
            said: All that the input says there: the same words are the same row in every run.
            error: Why it cannot be done.
            video: As it is written; empty where nothing is.
            prompt: Likewise.
            id: The row's own, where it has one.
            extra: Columns that are carried through.
        """
        digest = row_digest("", said, {}, id)
        label = id if id is not None else digest[:_ID_DIGITS]
        trouble = (error.code, error.message, error.remedy)
        return cls(number, label, video, prompt, digest, {}, extra or {}, trouble)

    def in_shard(self, shard: tuple[int, int]) -> bool:
        """Whether the row belongs to shard ``(i, n)``, the i-th of n, counted from 1."""
        part, parts = shard
        return int(self.digest, 16) % parts == part - 1


def row_line(row: Row) -> str:
    """A row as one line of ASCII JSON, with its newline; the digest comes first."""
    line = (
        f'{{"digest":"{row.digest}","number":{row.number},"id":{_quoted(row.id)},'
        f'"video":{_quoted(row.video)},"prompt":{_quoted(row.prompt)}'
    )
    if row.options:
        line += f',"options":{_dumps(dict(row.options))}'
    if row.extra:
        line += f',"extra":{_dumps(dict(row.extra))}'
    if row.trouble is not None:
        line += f',"trouble":{_dumps(row.trouble)}'
    return line + "}\n"


def row_of(line: str) -> Row | None:
    """The row of such a line; None where the line is torn, damaged or no row."""
    try:
        said, _ = _scan(line)
        trouble = said.get("trouble")
        return Row(
            said["number"],
            said["id"],
            said["video"],
            said["prompt"],
            said["digest"],
            said.get("options") or {},
            said.get("extra") or {},
            None if trouble is None else (trouble[0], trouble[1], trouble[2]),
        )
    except (ValueError, AttributeError, LookupError, TypeError, RecursionError):
        return None
