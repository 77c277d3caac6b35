"""Everything that a running server owns: started together, ended together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from promptlift.errors import OutputError, PromptliftError
from promptlift.pipeline import PRELOAD, VideoCache
from promptlift.server.config import ServerConfig
from promptlift.server.db import JobStore
from promptlift.server.engines import EnginePool
from promptlift.server.jobs import Jobs
from promptlift.server.metrics import Metrics
from promptlift.server.scheduler import FairQueue
from promptlift.server.uploads import Uploads
from promptlift.types import VideoInfo
from promptlift.video.source import probe
from promptlift.video.workers import ProcessPool

__all__ = ["Service"]

T = TypeVar("T")

_LOG = logging.getLogger("promptlift.server")
_SWEEP_SECONDS = 30.0


class Service:
    """The parts of a running server. Belongs to one event loop; see `running`.

    Args:
        config: How it is set up.

    Raises:
        PromptliftError: A part of it cannot be had, such as its folder or its engine.

    Attributes:
        config: How it is set up.
        engines: The engines, each with its queue.
        store: The database.
        uploads: Videos that were sent.
        jobs: Requests, and those that outlive their connections.
        decode_queue: The queue of work that needs a decoder and no engine.
        videos: Analyses and frames of videos.
        pool: The processes that decode.
        metrics: For Prometheus.
        stopping: Whether the server is about to end.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self._lock = _lock(config.data)
        self.engines = EnginePool(config)
        self.store = JobStore(config.data / "server.db")
        self.pool = ProcessPool(config.decoders, preload=PRELOAD)
        self.videos = VideoCache(run=self.pool.call)
        self.uploads = Uploads(config.data / "uploads", config, self.store, self.probe)
        self.decode_queue = FairQueue(config.queue, config.decoders)
        self.metrics = Metrics()
        self._add_gauges()
        self.jobs = Jobs(config, self.store, self.engines, self.videos, self.uploads, self.metrics)
        self.stopping = False
        self._ending: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything, and end everything."""
        if back := self.jobs.recover():
            _LOG.info("%d jobs of an earlier run go on", back)
        self.uploads.sweep(leftovers=True)
        works = [self._delete_old(), self.pool.warm()]
        works += [work for one in self.engines for work in (one.watch_health(), one.watch_idle())]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            self.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, *self._ending, return_exceptions=True)
            # On a full disk this would wait for ever; jobs whose end is not stored are done again.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.config.grace):
                    await self.jobs.settle()
            await self.pool.close()
            await self.engines.close()
            await self.store.close()
            os.close(self._lock)

    def stop(self) -> None:
        """Begin to end: what waits is answered, and jobs stay for the next start."""
        if not self.stopping:
            self.stopping = True
            self.jobs.stop()
            queues = [self.decode_queue, *(one.queue for one in self.engines)]
            self._ending = [asyncio.create_task(one.stop(self.config.grace)) for one in queues]

    async def run_decode(self, client: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something that only needs a decoder, in turn.

        Raises:
            ApiError: The queue is full, or it took too long.
        """
        return await self.decode_queue.submit(client, work, seconds=self.config.deadline)

    async def probe(self, path: Path) -> VideoInfo:
        """Say what a file is, in a process that it cannot hurt the server from.

        Raises:
            VideoError: It is no video that is accepted.
        """
        return await self.pool.call(probe, str(path))

    async def _delete_old(self) -> None:
        """Delete old uploads, and what is older than ``--keep``; a failure is tried again."""
        keep = self.config.keep
        while True:
            self.uploads.sweep()
            if keep is not None:
                before = time.time() - keep
                try:
                    if gone := await self.store.forget(before):
                        _LOG.info("%d results, jobs and batches were deleted by age", gone)
                    await asyncio.to_thread(_remove_old_files, self.config.data / "page", before)
                except PromptliftError as error:
                    _LOG.warning("%s", error)
            await asyncio.sleep(min(_SWEEP_SECONDS, max(1.0, (keep or 300) / 10)))

    def _add_gauges(self) -> None:
        gauge, engine = self.metrics.gauge, ("engine",)
        up = gauge("engine_up", "Whether the engine answers.", engine)
        waiting = gauge("queue_waiting", "Requests that wait.", engine)
        running = gauge("queue_running", "Requests with the engine.", engine)
        for one in self.engines:
            label = one.label
            up.labels(label).set_function(partial(getattr, one, "answers"))
            waiting.labels(label).set_function(partial(getattr, one.queue, "waiting"))
            running.labels(label).set_function(partial(getattr, one.queue, "running"))
        decodes = gauge("decodes_waiting", "Requests that wait for a decoder.")
        decodes.set_function(lambda: self.decode_queue.waiting)
        gauge("decoders_busy", "Processes that decode now.").set_function(lambda: self.pool.busy)
        gauge("upload_bytes", "Bytes of all uploads.").set_function(
            lambda: self.uploads.total_bytes
        )


def _remove_old_files(folder: Path, before: float) -> None:
    """Delete the pictures that the page made long ago; its examples are drawn anew."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()


def _lock(folder: Path) -> int:
    """Make the folder, for its owner alone, and lock it for as long as this process lives."""
    import fcntl

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(
            f"another server uses the folder {str(folder)!r}",
            remedy="end it, or name another folder with --data",
        ) from None
    except OSError as error:
        raise OutputError(
            f"cannot keep the server's data in {str(folder)!r}: {error.strerror}",
            remedy="name a folder that can be written to with --data",
        ) from error
    return handle
