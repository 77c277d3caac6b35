"""The lines of a journal segment: one JSON object each, led by a sum over the rest.

Pure: bytes in, bytes out. The fields that a resume needs stand at the front in a fixed order, so
that a reader takes them by pattern and leaves the record behind them unparsed. See the table in
``docs/design/0002-batch.md``.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final, Literal, NamedTuple, cast, get_args

__all__ = [
    "BODY_AT",
    "SCHEMA",
    "ResultHead",
    "RowHead",
    "State",
    "VideoHead",
    "check",
    "encode",
    "fields_of",
    "json_string",
    "record_of",
    "result_head",
    "result_line",
    "row_head",
    "row_line",
    "video_head",
    "video_line",
]

SCHEMA: Final = 1
"""Grows with a change that an older reader would misunderstand; a new kind of line is none."""

State = Literal["ok", "repaired", "rejected", "failed"]

_STATES: Final = get_args(State)
_LEAD = re.compile(rb'\{"sum":"([0-9a-f]{8})",')
BODY_AT: Final = len(b'{"sum":"00000000",')
"""Where the bytes begin that the sum is over."""

_STRING = rb'"(?:[^"\\]|\\.)*"'
_RESULT = re.compile(
    rb'"kind":"result","key":"([0-9a-f]{64})","state":"([a-z_]+)",'
    rb'"code":(null|' + _STRING + rb'),"retryable":(true|false),"at":[-+.0-9eE]+,"record":'
)
_ROW = re.compile(rb'"kind":"row","row":"([0-9a-f]{32})","key":"([0-9a-f]{64})"')
_VIDEO = re.compile(
    rb'"kind":"video","path":(' + _STRING + rb'),"size":(\d+),"mtime_ns":(-?\d+),'
    rb'"content":(' + _STRING + rb")"
)


class ResultHead(NamedTuple):
    """The front of a ``result`` line; the parts of `verdict` are JSON texts.

    Attributes:
        key: The item's key, 64 hexadecimal digits.
        verdict: State, code and retryable.
        record_at: Where the record begins in the bytes that were given.
    """

    key: bytes
    verdict: tuple[bytes, bytes, bytes]
    record_at: int


class RowHead(NamedTuple):
    """A ``row`` line: the row's digest (32 hexadecimal digits) and the item's key (64)."""

    row: bytes
    key: bytes


class VideoHead(NamedTuple):
    """A ``video`` line; `path` and `content` are JSON strings as `json_string` writes them."""

    path: bytes
    size: int
    mtime_ns: int
    content: bytes


def json_string(text: str) -> bytes:
    """The one way in which a string is written in a line, so that written strings compare."""
    return _quoted(text).encode()


def encode(kind: str, fields: Mapping[str, Any]) -> bytes:
    """One line, newline included, with the fields in their order.

    Raises:
        ValueError: A value is not JSON, or is not a finite number.
    """
    words = json.dumps({"kind": kind, **fields}, separators=(",", ":"), allow_nan=False)
    return _sealed(words.encode()[1:])


def result_line(
    key: str,
    state: State,
    code: str | None,
    retryable: bool,
    record: bytes | str,
    *,
    at: float,
) -> bytes:
    """A ``result`` line around a record that is JSON already.

    Args:
        key: The item's key, 64 hexadecimal digits.
        state: What became of the item.
        code: Of the failure or of the first failed check; None for neither.
        retryable: Whether a rerun asks again.
        record: One JSON object.
        at: Seconds since 1970.

    Raises:
        ValueError: The key, the state or the record is not one.
    """
    if state not in _STATES:
        raise ValueError(f"{state!r} is no state of an item")
    text = record.encode() if isinstance(record, str) else record
    # A newline between the tokens of a record would end the line; within a string it is escaped.
    text = text.strip().replace(b"\n", b" ")
    if not (text.startswith(b"{") and text.endswith(b"}")):
        raise ValueError("a record is a JSON object")
    head = b'"kind":"result","key":"%b","state":"%b","code":%b,"retryable":%b,"at":%b,"record":' % (
        _hex(key, 64),
        state.encode(),
        b"null" if code is None else json_string(code),
        b"true" if retryable else b"false",
        json.dumps(at).encode(),
    )
    return _sealed(head + text + b"}")


def row_line(row: str, key: str) -> bytes:
    """A ``row`` line: the row with this digest is the item with this key.

    Raises:
        ValueError: The digest is not 32, or the key not 64, hexadecimal digits.
    """
    return encode("row", {"row": _hex(row, 32).decode(), "key": _hex(key, 64).decode()})


def video_line(path: str, size: int, mtime_ns: int, content: str) -> bytes:
    """A ``video`` line: what a path held with this size in bytes and this time of change."""
    fields = {"path": path, "size": size, "mtime_ns": mtime_ns, "content": content}
    return encode("video", fields)


def check(line: bytes) -> bool:
    """Whether the line, with or without its newline, is whole and undamaged."""
    lead = _LEAD.match(line)
    body = memoryview(line)[BODY_AT : len(line) - line.endswith(b"\n")]
    return lead is not None and zlib.crc32(body) == int(lead[1], 16)


def result_head(data: bytes, at: int) -> ResultHead | None:
    """Read the front of a ``result`` line whose body begins at `at`; None if it is none."""
    found = _RESULT.match(data, at)
    if found is None:
        return None
    key, *verdict = found.groups()
    return ResultHead(key, cast("tuple[bytes, bytes, bytes]", tuple(verdict)), found.end())


def row_head(data: bytes, at: int) -> RowHead | None:
    """Read a ``row`` line whose body begins at `at`; None if it is none."""
    found = _ROW.match(data, at)
    return RowHead(found[1], found[2]) if found else None


def video_head(data: bytes, at: int) -> VideoHead | None:
    """Read a ``video`` line whose body begins at `at`; None if it is none."""
    found = _VIDEO.match(data, at)
    return VideoHead(found[1], int(found[2]), int(found[3]), found[4]) if found else None


def record_of(line: bytes) -> bytes:
    """The record of a whole ``result`` line, as the JSON text that it was given as.

    Raises:
        ValueError: It is not such a line.
    """
    head = result_head(line, BODY_AT)
    if head is None:
        raise ValueError("not a result line")
    return line.rstrip(b"\n")[head.record_at : -1]


def fields_of(line: bytes) -> dict[str, Any]:
    """All fields of a line, parsed; the sum is not checked here.

    Raises:
        ValueError: It is not a JSON object.
    """
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("a line is a JSON object")
    return fields


def _sealed(body: bytes) -> bytes:
    return b'{"sum":"%08x",' % zlib.crc32(body) + body + b"\n"


def _hex(text: str, digits: int) -> bytes:
    if len(text) != digits or len(bytes.fromhex(text)) * 2 != digits or text != text.lower():
        raise ValueError(f"{text!r} is not {digits} hexadecimal digits")
    return text.encode()
