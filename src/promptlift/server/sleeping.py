"""Letting an engine sleep while nobody needs it, so that something else can use the GPU."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from promptlift.engines.base import Engine, Sleeps, innermost
from promptlift.errors import EngineError
from promptlift.server.errors import Refusal

__all__ = ["Sleeper"]

_LOG = logging.getLogger("promptlift.server")
_LOOK = 1.0


class Sleeper:
    """Puts an engine that can sleep to sleep; it wakes by itself for the next request.

    Args:
        engine: Who is asked.
        idle_for: Seconds since there was work; 0 while there is.
        idle_seconds: Seconds without work until it sleeps; None for never.
    """

    def __init__(
        self, engine: Engine, idle_for: Callable[[], float], idle_seconds: float | None
    ) -> None:
        inner = innermost(engine)
        self._engine = inner if isinstance(inner, Sleeps) else None
        self._idle_for = idle_for
        self._idle_seconds = idle_seconds
        self._since = time.monotonic()

    @property
    def able(self) -> bool:
        """Whether the engine can sleep."""
        return self._engine is not None and self._engine.can_sleep()

    @property
    def asleep(self) -> bool:
        """Whether it does."""
        return self._engine is not None and self._engine.asleep()

    async def sleep(self) -> None:
        """Put it to sleep.

        Raises:
            Refusal: It cannot sleep, or it is working.
            EngineError: It does not answer.
        """
        engine = self._able_engine()
        if not self._idle_for() or not await engine.sleep():
            raise Refusal(
                409,
                "engine_working",
                "the engine is working",
                remedy="try again when nothing is under way",
                retry_after=5,
            )

    async def wake(self) -> None:
        """Wake it.

        Raises:
            Refusal: It is none that sleeps.
            EngineError: It does not answer.
        """
        engine = self._able_engine()
        self._since = time.monotonic()
        await engine.wake()

    async def watch(self) -> None:
        """Put it to sleep whenever it has been idle for long enough; never ends."""
        while self._idle_seconds is not None:
            await asyncio.sleep(_LOOK)
            if not self.able:
                self._since = time.monotonic()  # a start is no rest
            elif self._rested() >= self._idle_seconds and not self.asleep:
                await self._doze()

    def _rested(self) -> float:
        return min(self._idle_for(), time.monotonic() - self._since)

    async def _doze(self) -> None:
        assert self._engine is not None
        try:
            await self._engine.sleep()
        except EngineError as error:
            self._since = time.monotonic()
            _LOG.warning("the engine does not fall asleep: %s", error)

    def _able_engine(self) -> Sleeps:
        if self._engine is None or not self._engine.can_sleep():
            raise Refusal(
                409,
                "engine_does_not_sleep",
                "this engine does not sleep",
                remedy="wait if it is starting; of the engines, vLLM can sleep, started by the "
                "server or by `promptlift engine up`",
            )
        return self._engine
