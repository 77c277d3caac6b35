"""The worker's side of `promptlift.video.workers`: it makes calls until its stdin closes.

Each call on stdin is a length and a pickle. Each answer, on what was stdout, is a message: a
count, that many lengths, and that many parts. The first part is a pickle of protocol 5, the others
are the buffers that it refers to, so that the pixels of a frame are written from the array that
holds them and read into the memory of the array on the other side.

Two frames of 1280x720 (5.5 MB) cross in 2.4 ms this way, most of it the pipe's two copies by the
kernel. Shared memory could save no more than that, beside the tens of ms of decoding them, and
would be left behind by a process that is killed.

The limits and the modules to import in advance are arguments of the command line.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import pickle
import signal
import sys
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

__all__ = [
    "LENGTH_BYTES",
    "IsolationLimits",
    "encode_message",
    "read_message",
    "run_worker",
    "write_message",
]

LENGTH_BYTES = 8

_RECYCLE_SHARE = 0.5  # of the memory limit
_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class IsolationLimits:
    """What one call may use before its worker process is ended.

    Attributes:
        wall_seconds: Seconds from start to answer. Holds on every system.
        cpu_seconds: Seconds of processor time over all threads. Not on Windows.
        memory_bytes: Bytes of address space. Not on Windows; macOS accepts it and does little.
        niceness: The nice value to add, 0 for none. Not on Windows.
    """

    wall_seconds: float = 30.0
    cpu_seconds: int = 60
    memory_bytes: int = 4 << 30
    niceness: int = 0


def encode_message(value: object) -> list[memoryview]:
    """The parts of a message, without a copy of the buffers that the value holds.

    Raises:
        Exception: The value cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [memoryview(head), *(buffer.raw() for buffer in buffers)]


def write_message(pipe: IO[bytes], parts: Sequence[memoryview]) -> None:
    """Write a message to an unbuffered pipe."""
    lengths = [len(parts), *(part.nbytes for part in parts)]
    header = b"".join(length.to_bytes(LENGTH_BYTES, "big") for length in lengths)
    for part in (memoryview(header), *parts):
        rest = part
        while rest:
            rest = rest[pipe.write(rest) :]


def read_message(pipe: IO[bytes]) -> Any:
    """Read a message from an unbuffered pipe, and unpickle it.

    Raises:
        EOFError: The pipe closed before the message was complete.
    """

    def read(length: int) -> bytearray:  # not bytes: an array over them can be written to
        content = bytearray(length)
        rest = memoryview(content)
        while rest:
            count = pipe.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            rest = rest[count:]
        return content

    def number() -> int:
        return int.from_bytes(read(LENGTH_BYTES), "big")

    lengths = [number() for _ in range(number())]
    head, *buffers = [read(length) for length in lengths]
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - our own worker wrote it


def run_worker() -> None:
    """The main function of a worker process; it ends when stdin closes."""
    calls, answers = _take_pipes()
    # Ctrl-C and SIGTERM may be sent to every process of a job; the parent then decides whether
    # what was begun is finished or killed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wall, cpu, memory, niceness, *preload = sys.argv[1:]
    limits = IsolationLimits(float(wall), int(cpu), int(memory), int(niceness))
    _limit_memory(limits)
    _set_nice(limits)
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(calls, inbox), daemon=True).start()
    for name in preload:
        with contextlib.suppress(ImportError):  # the call that needs it gives a better error
            importlib.import_module(name)
    while True:
        call = inbox.get()
        hard = _limit_processor(limits)
        _set_alarm(limits.wall_seconds + _GRACE_SECONDS)
        message = _answer(call, limits, hard)
        _set_alarm(0)
        try:
            write_message(answers, message)
        except BrokenPipeError:
            os._exit(0)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes from libraries: what one prints is no answer, what one reads no call."""
    calls = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return calls, answers


def _listen(calls: IO[bytes], inbox: SimpleQueue[bytes]) -> None:
    """Read calls during the work too: only a reader learns that the parent has ended."""
    while len(length := calls.read(LENGTH_BYTES)) == LENGTH_BYTES:
        inbox.put(calls.read(int.from_bytes(length, "big")))
    os._exit(0)  # at once: no wait for the work, nor for threads that a codec may have left


def _answer(call: bytes, limits: IsolationLimits, hard: float) -> list[memoryview]:
    """Whether the call succeeded, its result or error, and whether to recycle the process."""
    try:
        value = pickle.loads(call)()  # noqa: S301 - our parent wrote it
        return encode_message((True, value, _should_recycle(limits, hard)))
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - we wrote it just now
            portable = error
        except Exception:  # noqa: BLE001 - it may hold anything
            portable = RuntimeError(f"{type(error).__name__}: {error}")
        return encode_message((False, portable, _should_recycle(limits, hard)))


def _should_recycle(limits: IsolationLimits, hard: float) -> bool:
    """Whether the next call should have a new process.

    Codecs leak, and memory that was freed in small pieces stays with the process. The memory limit
    is one of the process, so what a call left behind would count against the next video.
    """
    process = psutil.Process()
    times, memory = process.cpu_times(), process.memory_info()
    # Address space is what is limited on Linux; macOS counts every shared library of the system.
    used = memory.vms if sys.platform == "linux" else memory.rss
    is_spent = times.user + times.system + limits.cpu_seconds > hard
    return is_spent or used > limits.memory_bytes * _RECYCLE_SHARE


def _set_alarm(seconds: float) -> None:
    """Have the system end this process then, 0 for never.

    The parent watches the clock; but if it dies while a decoder hangs and holds the
    interpreter's lock, nobody else could end this process.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(limits: IsolationLimits) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits; the wall time still holds
        return
    for kind, wanted in ((resource.RLIMIT_AS, limits.memory_bytes), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (soft, hard))


def _set_nice(limits: IsolationLimits) -> None:
    if limits.niceness and hasattr(os, "nice"):
        os.nice(limits.niceness)


def _limit_processor(limits: IsolationLimits) -> float:
    """Allow the coming call its share, beside what the calls before it have used.

    The system counts over the life of the process. The hard limit, which only root could raise
    again, stays as it was.

    Returns:
        The hard limit in seconds.
    """
    try:
        import resource
    except ImportError:
        return math.inf
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    times = os.times()
    soft = math.ceil(times.user + times.system) + limits.cpu_seconds
    unlimited = hard == resource.RLIM_INFINITY
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft if unlimited else min(soft, hard), hard))
    return math.inf if unlimited else hard
