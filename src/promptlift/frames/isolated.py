"""Run functions in killable child processes, for files that nobody vouches for.

libavcodec is C: a hostile or broken file can crash it, hang it or make it allocate without end,
and none of that can be caught from inside. So the work is done in a process of its own with
limits on its memory, processor time and wall time, and whatever becomes of it is one clear error.
This contains accidents; it is no sandbox against code that takes the child over.

The child is a plain subprocess and not one of `multiprocessing`: that would import the caller's
main module again, and leave a resource tracker running.

Protocol: the parent writes calls on the child's stdin, each a length and a pickle, and keeps that
open; the child answers each with one parcel on its stdout. A child whose stdin closes has been
let go or has lost its parent, and ends. `promptlift.frames.child` is the other side.
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
from promptlift.frames.parcel import LENGTH_BYTES, receive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

__all__ = ["Child", "IsolationLimits", "isolated_call"]

R = TypeVar("R")

_CHILD = "from promptlift.frames.child import serve; serve()"
_REMEDY = "check the file with another program, or raise the limits if you trust it"


@dataclass(frozen=True, slots=True)
class IsolationLimits:
    """What one call may use before its child process is ended.

    Attributes:
        wall_seconds: Seconds from start to answer. Holds on every system.
        cpu_seconds: Seconds of processor time over all threads. Not on Windows.
        memory_bytes: Bytes of address space. Not on Windows; macOS accepts it and does little.
        niceness: How far the process stands back where others want the processor too; 0 for not.
            Not on Windows.
    """

    wall_seconds: float = 30.0
    cpu_seconds: int = 60
    memory_bytes: int = 4 << 30
    niceness: int = 0


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
    child = Child(limits or IsolationLimits())
    try:
        return child.ask(partial(function, *args, **kwargs))
    finally:
        child.end()


class Child:
    """A process that does one call after another, and can be killed in the middle of any.

    The process is started by the first call. Calls must not overlap; `kill` may come from
    another thread at any time.

    Args:
        limits: What each call may use.
        preload: Names of modules to import before the first call is looked at.

    Attributes:
        calls: How many calls have been begun.
    """

    def __init__(self, limits: IsolationLimits, preload: Sequence[str] = ()) -> None:
        self.calls = 0
        self._limits = limits
        self._preload = preload
        self._lock = threading.Lock()
        self._killed = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def spent(self) -> bool:
        """Whether the process has ended or has been told to, so that it cannot be asked again."""
        return self._killed or (self._process is not None and self._process.poll() is not None)

    def ask(self, call: Callable[[], R]) -> R:
        """Do a call and wait for its answer; the process is ended where it should not do another.

        Raises:
            VideoTimeout: The process passed a limit or crashed.
            RuntimeError: `kill` ended the call.
            Exception: Whatever the call itself raised.
        """
        job = pickle.dumps(call)
        self.calls += 1
        fit = False
        try:
            succeeded, value, tired = self._converse(job)
            fit = not (tired or isinstance(value, MemoryError))
        finally:
            if not fit:
                self.end()
        if succeeded:
            return cast("R", value)
        if isinstance(value, MemoryError):
            allowed = f"{self._limits.memory_bytes / 2**30:.2g} GiB"
            raise VideoTimeout(f"decoding needed more than {allowed} of memory", remedy=_REMEDY)
        raise cast("Exception", value)

    def kill(self) -> None:
        """End the process at once, whatever it does; a call under way fails."""
        with self._lock:
            self._killed = True
            process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """Kill the process, wait until it is gone, and close the pipes. Safe twice."""
        self.kill()
        if self._process is not None:
            with self._process:
                pass  # closes the pipes, then waits

    def _converse(self, job: bytes) -> tuple[bool, object, bool]:
        """Hand over a job and wait for the answer, or for the end of the process or the time.

        Returns:
            Whether the call succeeded; what it returned or raised; whether the process should
            not be asked again.
        """
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        decided = threading.Lock()  # taken by whichever is first, the answer or the time

        def expire() -> None:
            if decided.acquire(blocking=False):
                process.kill()

        timer = threading.Timer(self._limits.wall_seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            with contextlib.suppress(OSError):  # it has died: there will be no answer either
                _write(process.stdin, job)
            answer = cast("tuple[bool, object, bool]", receive(process.stdout))
        except EOFError:
            answer = None
            process.wait()
        finally:
            timer.cancel()
        in_time = decided.acquire(blocking=False)
        if answer is None or not in_time:
            raise self._failure(process.wait(), in_time=in_time)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        process = _spawn(self._limits, self._preload)
        with self._lock:
            self._process = process
            killed = self._killed
        if killed:
            process.kill()
        return process

    def _failure(self, status: int, *, in_time: bool) -> Exception:
        if self._killed:
            return RuntimeError("the process was ended before it had answered")
        return VideoTimeout(_epitaph(status, self._limits, in_time=in_time), remedy=_REMEDY)


def _spawn(limits: IsolationLimits, preload: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a child, in a session of its own: Ctrl-C in a terminal goes to the whole group."""
    numbers = (
        limits.wall_seconds,
        int(limits.cpu_seconds),
        int(limits.memory_bytes),
        limits.niceness,
    )
    return subprocess.Popen(  # noqa: S603 - our own interpreter, and no shell
        [sys.executable, "-P", "-c", _CHILD, *map(str, numbers), *preload],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=_environment(),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )


def _write(pipe: IO[bytes], job: bytes) -> None:
    rest = memoryview(len(job).to_bytes(LENGTH_BYTES, "big") + job)
    while rest:
        rest = rest[pipe.write(rest) :]


def _environment() -> dict[str, str]:
    """Our environment, with the import path that this process has now.

    OpenBLAS sets memory aside for every core it sees, and would use up the memory limit on a
    large machine before any work is done; nothing in the child needs it.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def _epitaph(status: int, limits: IsolationLimits, *, in_time: bool) -> str:
    if not in_time or status == -getattr(signal, "SIGALRM", 0):
        return f"decoding took longer than {limits.wall_seconds:g} s"
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"decoding took more than {limits.cpu_seconds} s of processor time"
    try:
        cause = signal.Signals(-status).name
    except ValueError:
        cause = f"exit status {status}"
    return f"the decoder crashed ({cause})"
