"""Killable worker processes for decoding files that nobody vouches for.

libavcodec is C: a hostile or broken file can crash it, hang it or make it allocate without end,
and none of that can be caught from inside. So the work is done in a process of its own with
limits on its memory, processor time and wall time, and whatever becomes of it is one clear error.
This contains accidents; it is no sandbox against code that takes the process over.

The worker is a plain subprocess and not one of `multiprocessing`: that would import the caller's
main module again, and leave a resource tracker running.

Protocol: the parent writes on the worker's stdin the limits and the names of the modules to import
in advance, as one pickle, and then the calls, each as the pickle of a pickle. The worker answers
each with one pickle on its stdout. A worker whose stdin closes has been let go or has lost its
parent, and ends. Two frames of 1280x720 (5.5 MB) cross in a few ms this way. Shared memory could
save no more than that, beside the tens of ms of decoding them, and would be left behind by a
process that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import psutil

from promptlift.errors import VideoTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

__all__ = ["IsolationLimits", "ProcessPool", "WorkerProcess", "isolated_call"]

R = TypeVar("R")

_MAIN = "from promptlift.video.workers import _run_worker; _run_worker()"
_REMEDY = "check the file with another program, or raise the limits if you trust it"

_RECYCLE_SHARE = 0.5  # of the memory limit
_GRACE_SECONDS = 1.0
# Whoever has a pool talks to an engine meanwhile, and an answer that waits for the processor costs
# more than a picture that does: pictures are decoded ahead.
_NICENESS = 5


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


def isolated_call(
    function: Callable[..., R],
    /,
    *args: object,
    limits: IsolationLimits | None = None,
    **kwargs: object,
) -> R:
    """Call a function in a worker process of its own.

    Args:
        function: A function at the top level of an importable module.
        *args: Its arguments; anything that can be pickled.
        limits: What the call may use.
        **kwargs: Its arguments by name.

    Returns:
        What the function returned, pickled and back.

    Raises:
        VideoTimeout: The process passed a limit or crashed.
        Exception: Whatever the function itself raised.
    """
    worker = WorkerProcess(limits or IsolationLimits())
    try:
        return worker.call(partial(function, *args, **kwargs))
    finally:
        worker.end()


class WorkerProcess:
    """A process that makes one call after another, and can be killed in the middle of any.

    The process is started by the first call. Calls must not overlap; `kill` may come from
    another thread at any time.

    Args:
        limits: What each call may use.
        preload: Names of modules to import before the first call is read.
    """

    def __init__(self, limits: IsolationLimits, preload: Sequence[str] = ()) -> None:
        self._limits = limits
        self._preload = preload
        self._lock = threading.Lock()
        self._killed = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ended(self) -> bool:
        """Whether the process has ended or has been killed, so that it cannot be called again."""
        return self._killed or (self._process is not None and self._process.poll() is not None)

    def call(self, function: Callable[[], R]) -> R:
        """Make a call and wait for its result; ends the process where it should be recycled.

        Raises:
            VideoTimeout: The process passed a limit or crashed.
            RuntimeError: `kill` ended the call.
            Exception: Whatever the function itself raised.
        """
        job = pickle.dumps(pickle.dumps(function))
        reusable = False
        try:
            succeeded, value, recycle = self._exchange(job)
            reusable = not (recycle or isinstance(value, MemoryError))
        finally:
            if not reusable:
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
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """Kill the process, wait until it has ended, and close the pipes. Safe twice."""
        self.kill()
        if self._process is not None:
            with self._process:
                pass  # closes the pipes, then waits

    def _exchange(self, job: bytes) -> tuple[bool, object, bool]:
        """Write a call and wait for the answer, or for the end of the process or the time.

        Returns:
            Whether the call succeeded; what it returned or raised; whether the process should
            be recycled.
        """
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(self._limits.wall_seconds, expire)
        timer.daemon = True
        timer.start()
        answer: tuple[bool, object, bool] | None = None
        try:
            with contextlib.suppress(OSError):  # it has ended: there will be no answer either
                process.stdin.write(job)
                process.stdin.flush()
            answer = pickle.load(process.stdout)  # noqa: S301 - our own worker wrote it
        except (EOFError, pickle.UnpicklingError):
            process.wait()
        finally:
            timer.cancel()
        timer.join()  # or it might end the process after this call
        if answer is not None and not expired.is_set():
            return answer
        status = process.wait()
        if self._killed:
            raise RuntimeError("the process was ended before it had answered")
        if expired.is_set() or status == -getattr(signal, "SIGALRM", 0):
            why = f"decoding took longer than {self._limits.wall_seconds:g} s"
        elif status == -getattr(signal, "SIGXCPU", 0):
            why = f"decoding took more than {self._limits.cpu_seconds} s of processor time"
        elif -status in {*signal.Signals}:
            why = f"the decoder crashed ({signal.Signals(-status).name})"
        else:
            why = f"the decoder crashed (exit status {status})"
        raise VideoTimeout(why, remedy=_REMEDY)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise RuntimeError("the process was ended before it had answered")
            if self._process is not None:
                return self._process
            path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
            # OpenBLAS allocates memory for every core it sees, and would use up the memory limit on
            # a large machine before any work is done; nothing in the worker needs it.
            environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
            self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-P", "-c", _MAIN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                # A session of its own: Ctrl-C in a terminal goes to the whole group.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows
            )
        assert process.stdin is not None
        process.stdin.write(pickle.dumps((self._limits, self._preload)))
        return process


class ProcessPool:
    """Worker processes that are used from one event loop, each for one call at a time.

    `isolated_call` starts a process for each call, and most of its time goes into importing PyAV
    and NumPy. A pool keeps its processes and protects its caller in the same way. Processes are
    started when they are first needed, and replaced when one has crashed, passed a limit, was
    killed because the task that waited for it was cancelled, or holds much memory: codecs leak,
    and what they leak would count against later videos.

    Args:
        workers: How many calls may be under way at once, at least 1.
        limits: What each call may use.
        preload: Names of modules that each process imports as soon as it is started.

    Attributes:
        workers: How many calls may be under way at once.
        seconds_busy: Seconds that calls have taken so far, all added up.

    Raises:
        ValueError: There are no workers.
    """

    def __init__(
        self, workers: int, limits: IsolationLimits | None = None, *, preload: Sequence[str] = ()
    ) -> None:
        if workers < 1:
            raise ValueError(f"a process pool needs at least 1 worker, not {workers}")
        self._limits = replace(limits or IsolationLimits(), niceness=_NICENESS)
        self._preload = tuple(preload)
        self.workers = workers
        self.seconds_busy = 0.0
        self._closed = False
        self._slots = asyncio.Semaphore(workers)
        self._idle = [WorkerProcess(self._limits, self._preload) for _ in range(workers)]
        self._active: dict[WorkerProcess, asyncio.Future[Any]] = {}
        # Its own threads, which only wait for pipes: decoding must not take the loop's.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="promptlift-worker")

    @property
    def busy(self) -> int:
        """How many calls are under way."""
        return len(self._active)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, function: Callable[..., R], /, *args: object, **kwargs: object) -> R:
        """Call a function in one of the processes, once one is free.

        If the task that waits is cancelled, the process is killed: nothing else stops a decoder.

        Args:
            function: A function at the top level of an importable module.
            *args: Its arguments; anything that can be pickled.
            **kwargs: Its arguments by name.

        Returns:
            What the function returned, pickled and back.

        Raises:
            VideoTimeout: The process passed a limit or crashed.
            RuntimeError: The pool was closed before there was an answer.
            Exception: Whatever the function itself raised.
        """
        async with self._slots:
            if self._closed:
                raise RuntimeError("the process pool has been closed")
            worker = self._idle.pop()
            if worker.ended:
                # The system may have ended it between calls, which is not the next video's fault.
                worker.end()
                worker = WorkerProcess(self._limits, self._preload)
            begun = time.monotonic()
            call = partial(function, *args, **kwargs)
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._threads, worker.call, call)
            # So that asyncio does not complain where the waiter was cancelled.
            work.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._active[worker] = work
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                worker.kill()
                await asyncio.wait([work])
                raise
            finally:
                del self._active[worker]
                self.seconds_busy += time.monotonic() - begun
                # Processes that run are used first.
                self._idle.insert(0 if worker.ended else len(self._idle), worker)

    async def warm(self) -> None:
        """Start every process that is free, and wait until it has imported what it should."""
        await asyncio.gather(*(self.call(int) for _ in range(self.workers - self.busy)))

    async def close(self) -> None:
        """Kill every process, whatever it does, and wait until all have ended. Safe twice."""
        self._closed = True
        for worker in (*self._active, *self._idle):
            worker.kill()
        if self._active:
            await asyncio.wait(self._active.values())
        for worker in self._idle:
            worker.end()
        self._threads.shutdown()


def _run_worker() -> None:
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
