"""The server's side of the batch journal: jobs beside results, on the disk when it is said."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from promptlift.batch.journal import Index, Standing, Writer, lines, open_folder
from promptlift.batch.journal.folder import SEGMENTS
from promptlift.batch.journal.segment import Segment
from promptlift.core.record import Record
from promptlift.errors import OutputError

__all__ = ["Ledger", "job_line", "read_jobs"]

_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_JOB = b'"kind":"job"'


class Ledger:
    """One writer's segment, and what all of them say.

    Belongs to one event loop.

    Args:
        folder: The run folder; made where it is missing.

    Raises:
        OutputError: It cannot be read or written to.
    """

    def __init__(self, folder: Path) -> None:
        open_folder(folder)
        self._index = Index.load(folder)
        self._writer = Writer(folder, turn=self._index.highest_turn + 1)
        # A handle of our own, so that a line can be waited for; the writer has its own pace.
        self._handle = os.open(self._writer.path, os.O_RDONLY)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-fsync")
        self._round: asyncio.Future[None] | None = None
        self._syncing: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether nothing can be written for now."""
        return self._writer.full

    async def job(self, fields: Mapping[str, Any], *, now: bool) -> None:
        """Write a line of kind ``job``.

        Args:
            fields: What it says.
            now: Return only when it is on the disk.

        Raises:
            OutputError: It cannot be written.
        """
        self._writer.append(lines.encode("job", fields))
        if now:
            await self._on_disk()

    async def result(self, key: str, record: Record, text: str) -> None:
        """Write what became of an item, once there is room for it.

        Args:
            key: The item's key.
            record: What became of it.
            text: The same as JSON.
        """
        failed, rejected = record.error, record.review
        code = failed.code if failed else None
        if code is None and record.status == "rejected" and rejected is not None:
            code = next((check.name for check in rejected.checks if not check.passed), None)
        assert record.status != "planned"
        line = lines.result_line(
            key,
            record.status,
            code,
            bool(failed and failed.retryable),
            text,
            at=round(time.time(), 3),
        )
        await self._writer.append_waiting(line)

    def standing(self, key: str) -> Standing | None:
        """What stands for an item; None where nothing does."""
        self._index.refresh()
        return self._index.state(key)

    def record(self, key: str) -> Record:
        """The record that stands for an item.

        Raises:
            KeyError: None does.
            OutputError: It can no longer be read.
        """
        self._index.refresh()
        return Record.model_validate_json(self._index.raw_record(key))

    def close(self) -> None:
        """Have everything on the disk."""
        self._thread.shutdown()
        self._writer.end("stopped")
        self._writer.close()
        self._index.close()
        os.close(self._handle)

    async def _on_disk(self) -> None:
        """Wait for an fsync that begins after now; all who come before it begins share it."""
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
            if self._syncing is None:
                self._syncing = asyncio.create_task(self._sync_rounds())
        await asyncio.shield(self._round)

    async def _sync_rounds(self) -> None:
        loop = asyncio.get_running_loop()
        while self._round is not None:
            waited_for, self._round = self._round, None
            try:
                await loop.run_in_executor(self._thread, self._sync)
            except OutputError as error:
                waited_for.set_exception(error)
                waited_for.exception()  # seen, also where nobody waits any more
            else:
                waited_for.set_result(None)
        self._syncing = None

    def _sync(self) -> None:
        try:
            os.fsync(self._handle)
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise OutputError(
                    f"the journal is not on the disk: {error.strerror}",
                    remedy="look at the disk, then send it again",
                ) from error


def read_jobs(folder: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of kind ``job`` in a run folder, oldest segment first."""
    segments = [Segment(path) for path in (folder / SEGMENTS).glob("*.jsonl")]
    for segment in sorted(segments, key=lambda one: one.path.stat().st_mtime_ns):
        for data, begin, end, _ in segment.new_lines():
            if job_line(data, begin):
                yield json.loads(data[begin:end])


def job_line(data: bytes, begin: int = 0) -> bool:
    """Whether a line of kind ``job`` begins there."""
    return data.startswith(_JOB, begin + lines.BODY_AT)
