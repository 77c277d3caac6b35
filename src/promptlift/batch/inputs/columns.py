"""Make rows of records: what the columns mean, and what is wrong with a record."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from promptlift.batch.inputs.asked import check_asked
from promptlift.batch.inputs.base import shown
from promptlift.batch.inputs.places import Places
from promptlift.batch.rows import Row
from promptlift.errors import InputError, PromptError

__all__ = ["COLUMNS", "Columns", "no_video_column"]

COLUMNS = ("video", "prompt", "id", "options")
"""The columns that mean something; all others are carried through."""
_MEANT = frozenset(COLUMNS)


class Columns:
    """Makes the rows of one reading of an input, and counts them.

    Args:
        folder: The folder that relative paths count from; None for the current one.
        prompt: The short prompt of rows without one, where no text lies beside the video either.

    Attributes:
        places: Where videos were looked for.
    """

    def __init__(self, folder: Path | None, prompt: str | None) -> None:
        self.places = Places(folder)
        self._prompt = prompt
        self._number = -1

    def row(self, record: Mapping[str, Any]) -> Row:
        """The row of a record; one with trouble where the record cannot be done."""
        self._number += 1
        extra = {name: record[name] for name in record if name not in _MEANT}
        try:
            own = _id(record.get("id"))
        except InputError as error:
            return self._broken(record, error, None, extra)
        try:
            video = self.places.path(_video(record))
            options = _options(record.get("options"))
            prompt = self._words(record.get("prompt"), video)
            return Row.of(self._number, video, prompt, id=own, options=options, extra=extra)
        except InputError as error:
            return self._broken(record, error, own, extra)

    def broken(self, said: str, error: InputError, line: int) -> Row:
        """The row of something that is no record.

        Args:
            said: What the input says there.
            error: Why it is none.
            line: Where it stands, counted from 1.
        """
        self._number += 1
        extra = {"line": line, "text": said[:1000]}
        return Row.broken(self._number, said, error, extra=extra)

    def _broken(
        self, record: Mapping[str, Any], error: InputError, own: str | None, extra: dict[str, Any]
    ) -> Row:
        video, prompt = record.get("video"), record.get("prompt")
        return Row.broken(
            self._number,
            json.dumps(dict(record), sort_keys=True, default=str),
            error,
            video=video if isinstance(video, str) else "",
            prompt=prompt if isinstance(prompt, str) else "",
            id=own,
            extra=extra,
        )

    def _words(self, said: Any, video: str) -> str:
        if isinstance(said, str):
            return said
        if said is not None:
            raise PromptError(f"the prompt is {_kind(said)}", remedy="give a text")
        return self.places.prompt(video) or self._prompt or ""


def no_video_column(names: Iterable[str]) -> InputError:
    """The error for a record or a table without a column of videos."""
    names = list(names)
    close = difflib.get_close_matches("video", [name.strip().lower() for name in names], n=1)
    meant = next((name for name in names if [name.strip().lower()] == close), None)
    listed = ", ".join(repr(name[:40]) for name in names[:10]) or "none"
    remedy = "name the column with the paths of the videos 'video'"
    if meant is not None:
        remedy = f"rename {meant[:40]!r} to 'video'"
    return InputError(f"there is no column 'video', only {listed}", remedy=remedy)


def _video(record: Mapping[str, Any]) -> str:
    video = record.get("video")
    if isinstance(video, str):
        return video
    if "video" not in record:
        raise no_video_column(record)
    raise InputError(f"the video is {_kind(video)}", remedy="give the path of a file as a text")


def _id(given: Any) -> str | None:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    raise InputError(f"the id is {_kind(given)}", remedy="give a text or a whole number")


def _options(given: Any) -> Mapping[str, Any] | None:
    """What a row sets; null says nothing, since a Parquet table has every field in every row."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        asked = {name: given[name] for name in given if given[name] is not None}
        check_asked(asked)
        return asked
    raise InputError(
        f"the options are {_kind(given)}", remedy='give an object such as {"control": "edge"}'
    )


def _kind(value: Any) -> str:
    """What a value is, in JSON's words with an article."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return f"the text {shown(value)}"
        case Mapping():
            return "an object"
        case list():
            return "a list"
    return f"the number {str(value)[:40]}"
