"""What the server keeps on disk: jobs, results, uploads and the page's batches, in one SQLite file.

One transaction writes whatever waits for it, so that many requests share one fsync: what was
confirmed outlives a power failure. Reads happen
where they are needed: in WAL mode they never wait for the writer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from promptlift.errors import OutputError
from promptlift.record import Record

__all__ = ["JobStore", "StoredBatch"]

_VERSION: Final = 1
_RETRY_SECONDS: Final = 1.0
_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE job (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, search TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued', ended REAL, key TEXT, value TEXT NOT NULL
);
CREATE INDEX job_owner ON job (owner, seq);
CREATE INDEX job_open ON job (seq) WHERE ended IS NULL;
CREATE INDEX job_ended ON job (ended) WHERE ended IS NOT NULL;
CREATE TABLE result (
    seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at REAL NOT NULL, status TEXT NOT NULL,
    prompt TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX result_at ON result (at);
CREATE TABLE upload (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, name TEXT NOT NULL,
    created REAL NOT NULL, rows TEXT NOT NULL
);
CREATE INDEX batch_owner ON batch (owner, seq);
CREATE INDEX batch_created ON batch (created);
PRAGMA user_version = 1;
COMMIT;
"""
# A later result replaces an earlier one, unless it is worse: a failure never hides a prompt.
_PUT_RESULT: Final = """
INSERT INTO result (key, at, status, prompt, record) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET at = excluded.at, status = excluded.status,
    prompt = excluded.prompt, record = excluded.record
WHERE CASE excluded.status WHEN 'failed' THEN 1 WHEN 'rejected' THEN 2 ELSE 3 END
    >= CASE result.status WHEN 'failed' THEN 1 WHEN 'rejected' THEN 2 ELSE 3 END
"""


class StoredBatch(NamedTuple):
    """A batch of the page; ``rows`` is JSON."""

    id: str
    owner: str
    name: str
    created: float
    rows: str


class _Write(NamedTuple):
    sql: str
    values: Sequence[Any]
    done: asyncio.Future[int]


class JobStore:
    """Jobs, results, uploads and batches. Belongs to one event loop.

    Args:
        path: The database; made where it is missing.

    Raises:
        OutputError: It cannot be read or written to, or a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._reader = self._connect()
            version = self._reader.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._reader.executescript(_SCHEMA)
            elif version != _VERSION:
                raise OutputError(
                    f"{str(path)!r} was written by another version of promptlift "
                    f"(format {version}, not {_VERSION})",
                    remedy="use that version, or name another folder with --data",
                )
        except (OSError, sqlite3.Error) as error:
            raise OutputError(
                f"cannot open the database {str(path)!r}: {error}",
                remedy="check the disk and the file's permissions, or name another folder with "
                "--data",
            ) from error
        self._writer = self._connect()
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Write what waits, and close."""
        if self._committing is not None:
            await self._committing
        self._writer.close()
        self._reader.close()

    async def writable(self) -> bool:
        """Whether something can be written now."""
        try:
            await self._write("PRAGMA user_version = 1")
        except OutputError:
            return False
        return True

    # Results.

    def result(self, key: str) -> str | None:
        """The record of an item as JSON; None where it has none."""
        row = self._reader.execute("SELECT record FROM result WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    async def put_result(self, key: str, record: Record) -> None:
        """Store what became of an item; waits for room on a full disk."""
        prompt = (record.prompt or "").casefold()
        values = (key, round(time.time(), 3), record.status, prompt, record.model_dump_json())
        await self._write(_PUT_RESULT, values, wait=True)

    # Jobs, each as JSON; the columns are what they are found by.

    async def add_job(self, job_id: str, owner: str, search: str, value: str) -> None:
        """Store an accepted job; it is on the disk when this returns.

        Args:
            job_id: Its id.
            owner: Whose it is.
            search: What `search` finds it by, besides its state and its prompt.
            value: The job.

        Raises:
            OutputError: It cannot be written.
        """
        sql = "INSERT INTO job (id, owner, search, value) VALUES (?, ?, ?, ?)"
        await self._write(sql, (job_id, owner, search.casefold(), value))

    async def end_job(
        self, job_id: str, state: str, ended: float, key: str | None, value: str
    ) -> None:
        """Store how a job ended; waits for room on a full disk."""
        sql = "UPDATE job SET state = ?, ended = ?, key = ?, value = ? WHERE id = ?"
        await self._write(sql, (state, ended, key, value, job_id), wait=True)

    def job(self, job_id: str, owner: str) -> str | None:
        """The job of that id, if it is that owner's."""
        sql = "SELECT value FROM job WHERE id = ? AND owner = ?"
        row = self._reader.execute(sql, (job_id, owner)).fetchone()
        return row[0] if row else None

    def open_jobs(self) -> list[str]:
        """Jobs that have not ended, the oldest first."""
        sql = "SELECT value FROM job WHERE ended IS NULL ORDER BY seq"
        return [value for (value,) in self._reader.execute(sql)]

    async def search(
        self, owner: str, words: Iterable[str], limit: int
    ) -> list[tuple[str, str | None]]:
        """An owner's newest jobs that have all of these words, in the job or in the prompt.

        Returns:
            Each with its record as JSON; None where it has none.
        """
        wanted = [word.casefold() for word in words]
        text = "(job.search || ' ' || job.state || ' ' || coalesce(result.prompt, ''))"
        sql = (
            "SELECT job.value, result.record FROM job "  # noqa: S608
            "LEFT JOIN result ON result.key = job.key WHERE job.owner = ? "
            + f"AND instr({text}, ?) " * len(wanted)
            + "ORDER BY job.seq DESC LIMIT ?"
        )
        return await asyncio.to_thread(self._read, sql, (owner, *wanted, limit))

    async def states(self, owner: str, job_ids: Sequence[str]) -> dict[str, str]:
        """The states of jobs by id; where one has finished, the status of its record."""
        sql = (
            "SELECT job.id, CASE job.state WHEN 'finished' THEN coalesce(result.status, 'failed') "
            "ELSE job.state END FROM job LEFT JOIN result ON result.key = job.key "
            "WHERE job.owner = ? AND job.id IN (SELECT value FROM json_each(?))"
        )
        return dict(await asyncio.to_thread(self._read, sql, (owner, json.dumps(job_ids))))

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Read with a connection of its own, for queries that take long."""
        with contextlib.closing(self._connect()) as db:
            return db.execute(sql, values).fetchall()

    # Uploads.

    def uploads(self) -> list[str]:
        """All uploads, each as JSON."""
        rows = self._reader.execute("SELECT value FROM upload").fetchall()
        return [value for (value,) in rows]

    async def add_upload(self, upload_id: str, value: str) -> None:
        """Store an upload.

        Raises:
            OutputError: It cannot be written.
        """
        await self._write("INSERT INTO upload VALUES (?, ?)", (upload_id, value))

    def remove_upload(self, upload_id: str) -> None:
        """Forget an upload, soon; its file is the caller's, and a start ignores what has none."""
        self._enqueue("DELETE FROM upload WHERE id = ?", (upload_id,))

    # Batches of the page.

    async def add_batch(self, row: StoredBatch) -> None:
        """Store a batch.

        Raises:
            OutputError: It cannot be written.
        """
        sql = "INSERT INTO batch (id, owner, name, created, rows) VALUES (?, ?, ?, ?, ?)"
        await self._write(sql, row)

    def batch(self, batch_id: str, owner: str) -> StoredBatch | None:
        """The batch of that id, if it is that owner's."""
        sql = "SELECT id, owner, name, created, rows FROM batch WHERE id = ? AND owner = ?"
        row = self._reader.execute(sql, (batch_id, owner)).fetchone()
        return StoredBatch(*row) if row else None

    def batches(self, owner: str, limit: int) -> list[StoredBatch]:
        """An owner's newest batches, the newest first."""
        sql = (
            "SELECT id, owner, name, created, rows FROM batch WHERE owner = ? "
            "ORDER BY seq DESC LIMIT ?"
        )
        return [StoredBatch(*row) for row in self._reader.execute(sql, (owner, limit)).fetchall()]

    # Retention.

    async def forget(self, before: float) -> int:
        """Delete results and ended jobs and batches of before a time.

        Jobs that have not ended stay, however old.

        Args:
            before: Seconds since 1970.

        Returns:
            How many rows are gone.

        Raises:
            OutputError: They cannot be deleted.
        """
        old = (("result", "at"), ("job", "ended"), ("batch", "created"))
        sql = "DELETE FROM {} WHERE {} < ?"
        return sum([await self._write(sql.format(*one), (before,)) for one in old])

    # Writing.

    async def _write(self, sql: str, values: Sequence[Any] = (), *, wait: bool = False) -> int:
        """Execute a statement, and wait until it is committed.

        Args:
            sql: The statement.
            values: Its parameters.
            wait: Try again while there is no room, rather than fail.

        Returns:
            How many rows it changed.
        """
        while True:
            try:
                return await asyncio.shield(self._enqueue(sql, values))
            except OutputError:
                if not wait:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    def _enqueue(self, sql: str, values: Sequence[Any]) -> asyncio.Future[int]:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(sql, values, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting())
        return done

    async def _commit_waiting(self) -> None:
        while self._waiting:
            writes, self._waiting = self._waiting, []
            try:
                changed = await asyncio.to_thread(_commit, self._writer, writes)
            except sqlite3.Error as error:
                for one in writes:
                    one.done.set_exception(
                        OutputError(
                            f"the server's database cannot be written: {error}",
                            remedy="check the disk, then send it again",
                        )
                    )
                    one.done.exception()  # retrieved, for those that nobody awaits any more
            else:
                for one, count in zip(writes, changed, strict=True):
                    one.done.set_result(count)
        self._committing = None

    def _connect(self) -> sqlite3.Connection:
        # The loop may be another thread's than the constructor's; one at a time uses a connection.
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        db.execute("PRAGMA busy_timeout = 30000")
        return db


def _commit(db: sqlite3.Connection, writes: list[_Write]) -> list[int]:
    """Execute writes in one transaction; gives how many rows each changed."""
    db.execute("BEGIN IMMEDIATE")
    try:
        changed = [max(0, db.execute(one.sql, one.values).rowcount) for one in writes]
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return changed
