"""The run over many items: skip what is finished, prepare, have answered, write, know when to stop.

Every item is a task of its own; nothing waits for a batch. It passes three bounds: the process pool
that decodes, the byte budget of frames in memory, and the limit of requests in flight. Twice as
many items as requests are under way, so that the next ones are prepared while the engine answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from promptlift.batch.items import BatchItem, FilteredRows, ItemRunner, ResumeFilter, Write
from promptlift.batch.limits import AdaptiveLimit
from promptlift.batch.progress import BatchProgress, ItemCounts
from promptlift.batch.retrying import CircuitBreaker, EngineDown, RetryingEngine
from promptlift.batch.rows import OptionsResolver, count_rows, row_json, rows_of
from promptlift.engines.base import Engine
from promptlift.errors import (
    ConfigEngineError,
    InputError,
    OutputError,
    PromptliftError,
    TransientEngineError,
)
from promptlift.options import Options
from promptlift.pipeline import PRELOAD, EngineProfile, profile_of
from promptlift.store.index import Index, RetryPolicy
from promptlift.store.results import EndLine, Line, PartWriter, ProgressLine, RowLine, StoreFull
from promptlift.store.run_dir import (
    PARTS,
    InputCopy,
    RunCommand,
    RunConfig,
    copy_input,
    create_run_dir,
    ensure_config,
    input_copies,
)
from promptlift.video.workers import IsolationLimits, ProcessPool

if TYPE_CHECKING:
    from promptlift.batch.readers import Input

__all__ = ["BatchRun", "RunSettings", "Stop"]

T = TypeVar("T")
Stop = Literal["done", "limit", "time", "signal", "engine_down", "config", "output"]
_CHUNK = 1000
_TICK_SECONDS = 0.2
_REFRESH_TICKS, _PROGRESS_TICKS = 25, 50
_FULL = "the disk is full"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run goes about it; nothing here changes an answer.

    Attributes:
        retry: What is done again besides what a rerun always does.
        limit: The most items to begin; None for all.
        stop_after: Seconds after which nothing more is begun; None for never.
        concurrency: The most requests in flight; it begins with as many.
        most: The most requests in flight where `concurrency` is None and it is found out.
        workers: Processes that decode.
        memory: Bytes of frames that may be held.
        patience: Seconds that an engine may be away.
        decode_seconds: Seconds that one look at one video may take.
        shard: ``(i, n)`` to do the i-th of n parts of the rows only, counted from 1.
        accept_changes: Go on in a folder that was begun with other options.
        part_seconds: Age at which a part of the results is complete; None for any.
    """

    retry: RetryPolicy | None = None
    limit: int | None = None
    stop_after: float | None = None
    concurrency: int | None = None
    most: int = 256
    workers: int = max(1, min(8, os.cpu_count() or 1))
    memory: int = 1 << 30
    patience: float = 600.0
    decode_seconds: float = 60.0
    shard: tuple[int, int] | None = None
    accept_changes: bool = False
    part_seconds: float | None = None


class BatchRun:
    """One run in one folder; see ``docs/design/decisions.md`` for what it promises.

    Made and used in one event loop.

    Args:
        engine: Who is asked; the caller's to close. It should not try again by itself.
        options: How items are treated where their rows say nothing.
        rows: The input; None for the rows that the folder has.
        run_dir: The folder; made where it is missing.
        settings: How the run goes about it.
        command: Is kept in the folder for a retry; None to keep what is there.
        judge: Who verifies the results; None for the engine itself. The caller's to close.

    Attributes:
        progress: What is counted while it runs.
    """

    def __init__(
        self,
        engine: Engine,
        options: Options,
        rows: Input | None,
        run_dir: Path,
        settings: RunSettings,
        command: RunCommand | None = None,
        judge: Engine | None = None,
    ) -> None:
        self.progress = BatchProgress(workers=settings.workers)
        self._engine = engine
        self._judge = judge
        self._options = options
        self._input = rows
        self._run_dir = run_dir
        self._settings = settings
        self._command = command
        most = settings.concurrency or settings.most
        self._limit = AdaptiveLimit(most, settings.concurrency)
        breaker = CircuitBreaker(settings.patience, self._engine_is_down)
        self._retrying = RetryingEngine(engine, self._limit, breaker, self.progress)
        # As many again as may be in flight, so that the next clips are decoded while the engine is
        # still busy with the prompts of this one.
        self._places = asyncio.Semaphore(2 * most + 4 * settings.workers)
        self._index_lock = asyncio.Lock()
        self._statuses: dict[bytes, str | None] = {}  # of items of this run; None while under way
        self._followers: Counter[bytes] = Counter()
        self._pool: ProcessPool | None = None
        self._copied = asyncio.Event()
        self._task: asyncio.Task[object] | None = None
        self._why: Stop | None = None

    async def run(self) -> Stop:
        """Do what is to be done, and give why it ended.

        Raises:
            PromptliftError: The folder, the input or the engine cannot be used; what was
                finished until then is written.
        """
        self._task = asyncio.current_task()
        settings = self._settings
        profile = await self._reach_engine()
        if self._judge is not None:
            await profile_of(self._judge)  # a wrong setting is told before the first item
        create_run_dir(self._run_dir)
        config = RunConfig.of(self._options, profile.info, self._command)
        ensure_config(self._run_dir, config, accept_changes=settings.accept_changes)
        with await self._with_index(partial(Index, self._run_dir)) as index:
            resolver = OptionsResolver(self._options, profile.info)
            resume = ResumeFilter(index, resolver, settings.retry)
            turn, seconds = index.highest_turn + 1, settings.part_seconds
            with PartWriter(self._run_dir / PARTS, turn=turn, part_seconds=seconds) as writer:
                await self._work(resume, writer, profile)
        return self._why or "done"

    @property
    def stopped(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._why is not None

    def stop(self, why: Stop = "signal") -> None:
        """Begin nothing more; what is with the engine is waited for."""
        if self.stopped:
            return
        self._why = why
        if why != "limit":
            self._retrying.stop()
            self._copied.set()

    def cancel(self) -> None:
        """Stop now; what is finished is written."""
        self.stop()
        if self._task is not None:
            self._task.cancel()

    async def _reach_engine(self) -> EngineProfile:
        """Describe the engine, waiting until it is there."""
        return await profile_of(self._retrying)

    def _stop_for(self, error: BaseException) -> None:
        """Stop for an error that is no single item's."""
        is_config = isinstance(error, ConfigEngineError)
        why: Stop = "config" if is_config else "engine_down"
        self.stop("output" if isinstance(error, OutputError) else why)

    async def _work(self, resume: ResumeFilter, writer: PartWriter, profile: EngineProfile) -> None:
        try:
            watch = asyncio.create_task(self._watch(writer, resume))
            try:
                await self._process_rows(await self._copies(), resume, writer, profile)
            finally:
                watch.cancel()
                await asyncio.gather(watch, self._count(), return_exceptions=True)
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]
            self._stop_for(error)
            raise error from None
        except PromptliftError as error:
            self._stop_for(error)
            raise
        finally:
            counts = self.progress.counts()
            with contextlib.suppress(StoreFull):
                writer.append(ProgressLine(counts), EndLine(self._why or "done"))

    async def _process_rows(
        self,
        copies: list[InputCopy],
        resume: ResumeFilter,
        writer: PartWriter,
        profile: EngineProfile,
    ) -> None:
        """Work on all rows that are not finished."""
        settings, progress = self._settings, self.progress
        limits = IsolationLimits(wall_seconds=settings.decode_seconds)
        self._pool = pool = ProcessPool(settings.workers, limits, preload=PRELOAD)
        write = partial(self._write, writer)
        items = ItemRunner(
            self._retrying,
            profile,
            pool.call,
            write,
            memory=settings.memory,
            judge=self._judge,
        )
        rows = chain.from_iterable(rows_of(copy, settings.shard) for copy in copies)

        def next_chunk() -> FilteredRows | None:
            chunk = [] if self.stopped else list(islice(rows, _CHUNK))
            return resume.partition(chunk) if chunk else None

        async with pool, asyncio.TaskGroup() as group:
            while found := await self._with_index(next_chunk):
                progress.before.update(found.finished)
                if found.new:
                    await write(*found.new)
                for item in found.todo:
                    await self._places.acquire()
                    if settings.limit is not None and progress.asked >= settings.limit:
                        self.stop("limit")
                    if self.stopped:
                        return
                    progress.in_work += 1
                    progress.asked += 1
                    group.create_task(self._process(item, resume, items, write))

    async def _copies(self) -> list[InputCopy]:
        """The rows of the run, copied into the folder first; none where it was stopped meanwhile.

        Raises:
            InputError: The input cannot be read, or the folder has no rows.
        """
        if self._input is None:
            copies = input_copies(self._run_dir)
            if not copies:
                raise InputError(
                    f"{str(self._run_dir)!r} holds no rows",
                    remedy="run `promptlift batch run` with an input",
                )
        else:
            copies = await self._copy(self._input)
        shard = self._settings.shard
        if copies:
            counts = await asyncio.to_thread(lambda: [count_rows(copy, shard) for copy in copies])
            self.progress.total = sum(counts)
        return copies

    async def _copy(self, source: Input) -> list[InputCopy]:
        loop = asyncio.get_running_loop()
        result: list[InputCopy | BaseException] = []

        def copy() -> None:
            try:
                lines = self._lines(source)
                result.append(copy_input(self._run_dir, source.description, lines))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                result.append(error)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._copied.set)

        # A thread that the end of the process does not wait for: it may read from a pipe.
        threading.Thread(target=copy, name="batch-input", daemon=True).start()
        await self._copied.wait()
        if self.stopped or not result:
            return []
        if isinstance(result[0], BaseException):
            raise result[0]
        return [result[0]]

    def _lines(self, source: Input) -> Iterator[bytes]:
        for row in source.rows():
            if self.stopped:
                raise InputError("the run was stopped", remedy="run the same command again")
            yield row_json(row)

    async def _process(
        self, item: BatchItem, resume: ResumeFilter, items: ItemRunner, write: Write
    ) -> None:
        """Work on an item; rows of one key are answered once, and all are counted."""
        progress, digest = self.progress, item.row.digest
        try:
            name = await items.key_of(item)
            key = bytes.fromhex(name)
            if item.key is None and key not in self._statuses:
                status = await self._with_index(partial(resume.finished_status, name))
                if status is not None:
                    progress.before[status] += 1
                    await write(RowLine(digest, name))
                    return
            if key in self._statuses:
                await write(RowLine(digest, name))
                known = self._statuses.get(key)
                if known is None:
                    self._followers[key] += 1
                else:
                    progress.now[known] += 1
                return
            self._statuses[key] = None
            try:
                record = await items.process(item, name)
            except BaseException:
                del self._statuses[key]
                raise
            self._statuses[key] = record.status
            progress.settle(ItemCounts.of(record), 1 + self._followers.pop(key, 0))
        except EngineDown:
            if not self.stopped:
                raise
        finally:
            progress.in_work -= 1
            self._places.release()

    async def _watch(self, writer: PartWriter, resume: ResumeFilter) -> None:
        """Keep the progress up to date, and do what is done now and then beside the items."""
        for tick in count(1):
            await asyncio.sleep(_TICK_SECONDS)
            await self._count()
            stop_after = self._settings.stop_after
            if stop_after is not None and self.progress.seconds >= stop_after:
                self.stop("time")
            with contextlib.suppress(PromptliftError):  # what keeps failing shows where it matters
                if tick % _REFRESH_TICKS == 0:
                    await self._with_index(resume.index.refresh)
                if tick % _PROGRESS_TICKS == 0:
                    await asyncio.to_thread(writer.append, ProgressLine(self.progress.counts()))

    async def _count(self) -> None:
        """Bring the progress up to date."""
        progress = self.progress
        progress.decode_seconds = 0.0 if self._pool is None else self._pool.seconds_busy
        progress.in_flight, progress.limit = self._limit.in_flight, self._limit.now

    async def _write(self, writer: PartWriter, *lines: Line) -> Path:
        def on_full(_: StoreFull) -> None:
            self.progress.paused = _FULL

        part = await writer.write(*lines, on_full=on_full)
        if self.progress.paused == _FULL:
            self.progress.paused = None
        return part

    def _engine_is_down(self, error: TransientEngineError | None) -> None:
        why = None if error is None else f"the engine does not answer: {error.message}"
        self.progress.paused = why

    async def _with_index(self, work: Callable[[], T]) -> T:
        """Run what reads the index in a thread, one at a time."""
        async with self._index_lock:
            return await asyncio.to_thread(work)
