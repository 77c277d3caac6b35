"""The worker's side of `promptlift.video.workers`: it makes calls until its stdin closes.

On stdin come the limits and the names of the modules to import in advance, as one pickle, and then
the calls, each as the pickle of a pickle. Each answer, on what was stdout, is one pickle.

Two frames of 1280x720 (5.5 MB) cross in a few ms this way. Shared memory could save no more than
that, beside the tens of ms of decoding them, and would be left behind by a process that is killed.
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
from typing import IO

import psutil

__all__ = ["IsolationLimits", "run_worker"]

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


def run_worker() -> None:
    """The main function of a worker process; it ends when stdin closes."""
    # Libraries cannot reach the pipes: what one prints is no answer, what one reads no call.
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    # Ctrl-C and SIGTERM may be sent to every process of a job; the parent then decides whether
    # what was begun is finished or killed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    limits, preload = pickle.load(calls)  # noqa: S301 - our parent wrote it
    _limit("RLIMIT_AS", limits.memory_bytes)
    _limit("RLIMIT_CORE", 0)
    if limits.niceness and hasattr(os, "nice"):
        os.nice(limits.niceness)
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(calls, inbox), daemon=True).start()
    for name in preload:
        with contextlib.suppress(ImportError):  # the call that needs it gives a better error
            importlib.import_module(name)
    while True:
        call = inbox.get()
        # The system counts over the life of the process, so each call is allowed its share beside
        # what the calls before it have used.
        times = os.times()
        _limit("RLIMIT_CPU", math.ceil(times.user + times.system) + limits.cpu_seconds)
        _set_alarm(limits.wall_seconds + _GRACE_SECONDS)
        answer = _answer(call, limits)
        _set_alarm(0)
        try:
            answers.write(answer)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)


def _listen(calls: IO[bytes], inbox: SimpleQueue[bytes]) -> None:
    """Read calls during the work too: only a reader learns that the parent has ended."""
    try:
        while True:
            inbox.put(pickle.load(calls))  # noqa: S301 - our parent wrote it
    except (EOFError, pickle.UnpicklingError):
        os._exit(0)  # at once: no wait for the work, nor for threads that a codec may have left


def _answer(call: bytes, limits: IsolationLimits) -> bytes:
    """Whether the call succeeded, its result or error, and whether to recycle the process."""
    try:
        value = pickle.loads(call)()  # noqa: S301 - our parent wrote it
        return pickle.dumps((True, value, _should_recycle(limits)), protocol=5)
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - we wrote it just now
            portable = error
        except Exception:  # noqa: BLE001 - it may hold anything
            portable = RuntimeError(f"{type(error).__name__}: {error}")
        return pickle.dumps((False, portable, _should_recycle(limits)))


def _should_recycle(limits: IsolationLimits) -> bool:
    """Whether the next call should have a new process.

    Codecs leak, and memory that was freed in small pieces stays with the process. The memory limit
    is one of the process, so what a call left behind would count against the next video.
    """
    memory = psutil.Process().memory_info()
    # Address space is what is limited on Linux; macOS counts every shared library of the system.
    used = memory.vms if sys.platform == "linux" else memory.rss
    return used > limits.memory_bytes * _RECYCLE_SHARE


def _set_alarm(seconds: float) -> None:
    """Have the system end this process then, 0 for never.

    The parent watches the clock; but if it dies while a decoder hangs and holds the
    interpreter's lock, nobody else could end this process.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit(name: str, most: int) -> None:
    """Set a soft limit of this process, unless the hard one is lower."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the wall time still holds
        return
    number = getattr(resource, name)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses some
        resource.setrlimit(number, (most, resource.getrlimit(number)[1]))
