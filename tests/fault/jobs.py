"""Things that a child process may be asked to do, most of them to its own harm."""

from __future__ import annotations

import os
import signal
import sys
import time

from promptlift.errors import VideoUnreadable


class UnpicklableError(Exception):
    """An error that cannot cross over: it holds an open file."""

    def __init__(self) -> None:
        super().__init__("holds a file")
        self.file = sys.stdin


def add(first: int, second: int) -> int:
    """Work as it should."""
    return first + second


def own_pid() -> int:
    """Say which process this is."""
    return os.getpid()


def chatter(text: str) -> str:
    """Write to the descriptor that carries the answer, as a C library may."""
    os.write(1, b"not a pickle")
    print(text, flush=True)
    return text


def segfault(path: str | None = None) -> None:
    """Die as a decoder does that writes where it should not."""
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(status: int) -> None:
    """End without an answer."""
    os._exit(status)


def hang(pid_file: str) -> None:
    """Never come back, and leave word of who is hanging."""
    with open(pid_file, "w") as file:  # noqa: PTH123
        file.write(str(os.getpid()))
    time.sleep(600)


def burn() -> None:
    """Use the processor without end."""
    while True:
        pass


def hoard(size: int) -> int:
    """Allocate this many bytes and touch none of them."""
    return len(bytearray(size))


def big(size: int) -> bytes:
    """Give back this many bytes."""
    return b"x" * size


def unreadable() -> None:
    """Fail on purpose, as the reader does."""
    raise VideoUnreadable("there is no picture in clip.mp4", remedy="give a video")


def mistake() -> None:
    """Fail as a defect of ours would."""
    raise ZeroDivisionError("a defect")


def unpicklable() -> None:
    """Fail with an error that cannot be sent."""
    raise UnpicklableError
