"""The head of a GGUF file: what a model says of itself, without its weights.

The format: ``GGUF``, a version, the number of tensors and of fields, the fields (key, type,
value), then each tensor's name, shape, type and offset, then padding and the data; all
little-endian. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["DamagedGguf", "Gguf", "Value", "parts_of", "read_gguf"]

Value: TypeAlias = str | int | float | bool

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_FORMATS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
_MOST_DIMENSIONS = 8
_MOST_NESTED = 4
# Large models come in parts, which llama.cpp wants side by side, and which the first one names.
_FIRST_PART = re.compile(r"(?P<stem>.+)-00001-of-(?P<count>\d{5})\.gguf")


class DamagedGguf(Exception):
    """The file is not a whole GGUF file; the text goes on from the file's name."""


@dataclass(frozen=True, slots=True)
class Gguf:
    """What the head of a file says.

    Attributes:
        fields: Its single values by key; lists, such as the vocabulary, are left out.
        shapes: Each tensor's dimensions by its name, the fastest first.
        file_bytes: The length of the file.
    """

    fields: dict[str, Value]
    shapes: dict[str, tuple[int, ...]]
    file_bytes: int

    def text(self, key: str) -> str:
        """A field that is a string; empty where it is missing."""
        found = self.fields.get(key)
        return found.strip() if isinstance(found, str) else ""

    def number(self, key: str) -> int | None:
        """A field that is a whole number above 0; None where it is missing."""
        found = self.fields.get(key)
        return found if type(found) is int and found > 0 else None


def parts_of(file: str) -> list[str]:
    """Names of all the parts of a model by the name of the first; that name, if it is whole."""
    first = _FIRST_PART.fullmatch(file)
    if first is None:
        return [file]
    count = first["count"]
    return [f"{first['stem']}-{part:05}-of-{count}.gguf" for part in range(1, int(count) + 1)]


def read_gguf(path: Path) -> Gguf:
    """Read the head of a file and hold it against the file's length.

    Raises:
        DamagedGguf: It is not a GGUF file, of an unknown version, or not whole.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            _check_magic(file.read(24))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read(_Cursor(data), size)
    except OSError as error:
        raise DamagedGguf(f"cannot be read: {error.strerror}") from error
    except (struct.error, IndexError) as error:
        raise DamagedGguf(f"is cut off within its head, at {size:,} bytes") from error


def _check_magic(start: bytes) -> None:
    if start[:4] != _MAGIC:
        if start.startswith(b"version https://git-lfs"):
            raise DamagedGguf("is only a Git LFS pointer to the model")
        raise DamagedGguf("is not a GGUF file")
    (version,) = struct.unpack("<I", start[4:8])
    if version not in _VERSIONS:
        known = " and ".join(map(str, _VERSIONS))
        raise DamagedGguf(
            "is big-endian, for another kind of processor"
            if version & 0xFFFF == 0 and version
            else f"is GGUF of version {version}, and only {known} are known"
        )


class _Cursor:
    """Reads on through a file's bytes.

    Raises:
        struct.error: A value goes beyond the end.
        IndexError: What is stepped over goes beyond the end.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = len(_MAGIC) + 4

    def value(self, letter: str) -> Value:
        """A number or truth value of a format of `struct`."""
        (found,) = struct.unpack_from("<" + letter, self._data, self.at)
        self.at += struct.calcsize("<" + letter)
        kept: Value = found
        return kept

    def whole(self, letter: str) -> int:
        """A whole number."""
        return int(self.value(letter))

    def string(self) -> str:
        """A string with its length before it."""
        start = self.at + 8
        self.skip_string()
        return self._data[start : self.at].decode("utf-8", "replace")

    def skip_string(self) -> None:
        """Step over a string."""
        self.skip(self.whole("Q"))

    def skip(self, count: int) -> None:
        """Step over so many bytes."""
        if count > len(self._data) - self.at:
            raise IndexError
        self.at += count


def _read(cursor: _Cursor, size: int) -> Gguf:
    tensors, fields = cursor.whole("Q"), cursor.whole("Q")
    found: dict[str, Value] = {}
    for _ in range(fields):
        key = cursor.string()
        value = _value(cursor, cursor.whole("I"))
        if value is not None:
            found[key] = value
    shapes, last = _tensors(cursor, tensors)
    alignment = found.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise DamagedGguf(f"has an alignment of {alignment!r}")
    data_from = -(-cursor.at // alignment) * alignment
    if tensors and size <= data_from + last:
        raise DamagedGguf(f"has only {size:,} of more than {data_from + last:,} bytes")
    return Gguf(found, shapes, size)


def _value(cursor: _Cursor, kind: int, nested: int = 0) -> Value | None:
    """Read a value; of an array nothing is kept."""
    if kind == _STRING:
        return cursor.string()
    if kind == _ARRAY:
        _skip_array(cursor, nested)
        return None
    return cursor.value(_format(kind))


def _skip_array(cursor: _Cursor, nested: int) -> None:
    kind, count = cursor.whole("I"), cursor.whole("Q")
    if kind == _STRING:
        for _ in range(count):
            cursor.skip_string()
    elif kind == _ARRAY:
        if nested >= _MOST_NESTED:
            raise DamagedGguf("has lists within lists without end")
        for _ in range(count):
            _skip_array(cursor, nested + 1)
    else:
        cursor.skip(count * struct.calcsize("<" + _format(kind)))


def _format(kind: int) -> str:
    if kind not in _FORMATS:
        raise DamagedGguf(f"has a field of the unknown type {kind}")
    return _FORMATS[kind]


def _tensors(cursor: _Cursor, count: int) -> tuple[dict[str, tuple[int, ...]], int]:
    """Each tensor's shape, and where in the data the last one starts."""
    shapes: dict[str, tuple[int, ...]] = {}
    last = 0
    for _ in range(count):
        name = cursor.string()
        dimensions = cursor.whole("I")
        if dimensions > _MOST_DIMENSIONS:
            raise DamagedGguf(f"has a tensor of {dimensions} dimensions")
        shapes[name] = tuple(cursor.whole("Q") for _ in range(dimensions))
        cursor.skip(4)  # the type of the weights
        last = max(last, cursor.whole("Q"))
    return shapes, last
