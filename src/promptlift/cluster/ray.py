"""A batch run on a Ray cluster: Ray Data places the work, and our own results resume it.

The driver leaves out what is finished, as on one machine, and hands on the rest in blocks of eight
rows. Each actor of a pool prepares rows, has an engine of its own answer them, and writes each
result at once to its own part; only what became of a row travels back. A row never raises: a
failure is a result, and what Ray loses is still open for the driver, and is handed out again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import socket
import threading
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from promptlift.batch.items import BatchItem, ContentHasher, ItemRunner, ResumeFilter
from promptlift.batch.progress import ItemCounts
from promptlift.batch.retrying import EngineDown
from promptlift.batch.rows import OptionsResolver, Row, rows_of
from promptlift.batch.runner import BatchRun, RunSettings, Stop
from promptlift.engines.registry import make_engine
from promptlift.errors import OptionError, PromptliftError
from promptlift.pipeline import PRELOAD, EngineProfile, Prepared, VideoCache, prepare, profile_of
from promptlift.store.remote import RemoteBehind, RemoteRun, RunPlace
from promptlift.store.results import EndLine, Line, PartWriter, ProgressLine, RowLine, StoreFull
from promptlift.store.run_dir import PARTS, InputCopy, RunCommand
from promptlift.video.workers import IsolationLimits, ProcessPool

try:
    import pyarrow as pa
    import ray
    from ray.data import ActorPoolStrategy, DataContext, Dataset
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise OptionError(
        "a run on a cluster needs Ray, which is not installed",
        remedy="run `pip install 'promptlift[ray]'`",
    ) from error

if TYPE_CHECKING:
    from promptlift.batch.readers import Input

__all__ = ["CONCURRENCY", "ClusterSettings", "RayRun"]

CONCURRENCY: Final = 8
"""Requests in flight with each engine where nothing else is asked for."""

_BLOCK = 8  # rows that travel together, and that the loss of an actor costs
_CHUNK = 1000
_REPORT_SECONDS = 0.5
_PROGRESS_SECONDS = 10.0
_STALE_SECONDS = 10.0
_CLOSING_SECONDS = 10.0
_DRAIN_SECONDS = 20.0
_STILL_SECONDS = 1800.0
_LOSSES = 100  # of actors with one block: until a lost node is missed, each try counts
_FRUITLESS_ROUNDS = 2
_CACHE_BYTES = 64 << 20
_UPLOAD_CHECK_SECONDS = 0.1
_UPLOAD_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How a run is spread over a cluster; nothing here changes an answer.

    Attributes:
        address: Of the Ray cluster: ``auto`` for the one that this machine is part of, ``local``
            for one of this machine alone, or ``HOST:PORT``.
        engines: The fewest and the most engines at a time; None for one for each address, or with
            GPUs one to begin with and one for each GPU at most.
        addresses: Base URLs that the engines' actors ask in turn; empty for that of the engine's
            settings.
        engine_cpus: CPUs that Ray counts for an engine's actor, which decodes as well.
        decode_cpus: CPUs that Ray counts for a decoder, where decoding is a stage of its own; None
            to decode beside the engine.
    """

    address: str = "auto"
    engines: tuple[int, int] | None = None
    addresses: tuple[str, ...] = ()
    engine_cpus: float = 1.0
    decode_cpus: float | None = None

    def pool_size(self, *, needs_gpu: bool) -> tuple[int, int]:
        """The fewest and the most engines.

        The fewest fit on the CPUs that are there now, beside one decoder: actors keep their CPUs,
        and would wait for ever for what nobody decodes.
        """
        counted: Any = ray.cluster_resources
        resources: dict[str, float] = counted()
        each = max(1, len(self.addresses))
        gpus = int(resources.get("GPU", 1))
        least, most = self.engines or ((1, max(1, gpus)) if needs_gpu else (each, each))
        room = int((resources.get("CPU", 1) - (self.decode_cpus or 0)) / self.engine_cpus)
        return max(1, min(least, room)), most


class RayRun(BatchRun):
    """A batch run whose rows are worked on by actors of a Ray cluster.

    One at a time in a process; what it has on the cluster ends with `close`.

    Args:
        command: The engine and the options.
        rows: The input; None for the rows that the folder has.
        run_dir: The driver's folder.
        settings: How the run goes about it; concurrency, workers and memory are each actor's.
        cluster: How it is spread.
        place: Where actors write: `run_dir`, on a file system that all machines share, or a URL.

    Raises:
        OptionError: There is no such cluster.
    """

    def __init__(
        self,
        command: RunCommand,
        rows: Input | None,
        run_dir: Path,
        settings: RunSettings,
        cluster: ClusterSettings,
        place: RunPlace,
    ) -> None:
        engine = make_engine(command.engine, **_engine_settings(command, cluster, 0))
        super().__init__(engine, command.options, rows, run_dir, settings, command)
        self._run_command = command
        self._cluster = cluster
        self._place = place if isinstance(place, str) else place.absolute()
        _connect(cluster.address)
        # On the driver's node: if that is lost, so is the driver, and the run with it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote  # its types know fewer options than it takes
        self._control = remote(num_cpus=0, scheduling_strategy=here)(_Control).remote()
        self._batches: asyncio.Queue[list[_Result] | None] = asyncio.Queue()
        self._open: dict[int, _Work] = {}
        self._cut = False
        self._breaking_off = False
        self._drained_at: float | None = None
        self._error: Exception | None = None
        self._trouble = "its processes end"

    async def close(self) -> None:
        """Let go of the cluster."""
        ray.shutdown()
        await self._engine.close()

    def stop(self, why: Stop = "signal") -> None:
        """Begin nothing more; what is with an engine is waited for."""
        super().stop(why)
        self._control.give.remote("stop")

    def cancel(self) -> None:
        """Stop now; actors give back what they have first, unless that takes long."""
        self.stop()
        if self._breaking_off or not self._open:
            super().cancel()
        else:
            self._breaking_off = True
            self._control.give.remote("break off")
            asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self.cancel)

    async def _reach_engine(self) -> EngineProfile:
        if self._run_command.engine != "vllm":
            return await super()._reach_engine()
        # An engine on a GPU says who answers, and ends again.
        profile = await ray.remote(num_gpus=1)(_profile).remote(self._run_command)
        if isinstance(profile, PromptliftError):
            raise profile
        return profile

    async def _process_rows(
        self,
        copies: list[InputCopy],
        resume: ResumeFilter,
        writer: PartWriter,
        profile: EngineProfile,
    ) -> None:
        lines = await self._with_index(partial(self._select, copies, resume))
        if lines:
            await self._write(writer, *lines)
        keys = None
        if not all(work.key for work in self._open.values()):
            keys = await self._with_index(lambda: sorted(resume.finished_keys()))
        job = _Job(
            self._run_command,
            self._place,
            self._settings,
            self._cluster,
            profile,
            writer.turn,
            self._control,
            ray.put(np.array(keys, "S64")) if keys else None,
        )
        self.progress.asked = len(self._open)
        fruitless = 0
        while self._open and self._why is None:
            before = len(self._open)
            async for results in self._round(job):
                for fatal in filter(None, (result.fatal for result in results)):
                    self._error = self._error or fatal
                    self._stop_for(self._error)
                lines = await self._with_index(partial(self._settle, results, resume))
                if lines:
                    await self._write(writer, *lines)
            fruitless = 0 if len(self._open) < before else fruitless + 1
            if fruitless == _FRUITLESS_ROUNDS and self._why is None:
                raise EngineDown(
                    f"the cluster loses what it is given: {self._trouble}",
                    remedy="look at its log; then run the same command again",
                )
        await self._count()
        if self._error is not None:
            raise self._error
        if self._cut:
            self.stop("limit")

    def _select(self, copies: list[InputCopy], resume: ResumeFilter) -> list[Line]:
        """Find what is to be done, each item once; gives lines for rows that are finished."""
        works: dict[str, _Work] = {}
        lines: list[Line] = []
        limit = self._settings.limit
        rows = chain.from_iterable(rows_of(copy, self._settings.shard) for copy in copies)
        while (chunk := list(islice(rows, _CHUNK))) and self._why is None:
            found = resume.partition(chunk)
            self.progress.before.update(found.finished)
            lines += found.new
            for item in found.todo:
                row = replace(item.row, extra={})
                name = item.key or item.options.key(f"path:{row.video}", row.prompt)
                if name in works:
                    works[name].digests.append(row.digest)
                elif limit is None or len(works) < limit:
                    works[name] = _Work(item.key, pickle.dumps((row, item.key)), [row.digest])
                else:
                    self._cut = True
        self._open = dict(enumerate(works.values()))
        return lines

    async def _round(self, job: _Job) -> AsyncIterator[list[_Result]]:
        """Hand out all that is open, and give what became of it as soon as that is known."""
        loop = asyncio.get_running_loop()
        rows = [(number, work.row) for number, work in self._open.items()]
        blocks = [_pack(rows[n : n + _BLOCK]) for n in range(0, len(rows), _BLOCK)]

        def put(batch: list[_Result] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._batches.put_nowait, batch)

        def iterate() -> None:
            try:
                batches = _dataset(job, blocks).iter_batches(
                    batch_size=None, batch_format="pyarrow"
                )
                for batch in batches:
                    put(_unpack(batch))
                    if self._drained_at is not None and time.monotonic() > self._drained_at + 1:
                        break
            except Exception as error:  # noqa: BLE001 - Ray raises all kinds; the rows are open
                self._trouble = (str(error) or type(error).__name__).splitlines()[0]
            put(None)

        # No thread of a pool: when the run is broken off, nobody waits for Ray.
        threading.Thread(target=iterate, name="ray-data", daemon=True).start()
        while (results := await self._batches.get()) is not None:
            yield results

    def _settle(self, results: list[_Result], resume: ResumeFilter) -> list[Line]:
        """Count what became of rows; gives lines for those that share an item with another."""
        lines: list[Line] = []
        for result in results:
            if result.key is None or result.number not in self._open:
                continue
            digests = self._open.pop(result.number).digests
            lines += [RowLine(digest, result.key) for digest in digests[1:]]
            if result.counts is not None:
                self.progress.settle(result.counts, len(digests))
            elif (status := resume.finished_status(result.key)) is not None:
                self.progress.before[status] += len(digests)
        return lines

    async def _count(self) -> None:
        progress = self.progress
        with contextlib.suppress(ray.exceptions.RayError):
            reports: list[dict[str, Any]] = await self._control.reports.remote()
            live = [report for report in reports if report["live"]]
            for name in ("requests", "repeats", "engine_seconds", "decode_seconds"):
                setattr(progress, name, sum(report[name] for report in reports))
            for name in ("in_work", "in_flight", "limit", "workers"):
                setattr(progress, name, sum(report[name] for report in live))
            if live:  # else it is the driver's own trouble, if any
                progress.paused = next(filter(None, (report["paused"] for report in live)), None)
            drained = all(report["stopped"] and not report["in_work"] for report in live)
            if self._why is not None and drained and self._drained_at is None:
                self._drained_at = time.monotonic()
                loop = asyncio.get_running_loop()
                loop.call_later(_DRAIN_SECONDS, self._batches.put_nowait, None)


@dataclass(slots=True)
class _Work:
    """An item that is to be done: its key if known, its row, the digests of all its rows."""

    key: str | None
    row: bytes
    digests: list[str]


@dataclass(frozen=True, slots=True)
class _Job:
    """What every actor is given."""

    command: RunCommand
    place: RunPlace
    settings: RunSettings
    cluster: ClusterSettings
    profile: EngineProfile
    turn: int
    control: Any
    finished: Any  # refers to the sorted keys of what was finished before; None where not needed

    def pool(self, workers: int) -> ProcessPool:
        """Processes that decode."""
        limits = IsolationLimits(wall_seconds=self.settings.decode_seconds)
        return ProcessPool(workers, limits, preload=PRELOAD)

    def finished_keys(self) -> Any:
        """An array that the processes of a machine share."""
        return np.array([], "S64") if self.finished is None else ray.get(self.finished)


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of a row: its item's key, None where it was left, and what is counted of it.

    Without counts the item was finished before this run. What is fatal ends the run.
    """

    number: int
    key: str | None = None
    counts: ItemCounts | None = None
    fatal: Exception | None = None


class _Control:
    """An actor beside the driver: collects what engines report, and tells them when to stop."""

    def __init__(self) -> None:
        self._order = "go on"
        self._engines = 0
        self._reports: dict[int, tuple[float, dict[str, Any]]] = {}

    def join(self) -> int:
        """The number of a new engine, from 0."""
        self._engines += 1
        return self._engines - 1

    def give(self, order: str) -> None:
        self._order = order

    def report(self, engine: int, counts: dict[str, Any]) -> str:
        self._reports[engine] = time.monotonic(), counts
        return self._order

    def reports(self) -> list[dict[str, Any]]:
        fresh = time.monotonic() - _STALE_SECONDS
        return [{**counts, "live": at > fresh} for at, counts in self._reports.values()]


def _dataset(job: _Job, blocks: list[pa.Table]) -> Dataset:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A block that is lost for good is no reason to stop: its rows are still open for the driver.
    context.max_errored_blocks = -1
    context.max_consecutive_actor_init_deaths = -1
    # Ray gives up what stands still; an engine that is away, or is started, is no reason to.
    context.execution_no_progress_timeout_s = _STILL_SECONDS + 2 * job.settings.patience
    cluster, command = job.cluster, job.command
    concurrency = job.settings.concurrency or job.settings.most
    # Those in flight and the next; with a URL also those that wait for their upload.
    blocks_at_once = 1 + -(-concurrency // _BLOCK)
    blocks_at_once += 0 if isinstance(job.place, Path) else concurrency
    needs_gpu = command.engine == "vllm" or bool(command.engine_settings.get("gpu_layers"))
    least, most = cluster.pool_size(needs_gpu=needs_gpu)
    common: dict[str, Any] = {
        "fn_constructor_args": (job,),
        "batch_size": 1,  # a block is one cell, see `_pack`
        "batch_format": "pyarrow",
        "max_restarts": -1,
        "max_task_retries": _LOSSES,
    }
    data: Dataset = ray.data.from_arrow(blocks)
    with warnings.catch_warnings():
        # Ray 2.60 warns of every option of its own actors that it has no new name for yet.
        warnings.simplefilter("ignore")
        if cluster.decode_cpus is not None:
            pool = ActorPoolStrategy(min_size=1, max_size=None)
            data = data.map_batches(
                _PrepareActor, num_cpus=cluster.decode_cpus, compute=pool, **common
            )
        pool = ActorPoolStrategy(
            min_size=least,
            max_size=most,
            max_tasks_in_flight_per_actor=blocks_at_once,
            max_concurrent_calls_per_actor=blocks_at_once,
        )
        answered: Dataset = data.map_batches(
            _EngineActor,
            num_cpus=cluster.engine_cpus,
            num_gpus=int(needs_gpu),
            compute=pool,
            **common,
        )
    return answered


class _PrepareActor:
    """Prepares rows in a stage of its own, where that is asked for."""

    def __init__(self, job: _Job) -> None:
        self._profile = job.profile
        self._resolver = OptionsResolver(job.command.options, job.profile.info)
        self._finished = job.finished_keys()
        pool = job.pool(max(1, int(job.cluster.decode_cpus or 1)))
        self._videos = VideoCache(_CACHE_BYTES, pool.call)
        self._lines: list[Line] = []
        self._hasher = ContentHasher(pool.call, self._collect)

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        rows = [(number, *pickle.loads(row)) for number, row in _unpack(table)]  # noqa: S301
        ready = await asyncio.gather(*(self._prepare(row, key) for _, row, key in rows))
        lines, self._lines = self._lines, []
        cells = []
        for (number, row, _), (key, prepared) in zip(rows, ready, strict=True):
            cells.append((number, pickle.dumps((row, key, prepared, lines))))
            lines = []  # with the first
        yield _pack(cells)

    async def _collect(self, *lines: Line) -> None:
        self._lines += lines

    async def _prepare(self, row: Row, key: str | None) -> tuple[str | None, Prepared | None]:
        """A row's key and what its engine is to be asked; None for what is left to the engine."""
        if row.trouble is not None:
            return key, None
        try:
            item = BatchItem(row, self._resolver.of(row), key)
            key = await self._hasher.key_of(item)
            if _contains(self._finished, key):
                return key, None
            options = item.options.options
            return key, await prepare(row.video, row.prompt, options, self._profile, self._videos)
        except Exception:  # noqa: BLE001 - the engine's actor meets it again, and says so
            return key, None


class _EngineActor:
    """The engines' stage in one process; ends its engine when Ray lets go of it."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._loop: asyncio.AbstractEventLoop | None = None
        self._run: asyncio.Task[_EngineRun] | None = None

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        if self._run is None:
            self._loop = asyncio.get_running_loop()
            self._run = asyncio.create_task(_open_engine_run(self._job))
        yield _pack(await asyncio.gather(*(_result(self._run, *row) for row in _unpack(table))))

    def __del__(self) -> None:
        if self._loop is not None and self._run is not None:
            with contextlib.suppress(Exception):  # whoever ends a process can do no more about it
                closing = self._run.result().close()
                asyncio.run_coroutine_threadsafe(closing, self._loop).result(_CLOSING_SECONDS)


async def _open_engine_run(job: _Job) -> _EngineRun:
    return _EngineRun(job, await job.control.join.remote())


async def _result(opening: asyncio.Task[_EngineRun], number: int, row: bytes) -> _Result:
    """What became of a row; nothing is raised, since Ray would lose the block."""
    try:
        run = await asyncio.shield(opening)
        return _Result(number, *await run.work_on(*pickle.loads(row)))  # noqa: S301
    except asyncio.CancelledError:  # the run is broken off, and Ray waits for its block
        return _Result(number)
    except EngineDown as error:
        return _Result(number, fatal=None if run.stopped else error)
    except PromptliftError as error:
        return _Result(number, fatal=error)
    except Exception:  # noqa: BLE001 - it is raised again in the driver
        return _Result(number, fatal=RuntimeError(traceback.format_exc()))


class _EngineRun(BatchRun):
    """An actor's part in the run: one engine, one writer, and the rows that Ray hands on.

    Args:
        job: What every actor is given.
        number: Of the actor, from 0.
    """

    def __init__(self, job: _Job, number: int) -> None:
        settings = job.settings
        self._remote = None if isinstance(job.place, Path) else RemoteRun(str(job.place))
        run_dir = Path(job.place) if self._remote is None else self._remote.folder
        (run_dir / PARTS).mkdir(parents=True, exist_ok=True)
        engine = make_engine(
            job.command.engine, **_engine_settings(job.command, job.cluster, number)
        )
        super().__init__(engine, job.command.options, None, run_dir, settings)
        loop = asyncio.get_running_loop()

        def announce(path: Path) -> None:
            loop.call_soon_threadsafe(self._begin_upload, path)

        seconds = settings.part_seconds
        self._writer = PartWriter(
            run_dir / PARTS, turn=job.turn, part_seconds=seconds, on_part=announce
        )
        self._pool = job.pool(settings.workers)
        write, memory = self._write_line, settings.memory
        self._items = ItemRunner(self._retrying, job.profile, self._pool.call, write, memory=memory)
        self._resolver = OptionsResolver(self._options, job.profile.info)
        self._finished = job.finished_keys()
        self._rows: set[asyncio.Task[Any] | None] = set()
        self._parts: dict[asyncio.Task[Any] | None, Path] = {}
        self._uploads: dict[Path, asyncio.Task[None]] = {}
        self._reaching = asyncio.create_task(self._retrying.describe())
        self._reporting = asyncio.create_task(self._report_often(job.control, number))

    async def work_on(
        self,
        row: Row,
        key: str | None,
        prepared: Prepared | None = None,
        lines: Sequence[Line] = (),
    ) -> tuple[str | None, ItemCounts | None]:
        """The key of a row's item, None if it is left, and its counts, None if it was finished.

        Args:
            row: The row.
            key: Its key, if that is known.
            prepared: What its engine is asked, where it was prepared elsewhere.
            lines: What was noted there.
        """
        task = asyncio.current_task()
        self._rows.add(task)
        try:
            await asyncio.shield(self._reaching)
            if self.stopped:
                return None, None
            options = self._resolver.shared if row.trouble is not None else self._resolver.of(row)
            item, counts = BatchItem(row, options, key), None
            key = await self._items.key_of(item)
            if _contains(self._finished, key):
                await self._write_line(*lines, RowLine(row.digest, key))
            else:
                if lines:
                    await self._write_line(*lines)
                async with self._places:
                    record = await self._items.process(item, key, prepared)
                key, counts = record.key or key, ItemCounts.of(record)
            while self._remote is not None and self._parts[task] not in self._uploads:
                await asyncio.sleep(_UPLOAD_CHECK_SECONDS)
            if self._remote is not None:
                await asyncio.shield(self._uploads[self._parts[task]])
            return key, counts
        finally:
            self._parts.pop(task, None)
            self._rows.discard(task)

    async def close(self) -> None:
        """End the engine, and have everything written and uploaded."""
        self.stop("done")
        self._reporting.cancel()
        if self._pool is not None:
            await self._pool.close()
        await self._engine.close()
        with contextlib.suppress(StoreFull):
            self._writer.append(EndLine("done"))
        await asyncio.to_thread(self._writer.close)
        await asyncio.sleep(0)  # the last part is announced
        await asyncio.gather(*self._uploads.values())

    async def _write_line(self, *lines: Line) -> None:
        part, task = await self._write(self._writer, *lines), asyncio.current_task()
        if task in self._rows:  # hashing is a task of its own, and nobody waits for its upload
            self._parts[task] = part

    def _begin_upload(self, path: Path) -> None:
        if self._remote is not None:
            self._uploads[path] = asyncio.create_task(self._upload(self._remote, path))

    async def _upload(self, remote: RemoteRun, path: Path) -> None:
        since = time.monotonic()
        while True:
            try:
                await asyncio.to_thread(remote.put, path)
                self.progress.paused = None
                return
            except Exception as error:  # every store raises its own kinds
                self.progress.paused = f"uploads fail: {error}".splitlines()[0]
                if time.monotonic() - since > self._settings.patience:
                    raise RemoteBehind(
                        f"cannot write to {remote.url!r}: {error}",
                        remedy=f"what is not there is in {str(remote.folder)!r} on its machine",
                    ) from error
            await asyncio.sleep(_UPLOAD_PAUSE_SECONDS)

    async def _report_often(self, control: Any, number: int) -> None:
        """Tell the driver how it stands, and do what that says; leave word in the part too."""
        noted = time.monotonic()
        while True:
            await self._count()
            self.progress.in_work = len(self._rows)
            counts = self.progress.counts()
            order = await control.report.remote(number, {**counts, "stopped": self.stopped})
            if order != "go on" and not self.stopped:
                self.stop()
                self._reaching.cancel()  # an engine that is being started is not waited for
            if order == "break off":
                for task in filter(None, self._rows):
                    task.cancel()
            if time.monotonic() - noted > _PROGRESS_SECONDS:
                noted = time.monotonic()
                with contextlib.suppress(StoreFull):
                    self._writer.append(ProgressLine(counts))
            await asyncio.sleep(_REPORT_SECONDS)


def _contains(keys: Any, key: str) -> bool:
    """Whether a sorted array of keys has one."""
    place = int(np.searchsorted(keys, key.encode()))
    return place < len(keys) and keys[place] == key.encode()


def _pack(block: list[Any]) -> pa.Table:
    return pa.table({"block": pa.array([pickle.dumps(block)], pa.large_binary())})


def _unpack(table: Any) -> list[Any]:
    """What the cells of a table hold; processes of this run have packed them."""
    cells = (pickle.loads(cell.as_buffer()) for cell in table["block"])  # noqa: S301
    return [one for block in cells for one in block]


def _profile(command: RunCommand) -> EngineProfile | PromptliftError:
    """Who answers, told by an engine that is started for that; a task of Ray."""

    async def ask() -> EngineProfile:
        engine = make_engine(command.engine, **command.settings_without_retries)
        try:
            return await profile_of(engine)
        finally:
            await engine.close()

    try:
        return asyncio.run(ask())
    except PromptliftError as error:
        return error


def _engine_settings(command: RunCommand, cluster: ClusterSettings, number: int) -> dict[str, Any]:
    """Settings of the engine of that number; addresses are taken in turn."""
    settings = dict(command.settings_without_retries)
    if cluster.addresses:
        settings["base_url"] = cluster.addresses[number % len(cluster.addresses)]
    return settings


def _connect(address: str) -> None:
    """Connect to a cluster.

    Raises:
        OptionError: There is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's C++ parts write on stderr, in the midst of the progress; its logs have it all.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Else a thread that is still at work when the connection ends would start another cluster.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():  # fail where nobody answers; Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=_CLOSING_SECONDS).close()
        with _silent():
            ray.init(
                address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                include_dashboard=False if address == "local" else None,
                # A cluster on the loopback knows this machine by no other address.
                _node_ip_address=host if host.startswith("127.") else None,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError(
            f"there is no Ray cluster at {address!r}: {str(error).partition('.')[0]}",
            remedy="start one with `ray start --head`, or give --ray local for this machine",
        ) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what Ray's C++ parts say from the terminal; what goes wrong is raised."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
