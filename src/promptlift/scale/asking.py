"""The second stage: ask the engine about rows that were looked at, and keep the journal.

One of these lives in each actor of the engine's pool, with its own engine, limit, breaker and
journal segment, which are those of a run on one machine. It has a thread with an event loop; rows
come from many threads, and each row is a task of that loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from promptlift.batch.invocation import Invocation
from promptlift.batch.journal import Answers
from promptlift.batch.mirror import EVERY_S, Place
from promptlift.batch.runner import EngineDown, RunSettings, besides
from promptlift.batch.runner.breaker import Breaker
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.patient import PatientEngine
from promptlift.batch.runner.room import ByteBudget
from promptlift.batch.runner.worker import Worker
from promptlift.core.record import Record
from promptlift.engines.base import Engine
from promptlift.engines.registry import make_engine
from promptlift.errors import PromptliftError
from promptlift.frames.crew import Crew
from promptlift.frames.isolated import IsolationLimits
from promptlift.pipeline.seeing import PRELOAD
from promptlift.pipeline.sights import Sights
from promptlift.scale.book import open_book
from promptlift.scale.desk import AnyDesk, Order
from promptlift.scale.looking import Replay
from promptlift.scale.parcels import Back, Seen

__all__ = ["Asker", "Post", "engine_of"]

T = TypeVar("T")

_REPORT_SECONDS = 1.0
_BEAT_SECONDS = 10.0
_GAUGE_SECONDS = 2.0
_CLOSING_SECONDS = 10.0
_DOWN = "the engine does not answer"


@dataclass(frozen=True, slots=True)
class Post:
    """What every engine's actor is given.

    Attributes:
        invocation: The engine and the options.
        place: The run's folder, on a disk that all machines share, or its URL.
        settings: How the run goes about it; `concurrency`, `most` and `memory` are each actor's.
        turn: The turn of this run's writers.
        upload_every: Seconds between two uploads to a URL.
    """

    invocation: Invocation
    place: Place
    settings: RunSettings
    turn: int
    upload_every: float = EVERY_S

    @property
    def most(self) -> int:
        """The most requests that are in flight with each engine."""
        return self.settings.concurrency or self.settings.most

    @property
    def calls(self) -> int:
        """The most parcels that an actor has at a time: those that wait for an upload as well."""
        return self.most if isinstance(self.place, Path) else 2 * self.most


def engine_of(invocation: Invocation, address: str | None = None) -> Engine:
    """The engine of a run, which leaves it to its caller to try again.

    Args:
        invocation: The engine's name and settings.
        address: Its base URL, in the place of that of the settings.
    """
    settings = dict(invocation.patient_settings)
    if address is not None:
        settings["base_url"] = address
    return make_engine(invocation.engine, **settings)


class Asker:
    """Asks one engine about many rows at a time.

    Args:
        post: What it is given.
        address: The base URL of its engine; None for that of the settings.
        desk: Is told what is counted, and what became of rows.

    Raises:
        PromptliftError: There is no such engine, or the journal cannot be written.
    """

    def __init__(self, post: Post, address: str | None, desk: AnyDesk) -> None:
        self._post = post
        self._desk = desk
        self._paused: str | None = None
        self._stopped = False
        self._at_work = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._closing = asyncio.Event()
        self._there(self._open(engine_of(post.invocation, address))).result()
        self.name = self._book.name

    def ask(self, rows: Sequence[Seen]) -> list[Back]:
        """What became of rows; from any thread. Each is in the journal by then.

        Rows whose parcel was lost after they were done are not asked again.
        """
        done: list[Back] = self._desk.call("settled", [row.ticket for row in rows])
        known = {back.ticket for back in done}
        asked = [self._there(self._one(row)) for row in rows if row.ticket not in known]
        return [*done, *(future.result() for future in asked)]

    def close(self) -> None:
        """Give everything back, and say in the journal that this writer has ended."""
        with contextlib.suppress(Exception):  # whoever ends a process can do no more about it
            self._there(self._close()).result(_CLOSING_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSING_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _there(self, work: Coroutine[Any, Any, T]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self, engine: Engine) -> None:
        post, settings = self._post, self._post.settings
        self._engine = engine
        self._limit = Limit(post.most, settings.concurrency)
        self._book = open_book(
            post.place,
            post.turn,
            self._cannot_write,
            starving=self._starving,
            every_s=post.upload_every,
            patience_s=settings.patience,
        )
        breaker = Breaker(settings.patience, self._is_down)
        self._patient = PatientEngine(engine, self._limit, breaker)
        self._patient.answers = self._answers = Answers(self._book.folder)
        limits = IsolationLimits(wall_seconds=settings.decode_seconds)
        self._crew = Crew(1, limits, preload=PRELOAD)
        self._sights = Sights(0, self._crew.call)
        self._room = ByteBudget(settings.memory)
        self._beside = asyncio.create_task(self._meanwhile())
        self._there_yet = asyncio.create_task(self._patient.reach())

    async def _close(self) -> None:
        self._patient.leave()
        self._closing.set()
        await self._beside
        self._there_yet.cancel()
        await asyncio.gather(self._there_yet, return_exceptions=True)
        await self._crew.close()
        await self._engine.close()
        self._answers.close()
        await self._book.close()

    async def _meanwhile(self) -> None:
        work: list[tuple[float, besides.Often]] = [
            (_REPORT_SECONDS, self._tell),
            (_BEAT_SECONDS, self._book.beat),
        ]
        gauge = besides.gauge(self._engine, self._limit)
        if gauge is not None:
            work.append((_GAUGE_SECONDS, gauge))
        async with besides.together(work):
            await self._closing.wait()

    async def _tell(self) -> None:
        counts = {
            "requests": self._patient.requests,
            "repeats": self._patient.repeats,
            "engine_seconds": self._patient.seconds,
            "in_flight": self._limit.in_flight,
            "limit": self._limit.now,
            "paused": self._paused,
        }
        order: Order = await asyncio.to_thread(self._desk.call, "report", self.name, counts)
        if order != "go on":
            self._stopped = True
            self._patient.leave()
        if order == "break off":
            for task in self._tasks:
                task.cancel()

    def _is_down(self, down: bool) -> None:
        self._paused = _DOWN if down else None

    def _cannot_write(self, why: str | None) -> None:
        if why is not None or self._paused != _DOWN:
            self._paused = why

    def _starving(self) -> bool:
        """Whether the engine could answer more rows than are on their way to it."""
        return self._at_work < self._limit.now

    async def _one(self, row: Seen) -> Back:
        back = Back(row.ticket, "left", row.item.key or "", seconds=row.seconds)
        task = asyncio.current_task()
        assert task is not None, "every row is a task"
        self._tasks.add(task)
        try:
            became = await self._worked_on(row, back)
            await self._book.kept()
            if became.fate not in ("left", "fatal"):
                self._desk.tell("settle", became)
            return became
        except asyncio.CancelledError:  # the run is broken off, and Ray waits for its parcel
            return back
        except EngineDown as error:
            return back if self._stopped else replace(back, fate="fatal", error=error)
        except PromptliftError as error:
            return replace(back, fate="fatal", error=error)
        except Exception:  # noqa: BLE001 - it is raised again in the driver
            return replace(back, fate="fatal", error=RuntimeError(traceback.format_exc()))
        finally:
            self._tasks.discard(task)

    async def _worked_on(self, row: Seen, back: Back) -> Back:
        self._at_work += 1
        try:
            return await self._became(row, back)
        finally:
            self._at_work -= 1

    async def _became(self, row: Seen, back: Back) -> Back:
        if row.defect:
            return replace(back, fate="fatal", error=RuntimeError(row.defect))
        if row.fate == "leave":
            return back
        for line in row.lines:
            await self._book.write(line)
        worker = Worker(
            self._patient, self._crew.call, Replay(row, self._sights), self._room, self._book.write
        )
        if row.fate == "ask":
            await asyncio.shield(self._there_yet)  # an engine that is started takes minutes
            return _done(back, await worker.done(row.item))
        await worker.note(row.item)
        if row.fate == "follow":
            return replace(back, fate="follow")
        return replace(back, fate="before", state=row.fate[1])


def _done(back: Back, record: Record) -> Back:
    error = record.error
    assert record.status != "planned", "the engine was to be asked"
    return replace(
        back,
        fate="done",
        key=record.key or back.key,
        state=record.status,
        code=None if error is None else error.code,
        retryable=error is not None and error.retryable,
        prompt_tokens=record.tokens.actual or 0,
        answer_tokens=sum(one.completion_tokens or 0 for one in record.attempts),
    )
