"""Everything that a server owns: started together, ended together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from promptlift.core.video import VideoInfo
from promptlift.errors import OutputError, PromptliftError
from promptlift.frames import Limits, probe
from promptlift.frames.crew import Crew
from promptlift.frames.isolated import IsolationLimits
from promptlift.pipeline.seeing import PRELOAD
from promptlift.pipeline.sights import Sights
from promptlift.server.errors import without_paths
from promptlift.server.events import Feed
from promptlift.server.jobs import Jobs
from promptlift.server.lanes import Lane, Lanes
from promptlift.server.ledger import Ledger, read_jobs
from promptlift.server.metrics import Gauges, Metrics
from promptlift.server.models import VideoNamed
from promptlift.server.paths import AllowedPaths, content_of
from promptlift.server.queue import FairQueue, Ticket
from promptlift.server.retention import forget
from promptlift.server.settings import Settings
from promptlift.server.uploads import Uploads
from promptlift.server.wishes import Done, Place, Wish
from promptlift.server.work import Worker

__all__ = ["Service"]

T = TypeVar("T")

_LOG = logging.getLogger("promptlift.server")
_SWEEP_SECONDS = 30.0


class Service:
    """The parts of a running server. Belongs to one event loop; see `running`.

    Attributes:
        settings: How it is set up.
        uploads: Videos that were sent.
        jobs: Work that outlives connections.
        lanes: The engines, each with its queue.
        looking: The queue of work that only looks at a video.
        worker: Does the work.
        sights: Looks at videos.
        crew: The processes that decode.
        metrics: For Prometheus.
        ledger: The journal.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        data = settings.data
        _make_private(data)
        self._lock = _lock(data / "lock")
        self.lanes = Lanes(settings)
        _make_private(data / "journal")
        if settings.keep is not None and (gone := forget(data, settings.keep)):
            _LOG.info("%d results and jobs that ended long ago are forgotten", gone)
        self.ledger = Ledger(data / "journal")
        self.crew = Crew(settings.decoders, _limits(settings), preload=PRELOAD)
        self.sights = Sights(run=self.crew.call)
        self.uploads = Uploads(data / "uploads", settings, self.probe)
        self.looking = FairQueue(settings.queue, settings.decoders)
        self.metrics = Metrics(self._gauges())
        self.worker = Worker(
            self.lanes,
            self.sights,
            ledger=self.ledger,
            uploads=self.uploads,
            paths=AllowedPaths(settings.allow_paths),
            metrics=self.metrics,
            content_of=self._content_of,
            seconds=settings.deadline,
            log_prompts=settings.log_prompts,
        )
        self.jobs = Jobs(self.ledger, self.lanes, self.worker)
        self.stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start it all, and end it all."""
        written = await asyncio.to_thread(lambda: list(read_jobs(self.settings.data / "journal")))
        if back := self.jobs.recover(written):
            _LOG.info("%d jobs of an earlier run are done now", back)
        del written
        works = [self._sweep(), self.crew.warm()]
        works += [work for lane in self.lanes for work in (lane.meet(), lane.sleeper.watch())]
        self._tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            await self._end()

    def stop(self) -> None:
        """Begin to end: what waits is answered, and jobs stay for the next start."""
        if not self.stopping:
            self.stopping = True
            self.jobs.stop()
            grace = self.settings.grace
            queues = [self.looking, *(lane.queue for lane in self.lanes)]
            self._ending = [asyncio.create_task(queue.stop(grace)) for queue in queues]

    def submit(self, wish: Wish, client: str, feed: Feed) -> Ticket[Done]:
        """Have a wish done for somebody who waits for it.

        Raises:
            Refusal: The queue is full, or there is no such engine.
        """
        queue = self.lanes.get(wish.asked.engine).queue
        limit = min(wish.asked.deadline or self.settings.deadline, self.settings.deadline)

        async def work() -> Done:
            return await self.worker.do(wish, feed)

        ticket = queue.submit(client, work, seconds=limit)
        feed.tell("queued", {"waiting": queue.waiting})
        return ticket

    @contextlib.contextmanager
    def holding(self, named: VideoNamed, owner: str, *, brought: bool) -> Iterator[Place]:
        """The video that a request names, kept for as long as it is looked at.

        Args:
            named: What it names.
            owner: Whose key it came with.
            brought: It came with the request, which holds it already.

        Raises:
            Refusal: There is none.
        """
        place = self.worker.place(named, owner)
        if named.upload_id is not None and not brought:
            self.uploads.hold(named.upload_id)
        try:
            yield place
        except PromptliftError as error:
            raise without_paths(error, place.path) from None
        finally:
            if named.upload_id is not None:
                self.uploads.let_go(named.upload_id)

    async def look(self, client: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something that only looks at a video, in turn.

        Raises:
            Refusal: The queue is full, or it took too long.
        """
        ticket = self.looking.submit(client, work, seconds=self.settings.deadline)
        try:
            return await ticket.done
        except asyncio.CancelledError:
            self.looking.cancel(ticket)
            raise

    async def probe(self, path: Path) -> VideoInfo:
        """Say what a file is, in a process that it cannot hurt us from.

        Raises:
            VideoError: It is no video that is taken.
        """
        limits = Limits(max_pixels=self.settings.video_pixels)
        return await self.crew.call(partial(probe, limits=limits), str(path))

    async def _content_of(self, path: Path) -> str:
        return await asyncio.to_thread(content_of, path)

    async def _sweep(self) -> None:
        while True:
            self.uploads.sweep()
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _end(self) -> None:
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._ending, return_exceptions=True)
        await self.jobs.settle()
        await self.crew.close()
        await self.lanes.close()
        await asyncio.to_thread(self.ledger.close)
        os.close(self._lock)

    def _gauges(self) -> Gauges:
        def each(look: Callable[[Lane], float]) -> dict[str, Callable[[], float]]:
            return {lane.label: partial(look, lane) for lane in self.lanes}

        return {
            "engine_up": ("Whether the engine answers.", each(lambda one: one.answers)),
            "queue_waiting": ("Requests that wait.", each(lambda one: one.queue.waiting)),
            "queue_running": ("Requests with the engine.", each(lambda one: one.queue.running)),
            "looks_waiting": ("Requests that wait for a decoder.", lambda: self.looking.waiting),
            "decoders_busy": ("Processes that decode now.", lambda: self.crew.busy),
            "uploads": ("Uploads that are kept.", lambda: len(self.uploads)),
            "upload_bytes": ("Bytes of them.", lambda: self.uploads.bytes),
        }


def _limits(settings: Settings) -> IsolationLimits:
    seconds = settings.decode_seconds
    return IsolationLimits(
        wall_seconds=seconds,
        cpu_seconds=max(1, round(2 * seconds)),
        memory_bytes=settings.decode_bytes,
    )


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise OutputError(
            f"cannot keep the server's data in {str(folder)!r}: {error.strerror}",
            remedy="name a folder that can be written to with --data",
        ) from error


def _lock(path: Path) -> int:
    """Hold the folder for as long as this process lives; the system lets go of it for us."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(
            f"cannot keep the server's data in {str(path.parent)!r}: {error.strerror}",
            remedy="name a folder that can be written to with --data",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise OutputError(
            f"another server uses the folder {str(path.parent)!r}",
            remedy="end it, or name another folder with --data",
        ) from error
    return handle
