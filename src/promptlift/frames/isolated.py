"""Run a function in a killable child process, for files that nobody vouches for.

libavcodec is C: a hostile or broken file can crash it, hang it or make it allocate without end,
and none of that can be caught from inside. So the work is done in a process of its own with
limits on its memory, processor time and wall time, and whatever becomes of it is one clear error.
This contains accidents; it is no sandbox against code that takes the child over.

The child is a plain subprocess and not one of `multiprocessing`: that would import the caller's
main module again, and leave a resource tracker running.

Protocol: the parent writes the call on the child's stdin, a length and a pickle, and keeps that
open; the child answers with one pickle on its stdout and ends. A child whose stdin
closes has lost its parent, and ends too.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from promptlift.errors import VideoTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

__all__ = ["IsolationLimits", "isolated_call"]

R = TypeVar("R")

_CHILD = "from promptlift.frames.isolated import _serve; _serve()"
_LENGTH_BYTES = 8
_REMEDY = "check the file with another program, or raise the limits if you trust it"


@dataclass(frozen=True, slots=True)
class IsolationLimits:
    """What a child process may use before it is ended.

    Attributes:
        wall_seconds: Seconds from start to answer. Holds on every system.
        cpu_seconds: Seconds of processor time over all threads. Not on Windows.
        memory_bytes: Bytes of address space. Not on Windows; macOS accepts it and does little.
    """

    wall_seconds: float = 30.0
    cpu_seconds: int = 60
    memory_bytes: int = 4 << 30


def isolated_call(
    function: Callable[..., R],
    /,
    *args: object,
    limits: IsolationLimits | None = None,
    **kwargs: object,
) -> R:
    """Call a function in a child process of its own.

    Args:
        function: A function at the top level of an importable module.
        *args: Its arguments; anything that can be pickled.
        limits: What the child may use.
        **kwargs: Its arguments by name.

    Returns:
        What the function returned, pickled and back.

    Raises:
        VideoTimeout: The child passed a limit or crashed.
        Exception: Whatever the function itself raised.
    """
    limits = limits or IsolationLimits()
    job = pickle.dumps((partial(function, *args, **kwargs), limits))
    answer, status, expired = _converse(job, limits.wall_seconds)
    if expired:
        raise VideoTimeout(f"decoding took longer than {limits.wall_seconds:g} s", remedy=_REMEDY)
    if not answer:
        raise VideoTimeout(_epitaph(status, limits), remedy=_REMEDY)
    succeeded, value = pickle.loads(answer)  # noqa: S301 - our own child wrote it
    if succeeded:
        return cast("R", value)
    if isinstance(value, MemoryError):
        raise VideoTimeout(
            f"decoding needed more than {limits.memory_bytes / 2**30:.2g} GiB of memory",
            remedy=_REMEDY,
        )
    raise cast("Exception", value)


def _converse(job: bytes, seconds: float) -> tuple[bytes, int, bool]:
    """Start a child, hand it the job, and wait for its end.

    Returns:
        What the child answered, nothing where it crashed; its exit status, negative for a
        signal; and whether it was ended because its time was up.
    """
    expired = threading.Event()
    with subprocess.Popen(  # noqa: S603 - our own interpreter, and no shell
        [sys.executable, "-P", "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=_environment(),
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def expire() -> None:
            expired.set()
            child.kill()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                _write(child.stdin, job)
            answer: bytes = child.stdout.read()
            status = child.wait()
        finally:
            timer.cancel()
            child.kill()
    return answer, status, expired.is_set()


def _write(pipe: IO[bytes], job: bytes) -> None:
    rest = memoryview(len(job).to_bytes(_LENGTH_BYTES, "big") + job)
    while rest:
        rest = rest[pipe.write(rest) :]


def _environment() -> dict[str, str]:
    """Our environment, with the import path that this process has now.

    OpenBLAS sets memory aside for every core it sees, and would use up the memory limit on a
    large machine before any work is done; nothing in the child needs it.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def _epitaph(status: int, limits: IsolationLimits) -> str:
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"decoding took more than {limits.cpu_seconds} s of processor time"
    try:
        cause = signal.Signals(-status).name
    except ValueError:
        cause = f"exit status {status}"
    return f"the decoder crashed ({cause})"


def _serve() -> None:
    """The child's whole life: one call, one answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not be mistaken for the answer
    with os.fdopen(os.dup(0), "rb") as jobs:
        length = int.from_bytes(jobs.read(_LENGTH_BYTES), "big")
        call, limits = pickle.loads(jobs.read(length))  # noqa: S301 - our parent wrote it
    _restrain(limits)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers.write(_answer(call))
    answers.flush()
    os._exit(0)  # at once: no wait for threads that a codec may have left


def _answer(call: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps((True, call()))
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        return _failure(error)


def _failure(error: Exception) -> bytes:
    try:
        return pickle.dumps((False, error))
    except Exception:  # noqa: BLE001 - whatever an error may hold, its words can be sent
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing more is ever sent: this returns when the parent's end closes
    os._exit(1)


def _restrain(limits: IsolationLimits) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits; the wall time still holds
        return
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_CORE: 0,
    }
    for kind, soft in wanted.items():
        hard = resource.getrlimit(kind)[1]
        limit = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (limit, hard))
