"""Tell what an input is, by its name and its first bytes."""

from __future__ import annotations

import difflib
import stat
from pathlib import Path
from typing import Literal, get_args

from promptlift.batch.inputs.base import Input, unreadable
from promptlift.batch.inputs.folder import SUFFIXES, Videos
from promptlift.batch.inputs.lines import JsonLines
from promptlift.batch.inputs.parquet import Parquet
from promptlift.batch.inputs.table import Table
from promptlift.errors import InputError, OptionError

__all__ = ["FORMATS", "Format", "open_input"]

Format = Literal["videos", "jsonl", "csv", "tsv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""What an input may be."""

_STDIN = "-"
_BY_SUFFIX: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    **dict.fromkeys(SUFFIXES, "videos"),
}
_PACKED = {
    b"\x1f\x8b": "zcat",
    b"\x28\xb5\x2f\xfd": "zstdcat",
    b"\xfd7zXZ": "xzcat",
    b"BZh": "bzcat",
}
_HEAD_BYTES = 4096


def open_input(source: str | Path, *, prompt: str | None, format: str | None = None) -> Input:  # noqa: A002
    """Open an input, whatever it is.

    A folder or a pattern (``clips/**/*.mp4``) of videos and pictures, one of them, JSON lines (or
    one array of the same objects), CSV or TSV with a header, Parquet, or ``-`` for JSON lines
    from standard input. Lists have the columns ``video``, ``prompt``, ``id`` and, but for CSV and
    TSV, ``options``: an object of `ROW_OPTIONS`. All other columns are carried through.

    Relative paths of videos count from the folder of the list, and where nothing is there from
    the current one. A row without a prompt takes the text of ``clip.txt`` beside
    ``clip.mp4``, else `prompt`, else none. An empty cell of CSV and an empty ``clip.txt`` say
    nothing; an empty text elsewhere is a prompt.

    Args:
        source: Path, pattern or ``-``.
        prompt: The short prompt of rows that have none, neither in the list nor beside the video.
        format: One of `FORMATS`; None to have it told by name and content.

    Raises:
        OptionError: The format is unknown, or needs what is not installed.
        InputError: The input is not there, or wholly wrong, such as a table without a column
            ``video``.
    """
    known = _asked(format)
    if str(source) == _STDIN:
        if known not in (None, "jsonl"):
            raise OptionError(
                f"standard input cannot be read as {known}", remedy="give JSON lines, or a file"
            )
        return JsonLines(_STDIN, prompt)
    path = Path(source)
    return _of_kind(known or _kind(path), path, prompt)


def _asked(name: str | None) -> Format | None:
    for known in FORMATS:
        if name == known:
            return known
    if name is None:
        return None
    close = difflib.get_close_matches(name, FORMATS, n=1)
    remedy = f"did you mean {close[0]!r}" if close else f"use one of: {', '.join(FORMATS)}"
    raise OptionError(f"there is no format {name!r}", remedy=remedy)


def _of_kind(kind: Format, path: Path, prompt: str | None) -> Input:
    if kind == "videos":
        return Videos(path, prompt)
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder and no {kind}", remedy="name a file in it")
    if path.is_file():
        _refuse_packed(path)
    if kind == "jsonl":
        return JsonLines(path, prompt)
    if kind == "parquet":
        return Parquet(path, prompt)
    return Table(path, prompt, tabs=kind == "tsv")


def _kind(path: Path) -> Format:
    try:
        mode = path.stat().st_mode
    except ValueError:
        raise InputError(f"{str(path)!r} is no path", remedy="check it") from None
    except OSError:  # a pattern, or nothing; whoever opens it says so
        return "videos" if set(str(path)) & set("*?[") else _named(path) or "videos"
    if stat.S_ISDIR(mode):
        return "videos"
    if not stat.S_ISREG(mode):  # a pipe, such as that of <(command)
        return "jsonl"
    return _named(path) or _sniffed(path)


def _named(path: Path) -> Format | None:
    return _BY_SUFFIX.get(path.suffix.lower())


def _sniffed(path: Path) -> Format:
    _refuse_packed(path)
    head = _head(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if b"\0" in head:
        return "videos"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return "jsonl"
    raise InputError(
        f"it is not clear what {str(path)!r} is",
        remedy=f"name its format, one of: {', '.join(FORMATS)}",
    )


def _refuse_packed(path: Path) -> None:
    head = _head(path)
    for mark, command in _PACKED.items():
        if head.startswith(mark):
            raise InputError(
                f"{str(path)!r} is compressed",
                remedy=f"unpack it, or pipe it in: {command} {path.name} | promptlift batch -",
            )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
