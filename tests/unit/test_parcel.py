"""Parcels between processes: nothing is copied that need not be, and a torn one is noticed."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from fault import jobs
from promptlift.frames.parcel import LENGTH_BYTES, pack, receive, send


def through_a_pipe(value: object, most: int | None = None) -> Any:
    """What arrives of a value, if the sender ends after so many bytes."""
    taking, giving = os.pipe()
    with os.fdopen(taking, "rb", buffering=0) as inlet:

        def give() -> None:
            with os.fdopen(giving, "wb", buffering=0) as outlet:
                if most is None:
                    send(outlet, pack(value))
                else:
                    outlet.write(wire(value)[:most])

        sender = threading.Thread(target=give)
        sender.start()
        try:
            return receive(inlet)
        finally:
            sender.join()


def wire(value: object) -> bytes:
    """All the bytes of a parcel."""
    parts = pack(value)
    numbers = [len(parts), *(part.nbytes for part in parts)]
    header = b"".join(number.to_bytes(LENGTH_BYTES, "big") for number in numbers)
    return header + b"".join(parts)


def test_pixels_are_sent_from_where_they_lie() -> None:
    """Each picture is a part of its own, over the very memory of its array."""
    frames = jobs.frames(2, 90, 160)
    head, *pictures = pack(frames)
    assert len(pictures) == 2
    assert head.nbytes < frames[0].image.nbytes
    for picture, frame in zip(pictures, frames, strict=True):
        assert np.shares_memory(np.frombuffer(picture, np.uint8), frame.image)


def test_a_value_arrives_as_it_was_sent() -> None:
    """Larger than the pipe or empty, with buffers or without, and it can be written to."""
    for frame, sent in zip(
        through_a_pipe(jobs.frames(2, 720, 1280)), jobs.frames(2, 720, 1280), strict=True
    ):
        assert np.array_equal(frame.image, sent.image)
        assert frame.image.flags.writeable
    for name, array in through_a_pipe(jobs.odd_arrays()).items():
        assert np.array_equal(array, jobs.odd_arrays()[name])
    assert through_a_pipe((True, None, "text")) == (True, None, "text")


def test_a_torn_parcel_is_no_answer() -> None:
    """A sender that dies in the middle, wherever that is, is told from one that has answered."""
    value = (True, np.arange(5), "text")
    whole = len(wire(value))
    assert through_a_pipe(value, whole)[2] == "text"
    for cut in range(whole):
        with pytest.raises(EOFError):
            through_a_pipe(value, cut)


def test_what_cannot_be_pickled_is_refused_before_a_byte_is_sent() -> None:
    """So that the words of the error can be sent in its place."""
    with pytest.raises((AttributeError, TypeError), match=r"pickle|local object"):
        pack(lambda: None)
