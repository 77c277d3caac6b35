"""An engine that is asked within the limit, and again when a failure may pass."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Self

from promptlift.batch.journal import Answers
from promptlift.batch.runner.breaker import Breaker, EngineDown
from promptlift.batch.runner.leisure import Leisure
from promptlift.batch.runner.limit import Limit
from promptlift.batch.runner.unwritten import Unwritten
from promptlift.engines.base import Completion, CountsTokens, Engine, EngineInfo, Request
from promptlift.errors import (
    ConfigEngineError,
    EngineBusy,
    ItemEngineError,
    TransientEngineError,
)

__all__ = ["PatientEngine", "Turn"]

_TRIES = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


class PatientEngine:
    """Another engine behind a limit and a breaker. Does not close it.

    Args:
        inner: The engine that answers; it should not try again by itself.
        limit: How many requests may be in flight.
        breaker: Whether it makes sense to ask at all.
        tries: How often one request is sent while others are answered.

    Attributes:
        requests: How many requests were sent.
        repeats: How many of them because an earlier one had failed.
        seconds: Seconds of requests in flight, added up.
        answers: Where answers are kept until their results are written; None for nowhere.
        leisure: What an item waits for between its answer and the review.
    """

    def __init__(
        self, inner: Engine, limit: Limit, breaker: Breaker, *, tries: int = _TRIES
    ) -> None:
        self.requests = 0
        self.repeats = 0
        self.seconds = 0.0
        self.answers: Answers | None = None
        self.leisure = Leisure()
        self._inner = inner
        self._limit = limit
        self._unwritten = Unwritten(limit)
        self._breaker = breaker
        self._tries = tries
        self._leaving = asyncio.Event()
        self._wrong: ConfigEngineError | None = None

    def leave(self) -> None:
        """Send nothing more; what is in flight is waited for."""
        self._leaving.set()

    @property
    def inner(self) -> Engine:
        """See `promptlift.engines.base.Wraps`."""
        return self._inner

    async def reach(self) -> EngineInfo:
        """Say what the inner engine says as soon as it is there.

        Raises:
            EngineDown: It was away for longer than the run has patience, or the run was stopped.
            ConfigEngineError: It will not answer.
        """
        while True:
            try:
                who = await self._inner.describe()
            except TransientEngineError as error:
                self._breaker.open(error)
            else:
                self._breaker.answered()
                return who
            await self._breaker.admit(self._pause)

    async def describe(self) -> EngineInfo:
        """Say what the inner engine says."""
        return await self._inner.describe()

    def turn(self) -> Turn:
        """The engine for the requests of one item."""
        return Turn(self, self._unwritten)

    async def complete(self, request: Request) -> Completion:
        """Answer one request as `Turn.complete` does, and be done with it."""
        with self.turn() as turn:
            return await turn.complete(request)

    def settled(self, key: str) -> None:
        """Note that an item's result is in the journal."""
        if self.answers is not None:
            self.answers.settle(key)

    async def count(self, request: Request) -> int | None:
        """Count as the inner engine does, as one request in flight; None if not, or not now."""
        if not isinstance(self._inner, CountsTokens):
            return None
        try:
            async with self._limit.slot():
                return await self._inner.count(request)
        except TransientEngineError:
            return None  # the formula will do

    async def close(self) -> None:
        """Leave the inner engine to its owner."""

    async def tried(self, request: Request, turn: Turn) -> Completion:
        """Answer one request of an item; see `Turn.complete`."""
        left = self.answers.take(request) if self.answers is not None else None
        if left is not None:
            return left
        attempt = 0
        while True:
            if self._breaker.is_open:
                turn.leave()
            await self._breaker.admit(self._pause)
            await turn.take()
            try:
                return await self._once(request, attempt)
            except EngineDown:
                raise
            except TransientEngineError as error:
                turn.leave()
                # What fails while the engine is down for everybody uses up nobody's tries.
                attempt += not self._breaker.is_open
                if attempt >= self._tries:
                    raise
                await self._pause(_wait(error, attempt))

    async def _once(self, request: Request, attempt: int) -> Completion:
        async with self._limit.slot():
            self._check_leaving()
            self.requests += 1
            self.repeats += attempt > 0
            start = time.perf_counter()
            try:
                answer = await self._inner.complete(request)
            except TransientEngineError as error:
                if isinstance(error, EngineBusy):
                    self._limit.busy()
                self._breaker.failed(error, self._limit.in_flight)
                raise
            except ItemEngineError:
                self._note_answer()
                raise
            except ConfigEngineError as error:
                self._wrong = error  # before the slot goes to the next, who would be told the same
                self._leaving.set()
                raise
            finally:
                self.seconds += time.perf_counter() - start
            if self.answers is not None:
                self.answers.keep(request, answer)
            self._note_answer()
            return answer

    async def _pause(self, seconds: float) -> None:
        """Wait, but not when the run is to end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)
        self._check_leaving()

    def _check_leaving(self) -> None:
        if self._wrong is not None:
            raise self._wrong
        if self._leaving.is_set():
            raise EngineDown("the run was stopped", remedy="run the same command again")

    def _note_answer(self) -> None:
        self._limit.answered()
        self._breaker.answered()


class Turn:
    """The engine as one item has it, from its first request until its result is written.

    So little waits to be written, and on a full disk nothing more is asked. A context manager.

    Args:
        patient: Who asks.
        unwritten: How many items may have such a turn.
    """

    def __init__(self, patient: PatientEngine, unwritten: Unwritten) -> None:
        self._patient = patient
        self._unwritten = unwritten
        self._taken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def inner(self) -> Engine:
        """See `promptlift.engines.base.Wraps`."""
        return self._patient.inner

    async def take(self) -> None:
        """Wait until the item may be asked; at once where it has been asked already."""
        if not self._taken:
            await self._unwritten.take()
            self._taken = True

    def leave(self) -> None:
        """Let another item ask; safe to call twice."""
        if self._taken:
            self._taken = False
            self._unwritten.give()

    async def describe(self) -> EngineInfo:
        """Say what the inner engine says."""
        return await self._patient.describe()

    async def complete(self, request: Request) -> Completion:
        """Answer one request, however long the engine is away.

        Raises:
            TransientEngineError: It failed every time, and others did not.
            EngineDown: Nobody was answered for longer than the run has patience, or it was stopped.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: Every request would fail.
        """
        answer = await self._patient.tried(request, self)
        await self._patient.leisure.wait()
        return answer

    async def count(self, request: Request) -> int | None:
        """See `PatientEngine.count`."""
        return await self._patient.count(request)

    async def close(self) -> None:
        """Leave the inner engine to its owner."""


def _wait(error: TransientEngineError, attempt: int) -> float:
    """Seconds until the next try: as the server asks, else full jitter under a doubling bound."""
    if error.wait is not None:
        # A crowd that was told the same wait must not come back all at once.
        return error.wait + random.uniform(0, _FIRST_WAIT)  # noqa: S311
    return random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt))  # noqa: S311
