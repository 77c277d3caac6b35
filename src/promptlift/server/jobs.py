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
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

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
    NO_VIDEO,
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
from promptlift.server.db import JobStore
from promptlift.server.engines import EnginePool, PooledEngine
from promptlift.server.errors import INTERNAL_ERROR, ApiError, failure_of
from promptlift.server.metrics import Metrics
from promptlift.server.scheduler import deadline_error
from promptlift.server.schemas import UPLOAD_ID, JobState, UpsampleRequest, VideoFields
from promptlift.server.uploads import Uploads, allowed_path
from promptlift.targets import target as find_target
from promptlift.text import check_short_prompt
from promptlift.types import EngineInfo, Role
from promptlift.video.source import Pictures, combined_content, content_of

__all__ = [
    "Event",
    "EventLog",
    "Job",
    "Jobs",
    "OtherRefs",
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


class VideoRef(NamedTuple):
    """A video that a client may use.

    Attributes:
        path: Where it is.
        name: What the client calls it.
        content: Hash of its content, where it is known.
    """

    path: Path
    name: str
    content: str | None


OtherRefs: TypeAlias = tuple[tuple[Role, VideoRef], ...]


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

    Attributes:
        last: The number of the event that says how the job ended, in every log.
        closed: Whether the job is over.
    """

    last: Final = 1_000_000

    def __init__(self) -> None:
        self.closed = False
        self._count = 0
        self._attempts = 0
        self._events: list[Event] = []
        self._changed = asyncio.Event()

    def add(self, name: str, data: Any) -> None:
        """Add an event, unless the job is over.

        Args:
            name: What kind of event it is.
            data: JSON, or what is to become JSON.
        """
        if not self.closed:
            number = 0
            if name not in ("attempt", "piece"):
                number = self._count = self._count + 1
            text = data if isinstance(data, str) else json.dumps(data)
            self._events.append(Event(number, name, text))
            self._wake()

    def add_text(self, piece: str | None) -> None:
        """Add to the draft of the answer; None throws it away and begins another."""
        if piece is None:
            self._attempts += 1
            self.add("attempt", {"number": self._attempts})
        else:
            self.add("piece", {"piece": piece})

    def close(self) -> None:
        """The job is over. Those who follow get the rest; for others it is forgotten."""
        self.closed = True
        self._events = []
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self, after: int = 0) -> AsyncGenerator[Event | None, None]:
        """Give each event after a number, and the draft from its beginning, as they come.

        Yields:
            The events; None now and then while nothing happens.
        """
        events, place = self._events, 0
        while True:
            # Taken first: what is added while a reader is slow wakes it again.
            changed = self._changed
            for event in events[place:]:
                place += 1
                if not 0 < event.number <= after:
                    yield event
            if self.closed and place == len(events):
                return
            try:
                async with asyncio.timeout(_KEEPALIVE_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield None


async def _key(
    job: Job,
    engine: EngineInfo,
    video: VideoRef | None,
    others: OtherRefs = (),
    options: Options | None = None,
) -> str:
    """The key of a job's result, or of that with other options."""

    async def read(ref: VideoRef) -> str:
        known = ref.content
        return await asyncio.to_thread(content_of, ref.path) if known is None else known

    prompt = check_short_prompt(job.fields.prompt)
    contents = [(role, await read(ref)) for role, ref in others]
    content = combined_content(NO_VIDEO if video is None else await read(video), contents)
    settings = settings_of(options or job.options, engine)
    return work_key(settings, content=content, short_prompt=prompt)


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
    if prepared is not None and prepared.error is None:
        if prepared.analysis is not None:
            events.add("facts", prepared.analysis.facts.model_dump_json())
        events.add("plan", _PLAN.dump_json(prepared.plan).decode())
        frames = [FrameInfo.of(frame).model_dump() for frame in prepared.frames]
        events.add("frames", {"frames": frames, "tokens": prepared.predicted_tokens})
    events.add("stage", {"stage": stage})


class Job(BaseModel):
    """One request, from its acceptance to its end.

    Attributes:
        id: 32 random hexadecimal digits.
        client: Who waits in the queue.
        fields: What is to be done; its video is named, not held.
        owner: The key that it came with.
        name: What the client calls the video.
        created: Seconds since 1970.
        state: How far it is.
        ended: When it ended; None before.
        key: The key of its result, once it has one.
        error: Why there is no answer.
        stored: Whether it outlives its connection and the server.
        watched: Whether somebody may follow its events.
        record: The record of one that is not stored, once it has ended.
        cached: Whether its result was stored before.
        events: What it reports.
        task: Its work with the wait in the queue; None for one that ended earlier.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    id: str
    client: str
    fields: UpsampleRequest
    owner: str
    name: str
    created: float
    state: JobState = "queued"
    ended: float | None = None
    key: str | None = None
    error: Failure | None = None
    stored: Annotated[bool, Field(exclude=True)] = True
    watched: Annotated[bool, Field(exclude=True)] = True
    record: Annotated[Record | None, Field(exclude=True)] = None
    cached: Annotated[bool, Field(exclude=True)] = False
    events: Annotated[EventLog, Field(exclude=True)] = Field(default_factory=EventLog)
    task: Annotated[Any, Field(exclude=True)] = None

    @cached_property
    def options(self) -> Options:
        """The options.

        Raises:
            OptionError: Some of them exclude each other, or name nothing.
        """
        return self.fields.options()

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("finished", "failed", "cancelled")

    def model_post_init(self, _: object) -> None:
        """Nothing more happens to one that was read and has ended."""
        self.events.closed = self.done

    def to_json(self) -> str:
        """As it is stored."""
        return self.model_dump_json(exclude_defaults=True)


@dataclass(eq=False)
class Jobs:
    """Does requests, many at once and each key once; holds the jobs that have not ended.

    Attributes:
        config: How the server is set up.
        store: Where jobs and results are written.
        engines: The engines, with the queues where requests wait.
        videos: Reads videos and remembers them.
        uploads: Videos that were sent; those of a request are kept until it has ended.
        metrics: Counts what was done.
    """

    config: ServerConfig
    store: JobStore
    engines: EnginePool
    videos: VideoCache
    uploads: Uploads
    metrics: Metrics

    def __post_init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._open: dict[str, Job] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._stopping = False

    def video_ref(self, fields: VideoFields, owner: str) -> VideoRef | None:
        """The video, or the picture of the first frame, that a request names; None for none.

        Raises:
            ApiError: There is none, or it may not have it.
        """
        if fields.upload_id is not None:
            return self._ref(fields.upload_id, owner)
        if fields.path is not None:
            path = allowed_path(self.config.allow_paths, fields.path)
            return VideoRef(path, path.name, None)
        return dict(self.other_refs(fields, owner)).get("first")

    def other_refs(self, fields: VideoFields, owner: str) -> OtherRefs:
        """The pictures that a request names beside or instead of a video; errors likewise."""
        return tuple((role, self._ref(name, owner)) for role, name in fields.other_pictures)

    def _ref(self, name: str, owner: str) -> VideoRef:
        if UPLOAD_ID.fullmatch(name):
            upload = self.uploads.get(name, owner)
            return VideoRef(self.uploads.path(upload), upload.name, upload.content)
        path = allowed_path(self.config.allow_paths, name)
        return VideoRef(path, path.name, None)

    async def accept(
        self,
        fields: UpsampleRequest,
        owner: str,
        client: str,
        *,
        stored: bool = True,
        watched: bool = True,
    ) -> Job:
        """Accept a job; once this returns, one that is stored is on the disk.

        Args:
            fields: What is to be done; its video is kept until it has ended.
            owner: The key that it came with.
            client: Who waits in the queue.
            stored: Whether it outlives its connection and the server. One that does not has ended
                already where its result is stored.
            watched: Whether somebody may follow its events.

        Raises:
            ApiError: The video or the engine does not exist, or the queue is full.
            InputError: The prompt or an option is at fault.
            OutputError: It cannot be written.
        """
        video, others = self.video_ref(fields, owner), self.other_refs(fields, owner)
        prompt = check_short_prompt(fields.prompt)
        if not fields.has_pictures and not prompt:
            raise ApiError(
                422,
                "no_video",
                "the request has neither a video nor a prompt",
                remedy="send a video in the form field video, give upload_id, or a prompt",
            )
        info = self.engines.get(fields.engine).info
        job = Job(
            id=secrets.token_hex(16),
            client=client,
            fields=fields,
            owner=owner,
            name=video.name if video else "",
            created=_now(),
            stored=stored,
            watched=watched,
        )
        goal = find_target(job.options.target)
        if info is not None and not (stored or fields.fresh):
            key = await _key(job, info, video, others)
            if self._find_result(job, key):
                job.state = "failed" if job.error else "finished"
                job.events.close()
                return job
        written = asyncio.Event()
        self._enqueue(job, start=written)
        if stored:
            try:
                search = " ".join((job.name, prompt, goal.name, fields.engine or ""))
                await self.store.add_job(job.id, owner, search, job.to_json())
            except BaseException:
                del self._open[job.id]
                self.uploads.release(fields.upload_ids)
                job.task.cancel()
                raise
        written.set()
        return job

    def recover(self) -> int:
        """Take up again what was accepted and has not ended.

        One that was left for an engine that is gone fails, rather than ask another.

        Returns:
            How many jobs have not ended.
        """
        jobs = [Job.model_validate_json(text) for text in self.store.open_jobs()]
        for job in jobs:
            try:
                self._enqueue(job, force=True)
            except ApiError as error:
                self._open[job.id] = job
                self.uploads.hold(job.fields.upload_ids)
                self._conclude(job, "failed", error.failure)
        return len(jobs)

    def get(self, job_id: str, owner: str) -> Job:
        """The job of that id.

        Raises:
            ApiError: There is none, or it came with another key.
        """
        job = self._open.get(job_id)
        if job is None and (text := self.store.job(job_id, owner)):
            job = Job.model_validate_json(text)
        if job is None or job.owner != owner:
            raise ApiError(
                404,
                "job_not_found",
                "there is no such job",
                remedy="list the jobs with GET /v1/jobs; --keep deletes old ones",
            )
        return job

    async def newest(self, owner: str, limit: int) -> list[Job]:
        """The newest jobs of a key, the newest first."""
        return [self._current(text) for text, _ in await self.store.search(owner, (), limit)]

    async def search(
        self, owner: str, words: Iterable[str], limit: int
    ) -> list[tuple[Job, Record | None]]:
        """The newest jobs of a key that have all of these words, with their records.

        A word may be in the video's name, the short prompt, the target, the engine's label, the
        state or the long prompt.
        """
        return [
            (self._current(text), Record.model_validate_json(record) if record else None)
            for text, record in await self.store.search(owner, words, limit)
        ]

    async def cancel(self, job: Job) -> None:
        """Take a job out, or end it, and store that; one that has ended stays as it is."""
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait([job.task], timeout=_CANCEL_SECONDS)
            if self._writing:  # a kill from now on does not bring it back
                await asyncio.wait(self._writing, timeout=_CANCEL_SECONDS)

    def record(self, job: Job) -> Record | None:
        """The record of a job that has ended; None where it has none, or another stands."""
        if not job.stored:
            return job.record
        text = self.store.result(job.key) if job.done and job.key else None
        record = Record.model_validate_json(text) if text else None
        if record is None or (record.error is None) != (job.error is None):
            return None
        return _renamed(record, job.name)

    async def states(self, owner: str, job_ids: Sequence[str]) -> dict[str, str]:
        """The states of a key's jobs by id; where one has finished, the status of its record."""
        states = await self.store.states(owner, job_ids)
        return {
            job_id: self._open[job_id].state if job_id in self._open else state
            for job_id, state in states.items()
        }

    async def settle(self) -> None:
        """Wait until everything that ended is written."""
        while self._writing:
            await asyncio.wait(self._writing)

    def stop(self) -> None:
        """From now on what is broken off has not ended: the next start goes on with it."""
        self._stopping = True

    def _current(self, text: str) -> Job:
        job = Job.model_validate_json(text)
        return self._open.get(job.id, job)

    def _enqueue(
        self, job: Job, *, force: bool = False, start: asyncio.Event | None = None
    ) -> None:
        fields, longest = job.fields, self.config.deadline

        async def work() -> None:
            if start is not None:
                await start.wait()
            job.state = "running"
            try:
                async with asyncio.timeout(longest):
                    await self._answer(job)
            except TimeoutError:
                raise deadline_error() from None
            except PromptliftError as error:
                job.error = failure_of(error)
            except ApiError:
                raise
            except Exception:  # noqa: BLE001 - whatever it is, it is logged and ends this job only
                _LOG.exception("a job broke")
                job.error = INTERNAL_ERROR

        seconds = fields.deadline
        if seconds is not None:
            seconds -= _now() - job.created
        if not job.stored:
            seconds = min(seconds or longest, longest)
        queue = self.engines.get(fields.engine).queue
        job.task = queue.submit(job.client, work, seconds=seconds, force=force)
        self.uploads.hold(fields.upload_ids)
        self._open[job.id] = job
        job.events.add("queued", {"waiting": queue.waiting})
        job.task.add_done_callback(partial(self._over, job))

    def _over(self, job: Job, task: asyncio.Task[None]) -> None:
        """Say how a job ended, unless the server does: then it has not."""
        error = None if task.cancelled() else task.exception()
        broken = error is not None or task.cancelled()
        if job.id not in self._open or (job.stored and self._stopping and broken):
            job.events.close()
        elif task.cancelled():
            self._conclude(job, "cancelled", _CANCELLED)
        else:
            failure = error.failure if isinstance(error, ApiError) else job.error
            self._conclude(job, "failed" if failure else "finished", failure)

    def _conclude(self, job: Job, state: JobState, error: Failure | None) -> None:
        job.state, job.ended, job.error = state, _now(), error
        job.events.close()
        write = asyncio.create_task(self._write_end(job))
        self._writing.add(write)
        write.add_done_callback(self._writing.discard)

    async def _write_end(self, job: Job) -> None:
        try:
            if job.stored:
                job.record = None
                assert job.ended is not None
                await self.store.end_job(job.id, job.state, job.ended, job.key, job.to_json())
            del self._open[job.id]
        finally:
            self.uploads.release(job.fields.upload_ids)

    async def _answer(self, job: Job) -> None:
        """Do a job, or answer it with what is stored once it has a key.

        Raises:
            ApiError: The video does not exist any more.
            PromptliftError: It cannot be done.
        """
        fields, events = job.fields, job.events
        video, others = self.video_ref(fields, job.owner), self.other_refs(fields, job.owner)
        refs = [*([video] if video else []), *(ref for _, ref in others)]
        source = video.path if video else None
        given = Pictures(
            None if "first" in dict(others) else source,
            tuple((role, ref.path) for role, ref in others),
        )
        engine = self.engines.get(fields.engine)
        profile = await profile_of(engine.engine, images=fields.has_pictures)
        engine.info = profile.info
        key = await _key(job, profile.info, video, others)
        # The same work is done by one at a time, so that the others find it done.
        async with self._locks.setdefault(key, asyncio.Lock()):
            if not fields.fresh and self._find_result(job, key):
                return
            progress = partial(_add_progress, events) if job.watched else None
            again = partial(
                prepare,
                given,
                fields.prompt,
                job.options,
                profile,
                self.videos,
                with_frames=job.watched,  # they are shown, also where no model sees them
            )
            outcome = await answer(
                await again(progress=progress),
                engine.engine,
                prepare_smaller=again,
                progress=progress,
                on_text=events.add_text if job.watched else None,
                others=await self._others(job, profile.info, video, others),
            )
            failure = (
                failure_of(outcome.error, *(ref.path for ref in refs)) if outcome.error else None
            )
            record = _renamed(outcome.record, job.name)
            pictures = tuple(
                one.model_copy(update={"name": ref.name})
                for one, (_, ref) in zip(
                    record.pictures, (one for one in others if one[0] != "first"), strict=False
                )
            )
            record = record.model_copy(update={"error": failure, "pictures": pictures})
            self._count(engine, record)
            if failure is None:
                events.add("text", {"text": record.prompt, "status": record.status})
            if _is_final(outcome.error):
                await self.store.put_result(key, record)
            job.key, job.record, job.error = key, record, failure

    async def _others(
        self, job: Job, engine: EngineInfo, video: VideoRef | None, others: OtherRefs
    ) -> dict[int, str]:
        """The prompts of the variations before this one, as far as they are stored."""
        found: dict[int, str] = {}
        for number in range(1, job.options.variation):
            key = await _key(job, engine, video, others, job.options.merged({"variation": number}))
            if text := self.store.result(key):
                found[number] = Record.model_validate_json(text).prompt or ""
        return found

    def _find_result(self, job: Job, key: str) -> bool:
        """End a job with the result that is stored for its key, where there is one."""
        if (text := self.store.result(key)) is None:
            return False
        self.metrics.cached_results.inc()
        record = _renamed(Record.model_validate_json(text), job.name)
        job.key, job.record, job.error, job.cached = key, record, record.error, True
        return True

    def _count(self, engine: PooledEngine, record: Record) -> None:
        self.metrics.items.labels(engine.label, record.status).inc()
        for stage, seconds in record.timings.items():
            self.metrics.stages.labels(engine.label, stage).observe(seconds)
        tokens = self.metrics.tokens
        tokens.labels(engine.label, "prompt").inc(record.tokens.actual or 0)
        tokens.labels(engine.label, "completion").inc(record.tokens.completion or 0)
        code = record.error.code if record.error else record.status
        prompt = f" prompt={record.short_prompt!r}" if self.config.log_prompts else ""
        _LOG.info("item %s: %s%s", (record.key or "-")[:12], code, prompt)


def _now() -> float:
    return round(time.time(), 3)
