"""Letting the engine sleep while nobody needs it, so that something else can use the GPU."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from promptlift.engines.base import Engine
from promptlift.engines.vllm import VllmEngine
from promptlift.engines.vllm.sleeping import put_to_sleep, wake_up
from promptlift.engines.vllm.state import read_state
from promptlift.errors import EngineError
from promptlift.server.errors import Refusal

__all__ = ["Sleeper"]

_LOG = logging.getLogger("promptlift.server")
_LOOK = 1.0


class Sleeper:
    """Puts the vLLM that is up to sleep; it wakes by itself for the next request.

    Args:
        engine: Who is asked.
        busy: Whether there is work.
        idle_seconds: Seconds without work until it sleeps; None for never.
    """

    def __init__(
        self, engine: Engine, busy: Callable[[], bool], idle_seconds: float | None
    ) -> None:
        self._engine = engine
        self._busy = busy
        self._idle_seconds = idle_seconds
        self._since = time.monotonic()

    @property
    def able(self) -> bool:
        """Whether the engine can sleep."""
        engine = self._engine
        return isinstance(engine, VllmEngine) and engine.own is None and read_state() is not None

    @property
    def asleep(self) -> bool:
        """Whether it does."""
        state = read_state() if self.able else None
        return state is not None and state.status == "sleeping"

    async def sleep(self) -> None:
        """Put it to sleep.

        Raises:
            Refusal: It cannot sleep, or it is working.
            EngineError: It does not answer.
        """
        self._check()
        if self._busy():
            raise Refusal(
                409,
                "engine_working",
                "the engine is working",
                remedy="try again when nothing is under way",
                retry_after=5,
            )
        await asyncio.to_thread(put_to_sleep, 1)

    async def wake(self) -> None:
        """Wake it.

        Raises:
            Refusal: It is none that sleeps.
            EngineError: It does not answer.
        """
        self._check()
        self._since = time.monotonic()
        await asyncio.to_thread(wake_up)

    async def watch(self) -> None:
        """Put it to sleep whenever it has been idle for long enough; never ends."""
        while self._idle_seconds is not None:
            await asyncio.sleep(_LOOK)
            if self._busy():
                self._since = time.monotonic()
            elif time.monotonic() - self._since >= self._idle_seconds:
                await self._doze()

    async def _doze(self) -> None:
        self._since = time.monotonic()
        if self.able and not self.asleep:
            try:
                await asyncio.to_thread(put_to_sleep, 1)
            except EngineError as error:
                _LOG.warning("the engine does not fall asleep: %s", error)

    def _check(self) -> None:
        if not self.able:
            raise Refusal(
                409,
                "engine_does_not_sleep",
                "this engine does not sleep",
                remedy="start one with `promptlift engine up`, and the server with --engine vllm",
            )
