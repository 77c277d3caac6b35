"""One item of a batch: which it is, whether it is finished, and what is done with it."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from promptlift import __version__
from promptlift.batch.limits import ByteBudget
from promptlift.batch.retrying import EngineDown, RetryingEngine
from promptlift.batch.rows import (
    ItemOptions,
    OptionsResolver,
    Row,
    trouble_content,
    unreadable_content,
)
from promptlift.engines.base import Engine
from promptlift.errors import ConfigEngineError, OptionError, VideoError
from promptlift.pipeline import (
    EngineProfile,
    Prepared,
    Runner,
    VideoCache,
    answer,
    prepare,
    settings_of,
)
from promptlift.record import Failure, Record, Video
from promptlift.store.index import Index, RetryPolicy
from promptlift.store.results import ItemStatus, ResultLine, RowLine, VideoLine, path_text
from promptlift.targets import target
from promptlift.video.source import content_of

__all__ = ["BatchItem", "FilteredRows", "ItemRunner", "ResumeFilter", "Write"]

Write = Callable[..., Awaitable[object]]
"""Writes lines of `promptlift.store.results`, waiting while the disk is full."""

_HASHES = 10_000  # what is forgotten is soon known from the index


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One row's work.

    Attributes:
        row: The row.
        options: Its options.
        key: The item's identity; None while the video's content is not known.
    """

    row: Row
    options: ItemOptions
    key: str | None = None


@dataclass(slots=True)
class FilteredRows:
    """What some rows are.

    Attributes:
        todo: Items that are to be worked on, or whose content is to be hashed first.
        finished: How many rows are finished, by the status of their items.
        new: Rows that are finished and were not known to be these items.
    """

    todo: list[BatchItem] = field(default_factory=list)
    finished: Counter[ItemStatus] = field(default_factory=Counter)
    new: list[RowLine] = field(default_factory=list)


class ResumeFilter:
    """Knows the results and the options. Like the index, for one thread at a time.

    Args:
        index: The results.
        options: Gives rows their options.
        retry: What is done again besides what a rerun always does.

    Attributes:
        index: As given.
    """

    def __init__(
        self, index: Index, options: OptionsResolver, retry: RetryPolicy | None = None
    ) -> None:
        self.index = index
        self._options = options
        self._retry = retry

    def partition(self, rows: Iterable[Row]) -> FilteredRows:
        """Sort rows by whether their items are finished."""
        found = FilteredRows()
        for row in rows:
            try:
                item = BatchItem(row, self._options.of(row))
            except OptionError as error:
                trouble = (error.code, error.message, error.remedy)
                item = BatchItem(replace(row, trouble=trouble), self._options.shared)
            key = self._key(item)
            status = None if key is None else self.finished_status(key)
            if key is None or status is None:
                found.todo.append(replace(item, key=key))
                continue
            found.finished[status] += 1
            if self.index.key_of(row.digest) != key:
                found.new.append(RowLine(row.digest, key))
        return found

    def finished_status(self, key: str) -> ItemStatus | None:
        """Status of an item that is finished; None where it is to be worked on."""
        state = self.index.state(key)
        return state.status if state is not None and state.is_done(self._retry) else None

    def finished_keys(self) -> Iterator[str]:
        """The keys of the items that are finished."""
        return (key for key, state in self.index.items() if state.is_done(self._retry))

    def _key(self, item: BatchItem) -> str | None:
        """An item's key; None where its video must be hashed first."""
        row, options = item.row, item.options
        if row.trouble is not None:
            return options.key(trouble_content(row), row.prompt)
        stamps, noted = [], []
        for path in row.paths:
            stamp, one = _stamp(path), self.index.video(path)
            if stamp is not None and (one is None or (one.size, one.mtime_ns) != stamp[1:]):
                return None
            stamps.append(stamp)
            noted += [] if one is None else [one.content]
        known = None
        if len(noted) == len(row.paths):
            known = options.key(row.content(noted), row.prompt)
            # Of a video that is gone what was finished with it stays finished.
            if None not in stamps or self.finished_status(known) is not None:
                return known
        return options.key(unreadable_content(" ".join(row.paths)), row.prompt)


class ItemRunner:
    """Works on items; holds what they share. Belongs to one event loop.

    Args:
        engine: Who is asked.
        profile: The engine's.
        run: Where videos are read, such as `ProcessPool.call`.
        write: Writes lines.
        memory: Bytes of frames that may be held.
    """

    def __init__(
        self,
        engine: RetryingEngine,
        profile: EngineProfile,
        run: Runner,
        write: Write,
        *,
        memory: int,
        judge: Engine | None = None,
    ) -> None:
        self._engine = engine
        self._judge = judge
        self._profile = profile
        self._write = write
        self._videos = VideoCache(memory // 4, run)
        self._budget = ByteBudget(memory - memory // 4)
        # A quarter more than requests in flight, so that the engine is busy during the reviews.
        most = engine.limit.most
        self._unwritten = asyncio.Semaphore(most + math.ceil(most / 4))
        self._run = run
        self._hashes: OrderedDict[tuple[str, int, int], asyncio.Task[str]] = OrderedDict()
        self._variations: OrderedDict[tuple[str, str, str], dict[int, str]] = OrderedDict()

    async def key_of(self, item: BatchItem) -> str:
        """The key of an item; its files are hashed where that was not done before."""
        if item.key is not None:
            return item.key
        row, contents = item.row, []
        for path in row.paths:
            stamp = _stamp(path)
            if stamp is None:
                return item.options.key(unreadable_content(" ".join(row.paths)), row.prompt)
            if stamp not in self._hashes:
                self._hashes[stamp] = asyncio.create_task(self._hash(stamp))
                if len(self._hashes) > _HASHES:
                    self._hashes.popitem(last=False)
            contents.append(await asyncio.shield(self._hashes[stamp]))
        return item.options.key(row.content(contents), row.prompt)

    async def process(self, item: BatchItem, key: str, prepared: Prepared | None = None) -> Record:
        """Prepare an item, have it answered, and write the result.

        Args:
            item: The item.
            key: Its key.
            prepared: What preparing it gave, where that was done before.

        Raises:
            ConfigEngineError: Every item would fail.
            EngineDown: The engine is away for longer than the run has patience, or it was stopped.
            OutputError: The results cannot be written to any more.
        """
        row, options = item.row, item.options.options
        if row.trouble is not None:
            code, message, remedy = row.trouble
            record = Record(
                key=key,
                status="failed",
                video=Video(name=Path(row.video).name),
                short_prompt=row.prompt,
                target=target(options.target).label,
                error=Failure(code=code, message=message, remedy=remedy, retryable=False),
                promptlift=__version__,
            )
            await self._write(ResultLine.of(record), RowLine(row.digest, key))
            return record
        held = await self._budget.reserve()
        try:
            again = partial(prepare, row.source, row.prompt, options, self._profile, self._videos)
            prepared = prepared or await again()
            held = self._budget.settle(held, prepared.nbytes)
            async with self._unwritten:
                others = self._variations_of(item)
                outcome = await answer(
                    prepared,
                    self._engine,
                    prepare_smaller=again,
                    judge=self._judge,
                    others=others,
                )
                error, record = outcome.error, outcome.record
                if record.prompt is not None:
                    others[options.variation] = record.prompt
                # What only the row's own options ask for is the row's trouble, not the run's.
                is_own = item.options.own and "ask" not in record.timings
                if isinstance(error, EngineDown) or (
                    isinstance(error, ConfigEngineError) and not is_own
                ):
                    raise error
                if record.key is None:
                    record = record.model_copy(update={"key": key})
                # A file may have been replaced since it was hashed: what was seen decides.
                await self._write(ResultLine.of(record), RowLine(row.digest, record.key or key))
            return record
        finally:
            self._budget.release(held)

    def _variations_of(self, item: BatchItem) -> dict[int, str]:
        """The prompts that were written for the same request so far, as far as they are known."""
        options, settings = item.options.options, item.options.settings
        if options.variation > 1:
            settings = settings_of(options.merged({"variation": 1}), self._profile.info)
        key = item.row.video, item.row.prompt, settings
        others = self._variations.setdefault(key, {})
        if len(self._variations) > _HASHES:
            self._variations.popitem(last=False)
        return others

    async def _hash(self, stamp: tuple[str, int, int]) -> str:
        path = stamp[0]
        try:
            content = await self._run(content_of, path)
        except VideoError:
            return unreadable_content(path)
        if _stamp(path) == stamp:  # else it is being written
            await self._write(VideoLine(path_text(path), *stamp[1:], content))
        return content


def _stamp(path: str) -> tuple[str, int, int] | None:
    """Path, size and time of change; None where there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path may be no text, which Path takes badly
    except (OSError, ValueError):
        return None
    return path, status.st_size, status.st_mtime_ns
