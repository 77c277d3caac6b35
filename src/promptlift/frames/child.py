"""The child's side of `promptlift.frames.isolated`: it does what it is asked until it is let go.

Each job on stdin is a length and a pickled call; each answer is a parcel on what was stdout. The
limits and the modules to import in advance are arguments of the command line.
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
from queue import SimpleQueue
from typing import TYPE_CHECKING

from promptlift.frames.isolated import IsolationLimits
from promptlift.frames.parcel import LENGTH_BYTES, pack, send

if TYPE_CHECKING:
    from typing import IO

__all__ = ["serve"]

_TIRED_SHARE = 0.5
_GRACE_SECONDS = 1.0


def serve() -> None:
    """The whole life of a child process; ends when stdin closes."""
    jobs, answers = _take_pipes()
    _ignore_requests_to_end()
    wall, cpu, memory, niceness, *preload = sys.argv[1:]
    limits = IsolationLimits(float(wall), int(cpu), int(memory), int(niceness))
    _limit_memory(limits)
    _stand_back(limits)
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(jobs, inbox), daemon=True).start()
    for name in preload:
        with contextlib.suppress(ImportError):  # the call that needs it will say so better
            importlib.import_module(name)
    while True:
        _work(inbox.get(), answers, limits)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes to ourselves.

    What a library prints must not be mistaken for an answer, and what it reads must not be
    missing from a job.
    """
    jobs = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return jobs, answers


def _ignore_requests_to_end() -> None:
    """Leave Ctrl-C and SIGTERM to the parent.

    A terminal, a service manager or a scheduler may send them to every process of the job; the
    parent then decides whether what was begun is finished or killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _listen(jobs: IO[bytes], inbox: SimpleQueue[bytes]) -> None:
    """Take in jobs during the work too: only a reader learns that the parent is gone."""
    while len(length := jobs.read(LENGTH_BYTES)) == LENGTH_BYTES:
        inbox.put(jobs.read(int.from_bytes(length, "big")))
    os._exit(0)  # at once: no wait for the work, nor for threads that a codec may have left


def _work(job: bytes, answers: IO[bytes], limits: IsolationLimits) -> None:
    hard = _limit_processor(limits)
    _set_alarm(limits.wall_seconds + _GRACE_SECONDS)
    parts = _answer(job, limits, hard)
    _set_alarm(0)
    try:
        send(answers, parts)
    except BrokenPipeError:
        os._exit(0)


def _answer(job: bytes, limits: IsolationLimits, hard: float) -> list[memoryview]:
    try:
        value = pickle.loads(job)()  # noqa: S301 - our parent wrote it
        return pack((True, value, _tired(limits, hard)))
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        return pack((False, _portable(error), _tired(limits, hard)))


def _portable(error: Exception) -> Exception:
    """The error, or its words where it cannot be sent: it may hold anything."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - we wrote it just now
    except Exception:  # noqa: BLE001
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _tired(limits: IsolationLimits, hard: float) -> bool:
    """Whether the next call should have a fresh process.

    Codecs leak, and the heap of a long life is full of holes. The memory limit is one of the
    process, so what a call left behind would be held against the video of a later one.
    """
    spent = _processor_seconds() + limits.cpu_seconds > hard
    return spent or _address_space() > limits.memory_bytes * _TIRED_SHARE


def _address_space() -> int:
    """Bytes of it; 0 where that cannot be told, which is where it is not limited either."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _set_alarm(seconds: float) -> None:
    """Have the system end us then, 0 for never.

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


def _stand_back(limits: IsolationLimits) -> None:
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
    soft = math.ceil(_processor_seconds()) + limits.cpu_seconds
    unlimited = hard == resource.RLIM_INFINITY
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft if unlimited else min(soft, hard), hard))
    return math.inf if unlimited else hard
