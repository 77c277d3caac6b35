"""Things that a child process may be asked to do, most of them to its own harm."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.errors import VideoUnreadable
from promptlift.types import Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KEPT: list[bytearray] = []


class UnpicklableError(Exception):
    """An error that cannot cross over: it holds an open file."""

    def __init__(self) -> None:
        super().__init__("holds a file")
        self.file = sys.stdin


class OneWayError(Exception):
    """An error that can be packed but not unpacked: it needs two arguments and keeps one."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


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


def one_way() -> None:
    """Fail with an error that can be sent but not received."""
    raise OneWayError("a hole", "the bucket")


def wait_for(pid_file: str, gate: str) -> int:
    """Leave word of who is waiting, and come back once the gate is there."""
    Path(pid_file).write_text(str(os.getpid()))
    while not Path(gate).exists():
        time.sleep(0.01)
    return os.getpid()


def hang_deaf(pid_file: str) -> None:
    """Hang, and heed no signal that can be ignored."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):  # some belong to the C library
            signal.signal(number, signal.SIG_IGN)
    hang(pid_file)


def hold_interpreter(pid_file: str) -> None:
    """Hang as a C library may that never lets another thread of Python run."""
    Path(pid_file).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)


def spin(seconds: float) -> int:
    """Use this much processor time, and say which process did."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return os.getpid()


def leak(size: int) -> int:
    """Keep this many bytes for ever, and say which process does."""
    _KEPT.append(bytearray(size))
    return os.getpid()


def read_input() -> bytes:
    """Read from the descriptor that carries the jobs, as a C library may that is told `-`."""
    return os.read(0, 100)


def loaded(name: str) -> bool:
    """Whether a module had been imported before this was asked."""
    return name in sys.modules


def frames(count: int, height: int, width: int) -> tuple[Frame, ...]:
    """Frames of reproducible noise."""
    import numpy as np

    noise = np.random.default_rng(7)
    shape = (height, width, 3)
    return tuple(
        Frame(Fraction(n, 24), noise.integers(0, 256, shape, np.uint8), Fraction(n, 25))
        for n in range(count)
    )


def odd_arrays() -> dict[str, NDArray[np.generic]]:
    """Arrays that cannot be sent as one stretch of memory, or have none."""
    import numpy as np

    square = np.arange(12.0).reshape(3, 4)
    return {"empty": np.zeros((0, 3)), "strided": square[:, ::2], "turned": square.T}
