"""A batch run on a Ray cluster: Ray Data places the work, and our own results resume it.

The driver leaves out what is finished, as on one machine, and hands on the rest in blocks of eight
rows. Each actor of a pool prepares rows and has an engine of its own answer them. The results come
back to the driver, which alone writes them. A row never raises: a failure is a result, and what Ray
loses is still open for the driver, and is handed out again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import socket
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from promptlift.batch.items import BatchItem, ItemRunner, ResumeFilter
from promptlift.batch.limits import AdaptiveLimit
from promptlift.batch.progress import BatchProgress, ItemCounts
from promptlift.batch.retrying import CircuitBreaker, EngineDown, RetryingEngine
from promptlift.batch.rows import OptionsResolver, Row, rows_of
from promptlift.batch.runner import BatchRun, RunSettings, Stop
from promptlift.engines.base import Engine
from promptlift.engines.registry import close_engines, make_engine, make_judge
from promptlift.errors import OptionError, PromptliftError, TransientEngineError
from promptlift.pipeline import PRELOAD, EngineProfile, Prepared, VideoCache, prepare, profile_of
from promptlift.store.results import Line, PartWriter, RowLine
from promptlift.store.run_dir import InputCopy, RunCommand
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
_STALE_SECONDS = 10.0
_CONNECT_SECONDS = 10.0
_CLOSING_SECONDS = 10.0
_NO_PROGRESS_SECONDS = 1800.0
_ACTOR_LOSSES = 100  # with one block: until a lost node is noticed, each try counts
_ROUNDS = 5  # in which what Ray has lost is handed out again
_CACHE_BYTES = 64 << 20


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


class RayRun(BatchRun):
    """A batch run whose rows are worked on by actors of a Ray cluster.

    One at a time in a process; what it has on the cluster ends with `close`.

    Args:
        command: The engine and the options.
        rows: The input; None for the rows that the folder has.
        run_dir: The folder; only the driver needs it.
        settings: How the run goes about it; concurrency, workers and memory are each actor's.
        cluster: How it is spread.

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
    ) -> None:
        engine = _engine(command, cluster)
        super().__init__(engine, command.options, rows, run_dir, settings, command)
        self._run_command = command
        self._cluster = cluster
        _connect(cluster.address)
        # On the driver's node: if that is lost, so is the driver, and the run with it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote  # its types know fewer options than it takes
        self._control = remote(num_cpus=0, scheduling_strategy=here)(_Control).remote()
        # Of each item that is to be done what its actor is given, and the digests of all its rows.
        self._open: dict[str, tuple[bytes, list[str]]] = {}
        self._drained = False
        self._paused: str | None = None  # why an engine waits
        self._trouble = "its processes end"

    async def close(self) -> None:
        """Disconnect from the cluster, which ends the actors."""
        ray.shutdown()
        await self._engine.close()

    def stop(self, why: Stop = "signal") -> None:
        """Begin nothing more; what is with an engine is waited for."""
        super().stop(why)
        self._control.stop.remote()

    async def _reach_engine(self) -> EngineProfile:
        if self._run_command.engine != "vllm":
            return await super()._reach_engine()
        # An engine on a GPU is started to describe itself, and ends again.
        try:
            return await ray.remote(num_gpus=1)(_profile).remote(self._run_command)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None

    async def _process_rows(
        self,
        copies: list[InputCopy],
        resume: ResumeFilter,
        writer: PartWriter,
        profile: EngineProfile,
    ) -> None:
        is_cut, lines = await self._with_index(partial(self._select, copies, resume))
        if lines:
            await self._write(writer, *lines)
        keys = await self._with_index(lambda: sorted(resume.finished_keys()))
        job = _Job(
            self._run_command,
            self._settings,
            self._cluster,
            profile,
            self._control,
            ray.put(np.array(keys, "S64")),
        )
        self.progress.asked = len(self._open)
        for _ in range(_ROUNDS):
            if not self._open or self._why is not None:
                break
            async for results in self._round(job):
                lines = await self._with_index(partial(self._settle, results, resume))
                if lines:
                    await self._write(writer, *lines)
                for error in filter(None, (result.fatal for result in results)):
                    raise error
        if self._open and self._why is None:
            raise EngineDown(
                f"the cluster loses what it is given: {self._trouble}",
                remedy="look at its log; then run the same command again",
            )
        await self._count()
        if is_cut:
            self.stop("limit")

    def _select(self, copies: list[InputCopy], resume: ResumeFilter) -> tuple[bool, list[Line]]:
        """Find what is to be done, each item once.

        Returns:
            Whether the limit of items leaves any out, and lines for rows that are finished.
        """
        lines: list[Line] = []
        is_cut, limit = False, self._settings.limit
        rows = chain.from_iterable(rows_of(copy, self._settings.shard) for copy in copies)
        while (chunk := list(islice(rows, _CHUNK))) and self._why is None:
            found = resume.partition(chunk)
            self.progress.before.update(found.finished)
            lines += found.new
            for item in found.todo:
                row = replace(item.row, extra={})
                name = item.key or item.options.key(f"path:{row.paths}", row.prompt)
                if name in self._open:
                    self._open[name][1].append(row.digest)
                elif limit is None or len(self._open) < limit:
                    self._open[name] = pickle.dumps((name, row, item.key)), [row.digest]
                else:
                    is_cut = True
        return is_cut, lines

    async def _round(self, job: _Job) -> AsyncIterator[list[_Result]]:
        """Hand out all that is open, and give the results as they come."""
        batches = _results(job, [row for row, _ in self._open.values()])
        while True:
            reading = asyncio.create_task(asyncio.to_thread(next, batches, None))
            while not reading.done():
                await asyncio.wait([reading], timeout=1)
                if self._drained and not reading.done():
                    return  # Ray would hand out all other blocks first
            try:
                results = reading.result()
            except Exception as error:  # noqa: BLE001 - Ray raises all kinds; the rows are open
                self._trouble = (str(error) or type(error).__name__).splitlines()[0]
                return
            if results is None:
                return
            yield results

    def _settle(self, results: list[_Result], resume: ResumeFilter) -> list[Line]:
        """Count results; gives their lines, and one for each row that shares an item."""
        lines: list[Line] = []
        for result in results:
            if result.key is None or result.name not in self._open:
                continue
            _, digests = self._open.pop(result.name)
            lines += result.lines
            lines += [RowLine(digest, result.key) for digest in digests[1:]]
            if result.counts is not None:
                self.progress.settle(result.counts, len(digests))
            elif (status := resume.finished_status(result.key)) is not None:
                self.progress.before[status] += len(digests)
        return lines

    async def _count(self) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            reports: list[dict[str, Any]] = await self._control.fresh_reports.remote()
            names = ("requests", "decode_seconds", "workers", "in_work", "in_flight", "limit")
            for name in names:
                setattr(self.progress, name, sum(report[name] for report in reports))
            paused = next(filter(None, (one["paused"] for one in reports)), None)
            if paused != self._paused:  # else it is the driver's own trouble, if any
                self._paused = self.progress.paused = paused
            idle = all(one["stopped"] and not one["in_work"] for one in reports)
            self._drained = self._why is not None and idle


@dataclass(frozen=True, slots=True)
class _Job:
    """What every actor is given; `finished` refers to the sorted keys of an earlier run."""

    command: RunCommand
    settings: RunSettings
    cluster: ClusterSettings
    profile: EngineProfile
    control: Any
    finished: Any

    def pool(self, workers: int) -> ProcessPool:
        """Processes that decode."""
        limits = IsolationLimits(wall_seconds=self.settings.decode_seconds)
        return ProcessPool(workers, limits, preload=PRELOAD)


@dataclass(frozen=True, slots=True)
class _Result:
    """The outcome of a row: its item's key, None where it was left, and lines for the store.

    Without counts the item was finished before this run. What is fatal ends the run.
    """

    name: str
    key: str | None = None
    counts: ItemCounts | None = None
    lines: tuple[Line, ...] = ()
    fatal: Exception | None = None


class _Control:
    """An actor beside the driver: collects what engines report, and tells them when to stop."""

    def __init__(self) -> None:
        self._stopped = False
        self._engines = 0
        self._reports: dict[int, tuple[float, dict[str, Any]]] = {}

    def join(self) -> int:
        """The number of a new engine, from 0."""
        self._engines += 1
        return self._engines - 1

    def stop(self) -> None:
        self._stopped = True

    def report(self, engine: int, report: dict[str, Any]) -> bool:
        self._reports[engine] = time.monotonic(), report
        return self._stopped

    def fresh_reports(self) -> list[dict[str, Any]]:
        since = time.monotonic() - _STALE_SECONDS
        return [report for at, report in self._reports.values() if at > since]


def _results(job: _Job, rows: list[bytes]) -> Iterator[list[_Result]]:
    """Hand rows to the actors, and give the results of blocks as they come."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A block that is lost for good is no reason to stop: its rows are still open for the driver.
    context.max_errored_blocks = -1
    context.max_consecutive_actor_init_deaths = -1
    # Ray gives up what stands still; an engine that is away, or is started, is no reason to.
    context.execution_no_progress_timeout_s = _NO_PROGRESS_SECONDS + 2 * job.settings.patience
    cluster, command = job.cluster, job.command
    concurrency = job.settings.concurrency or job.settings.most
    blocks_at_once = 1 + -(-concurrency // _BLOCK)  # those in flight and the next
    counted: Any = ray.cluster_resources
    resources: dict[str, float] = counted()
    needs_gpu = command.engine == "vllm" or bool(command.engine_settings.get("gpu_layers"))
    each = max(1, len(cluster.addresses))
    gpus = max(1, int(resources.get("GPU", 1)))
    least, most = cluster.engines or ((1, gpus) if needs_gpu else (each, each))
    # The fewest fit on the CPUs that are there now, beside one decoder: actors keep their CPUs,
    # and would wait for ever for what nobody decodes.
    room = int((resources.get("CPU", 1) - (cluster.decode_cpus or 0)) / cluster.engine_cpus)
    common: dict[str, Any] = {
        "fn_constructor_args": (job,),
        "batch_size": 1,  # a block is one cell, see `_pack`
        "batch_format": "pyarrow",
        "max_restarts": -1,
        "max_task_retries": _ACTOR_LOSSES,
    }
    blocks = [_pack(rows[n : n + _BLOCK]) for n in range(0, len(rows), _BLOCK)]
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
            min_size=max(1, min(least, room)),
            max_size=most,
            max_tasks_in_flight_per_actor=blocks_at_once,
            max_concurrent_calls_per_actor=blocks_at_once,
        )
        data = data.map_batches(
            _EngineActor,
            num_cpus=cluster.engine_cpus,
            num_gpus=int(needs_gpu),
            compute=pool,
            **common,
        )
    yield from map(_unpack, data.iter_batches(batch_size=None, batch_format="pyarrow"))


class _PrepareActor:
    """Prepares rows in a stage of its own, where that is asked for."""

    def __init__(self, job: _Job) -> None:
        self._profile = job.profile
        self._resolver = OptionsResolver(job.command.options, job.profile.info)
        pool = job.pool(max(1, int(job.cluster.decode_cpus or 1)))
        self._videos = VideoCache(_CACHE_BYTES, pool.call)

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        rows = map(pickle.loads, _unpack(table))
        yield _pack(await asyncio.gather(*(self._prepare(*row) for row in rows)))

    async def _prepare(self, name: str, row: Row, key: str | None) -> bytes:
        prepared = None
        if row.trouble is None:
            with contextlib.suppress(Exception):  # the engine's actor meets it again, and says so
                options = self._resolver.of(row).options
                prepared = await prepare(
                    row.source, row.prompt, options, self._profile, self._videos
                )
        return pickle.dumps((name, row, key, prepared))


_LINES: ContextVar[list[Line]] = ContextVar("lines")
"""What is written for the row that a task works on."""


async def _collect(*lines: Line) -> None:
    _LINES.get().extend(lines)


class _EngineActor:
    """One engine, and the rows that Ray hands on, in one process."""

    def __init__(self, job: _Job) -> None:
        settings = job.settings
        self._control = job.control
        self._number: int = ray.get(job.control.join.remote())
        self._engine = _engine(job.command, job.cluster, self._number)
        most = settings.concurrency or settings.most
        self._limit = AdaptiveLimit(most, settings.concurrency)
        breaker = CircuitBreaker(settings.patience, self._engine_is_down)
        self._progress = BatchProgress(workers=settings.workers)
        self._retrying = RetryingEngine(self._engine, self._limit, breaker, self._progress)
        self._pool = job.pool(settings.workers)
        self._judge = make_judge(job.command.judge)
        self._items = ItemRunner(
            self._retrying,
            job.profile,
            self._pool.call,
            _collect,
            memory=settings.memory,
            judge=self._judge,
        )
        self._resolver = OptionsResolver(job.command.options, job.profile.info)
        self._finished: Any = ray.get(job.finished)  # the processes of a machine share the array
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        if self._loop is None:  # Ray makes the actor outside of the event loop
            self._loop = asyncio.get_running_loop()
            self._reaching = asyncio.create_task(self._retrying.describe())
            self._reporting = asyncio.create_task(self._report())
        rows = map(pickle.loads, _unpack(table))
        yield _pack(await asyncio.gather(*(self._result(*row) for row in rows)))

    def __del__(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(Exception):  # whoever ends a process can do no more about it
                closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
                closing.result(_CLOSING_SECONDS)

    async def _close(self) -> None:
        self._reporting.cancel()
        await self._pool.close()
        await close_engines(self._engine, self._judge)

    async def _result(
        self, name: str, row: Row, key: str | None, prepared: Prepared | None = None
    ) -> _Result:
        """The outcome of a row; nothing is raised, since Ray would lose the block."""
        lines: list[Line] = []
        _LINES.set(lines)
        self._progress.in_work += 1
        try:
            await asyncio.shield(self._reaching)
            if self._stopped:
                return _Result(name)
            options = self._resolver.shared if row.trouble is not None else self._resolver.of(row)
            item = BatchItem(row, options, key)
            key = await self._items.key_of(item)
            place = int(np.searchsorted(self._finished, key.encode()))
            if place < len(self._finished) and self._finished[place] == key.encode():
                return _Result(name, key, None, (*lines, RowLine(row.digest, key)))
            record = await self._items.process(item, key, prepared)
            return _Result(name, record.key or key, ItemCounts.of(record), tuple(lines))
        except asyncio.CancelledError:  # stopped before the engine was there
            return _Result(name)
        except EngineDown as error:
            return _Result(name, fatal=None if self._stopped else error)
        except PromptliftError as error:
            return _Result(name, fatal=error)
        except Exception:  # noqa: BLE001 - it is raised again in the driver
            return _Result(name, fatal=RuntimeError(traceback.format_exc()))
        finally:
            self._progress.in_work -= 1

    def _engine_is_down(self, error: TransientEngineError | None) -> None:
        why = None if error is None else f"the engine does not answer: {error.message}"
        self._progress.paused = why

    async def _report(self) -> None:
        """Send counts to the driver, and stop when it says so."""
        while True:
            self._progress.decode_seconds = self._pool.seconds_busy
            self._progress.in_flight, self._progress.limit = self._limit.in_flight, self._limit.now
            report = {**self._progress.counts(), "stopped": self._stopped}
            if await self._control.report.remote(self._number, report) and not self._stopped:
                self._stopped = True
                self._retrying.stop()
                self._reaching.cancel()  # an engine that is being started is not waited for
            await asyncio.sleep(_REPORT_SECONDS)


def _pack(block: list[Any]) -> pa.Table:
    return pa.table({"block": pa.array([pickle.dumps(block)], pa.large_binary())})


def _unpack(table: Any) -> list[Any]:
    """What the cells of a table hold; processes of this run have packed them."""
    cells = (pickle.loads(cell.as_buffer()) for cell in table["block"])  # noqa: S301
    return [one for block in cells for one in block]


def _profile(command: RunCommand) -> EngineProfile:
    """The profile of an engine that is started to describe itself; a task of Ray."""

    async def describe() -> EngineProfile:
        engine = _engine(command, ClusterSettings())
        try:
            return await profile_of(engine)
        finally:
            await engine.close()

    return asyncio.run(describe())


def _engine(command: RunCommand, cluster: ClusterSettings, number: int = 0) -> Engine:
    """The engine of that number; addresses are taken in turn."""
    settings = dict(command.settings_without_retries)
    if cluster.addresses:
        settings["base_url"] = cluster.addresses[number % len(cluster.addresses)]
    return make_engine(command.engine, **settings)


def _connect(address: str) -> None:
    """Connect to a cluster.

    Raises:
        OptionError: There is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's C++ parts write on stderr, in the midst of the progress; its logs have it all. Only that
    # it has read this variable cannot be turned off, so nothing is shown while it connects.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    # Else a thread that is still at work when the connection ends would start another cluster.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():  # fail where nobody answers; Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        os.dup2(nowhere, 2)
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
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
