"""The driver of a run on a cluster: rows to the desk, results to the tally, and when to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.batch.inputs.base import Input
from promptlift.batch.invocation import Invocation
from promptlift.batch.journal import JournalFull, Writer, clear_answers, lines, open_folder
from promptlift.batch.manifest import Manifest, ensure
from promptlift.batch.mirror import Place
from promptlift.batch.readings import Spool
from promptlift.batch.rows import Row
from promptlift.batch.runner import EngineDown, RunSettings, Stop, besides
from promptlift.batch.runner.breaker import Breaker
from promptlift.batch.runner.feed import Feed, KeptRows
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine
from promptlift.batch.runner.tally import Tally
from promptlift.engines.base import Engine, EngineInfo
from promptlift.engines.vllm import VllmEngine
from promptlift.errors import ConfigEngineError, OptionError, OutputError
from promptlift.scale.asking import Post, engine_of
from promptlift.scale.desk import AnyDesk
from promptlift.scale.parcels import Back
from promptlift.scale.settings import ScaleSettings
from promptlift.scale.work import AnyCluster, Work

if TYPE_CHECKING:
    from promptlift.scale.ray import Cluster

__all__ = ["ClusterRun", "connect"]

_ON_THE_DESK = 4000
_WAIT_SECONDS = 0.2
_COUNT_SECONDS = 0.5
_BEAT_SECONDS = 10.0
_FRUITLESS_ROUNDS = 2
_BREAK_OFF_SECONDS = 20.0


def connect(address: str) -> Cluster:
    """A connection to a Ray cluster.

    Raises:
        OptionError: Ray is not installed, or there is no such cluster.
    """
    # Else a thread that is still at work when the connection ends would start a cluster of its own.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    try:
        from promptlift.scale.ray import Cluster
    except ImportError as error:
        raise OptionError(
            "a run on a cluster needs Ray, which is not installed",
            remedy="pip install 'promptlift[ray]'",
        ) from error
    return Cluster(address)


class ClusterRun:
    """One run in one folder, like `promptlift.batch.runner.BatchRun`, on a Ray cluster.

    Args:
        cluster: Where it runs.
        invocation: The engine and the options.
        rows: The input; None for the rows that the folder has.
        run_dir: The folder; on a disk that all machines share where there is no URL.
        settings: How the run goes about it; what bounds requests and memory is each engine's.
        scale: How it is spread.
        place: Where engines keep the run: its URL, whose local folder `run_dir` is; None for
            `run_dir` itself.

    Attributes:
        tally: What is counted while it runs.
    """

    def __init__(
        self,
        cluster: AnyCluster,
        invocation: Invocation,
        rows: Input | None,
        run_dir: Path,
        settings: RunSettings,
        scale: ScaleSettings,
        place: Place | None = None,
    ) -> None:
        self.tally = Tally()
        self._cluster = cluster
        self._invocation = invocation
        self._input = rows
        self._run_dir = run_dir.absolute()
        self._place = place if isinstance(place, str) else self._run_dir
        self._settings = settings
        self._scale = scale
        self._states: dict[str, str] = {}
        self._followers: Counter[str] = Counter()
        self._done = 0
        self._fed = False
        self._breaking_off = False
        self._why: Stop | None = None
        self._error: BaseException | None = None
        self._desk: AnyDesk | None = None
        self._feed: Feed | None = None
        self._task: asyncio.Task[None] | None = None
        self._reaching: PatientEngine | None = None

    async def run(self) -> Stop:
        """Do what is to be done, and say why it ended.

        Raises:
            PromptliftError: The folder, the input or the engine cannot be used; what was
                finished until then is in the journal.
        """
        open_folder(self._run_dir)
        who, gpus = await self._describe()
        options = self._invocation.item_options
        accept = self._settings.accept_changes
        ensure(self._run_dir, Manifest.of(options, who), accept_changes=accept)
        self._invocation.write(self._run_dir)
        slots = max(1, int(self._cluster.cpus / self._scale.decode_cpus))
        self.tally.workers = slots
        self._desk = desk = await asyncio.to_thread(
            self._cluster.desk,
            self._run_dir,
            options,
            who,
            self._settings.retry,
            parcel=self._scale.parcel,
            spread=2 * slots,
            addresses=self._scale.addresses,
        )
        turn = await self._ask("turn")
        with Writer(self._run_dir, turn=turn) as writer:
            every_s = self._scale.upload_every
            post = Post(self._invocation, self._place, self._settings, turn, every_s)
            await self._through(writer, self._work(desk, post, who, gpus))
        if self._error is not None:
            raise self._error
        if self._why is None and self._settings.shard is None:
            clear_answers(self._run_dir)
        return self._why or "done"

    def stop(self, why: Stop = "signal") -> None:
        """Begin nothing more; what is with an engine is waited for."""
        if self._why is not None:
            return
        self._why = why
        if self._reaching is not None:
            self._reaching.leave()
        if self._feed is not None:
            self._feed.stop()
        if self._desk is not None:
            self._desk.tell("finish" if why == "limit" else "leave")

    def cancel(self) -> None:
        """Stop now; what is finished is in the journal.

        Engines give back what they have first, for Ray ends a process whose threads it finds at
        work when the connection is closed. A cluster that takes long, or a second call, ends that.
        """
        self.stop()
        if self._desk is not None and not self._breaking_off:
            self._breaking_off = True
            self._desk.tell("break_off")
            asyncio.get_running_loop().call_later(_BREAK_OFF_SECONDS, self.cancel)
        elif self._task is not None:
            self._task.cancel()

    async def _describe(self) -> tuple[EngineInfo, int]:
        """Who answers, and how many GPUs each engine needs."""
        addresses = self._scale.addresses
        engine = engine_of(self._invocation, addresses[0] if addresses else None)
        try:
            if isinstance(engine, VllmEngine):
                return await asyncio.to_thread(self._cluster.describe, self._invocation), 1
            gpus = int(bool(self._invocation.engine_settings.get("gpu_layers")))
            return await self._reached(engine), gpus
        finally:
            await engine.close()

    async def _reached(self, engine: Engine) -> EngineInfo:
        """Who answers, as soon as it is there."""
        breaker = Breaker(self._settings.patience, self._engine_is_down)
        patient = PatientEngine(engine, Limit(1), breaker)
        self._reaching = patient
        return await patient.reach()

    def _engine_is_down(self, down: bool) -> None:
        self.tally.paused = "the engine does not answer" if down else None

    def _work(self, desk: AnyDesk, post: Post, who: EngineInfo, gpus: int) -> Work:
        cluster = self._cluster
        engines = self._scale.pool(cpus=cluster.cpus, gpus=cluster.gpus if gpus else None)
        return Work(desk, post, who, self._scale, engines, gpus)

    async def _through(self, writer: Writer, work: Work) -> None:
        self._task = asyncio.create_task(self._rounds(work))
        feeding = asyncio.create_task(self._feed_desk(writer))
        feeding.add_done_callback(self._after_feeding)
        try:
            async with besides.together(self._besides(writer)):
                await self._task
        finally:
            if self._feed is not None:
                self._feed.stop()
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            with contextlib.suppress(JournalFull):
                writer.beat(self.tally.counts())
                writer.end(self._why or "done")

    async def _rounds(self, work: Work) -> None:
        """Run Ray's pipeline until nothing is open: what was lost is done in another round."""
        fruitless, trouble = 0, ""
        while True:
            before = self._done
            trouble = await self._round(work) or trouble
            if self._why not in (None, "limit"):
                return
            left = await self._ask("again")
            if self._fed and not left:
                return
            fruitless = 0 if self._done > before or not left else fruitless + 1
            if fruitless >= _FRUITLESS_ROUNDS:
                raise EngineDown(
                    f"the cluster loses what it is given: {trouble or 'its processes end'}",
                    remedy="look at its log; then run the same command again",
                )

    async def _round(self, work: Work) -> str:
        """One run of the pipeline in a thread of its own; gives what went wrong with all of it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[str] = loop.create_future()

        def end(trouble: str) -> None:
            if not ended.done():
                ended.set_result(trouble)

        def work_through() -> None:
            trouble = ""
            try:
                for backs in self._cluster.results(work):
                    loop.call_soon_threadsafe(self._take, backs)
            except Exception as error:  # noqa: BLE001 - Ray raises all kinds; the rows are open
                trouble = (str(error) or type(error).__name__).splitlines()[0]
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(end, trouble)

        # No thread of a pool: when the run is broken off, nobody waits for Ray.
        threading.Thread(target=work_through, name="ray-data", daemon=True).start()
        return await ended

    async def _feed_desk(self, writer: Writer) -> None:
        begun = 0
        with self._feed_from(writer) as feed:
            self._feed = feed
            async for rows in _chunks(feed):
                room = None if self._settings.limit is None else self._settings.limit - begun
                offered = await self._ask("offer", rows, room)
                begun += offered.begun
                self.tally.asked = begun
                self.tally.before.update(offered.finished)
                self.tally.total = feed.total
                for digest, key in offered.news:
                    await writer.append_waiting(lines.row_line(digest, key), self._disk_is_full)
                if offered.more:
                    self.stop("limit")
                if self._why is not None:
                    return
                await self._until_wanted(offered.waiting)
            self.tally.total = feed.total
        self._fed = True
        await self._ask("finish")

    def _after_feeding(self, task: asyncio.Task[None]) -> None:
        self._fed = True
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)

    async def _until_wanted(self, waiting: int) -> None:
        while waiting > _ON_THE_DESK and self._why is None:
            await asyncio.sleep(_WAIT_SECONDS)
            waiting = (await self._ask("counts"))["waiting"]

    def _feed_from(self, writer: Writer) -> Feed:
        shard = self._settings.shard
        if self._input is None:
            return KeptRows(self._run_dir, shard)
        return Spool(self._run_dir, writer.name, self._input, turn=writer.turn, shard=shard)

    def _besides(self, writer: Writer) -> list[tuple[float, besides.Often]]:
        return [
            (_COUNT_SECONDS, self._count),
            (_BEAT_SECONDS, partial(besides.beat, writer, self.tally)),
        ]

    async def _count(self) -> None:
        tally, counts = self.tally, await self._ask("counts")
        tally.requests, tally.repeats = counts["requests"], counts["repeats"]
        tally.engine_seconds = counts["engine_seconds"]
        tally.in_flight, tally.limit = counts["in_flight"], counts["limit"]
        tally.in_work, tally.paused = counts["open"], counts["paused"]
        limit = self._settings.stop_after
        if limit and tally.seconds >= limit:
            self.stop("time")

    def _take(self, backs: list[Back]) -> None:
        """Count what became of rows."""
        for back in backs:
            self.tally.decode_seconds += back.seconds
            if back.fate == "fatal":
                assert back.error is not None, "a fatal row says why"
                self._failed(back.error)
            elif back.fate != "left":
                self._done += 1
                self._settle(back)
        if self._desk is not None:
            self._desk.tell("back", [b.ticket for b in backs if b.fate not in ("left", "fatal")])

    def _settle(self, back: Back) -> None:
        tally = self.tally
        if back.fate == "before":
            tally.before[back.state or ""] += 1
        elif back.fate == "follow":
            state = self._states.get(back.key)
            if state is None:
                self._followers[back.key] += 1
            else:
                tally.now[state] += 1
        else:
            self._count_done(back)

    def _count_done(self, back: Back) -> None:
        assert back.state is not None, "what is done has a state"
        tally = self.tally
        self._states[back.key] = back.state
        rows = 1 + self._followers.pop(back.key, 0)
        tally.now[back.state] += rows
        if back.code is not None:
            tally.codes[back.code] += rows
            tally.again += rows * back.retryable
        tally.prompt_tokens += back.prompt_tokens
        tally.answer_tokens += back.answer_tokens

    def _failed(self, error: BaseException) -> None:
        """End the run for an error that is no single item's."""
        self._error = self._error or error
        self.stop(_reason(error))

    def _disk_is_full(self, _: JournalFull) -> None:
        self.tally.paused = "the disk is full"

    async def _ask(self, name: str, *args: Any) -> Any:
        assert self._desk is not None, "the desk is there before anyone asks it"
        return await asyncio.to_thread(self._desk.call, name, *args)


def _reason(error: BaseException) -> Stop:
    if isinstance(error, OutputError):
        return "journal"
    return "config" if isinstance(error, ConfigEngineError) else "engine_down"


async def _chunks(feed: Feed) -> AsyncIterator[list[Row]]:
    """The rows as they come, without holding up the loop."""
    chunks = feed.chunks()
    while (rows := await asyncio.to_thread(next, chunks, None)) is not None:
        yield rows
