"""Inputs of a batch: JSON lines, CSV, TSV, Parquet, lines of text, folders and patterns of videos.

An input is read as a stream, so memory does not grow with its rows. A record that is no valid row
becomes a row with an error and stops no other row. An input that is wrong as a whole raises before
its first row, such as a table with neither videos nor prompts, or in its middle, such as a table
whose quotes do not match.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, TextIO, TypeAlias, get_args

from promptlift.batch.rows import Row
from promptlift.errors import InputError, OptionError, PromptError, VideoRefused
from promptlift.types import Role
from promptlift.video.source import MEDIA_SUFFIXES, Pictures

__all__ = [
    "FORMATS",
    "BadRecord",
    "ExpandedInput",
    "Input",
    "InputFormat",
    "InputRecord",
    "expand_prompt",
    "missing_video_column",
    "open_input",
    "unreadable_input",
]

InputFormat: TypeAlias = Literal["videos", "jsonl", "csv", "tsv", "parquet", "text"]
FORMATS: tuple[InputFormat, ...] = get_args(InputFormat)

_FORMAT_OF_SUFFIX: dict[str, InputFormat] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    ".csv": "csv",
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    ".txt": "text",
    **dict.fromkeys(MEDIA_SUFFIXES, "videos"),
}
_PICTURES: dict[str, Role] = {"image": "first", "last_image": "last", "references": "reference"}
_COLUMNS = ("video", "prompt", "id", "options", "at")
"""The columns with a meaning; all others are copied to the export."""

_BOM = b"\xef\xbb\xbf"
_BUFFER_BYTES = 2**18
_LINE_BYTES = 2**20
_PROMPT_BYTES = 65_536
_CSV_CHARACTERS = 131_072  # of one line; the csv module's limit for one cell


class Input(Protocol):
    """Rows from somewhere; each run reads them once and keeps a copy in its folder."""

    @property
    def description(self) -> str:
        """What it is, such as an absolute path or pattern; names the copy in the run's folder."""
        ...

    def rows(self) -> Iterator[Row]:
        """The rows, as a stream.

        Raises:
            InputError: The input is wrong as a whole.
        """
        ...


def open_input(
    source: str | Path,
    *,
    prompt: str | None,
    format: str | None = None,  # noqa: A002
    captions: bool = False,
    expand: bool = False,
) -> Input:
    """Open a folder, a pattern, a video, a list of videos, or standard input.

    Lists are JSON lines, CSV or TSV with a header, and Parquet. Their columns are ``video``,
    ``prompt``, ``id`` and, except in CSV and TSV, ``options``: an object with fields of
    `promptlift.Options`; and ``at``, ``image``, ``last_image`` and ``references``, the last a list
    or paths between semicolons. Other columns are copied to the export. A record without any of
    these pictures is a prompt alone, as is each line of a text file that is not blank.

    A relative path counts from the folder of the list. A row without a prompt takes the text of
    ``clip.txt`` beside ``clip.mp4``, else `prompt`, else an empty one. An empty cell of CSV and an
    empty ``clip.txt`` are no value; an empty string elsewhere is a prompt.

    Args:
        source: Path, pattern such as ``clips/**/*.mp4``, or ``-`` for JSON lines on stdin.
        prompt: The short prompt of rows that have none, neither in the list nor beside the video.
        format: One of `FORMATS`; None to go by the name.
        captions: The text beside a video is, or will be, its caption, and not its short prompt.
        expand: Whether a list of prompts may stand in the place of a prompt.

    Raises:
        OptionError: The format is unknown, needs a package that is not installed, or is one that
            captions cannot be written beside.
        InputError: The input is missing, or wrong as a whole.
    """
    if format is not None and format not in FORMATS:
        raise OptionError(
            f"there is no format {format!r}", remedy=f"use one of: {', '.join(FORMATS)}"
        )
    path = Path(source)
    found = "jsonl" if str(source) == "-" else format or _detect(path)
    if captions and found != "videos":
        raise OptionError(
            f"--caption writes beside the videos of a folder, and the input is {found}",
            remedy="give the folder of the videos, or export with --form sidecars",
        )
    if str(source) == "-":
        if format not in (None, "jsonl"):
            raise OptionError(
                f"standard input cannot be read as {format}", remedy="give JSON lines, or a file"
            )
        return _FileInput(None, prompt, partial(_json_records, None), expand=expand)
    if found == "videos":
        return _Videos(path, prompt, captions=captions)
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder and not {found}", remedy="name a file in it")
    if not path.is_fifo():  # which can be opened only once
        _open_binary(path).close()
    if found in ("jsonl", "text"):
        records = _json_records if found == "jsonl" else _text_records
        return _FileInput(path, prompt, partial(records, path), expand=expand)
    if found == "parquet":
        from promptlift.batch.parquet import open_parquet, parquet_records

        open_parquet(path).close()
        return _FileInput(path, prompt, partial(parquet_records, path), expand=expand)
    tabs = found == "tsv"
    with _open_table(path, tabs=tabs):
        return _FileInput(path, prompt, partial(_table_records, path, tabs=tabs))


def _detect(path: Path) -> InputFormat:
    named = _FORMAT_OF_SUFFIX.get(path.suffix.lower())
    if path.is_dir() or (not os.path.lexists(path) and set(str(path)) & set("*?[")):
        return "videos"
    if path.is_fifo():  # such as that of <(command)
        return "jsonl"
    if named is None and path.exists():
        raise InputError(
            f"the format of {str(path)!r} is not clear from its name",
            remedy=f"name it with --format, one of: {', '.join(FORMATS)}",
        )
    return named or "videos"


def unreadable_input(path: Path | str, error: OSError) -> InputError:
    """The error for an input that the system cannot read."""
    return InputError(
        f"cannot read {str(path)!r}: {error.strerror or error}",
        remedy="check the path and its permissions",
    )


def missing_video_column(names: Iterable[str]) -> InputError:
    """The error for a record or a table without videos and prompts."""
    listed = ", ".join(repr(name[:40]) for name in [*names][:10] if name != "video") or "none"
    return InputError(
        f"there is no video, only {listed}",
        remedy="name the column with the paths of the videos 'video', or that with prompts "
        "alone 'prompt'",
    )


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


# ---- rows of a file


class BadRecord(NamedTuple):
    """What stands in the place of a record and is none.

    Attributes:
        text: What the input has there; the same text is the same row in every run.
        line: Its line in the input, from 1.
        error: Why it is no record.
    """

    text: str
    line: int
    error: InputError


InputRecord: TypeAlias = Mapping[str, Any] | BadRecord
"""What a file has for one row, by the names of its columns."""


class _FileInput:
    """The rows of one file.

    Args:
        path: The file; None for standard input.
        prompt: The short prompt of rows without one, where no text lies beside the video either.
        read: Reads the records.
        expand: Whether a prompt may be a list of prompts.
    """

    def __init__(
        self,
        path: Path | None,
        prompt: str | None,
        read: Callable[[], Iterator[InputRecord]],
        *,
        expand: bool = False,
    ) -> None:
        self._prompt = prompt
        self._expand = expand
        self._read = read
        self._folder = Path.cwd() if path is None or path.is_fifo() else path.absolute().parent
        self.description = "-" if path is None else str(path.absolute())

    def rows(self) -> Iterator[Row]:
        """See `Input.rows`."""
        for number, record in enumerate(self._read()):
            if isinstance(record, BadRecord):
                extra = {"line": record.line, "text": record.text[:1000]}
                yield Row.broken(number, record.text, record.error, extra=extra)
                continue
            prompts = record.get("prompt")
            if not (self._expand and isinstance(prompts, list) and prompts):
                yield self._row(number, record)
                continue
            for place, prompt in enumerate(prompts, 1):
                is_named = place > 1 and record.get("id") is not None
                own = {"id": f"{record['id']}.{place}"} if is_named else {}
                yield self._row(number, {**record, **own, "prompt": prompt})

    def _row(self, number: int, record: Mapping[str, Any]) -> Row:
        extra = {name: value for name, value in record.items() if name not in _COLUMNS}
        video: Any = record.get("video")
        prompt: Any = record.get("prompt")
        row_id: Any = record.get("id")
        if isinstance(row_id, int) and not isinstance(row_id, bool):
            row_id = str(row_id)
        try:
            named = _PICTURES.keys() & record.keys()
            pictures = tuple(self._pictures(record)) if named else ()
            if (
                video is None
                and not pictures
                and (not prompt or any(map(_names_media, extra.values())))
            ):
                raise missing_video_column(record)
            for name, value in (("video", video), ("prompt", prompt), ("id", row_id)):
                if not isinstance(value, str | None):
                    raise InputError(f"the {name} is {_shown(value)}", remedy="give a text")
            path = "" if video is None else self._find(video)
            if pictures:
                Pictures(path or None, pictures)  # refuses what does not go together
            options = _options_of(record.get("options"))
            if record.get("at") is not None:
                options = {**(options or {}), "at": record["at"]}
            if prompt is None:
                prompt = _prompt_beside(path) or self._prompt or ""
            return Row.of(
                number, path, prompt, id=row_id, options=options, extra=extra, pictures=pictures
            )
        except InputError as error:
            return Row.broken(
                number,
                json.dumps(dict(record), sort_keys=True, default=str),
                error,
                video=video if isinstance(video, str) else "",
                prompt=prompt if isinstance(prompt, str) else "",
                id=row_id if isinstance(row_id, str) else None,
                extra=extra,
            )

    def _pictures(self, record: Mapping[str, Any]) -> Iterator[tuple[Role, str]]:
        """Roles and absolute paths of the pictures of a record; semicolons part references."""
        for column, role in _PICTURES.items():
            given = record.get(column)
            if isinstance(given, str):
                given = given.split(";") if role == "reference" else [given]
            if not isinstance(given, list | None):
                raise InputError(f"{column} is {_shown(given)}", remedy="give a path")
            for name in given or ():
                if not isinstance(name, str):
                    raise InputError(f"{column} holds {_shown(name)}", remedy="give a path")
                yield role, self._find(name.strip())

    def _find(self, name: str) -> str:
        """The absolute path of a video; ``..`` stays in it, since it counts from where links lead.

        What the path means is decided by the system that opens it.
        """
        if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://|data:", name):
            raise VideoRefused(
                f"{name[:200]!r} is a URL, and promptlift fetches nothing",
                remedy="download the video and give its path",
            )
        if not name or "\0" in name:
            raise InputError(f"{name[:200]!r} is no path of a video", remedy="correct the row")
        return str(self._folder / name)


def _options_of(given: Any) -> Mapping[str, Any] | None:
    """The options that a row sets; null is no value, since Parquet has every field in every row."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise InputError(
            f"the options are {_shown(given)}", remedy='give an object such as {"control": "edge"}'
        )
    return {name: value for name, value in given.items() if value is not None}


def _names_media(value: Any) -> bool:
    """Whether a value is the name of a video or picture: its column is not called ``video``."""
    return isinstance(value, str) and Path(value).suffix.lower() in MEDIA_SUFFIXES


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:60] + "…"


def _prompt_beside(video: str) -> str:
    """The text of ``clip.txt`` beside ``clip.mp4``; empty without such a file."""
    path = Path(os.path.splitext(video)[0] + ".txt")  # noqa: PTH122 - "/" has no suffix to change
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            data = file.read(_PROMPT_BYTES + 1)
        if len(data) > _PROMPT_BYTES:
            raise PromptError(
                f"{str(path)!r} is longer than {_PROMPT_BYTES} bytes", remedy="shorten it"
            )
        return data.decode("utf-8-sig").strip()
    except OSError as error:
        raise PromptError(
            f"cannot read {str(path)!r}: {error.strerror}", remedy="check its permissions"
        ) from None
    except UnicodeDecodeError:
        raise PromptError(f"{str(path)!r} is not UTF-8", remedy="save it as UTF-8") from None


# ---- several rows of one

_MOST_PROMPTS = 1000  # of one row
_GROUP = re.compile(r"(?<!\\)\{((?:\\.|[^{}\\])*)\}")
_MARK = {
    "brace": re.compile(r"(?<!\\)[{}]"),
    "bar": re.compile(r"(?<!\\)\|"),
    "plain": re.compile(r"\\([{|}])"),
}


class ExpandedInput:
    """An input with several rows in the place of one.

    The first keeps its id, so that what was finished before stays finished; the others have a
    number after it.

    Args:
        rows: The input.
        expand: Whether ``{red|blue}`` in a prompt stands for several prompts.
        variations: How many variations of each result are wanted.
    """

    def __init__(self, rows: Input, expand: bool, variations: int) -> None:
        self._rows, self._expand, self._variations = rows, expand, variations
        self.description = rows.description

    def rows(self) -> Iterator[Row]:
        """See `Input.rows`."""
        several = (made for row in self._rows.rows() for made in self._expanded(row))
        for number, row in enumerate(several):
            yield replace(row, number=number)

    def _expanded(self, row: Row) -> Iterator[Row]:
        if row.trouble is not None:
            yield row
            return
        try:
            prompts = expand_prompt(row.prompt) if self._expand else [row.prompt]
        except InputError as error:
            said, own = f"{row.video} {row.prompt}", row
            yield Row.broken(
                0, said, error, video=own.video, prompt=own.prompt, id=own.id, extra=own.extra
            )
            return
        has_id = not row.digest.startswith(row.id)
        numbers = [1] if "variation" in row.options else range(1, self._variations + 1)
        pairs = [(prompt, number) for prompt in prompts for number in numbers]
        for place, (prompt, number) in enumerate(pairs, 1):
            name = f"{row.id}-{place}" if place > 1 else row.id
            options = {**row.options, "variation": number} if number > 1 else row.options
            yield Row.of(
                0,
                row.video,
                prompt,
                id=name if has_id else None,
                options=options,
                extra=row.extra,
            )


def expand_prompt(prompt: str) -> list[str]:
    """All prompts that one with alternatives such as ``a {red|blue} car`` stands for, in order.

    A backslash before a brace or a bar makes it a plain character.

    Raises:
        PromptError: A brace has no partner, or there are too many prompts.
    """
    pieces = _GROUP.split(prompt)  # every other one is the inside of braces
    for piece in pieces[::2]:
        if stray := _MARK["brace"].search(piece):
            raise PromptError(
                f"a brace {stray[0]!r} of {_excerpt(prompt)} has no partner",
                remedy=f"write \\{stray[0]} for a plain brace; braces in braces are not read",
            )
    parts = [_MARK["bar"].split(piece) if at % 2 else [piece] for at, piece in enumerate(pieces)]
    count = math.prod(map(len, parts))
    if count > _MOST_PROMPTS:
        raise PromptError(
            f"{_excerpt(prompt)} stands for {count:,} prompts",
            remedy=f"give a row at most {_MOST_PROMPTS:,}",
        )
    made = ("".join(chosen) for chosen in itertools.product(*parts))
    return list(dict.fromkeys(_MARK["plain"].sub(r"\1", one) for one in made))


# ---- JSON


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


# NaN and the infinities are not JSON and would make the export invalid, so they become null.
_decode = json.JSONDecoder(parse_float=_finite, parse_constant=lambda _: None).decode


def _json_records(path: Path | None) -> Iterator[InputRecord]:
    """One JSON object a line; blank lines are left out."""
    with _open_binary(path) as file:
        lines = enumerate(_lines(file), 1)
        for count, (number, raw) in enumerate(pair for pair in lines if not pair[1].isspace()):
            line = raw.removeprefix(_BOM)
            if count == 0 and line.lstrip().startswith(b"["):
                raise InputError(
                    f"{str(path or '-')!r} is a JSON array and not JSON lines",
                    remedy="make lines of it with: jq -c '.[]'",
                )
            text = line.decode(errors="replace").strip()
            try:
                if len(line) > _LINE_BYTES:
                    raise ValueError(f"it is longer than {_LINE_BYTES >> 20} MiB")
                record = _decode(line.decode().strip())
                if not isinstance(record, dict):
                    raise ValueError("it is another value")
                yield record
            except (ValueError, RecursionError) as error:  # also ten thousand digits or brackets
                what = f"the line {_excerpt(text)} is not a JSON object: {error}"
                remedy = 'write one object a line, such as {"video": "clip.mp4", "prompt": "dawn"}'
                yield BadRecord(text, number, InputError(what, remedy=remedy))


def _open_binary(path: Path | None) -> BinaryIO:
    try:
        if path is None:
            # Not sys.stdin: a thread that waits in it when the process ends is fatal.
            return open(0, "rb", buffering=_BUFFER_BYTES, closefd=False)
        return path.open("rb", buffering=_BUFFER_BYTES)
    except OSError as error:
        raise unreadable_input(path or "standard input", error) from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that is too long its beginning, one byte more than allowed."""
    while line := file.readline(_LINE_BYTES + 1):
        yield line
        while len(line) > _LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(_LINE_BYTES + 1)


# ---- lines of text


def _text_records(path: Path) -> Iterator[InputRecord]:
    """A prompt a line; blank lines are left out."""
    with _open_binary(path) as file:
        for number, raw in enumerate(_lines(file), 1):
            line = raw.removeprefix(_BOM) if number == 1 else raw
            text = line.decode(errors="replace").strip()
            if not text:
                continue
            try:
                if len(line) > _LINE_BYTES:
                    raise ValueError(f"it is longer than {_LINE_BYTES >> 20} MiB")
                if _names_media(text):
                    raise ValueError("it is the name of a video or picture")
                yield {"prompt": line.decode().strip()}
            except ValueError as error:
                what = f"the line {_excerpt(text)} is no prompt: {error}"
                remedy = "write one prompt a line, in UTF-8; list videos in JSON lines or CSV"
                yield BadRecord(text, number, InputError(what, remedy=remedy))


# ---- CSV and TSV


def _table_records(path: Path, *, tabs: bool) -> Iterator[InputRecord]:
    """The records of a CSV or TSV file with a header; an empty cell is no value."""
    with _open_table(path, tabs=tabs) as (names, records):
        for line, cells in records:
            text = "".join(cells)
            readable = text.encode(errors="surrogateescape").decode(errors="replace")
            error = None
            if readable != text:
                what = f"the row {_excerpt(readable)} is not UTF-8"
                error = InputError(what, remedy="save the file as UTF-8")
            elif len(cells) > len(names):
                what = f"a row has {len(cells)} cells and the header {len(names)}"
                error = InputError(what, remedy="put a text with commas in quotes")
            if error is not None:
                yield BadRecord(readable, line, error)
            elif text:
                pairs = zip(names, cells, strict=False)
                given = {"video": ""} if "video" in names else {}
                yield {**given, **{name: cell for name, cell in pairs if name and cell}}


@contextmanager
def _open_table(
    path: Path, *, tabs: bool
) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """The names in the header, and each record with the number of its last line."""
    # A byte that is not UTF-8 becomes a surrogate, and an error of its own row.
    with path.open(
        encoding="utf-8-sig", errors="surrogateescape", newline="", buffering=_BUFFER_BYTES
    ) as file:
        header = file.readline(_CSV_CHARACTERS)
        file.seek(0)
        separator = "\t" if tabs else max(",;\t", key=header.count)
        records = _csv_records(path, file, separator)
        names = [cell.strip() for cell in next(records, (1, []))[1]]
        if not {"video", "prompt", "image"} & set(names):
            raise missing_video_column(names)
        for column in names:
            if column and names.count(column) > 1:
                raise InputError(
                    f"the column {column[:40]!r} stands twice in {str(path)!r}", remedy="rename one"
                )
        if "options" in names:
            raise InputError(
                "CSV and TSV have no column 'options'",
                remedy="write JSON lines or Parquet, or rename the column to have it copied",
            )
        yield names, records


def _csv_records(path: Path, file: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    def lines() -> Iterator[str]:
        while line := file.readline(_CSV_CHARACTERS):
            if len(line) == _CSV_CHARACTERS and not line.endswith(("\n", "\r")):
                raise csv.Error(f"a line is longer than {_CSV_CHARACTERS:,} characters")
            yield line

    reader = csv.reader(lines(), delimiter=separator, strict=True)
    line = 0
    try:
        for cells in reader:
            line = reader.line_num
            yield line, cells
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} cannot be read from line {line + 1}: {error}",
            remedy='put a cell with commas or quotes in quotes, and double those: "so ""it"""',
        ) from error


# ---- folders and patterns


class _Videos:
    """One video, or all videos and images of a folder or a pattern.

    The files of a folder come before those of the folders in it, both in the order of their names,
    so that the order is the same in every run. Hidden files and folders are left out; links are
    followed, but not in circles.

    Args:
        source: The video, the folder or the pattern (``*``, ``?``, ``[...]`` within a name,
            ``**`` for folders of any depth).
        prompt: The short prompt of those that have no text beside them.
        captions: No text beside a video is its short prompt.
    """

    def __init__(self, source: Path, prompt: str | None, *, captions: bool = False) -> None:
        self._prompt, self._captions = prompt, captions
        self._pattern: tuple[str, ...] = ("**", "*")
        self.description = str(source.absolute())
        if not os.path.lexists(source):
            parts = source.parts
            first = next((n for n, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
            source, self._pattern = Path(*parts[:first]), parts[first:]
            if self._pattern[-1:] == ("**",):
                self._pattern = (*self._pattern, "*")
        self._root = source.absolute()
        if not os.path.lexists(self._root):
            raise InputError(f"there is no {str(self._root)!r}", remedy="check the path")

    def rows(self) -> Iterator[Row]:
        """See `Input.rows`."""
        number = -1
        for number, path in enumerate(self._walk() if self._root.is_dir() else [self._root]):
            try:
                beside = "" if self._captions else _prompt_beside(str(path))
                yield Row.of(number, str(path), beside or self._prompt or "")
            except InputError as error:
                yield Row.broken(number, str(path), error, video=str(path))
        if number < 0:
            raise InputError(
                f"there is no video or image in {self.description!r}",
                remedy="check the path; a list of videos must be named itself",
            )

    def _walk(self) -> Iterator[Path]:
        """The videos below the folder."""

        def refuse(error: OSError) -> None:
            raise unreadable_input(str(error.filename), error)

        for name, folders, files in os.walk(self._root, followlinks=True, onerror=refuse):
            folder = Path(name)
            parts = folder.relative_to(self._root).parts
            is_last = "**" not in self._pattern and len(parts) + 1 >= len(self._pattern)
            folders[:] = sorted(
                one
                for one in folders
                if not (is_last or one.startswith(".") or _is_circle(folder, folder / one))
            )
            for one in sorted(files):
                is_video = Path(one).suffix.lower() in MEDIA_SUFFIXES and not one.startswith(".")
                if is_video and _matches((*parts, one), self._pattern):
                    yield folder / one


def _is_circle(folder: Path, inner: Path) -> bool:
    return inner.is_symlink() and folder.resolve().is_relative_to(inner.resolve())


def _matches(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern or not names:
        return not pattern and not names
    if pattern[0] == "**":
        return _matches(names, pattern[1:]) or _matches(names[1:], pattern)
    return fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])
