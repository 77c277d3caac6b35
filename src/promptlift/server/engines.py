"""The engines of a server: each with its own queue, so that none has to wait for another's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Literal

from promptlift.engines.base import Engine, EngineInfo, Sleeps, innermost
from promptlift.engines.registry import EngineSpec, make_engine, resolve_engine
from promptlift.errors import EngineError, OptionError, PromptliftError
from promptlift.server.config import ServerConfig
from promptlift.server.errors import ApiError
from promptlift.server.scheduler import FairQueue

__all__ = ["EnginePool", "PooledEngine"]

_LOG = logging.getLogger("promptlift.server")
_RETRY_SECONDS = 5.0
_CHECK_SECONDS = 30.0
_IDLE_CHECK_SECONDS = 1.0


class PooledEngine:
    """One engine, its queue, its health and its sleep.

    Args:
        label: What requests call it.
        engine: The engine.
        config: How the server is set up.

    Attributes:
        label: What requests call it.
        engine: The engine.
        queue: The work that waits for it.
        info: Who it is; None before it has answered once.
        trouble: Why it does not answer; None where it does, or was not asked yet.
    """

    def __init__(self, label: str, engine: Engine, config: ServerConfig) -> None:
        self.label = label
        self.engine = engine
        self.queue = FairQueue(config.queue, config.parallel)
        self.info: EngineInfo | None = None
        self.trouble: PromptliftError | None = None
        inner = innermost(engine)
        self._sleeps = inner if isinstance(inner, Sleeps) else None
        self._idle_sleep = config.idle_sleep
        self._awake_since = time.monotonic()

    @property
    def state(self) -> Literal["unknown", "ready", "asleep"]:
        """What it is doing."""
        if self.asleep:
            return "asleep"
        return "unknown" if self.info is None else "ready"

    @property
    def answers(self) -> bool:
        """Whether it answered when it was asked last."""
        return self.info is not None and self.trouble is None

    @property
    def can_sleep(self) -> bool:
        """Whether it can give back its GPU memory."""
        return self._sleeps is not None and self._sleeps.can_sleep()

    @property
    def asleep(self) -> bool:
        """Whether it has done so."""
        return self._sleeps is not None and self._sleeps.asleep()

    async def sleep(self) -> None:
        """Put it to sleep; it wakes by itself for the next request.

        Raises:
            ApiError: It cannot sleep, or it is working.
            EngineError: It does not answer.
        """
        engine = self._able()
        if not self.queue.idle_for() or not await engine.sleep():
            raise ApiError(
                409,
                "engine_working",
                "the engine is working",
                remedy="try again when nothing is under way",
                retry_after=5,
            )

    async def wake(self) -> None:
        """Wake it.

        Raises:
            ApiError: It is none that sleeps.
            EngineError: It does not answer.
        """
        engine = self._able()
        self._awake_since = time.monotonic()
        await engine.wake()

    async def watch_health(self) -> None:
        """Ask now and then who answers, so that stored results can be found without asking.

        Never ends: another model may be behind the same address later. One that sleeps is left
        asleep.
        """
        while True:
            try:
                if self.info is None or not self.asleep:
                    self.info = await self.engine.describe()
                self.trouble = None
            except PromptliftError as error:
                self.trouble = error
                _LOG.warning("the engine %s does not answer: %s", self.label, error)
            await asyncio.sleep(_RETRY_SECONDS if self.trouble else _CHECK_SECONDS)

    async def watch_idle(self) -> None:
        """Put it to sleep whenever it has been idle for long enough; never ends."""
        while self._idle_sleep is not None:
            await asyncio.sleep(_IDLE_CHECK_SECONDS)
            if not self.can_sleep:
                self._awake_since = time.monotonic()  # it is starting, which is no idleness
                continue
            idle = min(self.queue.idle_for(), time.monotonic() - self._awake_since)
            if idle >= self._idle_sleep and not self.asleep:
                try:
                    await self._able().sleep()
                except EngineError as error:
                    self._awake_since = time.monotonic()
                    _LOG.warning("the engine %s does not fall asleep: %s", self.label, error)

    def _able(self) -> Sleeps:
        if self._sleeps is None or not self._sleeps.can_sleep():
            raise ApiError(
                409,
                "engine_does_not_sleep",
                "this engine does not sleep",
                remedy="wait if it is starting; of the engines, vLLM can sleep, started by the "
                "server or by `promptlift engine up`",
            )
        return self._sleeps


class EnginePool:
    """All engines, by what requests call them. The first answers where none is named.

    Args:
        config: Which they are.

    Raises:
        OptionError: Two have one label, or one cannot be made so.
        ConfigEngineError: A setting cannot be used.
    """

    def __init__(self, config: ServerConfig) -> None:
        label = resolve_engine(config.engine, config.engine_settings)
        self._engines: dict[str, PooledEngine] = {}
        for one in (EngineSpec(label, config.engine, config.engine_settings), *config.also):
            if one.label in self._engines:
                raise OptionError(
                    f"two engines are called {one.label!r}",
                    remedy=f"give one another label: --also LABEL={one.name}",
                )
            engine = make_engine(one.name, **one.settings)
            self._engines[one.label] = PooledEngine(one.label, engine, config)
        self.first = next(iter(self))

    def __iter__(self) -> Iterator[PooledEngine]:
        return iter(self._engines.values())

    def __len__(self) -> int:
        return len(self._engines)

    def get(self, label: str | None) -> PooledEngine:
        """The engine of that label; the first where none is named.

        Raises:
            ApiError: There is none.
        """
        found = self.first if label is None else self._engines.get(label)
        if found is None:
            raise ApiError(
                422,
                "engine_unknown",
                f"this server has no engine {label!r}",
                remedy=f"name one of: {', '.join(self._engines)}; or none, for the first of them",
            )
        return found

    async def close(self) -> None:
        """Close all; one that cannot be closed keeps no other from it."""
        ended = await asyncio.gather(*(one.engine.close() for one in self), return_exceptions=True)
        for one, error in zip(self, ended, strict=True):
            if isinstance(error, BaseException):
                _LOG.warning("the engine %s does not end well: %s", one.label, error)
