"""The header of a safetensors file, which says how long the file must be.

The format: eight bytes with the length of the header, the header as JSON, then the tensors; each
entry has the dtype, the shape and the two offsets of its data.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DamagedTensors", "Tensors", "read_header"]

_LONGEST_HEADER = 100_000_000  # the format's own limit
_SAMPLE = 65_536


class DamagedTensors(Exception):
    """The file is not a whole safetensors file; the text goes on from the file's name."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """What a file of weights says of itself.

    Attributes:
        file_bytes: Its length.
        digest: Hash of the header, the length and the first of the data.
    """

    file_bytes: int
    digest: str


def read_header(path: Path) -> Tensors:
    """Read the header and hold it against the length of the file.

    Raises:
        DamagedTensors: It is too short, too long, or no such file at all.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(_LONGEST_HEADER, size - 8):
                raise DamagedTensors(_what_else(path, size))
            header = file.read(length)
            sample = file.read(_SAMPLE)
    except OSError as error:
        raise DamagedTensors(f"cannot be read: {error.strerror}") from error
    expected = 8 + length + _data_bytes(header)
    if size != expected:
        raise DamagedTensors(f"has {size:,} of {expected:,} bytes")
    digest = hashlib.sha256(header + sample + str(size).encode()).hexdigest()
    return Tensors(size, digest)


def _data_bytes(header: bytes) -> int:
    try:
        entries = json.loads(header)
        return max(
            (entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"),
            default=0,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedTensors("has a header that is not safetensors'") from error


def _what_else(path: Path, size: int) -> str:
    with path.open("rb") as file:
        if file.read(24).startswith(b"version https://git-lfs"):
            return "is only a Git LFS pointer to the weights"
    return f"is cut off within its header, at {size:,} bytes"
