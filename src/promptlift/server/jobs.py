"""The work: what a client asks for, what it reports while it runs, what came of it.

A job is on the disk before the client is told of it, is done once for each key, and is taken up
again by the next start where a kill ended it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, cast
from weakref import WeakValueDictionary

from fastapi.sse import format_sse_event
from pydantic import TypeAdapter

from promptlift.errors import (
    BudgetError,
    InputError,
    ItemEngineError,
    OptionError,
    PromptliftError,
    VideoNotFound,
    VideoTimeout,
)
from promptlift.options import Options
from promptlift.pipeline import (
    Prepared,
    Stage,
    VideoCache,
    answer,
    prepare,
    profile_of,
    settings_of,
    work_key,
)
from promptlift.planning import Plan
from promptlift.record import Failure, FrameInfo, Record
from promptlift.server.config import ServerConfig
from promptlift.server.db import JobRow, JobStore
from promptlift.server.engines import EnginePool, PooledEngine
from promptlift.server.errors import INTERNAL_ERROR, ApiError, failure_of
from promptlift.server.metrics import Metrics
from promptlift.server.scheduler import Ticket, deadline_error
from promptlift.server.schemas import JobState, UpsampleRequest, VideoFields
from promptlift.server.uploads import Uploads, allowed_path
from promptlift.text import check_short_prompt
from promptlift.types import EngineInfo
from promptlift.video.source import content_of

__all__ = [
    "Event",
    "EventLog",
    "Job",
    "JobRequest",
    "JobResult",
    "Jobs",
    "VideoRef",
]

_LOG = logging.getLogger("promptlift.server")

_KEEPALIVE_SECONDS = 10.0
_CANCEL_SECONDS = 5.0
# These may pass, so they are not stored as the result of their key.
_PASSING = (VideoTimeout, VideoNotFound, OptionError)
_PLAN: TypeAdapter[Plan | None] = TypeAdapter(Plan | None)
_CANCELLED = Failure(
    code="cancelled",
    message="the job was cancelled",
    remedy="submit the job again",
    retryable=False,
)


@dataclass(frozen=True)
class JobRequest:
    """What a client asks for, in a form that outlives the server.

    Attributes:
        fields: The request; its video is named, not held.
        owner: The key that it came with.
        name: What the client calls the video.
    """

    fields: UpsampleRequest
    owner: str
    name: str

    @cached_property
    def options(self) -> Options:
        """The options.

        Raises:
            OptionError: Some of them exclude each other, or name nothing.
        """
        return self.fields.options()

    @cached_property
    def prompt(self) -> str:
        """The short prompt, checked.

        Raises:
            InputError: It cannot be one.
        """
        return check_short_prompt(self.fields.prompt)

    def key(self, engine: EngineInfo, content: str) -> str:
        """The key of its result.

        Args:
            engine: Who is asked.
            content: Hash of the video's content.
        """
        settings = settings_of(self.options, engine)
        return work_key(settings, content=content, short_prompt=self.prompt)

    def to_json(self) -> str:
        """As it is stored."""
        fields = self.fields.model_dump(mode="json", exclude_defaults=True)
        return json.dumps({"fields": fields, "name": self.name})

    @classmethod
    def from_json(cls, text: str, owner: str) -> Self:
        """The same again."""
        stored = json.loads(text)
        return cls(UpsampleRequest(**stored["fields"]), owner, stored["name"])


@dataclass(frozen=True, slots=True)
class VideoRef:
    """A video that a client may use.

    Attributes:
        path: Where it is.
        name: What the client calls it.
        content: Hash of its content, where it is known.
    """

    path: Path
    name: str
    content: str | None


@dataclass(frozen=True)
class JobResult:
    """What came of a request.

    Attributes:
        key: The key of the result; None if it failed before there was one.
        record: The record; None if it failed before there was one.
        failure: Why there is no answer; None where there is one.
        cached: Whether it was stored before.
    """

    key: str | None = None
    record: Record | None = None
    failure: Failure | None = None
    cached: bool = False

    @cached_property
    def text(self) -> str:
        """The record as JSON."""
        assert self.record is not None
        return self.record.model_dump_json()


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a job.

    Attributes:
        number: Place in its log, from 1; 0 for pieces of a draft, which have no place.
        name: ``queued``, ``stage``, ``facts``, ``plan``, ``frames``, ``text``; of a draft
            ``attempt`` and ``piece``; and at the end ``record`` or ``error``.
        data: JSON.
    """

    number: int
    name: str
    data: str

    def encode(self) -> bytes:
        """As a server-sent event."""
        number = str(self.number) if self.number else None
        return format_sse_event(data_str=self.data, event=self.name, id=number)


class EventLog:
    """The events of one job, in their order. Who joins late gets all of them.

    How the job ended is not among them: whoever follows says it from what the job has become, so
    that thousands of logs hold no records.

    Besides, it holds the answer as far as it is written. Whoever follows gets what it lacks of it,
    so that a slow reader gets few large pieces and costs no memory.

    Args:
        count: How many events there were, for the log of a job that has ended.
    """

    def __init__(self, count: int | None = None) -> None:
        self.closed = count is not None
        self._count = count or 0
        self._draft = ""
        self._attempt = 0
        self._events: list[Event] = []
        self._changed = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the event that says how the job ended."""
        return self._count + 1

    def add(self, name: str, data: Any) -> None:
        """Add an event, unless the job is over.

        Args:
            name: What kind of event it is.
            data: JSON, or what is to become JSON.
        """
        if self.closed:
            return
        self._count += 1
        text = data if isinstance(data, str) else json.dumps(data)
        self._events.append(Event(self._count, name, text))
        self._wake()

    def add_text(self, piece: str | None) -> None:
        """Add to the draft of the answer; None throws it away and begins another."""
        if self.closed:
            return
        if piece is None:
            self._attempt += 1
        self._draft = "" if piece is None else self._draft + piece
        self._wake()

    def end_draft(self) -> None:
        """Forget the draft: the answer is there."""
        self._draft = ""
        self._attempt = 0

    def close(self) -> None:
        """The job is over. Those who follow get the rest; for others it is forgotten."""
        self.closed = True
        self._events = []
        self.end_draft()
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self, after: int = 0) -> AsyncIterator[Event | None]:
        """Give each event after a number, as it comes; None now and then while nothing happens."""
        events, place = self._events, max(0, after)
        attempt, length = 0, 0
        while True:
            # Taken first: what is added while a reader is slow wakes it again.
            changed = self._changed
            for event in events[place:]:
                place += 1
                yield event
            if self.closed and place >= len(events):
                return
            if self._attempt and self._attempt != attempt:
                attempt, length = self._attempt, 0
                yield Event(0, "attempt", json.dumps({"number": attempt}))
            if self._attempt == attempt and len(self._draft) > length:
                piece, length = self._draft[length:], len(self._draft)
                yield Event(0, "piece", json.dumps({"piece": piece}))
            try:
                async with asyncio.timeout(_KEEPALIVE_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield None


async def _content_of(video: VideoRef) -> str:
    if video.content is not None:
        return video.content
    return await asyncio.to_thread(content_of, video.path)


def _renamed(record: Record, name: str) -> Record:
    """The record with the name that this client gave to the video."""
    return record.model_copy(update={"video": record.video.model_copy(update={"name": name})})


def _is_final(error: PromptliftError | None) -> bool:
    """Whether a repetition would come to the same."""
    if error is None:
        return True
    final = isinstance(error, InputError | BudgetError | ItemEngineError)
    return final and not isinstance(error, _PASSING)


def _add_progress(events: EventLog, stage: Stage, prepared: Prepared | None) -> None:
    """Turn a stage of the pipeline into events; the facts are the same at each further plan."""
    if prepared is not None and prepared.analysis is not None:
        events.add("facts", prepared.analysis.facts.model_dump_json())
        events.add("plan", _PLAN.dump_json(prepared.plan).decode())
        frames = [FrameInfo.of(frame).model_dump() for frame in prepared.frames]
        events.add("frames", {"frames": frames, "tokens": prepared.predicted_tokens})
    events.add("stage", {"stage": stage})


@dataclass(slots=True)
class Job:
    """One accepted request.

    Attributes:
        id: 32 random hexadecimal digits.
        client: Who waits in the queue.
        request: What is to be done.
        state: How far it is.
        created: Seconds since 1970.
        ended: When it ended; None before.
        key: The key of its result, once it has ended.
        error: Why there is no answer.
        events: What it reports.
        ticket: Its place in the queue; None once it has ended.
    """

    id: str
    client: str
    request: JobRequest
    state: JobState
    created: float
    ended: float | None = None
    key: str | None = None
    error: Failure | None = None
    events: EventLog = field(default_factory=EventLog)
    ticket: Ticket[JobResult] | None = None

    @property
    def owner(self) -> str:
        """The key that it came with."""
        return self.request.owner

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("finished", "failed", "cancelled")

    def to_row(self) -> JobRow:
        """As it is stored."""
        return JobRow(
            self.id,
            self.owner,
            self.client,
            self.created,
            self.request.to_json(),
            self.state,
            self.ended,
            self.key,
            self.error.model_dump_json() if self.error else None,
            self.events.last - 1,
        )

    @classmethod
    def from_row(cls, row: JobRow) -> Self:
        """The same again; one that has not ended is queued."""
        return cls(
            row.id,
            row.client,
            JobRequest.from_json(row.request, row.owner),
            cast(JobState, row.state),
            row.created,
            row.ended,
            row.key,
            Failure.model_validate_json(row.error) if row.error else None,
            EventLog(count=row.events if row.ended is not None else None),
        )


class Jobs:
    """Does requests, many at once and each key once; holds the jobs that have not ended.

    Args:
        config: How the server is set up.
        store: Where jobs and results are written.
        engines: The engines, with the queues where requests wait.
        videos: Reads videos and remembers them.
        uploads: Videos that were sent; those of a request are kept until it has ended.
        metrics: Counts what was done.
    """

    def __init__(
        self,
        config: ServerConfig,
        store: JobStore,
        engines: EnginePool,
        videos: VideoCache,
        uploads: Uploads,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._store = store
        self._engines = engines
        self._videos = videos
        self._uploads = uploads
        self._metrics = metrics
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._open: dict[str, Job] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._stopping = False

    def video_ref(self, fields: VideoFields, owner: str) -> VideoRef:
        """The video that a request names.

        Raises:
            ApiError: There is none, it names none, or it may not have it.
        """
        if fields.upload_id is not None:
            upload = self._uploads.get(fields.upload_id, owner)
            return VideoRef(self._uploads.path(upload), upload.name, upload.content)
        if fields.path is not None:
            path = allowed_path(self._config.allow_paths, fields.path)
            return VideoRef(path, path.name, None)
        raise ApiError(
            422,
            "no_video",
            "the request names no video",
            remedy="send one in the form field video, or give upload_id",
        )

    async def stored(self, request: JobRequest) -> JobResult | None:
        """The result that is stored, without asking any engine; None where there is none.

        Raises:
            ApiError: The video or the engine does not exist.
            InputError: The prompt or an option is at fault.
        """
        info = self._engines.get(request.fields.engine).info
        video = self.video_ref(request.fields, request.owner)
        _ = request.options, request.prompt  # they raise what is wrong with them
        if request.fields.fresh or info is None:
            return None
        return self._lookup(request.key(info, await _content_of(video)), video)

    def submit(
        self, request: JobRequest, client: str, events: EventLog | None
    ) -> Ticket[JobResult]:
        """Put a request into its engine's queue, for a client that waits for it.

        Raises:
            ApiError: The queue is full, or there is no such engine.
        """
        queue = self._engines.get(request.fields.engine).queue
        limit = min(request.fields.deadline or self._config.deadline, self._config.deadline)
        ticket = queue.submit(client, partial(self._run, request, events), seconds=limit)
        self._uploads.hold(request.fields.upload_id)
        ticket.done.add_done_callback(lambda _: self._uploads.release(request.fields.upload_id))
        if events is not None:
            events.add("queued", {"waiting": queue.waiting})
        return ticket

    async def accept(self, request: JobRequest, client: str) -> Job:
        """Accept a job; once this returns, it is on the disk.

        Args:
            request: What is to be done; its video is kept until it has ended.
            client: Who waits in the queue.

        Raises:
            ApiError: The queue is full, or there is no such engine.
            OptionError: Options exclude each other, or name nothing.
            OutputError: It cannot be written.
        """
        job = Job(secrets.token_hex(16), client, request, "queued", _now())
        stored = asyncio.Event()
        try:
            _ = request.options
            self._enqueue(job, start=stored)
            fields = request.fields
            search = (request.name, fields.prompt, request.options.target, fields.engine or "")
            await self._store.add_job(job.to_row(), " ".join(search))
        except BaseException:
            if self._open.pop(job.id, None) is not None and job.ticket is not None:
                self._uploads.release(job.request.fields.upload_id)
                job.ticket.cancel()
            raise
        stored.set()
        return job

    def recover(self) -> int:
        """Take up again what was accepted and has not ended.

        One that was left for an engine that is gone fails, rather than ask another.

        Returns:
            How many jobs go back into a queue.
        """
        back = 0
        for row in self._store.open_jobs():
            job = Job.from_row(row)
            try:
                self._enqueue(job, force=True)
                back += 1
            except ApiError as error:
                failure = Failure(
                    code="engine_gone",
                    message=f"the job was left for the engine {job.request.fields.engine!r}, and "
                    "the server was started without it",
                    remedy=f"send it again: {error.failure.remedy}",
                    retryable=False,
                )
                self._open[job.id] = job
                self._uploads.hold(job.request.fields.upload_id)
                self._conclude(job, "failed", JobResult(failure=failure))
        return back

    def get(self, job_id: str, owner: str) -> Job:
        """The job of that id.

        Raises:
            ApiError: There is none, or it came with another key.
        """
        job = self._open.get(job_id)
        if job is None and (row := self._store.job(job_id, owner)):
            job = Job.from_row(row)
        if job is None or job.owner != owner:
            raise ApiError(
                404,
                "job_not_found",
                "there is no such job",
                remedy="list the jobs with GET /v1/jobs; --keep deletes old ones",
            )
        return job

    def newest(self, owner: str, limit: int) -> list[Job]:
        """The newest jobs of a key, the newest first."""
        return [self._of(row) for row in self._store.jobs(owner, limit)]

    async def search(
        self, owner: str, words: Iterable[str], limit: int
    ) -> list[tuple[Job, Record | None]]:
        """The newest jobs of a key that have all of these words, with their records.

        A word may be in the video's name, the short prompt, the target, the engine's label, the
        state or the long prompt.
        """
        found = await self._store.search(owner, words, limit)
        return [
            (self._of(row), Record.model_validate_json(record) if record else None)
            for row, record in found
        ]

    async def cancel(self, job: Job) -> None:
        """Take a job out, or end it; one that has ended stays as it is."""
        if job.done or job.ticket is None:
            return
        done = job.ticket.done
        job.ticket.cancel()
        await asyncio.wait([done], timeout=_CANCEL_SECONDS)
        await asyncio.sleep(0)  # for the callback that says so in the job

    def record(self, job: Job) -> Record | None:
        """The record of a job that has ended; None where it has none, or another stands."""
        if not job.done or job.key is None or (found := self._store.result(job.key)) is None:
            return None
        record = Record.model_validate_json(found.record)
        if (record.error is None) != (job.error is None):
            return None
        return _renamed(record, job.request.name)

    async def states(self, owner: str, job_ids: Sequence[str]) -> dict[str, str]:
        """The states of a key's jobs by id; where one has finished, the status of its record."""
        states = await self._store.states(owner, job_ids)
        return {
            job_id: self._open[job_id].state if job_id in self._open else state
            for job_id, state in states.items()
        }

    async def settle(self) -> None:
        """Wait until everything that ended is written."""
        while self._writing:
            await asyncio.wait(self._writing)

    def stop(self) -> None:
        """From now on what is cancelled has not ended: the next start goes on with it."""
        self._stopping = True

    def _of(self, row: JobRow) -> Job:
        return self._open.get(row.id) or Job.from_row(row)

    def _enqueue(
        self, job: Job, *, force: bool = False, start: asyncio.Event | None = None
    ) -> None:
        async def work() -> JobResult:
            if start is not None:
                await start.wait()
            job.state = "running"
            return await self._run(job.request, job.events)

        queue = self._engines.get(job.request.fields.engine).queue
        limit = job.request.fields.deadline
        left = None if limit is None else limit - (_now() - job.created)
        job.ticket = queue.submit(job.client, work, seconds=left, force=force)
        self._uploads.hold(job.request.fields.upload_id)
        self._open[job.id] = job
        job.events.add("queued", {"waiting": queue.waiting})
        job.ticket.done.add_done_callback(lambda done: self._over(job, done))

    def _over(self, job: Job, done: asyncio.Future[JobResult]) -> None:
        """Say how a job ended, unless the server does: then it has not."""
        if job.id not in self._open or (done.cancelled() and self._stopping):
            job.events.close()
            return
        if done.cancelled():
            self._conclude(job, "cancelled", JobResult(failure=_CANCELLED))
            return
        try:
            result = done.result()
        except ApiError as error:
            result = JobResult(failure=error.failure)
        self._conclude(job, "failed" if result.failure else "finished", result)

    def _conclude(self, job: Job, state: JobState, result: JobResult) -> None:
        job.state, job.ended, job.key = state, _now(), result.key
        job.error, job.ticket = result.failure, None
        job.events.close()
        task = asyncio.create_task(self._write_end(job))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_end(self, job: Job) -> None:
        try:
            await self._store.end_job(job.to_row())
            del self._open[job.id]
        finally:
            self._uploads.release(job.request.fields.upload_id)

    async def _run(self, request: JobRequest, events: EventLog | None) -> JobResult:
        """Do a request, or answer it with what is stored once it has a key.

        Raises:
            ApiError: The video does not exist any more, or the time is over.
        """
        try:
            async with asyncio.timeout(self._config.deadline):
                return await self._answer(request, events)
        except TimeoutError:
            raise deadline_error() from None
        except PromptliftError as error:
            return JobResult(failure=failure_of(error))
        except ApiError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and ends this job only
            _LOG.exception("a job broke")
            return JobResult(failure=INTERNAL_ERROR)

    async def _answer(self, request: JobRequest, events: EventLog | None) -> JobResult:
        video = self.video_ref(request.fields, request.owner)
        engine = self._engines.get(request.fields.engine)
        profile = await profile_of(engine.engine)
        engine.info = profile.info
        key = request.key(profile.info, await _content_of(video))
        # The same work is done by one at a time, so that the others find it done.
        async with self._locks.setdefault(key, asyncio.Lock()):
            if not request.fields.fresh and (found := self._lookup(key, video)):
                return found
            again = partial(
                prepare,
                video.path,
                request.prompt,
                request.options,
                profile,
                self._videos,
                with_frames=events is not None,  # they are shown, also where no model sees them
            )
            progress = None if events is None else partial(_add_progress, events)
            outcome = await answer(
                await again(progress=progress),
                engine.engine,
                prepare_smaller=again,
                progress=progress,
                on_text=None if events is None else events.add_text,
            )
            failure = failure_of(outcome.error, video.path) if outcome.error else None
            record = _renamed(outcome.record, video.name)
            record = record.model_copy(update={"error": failure})
            self._count(engine, record)
            if events is not None:
                await asyncio.sleep(0)  # whoever keeps up with the draft has the rest of it now
                events.end_draft()
                if failure is None:
                    events.add("text", {"text": record.prompt, "status": record.status})
            result = JobResult(key, record, failure)
            if _is_final(outcome.error):
                await self._store.put_result(key, record, result.text)
            return result

    def _lookup(self, key: str, video: VideoRef) -> JobResult | None:
        found = self._store.result(key)
        if found is None or found.retryable:
            return None
        self._metrics.cached_results.inc()
        record = _renamed(Record.model_validate_json(found.record), video.name)
        return JobResult(key, record, record.error, cached=True)

    def _count(self, engine: PooledEngine, record: Record) -> None:
        self._metrics.items.labels(engine.label, record.status).inc()
        for stage, seconds in record.timings.items():
            self._metrics.stages.labels(engine.label, stage).observe(seconds)
        for kind, tokens in (
            ("prompt", record.tokens.actual),
            ("completion", record.tokens.completion),
        ):
            if tokens:
                self._metrics.tokens.labels(engine.label, kind).inc(tokens)
        code = record.error.code if record.error else record.status
        prompt = f" prompt={record.short_prompt!r}" if self._config.log_prompts else ""
        _LOG.info("item %s: %s%s", (record.key or "-")[:12], code, prompt)


def _now() -> float:
    return round(time.time(), 3)
