"""How values cross from a child process to its parent: a pickle, and its buffers beside it.

A parcel is a count, that many lengths, and that many parts; the first part is a pickle of
protocol 5, the others are the buffers that it points to. So the pixels of a frame are written
from the array that holds them and read into the memory that the array on the other side will use.

Two hint frames of 1280x720 (5.5 MB) cross in 2.4 ms this way, most of it the pipe's two copies by
the kernel. Shared memory could save no more than that, beside the tens of ms of decoding them, and
would be left behind by a process that is killed.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

__all__ = ["LENGTH_BYTES", "pack", "receive", "send"]

LENGTH_BYTES = 8


def pack(value: object) -> list[memoryview]:
    """The parts of a parcel, without a copy of the buffers that the value holds.

    Raises:
        Exception: The value cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [memoryview(head), *(buffer.raw() for buffer in buffers)]


def send(pipe: IO[bytes], parts: Sequence[memoryview]) -> None:
    """Write a parcel to an unbuffered pipe."""
    lengths = [len(parts), *(part.nbytes for part in parts)]
    header = b"".join(length.to_bytes(LENGTH_BYTES, "big") for length in lengths)
    for part in (memoryview(header), *parts):
        rest = part
        while rest:
            rest = rest[pipe.write(rest) :]


def receive(pipe: IO[bytes]) -> Any:
    """Read a parcel from an unbuffered pipe, and unpack it.

    Raises:
        EOFError: The pipe closed before the parcel was whole.
    """
    count = _number(pipe)
    lengths = [_number(pipe) for _ in range(count)]
    head, *buffers = [_read(pipe, length) for length in lengths]
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - our own child wrote it


def _number(pipe: IO[bytes]) -> int:
    return int.from_bytes(_read(pipe, LENGTH_BYTES), "big")


def _read(pipe: IO[bytes], length: int) -> bytearray:
    """Exactly this many bytes; in a bytearray, so that an array over them can be written to."""
    whole = bytearray(length)
    rest = memoryview(whole)
    while rest:
        got = pipe.readinto(rest)  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        rest = rest[got:]
    return whole
