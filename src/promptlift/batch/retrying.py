"""An engine that is asked within a limit, and again when a failure may pass."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

from promptlift.batch.limits import AdaptiveLimit
from promptlift.batch.progress import BatchProgress
from promptlift.engines.base import Completion, CountsTokens, Engine, Request
from promptlift.errors import ConfigEngineError, EngineBusy, ItemEngineError, TransientEngineError
from promptlift.types import EngineInfo

__all__ = ["CircuitBreaker", "EngineDown", "RetryingEngine"]

_TRIES = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


class EngineDown(TransientEngineError):
    """The engine has been down for longer than the run has patience; nothing is marked."""

    code = "engine_down"


class CircuitBreaker:
    """Stops asking an engine that is down, and finds out when it is back.

    One failure says nothing. When one follows another and no answer comes between, the engine is
    down, and every item would only use up its tries. Then one request at a time goes through, at
    growing intervals, until one is answered or patience is over.

    Args:
        patience: Seconds that it stays open before it gives up.
        on_change: Called with the failure when it opens, and with None when it closes.
    """

    def __init__(
        self,
        patience: float,
        on_change: Callable[[TransientEngineError | None], None] = lambda _: None,
    ) -> None:
        self._last: TransientEngineError | None = None
        self._patience = patience
        self._on_change = on_change
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._pause = _FIRST_WAIT
        self._probing = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._opened_at is not None

    async def admit(self, pause: Callable[[float], Awaitable[None]]) -> None:
        """Wait until a request makes sense.

        Args:
            pause: Waits so many seconds; what it raises ends the waiting.

        Raises:
            EngineDown: Patience is over.
        """
        if not self.is_open:
            return
        async with self._probing:
            if self._opened_at is None:  # it closed meanwhile
                return
            waited = time.monotonic() - self._opened_at
            if waited >= self._patience:
                assert self._last is not None, "it opened for a failure"
                raise EngineDown(
                    f"the engine has not answered for {waited:.0f} s: {self._last.message}",
                    remedy=f"{self._last.remedy}; then run the same command again, which goes on "
                    "where this stopped",
                )
            await pause(self._pause * random.uniform(0.5, 1))  # noqa: S311
            self._pause = min(_LONGEST_WAIT, self._pause * 2)

    def answered(self) -> None:
        """Note that the engine answered, if only with a refusal."""
        self._in_a_row = 0
        if self.is_open:
            self._opened_at, self._pause = None, _FIRST_WAIT
            self._on_change(None)

    def failed(self, error: TransientEngineError, in_flight: int) -> None:
        """Note a failure that may pass.

        Args:
            error: The failure.
            in_flight: Requests under way, which may all fail at once without meaning more.
        """
        self._last = error
        self._in_a_row += 1
        if self._in_a_row >= 8 + in_flight:
            self.open(error)

    def open(self, error: TransientEngineError) -> None:
        """Hold requests back: the engine is away for sure."""
        self._last = error
        if not self.is_open:
            self._opened_at = time.monotonic()
            self._on_change(error)


class RetryingEngine:
    """Another engine behind a limit and a circuit breaker. Does not close it.

    Args:
        inner: The engine that answers; it should not try again by itself.
        limit: How many requests may be in flight.
        breaker: Whether it makes sense to ask at all.
        progress: Where requests are counted.
        tries: How often one request is sent while others are answered.

    Attributes:
        limit: As given.
    """

    def __init__(
        self,
        inner: Engine,
        limit: AdaptiveLimit,
        breaker: CircuitBreaker,
        progress: BatchProgress,
        *,
        tries: int = _TRIES,
    ) -> None:
        self.limit = limit
        self._progress = progress
        self._inner = inner
        self._breaker = breaker
        self._tries = tries
        self._stopping = asyncio.Event()
        self._config_error: ConfigEngineError | None = None

    def stop(self) -> None:
        """Send nothing more; what is in flight is waited for."""
        self._stopping.set()

    @property
    def inner(self) -> Engine:
        """See `promptlift.engines.base.Wraps`."""
        return self._inner

    async def describe(self) -> EngineInfo:
        """Describe the inner engine as soon as it is there.

        Raises:
            EngineDown: It was away for longer than the run has patience, or the run was stopped.
            ConfigEngineError: It will not answer.
        """
        while True:
            try:
                info = await self._inner.describe()
            except TransientEngineError as error:
                self._breaker.open(error)
            else:
                self._breaker.answered()
                return info
            await self._breaker.admit(self._sleep)

    async def complete(self, request: Request) -> Completion:
        """Answer one request, however long the engine is away.

        Raises:
            TransientEngineError: It failed every time, and others did not.
            EngineDown: Nobody was answered for longer than the run has patience, or it was stopped.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: Every request would fail.
        """
        attempt = 0
        while True:
            await self._breaker.admit(self._sleep)
            try:
                return await self._send(request)
            except EngineDown:
                raise
            except TransientEngineError as error:
                # What fails while the engine is down for everybody uses up nobody's tries.
                attempt += not self._breaker.is_open
                if attempt >= self._tries:
                    raise
                await self._sleep(_wait(error, attempt))

    async def count(self, request: Request) -> int | None:
        """Count as the inner engine does, as one request in flight; None if not, or not now."""
        if not isinstance(self._inner, CountsTokens):
            return None
        try:
            async with self.limit.place():
                return await self._inner.count(request)
        except TransientEngineError:
            return None  # the formula will do

    async def close(self) -> None:
        """Leave the inner engine to its owner."""

    async def _send(self, request: Request) -> Completion:
        async with self.limit.place():
            self._check_stopping()
            self._progress.requests += 1
            try:
                completion = await self._inner.complete(request)
            except TransientEngineError as error:
                if isinstance(error, EngineBusy):
                    self.limit.busy()
                self._breaker.failed(error, self.limit.in_flight)
                raise
            except ItemEngineError:
                self._note_answer()
                raise
            except ConfigEngineError as error:
                # Before the place goes to the next request, which would be told the same.
                self._config_error = error
                self._stopping.set()
                raise
            self._note_answer()
        await asyncio.sleep(0)  # so that the next request goes out before this answer is reviewed
        return completion

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not when the run is to end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        self._check_stopping()

    def _check_stopping(self) -> None:
        if self._config_error is not None:
            raise self._config_error
        if self._stopping.is_set():
            raise EngineDown("the run was stopped", remedy="run the same command again")

    def _note_answer(self) -> None:
        self.limit.answered()
        self._breaker.answered()


def _wait(error: TransientEngineError, attempt: int) -> float:
    """Seconds until the next try: as the server asks, else full jitter under a doubling bound."""
    if error.wait is not None:
        # Many that were told the same wait must not come back all at once.
        return error.wait + random.uniform(0, _FIRST_WAIT)  # noqa: S311
    return random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt))  # noqa: S311
