"""One job: where its video is, which key it has, whether it was done before; else it is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from promptlift.core.record import Failure, FrameSeen, Planned, Record
from promptlift.errors import (
    BudgetError,
    InputError,
    ItemEngineError,
    OptionError,
    PromptliftError,
    VideoNotFound,
    VideoTimeout,
)
from promptlift.pipeline.draft import Draft, Stage
from promptlift.pipeline.item import Outcome, upsample_item
from promptlift.pipeline.sights import Sights
from promptlift.server.errors import Refusal, failure_of
from promptlift.server.events import Feed
from promptlift.server.lanes import Lane, Lanes
from promptlift.server.ledger import Ledger
from promptlift.server.metrics import Metrics
from promptlift.server.models import VideoNamed
from promptlift.server.paths import AllowedPaths
from promptlift.server.queue import too_late
from promptlift.server.turns import Turn, Turns
from promptlift.server.uploads import Uploads
from promptlift.server.wishes import Done, Place, Wish

__all__ = ["BROKEN", "Worker", "named"]

_LOG = logging.getLogger("promptlift.server")

BROKEN = Failure(
    code="internal",
    message="something broke inside the server",
    remedy="look at its log, and report it",
    retryable=False,
)
# These may be otherwise the next time, so they do not stand for their key.
_PASSING = (VideoTimeout, VideoNotFound, OptionError)


class Worker:
    """Does jobs, for as many as ask at once.

    Args:
        lanes: Who is asked.
        sights: Who looks at videos.
        ledger: What was done before, and where it is written.
        uploads: The videos that were sent.
        paths: The files that may be named.
        metrics: Told of what was done.
        content_of: Hashes a file.
        seconds: The most that one job may take.
        log_prompts: Whether the log holds the prompts.
    """

    def __init__(
        self,
        lanes: Lanes,
        sights: Sights,
        *,
        ledger: Ledger,
        uploads: Uploads,
        paths: AllowedPaths,
        metrics: Metrics,
        content_of: Callable[[Path], Awaitable[str]],
        seconds: float,
        log_prompts: bool,
    ) -> None:
        self._lanes = lanes
        self._sights = sights
        self._ledger = ledger
        self._uploads = uploads
        self._paths = paths
        self._metrics = metrics
        self._content_of = content_of
        self._seconds = seconds
        self._log_prompts = log_prompts
        self._turns = Turns()
        self._under_way: dict[str, tuple[asyncio.Lock, int]] = {}

    def hold(self, wish: Wish) -> None:
        """Keep the video for as long as the wish needs it."""
        if wish.asked.upload_id is not None:
            self._uploads.hold(wish.asked.upload_id)

    def let_go(self, wish: Wish) -> None:
        """The wish needs it no longer."""
        if wish.asked.upload_id is not None:
            self._uploads.let_go(wish.asked.upload_id)

    def place(self, named: VideoNamed, owner: str) -> Place:
        """The video that a request names.

        Raises:
            Refusal: There is none, it names none, or it may not have it.
        """
        if named.upload_id is not None:
            upload = self._uploads.get(named.upload_id, owner)
            return Place(self._uploads.path(upload), upload.name, upload.content)
        if named.path is not None:
            path = self._paths.resolve(named.path)
            return Place(path, path.name, None)
        raise Refusal(
            422,
            "no_video",
            "the request names no video",
            remedy="send one in the form field video, or give upload_id",
        )

    async def known(self, wish: Wish) -> Done | None:
        """The answer that the journal has, without waking anybody; None where it has none.

        Raises:
            Refusal: The video or the engine is not there.
            InputError: The prompt or an option is at fault.
        """
        who = self._lanes.get(wish.asked.engine).info
        place = self.place(wish.asked, wish.owner)
        wish.check()
        if wish.asked.fresh or who is None:
            return None
        content = place.content or await self._content_of(place.path)
        return self._written(wish.key(who, content), place)

    async def do(self, wish: Wish, feed: Feed) -> Done:
        """Do a job, or answer it from the journal.

        Args:
            wish: The job.
            feed: Is told of it.

        Raises:
            Refusal: The video is not there any more, or the time is over.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._do(wish, feed)
        except TimeoutError:
            raise too_late() from None
        except PromptliftError as error:
            return Done(failure=failure_of(error), error=error)
        except Refusal:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and ends this job only
            # A defect of ours costs one job; the log has what there is to know of it.
            _LOG.exception("a job broke")
            return Done(failure=BROKEN)

    async def _do(self, wish: Wish, feed: Feed) -> Done:
        before = await self.known(wish)
        if before is not None:
            return before
        place = self.place(wish.asked, wish.owner)
        lane = self._lanes.get(wish.asked.engine)
        who = await lane.describe()
        content = place.content or await self._content_of(place.path)
        key = wish.key(who, content)
        async with self._alone(key):
            known = None if wish.asked.fresh else self._written(key, place)
            if known is not None:
                return known
            outcome = await self._upsampled(wish, place, lane, feed)
            self._count(lane, outcome.record)
            return await self._taken_in(key, outcome, place, feed)

    async def _upsampled(self, wish: Wish, place: Place, lane: Lane, feed: Feed) -> Outcome:
        turn = await self._turns.take()
        try:
            return await upsample_item(
                place.path,
                wish.prompt,
                lane.engine,
                wish.options,
                progress=_Telling(feed, turn),
                telling=feed.write if feed.followed else None,
                sights=self._sights,
            )
        finally:
            turn.end()

    async def _taken_in(self, key: str, outcome: Outcome, place: Place, feed: Feed) -> Done:
        record = named(outcome.record, place.name)
        failure = failure_of(outcome.error, place.path) if outcome.error else None
        record = record.model_copy(update={"error": failure})
        await asyncio.sleep(0)  # whoever keeps up with the draft has the rest of it now
        feed.end_draft()
        if failure is None:
            feed.tell("text", {"text": record.prompt, "status": record.status})
        done = Done(key, record, failure, outcome.error)
        if _stands(outcome.error):
            await self._ledger.result(key, record, done.text)
        return done

    def _written(self, key: str, place: Place) -> Done | None:
        standing = self._ledger.standing(key)
        if standing is None or standing.retryable:
            return None
        self._metrics.from_journal.inc()
        record = named(self._ledger.record(key), place.name)
        return Done(key, record, record.error, cached=True)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Let the same work be done by one at a time, so that the others find it done."""
        lock, users = self._under_way.get(key, (asyncio.Lock(), 0))
        self._under_way[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._under_way.pop(key)
            if users > 1:
                self._under_way[key] = (lock, users - 1)

    def _count(self, lane: Lane, record: Record) -> None:
        self._metrics.items.labels(lane.label, record.status).inc()
        for stage, seconds in record.timings.items():
            self._metrics.stages.labels(lane.label, stage).observe(seconds)
        if record.tokens.actual:
            self._metrics.tokens.labels(lane.label, "prompt").inc(record.tokens.actual)
        if record.tokens.completion:
            self._metrics.tokens.labels(lane.label, "completion").inc(record.tokens.completion)
        code = record.error.code if record.error else record.status
        said = f" prompt={record.short_prompt!r}" if self._log_prompts else ""
        _LOG.info("item %s: %s%s", (record.key or "-")[:12], code, said)


class _Telling:
    """Turns the pipeline's stages into events; each thing is told once it is known.

    When the engine is asked, the item's turn to be prepared is over.
    """

    def __init__(self, feed: Feed, turn: Turn) -> None:
        self._feed = feed
        self._turn = turn
        self._told: set[str] = set()

    def __call__(self, stage: Stage, draft: Draft) -> None:
        if stage == "ask":
            self._turn.end()
        if self._feed.followed:
            self._tell(stage, draft)

    def _tell(self, stage: Stage, draft: Draft) -> None:
        if draft.survey is not None and "facts" not in self._told:
            self._told.add("facts")
            self._feed.tell("facts", draft.survey.facts.model_dump_json())
        if stage == "look" and draft.plan is not None:
            planned = Planned.of(
                draft.plan,
                strategy=draft.options.strategy,
                exact=draft.options.exact,
                shrinks=draft.fit.shrinks,
            )
            self._feed.tell("plan", planned.model_dump_json())
        if stage == "ask":
            frames = [FrameSeen.of(frame).model_dump() for frame in draft.frames]
            self._feed.tell("frames", {"frames": frames, "tokens": draft.predicted})
        self._feed.tell("stage", {"stage": stage})


def named(record: Record, name: str) -> Record:
    """The record with the name that this client gave to the video."""
    return record.model_copy(update={"video": record.video.model_copy(update={"name": name})})


def _stands(error: PromptliftError | None) -> bool:
    """Whether an outcome is what a repetition would give as well."""
    if error is None:
        return True
    if isinstance(error, _PASSING):
        return False
    return isinstance(error, InputError | BudgetError | ItemEngineError)
