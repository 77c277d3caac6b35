"""The jobs: accepted on the disk before anybody is told, done once, and not lost by a kill."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from promptlift.core.record import Failure, Record
from promptlift.server.errors import Refusal
from promptlift.server.events import Feed
from promptlift.server.lanes import Lanes
from promptlift.server.ledger import Ledger
from promptlift.server.models import JobState
from promptlift.server.queue import Ticket
from promptlift.server.wishes import Done, Wish
from promptlift.server.work import Worker, named

__all__ = ["Job", "Jobs"]

_MOST_KEPT = 20_000
_CANCEL_SECONDS = 5.0


@dataclass(slots=True)
class Job:
    """One accepted piece of work.

    Attributes:
        id: 32 random hexadecimal digits.
        owner: Whose key asked for it.
        client: Whose turn it takes.
        wish: What is to be done.
        state: How far it is.
        created: Seconds since 1970.
        ended: When it ended; None before.
        key: The item's key, once it is known.
        error: Why there is no answer.
        feed: What it tells.
        ticket: Its place in the queue; None once it has ended.
    """

    id: str
    owner: str
    client: str
    wish: Wish
    state: JobState
    created: float
    ended: float | None = None
    key: str | None = None
    error: Failure | None = None
    feed: Feed = field(default_factory=Feed)
    ticket: Ticket[Done] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("finished", "failed", "cancelled")


class Jobs:
    """All jobs that are remembered: those under way, and the last that ended.

    Args:
        ledger: Where they are written.
        lanes: The engines, with the queues where they wait.
        worker: Who does them.
    """

    def __init__(self, ledger: Ledger, lanes: Lanes, worker: Worker) -> None:
        self._ledger = ledger
        self._lanes = lanes
        self._worker = worker
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def accept(self, wish: Wish, owner: str, client: str) -> Job:
        """Take a job on; once this returns, it is on the disk.

        Raises:
            Refusal: The queue is full, or there is no such engine.
            OutputError: It cannot be written.
        """
        job = Job(secrets.token_hex(16), owner, client, wish, "queued", _now())
        self._enqueue(job, hold_back=(accepted := asyncio.Event()))
        fields = {
            "id": job.id,
            "step": "accepted",
            "at": job.created,
            "owner": owner,
            "client": client,
            "wish": wish.to_json(),
        }
        try:
            await self._ledger.job(fields, now=True)
        except BaseException:
            self._jobs.pop(job.id, None)
            if job.ticket is not None:
                job.ticket.cancel()
            raise
        accepted.set()
        return job

    def recover(self, written: Iterable[Mapping[str, Any]]) -> int:
        """Take up again what was accepted and has not ended.

        One that was left for an engine that is gone fails, rather than ask another.

        Returns:
            How many jobs go back into a queue.
        """
        steps: OrderedDict[str, Job] = OrderedDict()
        for fields in sorted(written, key=lambda one: one["step"] != "accepted"):
            if fields["step"] == "accepted":
                wish = Wish.from_json(fields["wish"])
                steps[fields["id"]] = Job(
                    fields["id"], fields["owner"], fields["client"], wish, "queued", fields["at"]
                )
            elif fields["id"] in steps:
                _end(steps[fields["id"]], fields)
        back = 0
        for job in sorted(steps.values(), key=lambda one: one.created):
            if job.over:
                self._remember(job)
                continue
            self._worker.hold(job.wish)
            try:
                self._enqueue(job, force=True)
                back += 1
            except Refusal as unknown:
                self._remember(job)
                self._conclude(job, "failed", Done(failure=_gone(job, unknown)))
        return back

    def get(self, job_id: str, owner: str) -> Job:
        """The job of that id.

        Raises:
            Refusal: There is none, or another key asked for it.
        """
        job = self._jobs.get(job_id)
        if job is None or job.owner != owner:
            raise Refusal(
                404,
                "job_not_found",
                "there is no such job",
                remedy="a job that ended long ago is forgotten; its record is not",
            )
        return job

    def newest(self, owner: str, limit: int) -> list[Job]:
        """The last jobs of a key."""
        found = []
        for job in reversed(self._jobs.values()):
            if job.owner == owner:
                found.append(job)
                if len(found) == limit:
                    break
        return found

    async def cancel(self, job: Job) -> None:
        """Take a job out, or end it; one that is over stays as it is."""
        if job.over or job.ticket is None:
            return
        done = job.ticket.done
        job.ticket.cancel()
        await asyncio.wait([done], timeout=_CANCEL_SECONDS)
        await asyncio.sleep(0)  # for the callback that says so in the job

    def record(self, job: Job) -> Record | None:
        """The record of a job that has ended; None where it has none, or another stands.

        Raises:
            OutputError: The journal can no longer be read.
        """
        if not job.over or job.key is None:
            return None
        try:
            found = self._ledger.record(job.key)
        except KeyError:
            return None
        if (found.error is None) != (job.error is None):
            return None
        return named(found, job.wish.name)

    async def settle(self) -> None:
        """Wait until everything that ended is written."""
        while self._writing:
            await asyncio.wait(self._writing)

    def stop(self) -> None:
        """From now on what is cancelled has not ended: the next start goes on with it."""
        self._stopping = True

    def _remember(self, job: Job) -> None:
        self._jobs[job.id] = job
        while len(self._jobs) > _MOST_KEPT:
            oldest = next(iter(self._jobs))
            if not self._jobs[oldest].over:
                return
            del self._jobs[oldest]

    def _enqueue(
        self, job: Job, *, force: bool = False, hold_back: asyncio.Event | None = None
    ) -> None:
        async def work() -> Done:
            if hold_back is not None:
                await hold_back.wait()
            job.state = "running"
            return await self._worker.do(job.wish, job.feed)

        queue = self._lanes.get(job.wish.asked.engine).queue
        limit = job.wish.asked.deadline
        left = None if limit is None else limit - (_now() - job.created)
        job.ticket = queue.submit(job.client, work, seconds=left, force=force)
        self._remember(job)
        job.feed.tell("queued", {"waiting": queue.waiting})
        job.ticket.done.add_done_callback(lambda done: self._over(job, done))

    def _over(self, job: Job, done: asyncio.Future[Done]) -> None:
        """Say how a job ended, unless the server does: then it has not."""
        if job.id not in self._jobs or (done.cancelled() and self._stopping):
            job.feed.close()
            return
        if done.cancelled():
            self._conclude(job, "cancelled", Done(failure=CANCELLED))
            return
        result = _result(done)
        self._conclude(job, "failed" if result.failure else "finished", result)

    def _conclude(self, job: Job, state: JobState, result: Done) -> None:
        fields: dict[str, Any] = {
            "id": job.id,
            "step": "ended",
            "at": _now(),
            "state": state,
            "key": result.key,
            "error": result.failure.model_dump() if result.failure else None,
        }
        _end(job, fields)
        job.feed.close()
        task = asyncio.create_task(self._write(job, fields))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, job: Job, fields: Mapping[str, Any]) -> None:
        try:
            await self._ledger.job(fields, now=False)
        finally:
            self._worker.let_go(job.wish)


CANCELLED = Failure(
    code="cancelled", message="the job was cancelled", remedy="send it again", retryable=False
)


def _gone(job: Job, unknown: Refusal) -> Failure:
    """Why a job of an earlier run is not done."""
    return Failure(
        code="engine_gone",
        message=f"the job was left for the engine {job.wish.asked.engine!r}, and the server was "
        "started without it",
        remedy=f"send it again: {unknown.failure.remedy}",
        retryable=False,
    )


def _result(done: asyncio.Future[Done]) -> Done:
    try:
        return done.result()
    except Refusal as refusal:
        return Done(failure=refusal.failure)


def _end(job: Job, fields: Mapping[str, Any]) -> None:
    job.state, job.ended, job.key = fields["state"], fields["at"], fields.get("key")
    job.error = Failure(**fields["error"]) if fields.get("error") else None
    job.ticket = None


def _now() -> float:
    return round(time.time(), 3)
