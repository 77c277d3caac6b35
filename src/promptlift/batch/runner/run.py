"""The whole run: feed the rows in, let the items through, know when to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from promptlift.batch.inputs.base import Input
from promptlift.batch.invocation import Invocation
from promptlift.batch.journal import (
    Answers,
    Index,
    JournalFull,
    Writer,
    clear_answers,
    lines,
    open_folder,
)
from promptlift.batch.manifest import Manifest, ensure
from promptlift.batch.readings import Spool
from promptlift.batch.rows import Row
from promptlift.batch.runner import besides
from promptlift.batch.runner.breaker import Breaker, EngineDown
from promptlift.batch.runner.contents import Write
from promptlift.batch.runner.crowd import Crowd
from promptlift.batch.runner.feed import Feed, KeptRows
from promptlift.batch.runner.items import Meanings
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine
from promptlift.batch.runner.room import ByteBudget
from promptlift.batch.runner.settings import RunSettings
from promptlift.batch.runner.sieve import Sieve, Sifted
from promptlift.batch.runner.tally import Tally
from promptlift.batch.runner.worker import Worker
from promptlift.config import Options
from promptlift.engines.base import Engine, EngineInfo
from promptlift.errors import ConfigEngineError, OutputError
from promptlift.frames.crew import Crew
from promptlift.frames.isolated import IsolationLimits
from promptlift.pipeline.seeing import PRELOAD
from promptlift.pipeline.sights import Sights

__all__ = ["BatchRun", "Stop"]

T = TypeVar("T")
Stop = Literal["done", "limit", "time", "signal", "engine_down", "config", "journal"]

_BEAT_SECONDS = 10.0
_REFRESH_SECONDS = 5.0
_GAUGE_SECONDS = 2.0
_COUNT_SECONDS = 0.2
_FULL = "the disk is full"
_DOWN = "the engine does not answer"


class BatchRun:
    """One run in one folder; see ``docs/design/0002-batch.md`` for what it promises.

    Made and used in one event loop.

    Args:
        engine: Who is asked; the caller's to close. It should not try again by itself.
        options: How items are treated where their rows say nothing.
        rows: The input; None for the rows that the folder has.
        run_dir: The folder; made where it is missing.
        settings: How the run goes about it.
        invocation: Is kept in the folder for a retry; None to keep what is there.

    Attributes:
        tally: What is counted while it runs.
    """

    def __init__(
        self,
        engine: Engine,
        options: Options,
        rows: Input | None,
        run_dir: Path,
        settings: RunSettings,
        invocation: Invocation | None = None,
    ) -> None:
        self.tally = Tally(workers=settings.workers)
        self._engine = engine
        self._options = options
        self._input = rows
        self._run_dir = run_dir
        self._settings = settings
        self._invocation = invocation
        most = settings.concurrency or settings.most
        # As many again as may be in flight, so that the next clips are decoded while the engine is
        # still busy with the prompts of this one.
        self._places = 2 * most + 4 * settings.workers
        self._limit = Limit(most, settings.concurrency)
        self._breaker = Breaker(settings.patience, self._engine_is_down)
        self._patient = PatientEngine(engine, self._limit, self._breaker)
        self._aside = ThreadPoolExecutor(1, "batch-index")
        self._crowd: Crowd | None = None
        self._task: asyncio.Task[object] | None = None
        self._rows: Feed | None = None
        self._why: Stop | None = None
        self._error: BaseException | None = None

    async def run(self) -> Stop:
        """Do what is to be done, and say why it ended.

        Raises:
            PromptliftError: The folder, the input or the engine cannot be used; what was
                finished until then is in the journal.
        """
        self._task = asyncio.current_task()
        who = await self._patient.reach()
        open_folder(self._run_dir)
        ensure(
            self._run_dir,
            Manifest.of(self._options, who),
            accept_changes=self._settings.accept_changes,
        )
        if self._invocation is not None:
            self._invocation.write(self._run_dir)
        try:
            with Index(self._run_dir) as index:
                await self._on_the_side(index.refresh)
                turn = index.highest_turn + 1
                with Answers(self._run_dir) as answers, Writer(self._run_dir, turn=turn) as writer:
                    self._patient.answers = answers
                    await self._through(index, writer, who)
        finally:
            self._aside.shutdown(wait=False, cancel_futures=True)
        if self._error is not None:
            raise self._error
        if self._why is None and self._settings.shard is None:
            clear_answers(self._run_dir)
        return self._why or "done"

    def stop(self, why: Stop = "signal") -> None:
        """Begin nothing more; what is with the engine is waited for."""
        if self._why is not None:
            return
        self._why = why
        if why != "limit":
            self._patient.leave()
        if self._rows is not None and why != "limit":
            self._rows.stop()
        if self._crowd is not None:
            self._crowd.wake()

    def cancel(self) -> None:
        """Stop now; what is finished is in the journal."""
        self.stop()
        if self._crowd is not None:
            self._crowd.cancel()
        elif self._task is not None:
            self._task.cancel()  # it still waits for the engine

    async def _through(self, index: Index, writer: Writer, who: EngineInfo) -> None:
        settings, tally = self._settings, self.tally
        sieve = Sieve(index, Meanings(self._options, who), settings.retry)
        limits = IsolationLimits(wall_seconds=settings.decode_seconds)
        crew = Crew(settings.workers, limits, preload=PRELOAD)
        write = partial(self._write, writer)
        try:
            with self._feed_from(writer) as feed:
                self._rows = feed
                async with crew, besides.together(self._besides(writer, sieve, crew)):
                    self._crowd = self._people(crew, sieve, write)
                    await self._work(feed, sieve, self._crowd, write)
        finally:
            self._count(crew)
            with contextlib.suppress(JournalFull):
                writer.beat(tally.counts())
                writer.end(self._why or "done")

    def _people(self, crew: Crew, sieve: Sieve, write: Write) -> Crowd:
        memory = self._settings.memory
        sights = Sights(memory // 4, crew.call)
        worker = Worker(self._patient, crew.call, sights, ByteBudget(memory), write)

        async def settled(key: str) -> str | None:
            return await self._on_the_side(partial(sieve.settled, key))

        return Crowd(self._places, worker, settled, self.tally, self._failed)

    async def _work(self, feed: Feed, sieve: Sieve, crowd: Crowd, write: Write) -> None:
        try:
            await self._feed(feed, sieve, crowd, write)
        except asyncio.CancelledError:
            crowd.cancel()
            raise
        finally:
            await crowd.finish()

    def _feed_from(self, writer: Writer) -> Feed:
        shard = self._settings.shard
        if self._input is None:
            return KeptRows(self._run_dir, shard)
        return Spool(self._run_dir, writer.name, self._input, turn=writer.turn, shard=shard)

    def _besides(
        self, writer: Writer, sieve: Sieve, crew: Crew
    ) -> list[tuple[float, besides.Often]]:
        async def count() -> None:
            self._count(crew)
            if self._settings.stop_after and self.tally.seconds >= self._settings.stop_after:
                self.stop("time")

        work: list[tuple[float, besides.Often]] = [
            (_COUNT_SECONDS, count),
            (_BEAT_SECONDS, partial(besides.beat, writer, self.tally)),
            (_REFRESH_SECONDS, lambda: self._on_the_side(sieve.refresh)),
        ]
        gauge = besides.gauge(self._engine, self._limit)
        return work if gauge is None else [*work, (_GAUGE_SECONDS, gauge)]

    async def _feed(self, feed: Feed, sieve: Sieve, crowd: Crowd, write: Write) -> None:
        """Begin item after item, as there is room for them."""
        async for rows in _chunks(feed):
            sifted = await self._on_the_side(partial(sieve.sift, rows))
            self.tally.before.update(sifted.finished)
            self.tally.total = feed.total
            await _tell(sifted, write)
            for item in sifted.todo:
                await crowd.place()
                if not self._may_begin():
                    return
                crowd.begin(item)
        self.tally.total = feed.total

    def _may_begin(self) -> bool:
        limit = self._settings.limit
        if limit is not None and self.tally.asked >= limit:
            self.stop("limit")
        return self._why is None

    async def _write(self, writer: Writer, line: bytes) -> None:
        await writer.append_waiting(line, self._disk_is_full)
        if self.tally.paused == _FULL:
            self.tally.paused = None

    def _disk_is_full(self, _: JournalFull) -> None:
        self.tally.paused = _FULL

    def _engine_is_down(self, down: bool) -> None:
        last = self._breaker.last
        why = f": {last.message}" if last is not None else ""
        self.tally.paused = f"{_DOWN}{why}" if down else None

    def _failed(self, error: BaseException) -> None:
        """End the run for an error that is no single item's."""
        if self._why is not None and isinstance(error, EngineDown):
            return  # an item that was left, as the run was told to stop
        self._error = self._error or error
        self.stop(_reason(error))
        assert self._crowd is not None, "an item failed, so there are items"
        self._crowd.cancel()

    def _count(self, crew: Crew) -> None:
        tally = self.tally
        tally.requests, tally.repeats = self._patient.requests, self._patient.repeats
        tally.engine_seconds = self._patient.seconds
        tally.decode_seconds = crew.seconds_busy
        tally.in_flight, tally.limit = self._limit.in_flight, self._limit.now

    async def _on_the_side(self, work: Callable[[], T]) -> T:
        """Run what looks into the journal in the one thread that may."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)


def _reason(error: BaseException) -> Stop:
    if isinstance(error, OutputError):
        return "journal"
    return "config" if isinstance(error, ConfigEngineError) else "engine_down"


async def _tell(sifted: Sifted, write: Write) -> None:
    for digest, key in sifted.news:
        await write(lines.row_line(digest, key))


async def _chunks(feed: Feed) -> AsyncIterator[list[Row]]:
    """The rows as they come, without holding up the loop."""
    chunks = feed.chunks()
    while (rows := await asyncio.to_thread(next, chunks, None)) is not None:
        yield rows
