"""Who owns an engine: starts it, replaces it when it dies, puts it to sleep and wakes it.

`EngineOwner` does so in the process of a program that uses the engine, and in the daemon that
``promptlift engine up`` leaves. Whoever uses the daemon's engine goes through
`promptlift.engines.vllm.daemon.SharedEngine`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.launch import LaunchPlan, can_reload, plan_launch
from promptlift.engines.vllm.process import EngineProcess, StartProgress, start_engine
from promptlift.engines.vllm.state import Endpoint, EngineState, process_start
from promptlift.errors import ConfigEngineError, EngineError

__all__ = ["EngineHost", "EngineOwner"]

_CALM = 600.0
_SETTLE = 20.0
_POLL = 0.2
_WATCH_INTERVAL = 1.0


class EngineHost(ABC):
    """Provides an engine to whoever asks it: started, awake, and not asleep while it is used."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._users = 0

    @abstractmethod
    def current(self) -> EngineState | None:
        """The engine as it is now; None where none runs."""

    @property
    def can_sleep(self) -> bool:
        """Whether there is an engine that can be put to sleep."""
        state = self.current()
        return state is not None and state.can_sleep and state.status != "starting"

    @property
    def asleep(self) -> bool:
        """Whether it sleeps, whoever put it to sleep."""
        state = self.current()
        return state is not None and state.status == "sleeping"

    @asynccontextmanager
    async def use(self, *, wake: bool = True) -> AsyncIterator[EngineState]:
        """The engine, ready, and awake for as long as it is used.

        Args:
            wake: Whether one that sleeps is woken; without, it is only described.

        Raises:
            ConfigEngineError: It is not up, or does not start.
        """
        async with self._lock:
            state = await self._ready(wake)
            # Counted before the lock is released: whoever wants it to sleep must see it.
            self._users += wake
        try:
            yield state
        finally:
            self._users -= wake

    async def sleep(self, level: int = 1) -> bool:
        """Put it to sleep unless it is in use; requests that come meanwhile wait, and wake it.

        Args:
            level: 1 keeps the weights in main memory, 2 drops them.

        Returns:
            Whether it sleeps now.

        Raises:
            EngineError: It does not answer, or this version cannot wake from that level.
        """
        async with self._lock:
            if self._users or not self.can_sleep:
                return False
            await _uninterrupted(self._sleep(level))
        return True

    async def wake(self) -> None:
        """Have it ready and awake.

        Raises:
            EngineError: It does not answer, or does not start.
        """
        async with self.use():
            pass

    async def has_died(self, state: EngineState) -> bool:
        """Whether that engine is dead, or was replaced, after a request failed.

        Waits until it is clear: a server whose engine is dead ends within seconds.
        """
        deadline = time.monotonic() + _SETTLE
        while True:
            now = self.current()
            if now is None or now.status != "ready" or now.engine_pid != state.engine_pid:
                return True
            if await asyncio.to_thread(state.endpoint.is_healthy):
                return False
            if time.monotonic() > deadline:
                return await self._end_unresponsive()
            await asyncio.sleep(_POLL)

    @abstractmethod
    async def stop(self) -> None:
        """End the engine where it is ours; safe to call twice."""

    @abstractmethod
    async def _ready(self, wake: bool) -> EngineState: ...

    @abstractmethod
    async def _sleep(self, level: int) -> None: ...

    async def _end_unresponsive(self) -> bool:
        """End an engine that runs and does not answer, where it is ours; whether it is gone."""
        return False


class EngineOwner(EngineHost):
    """Owns one vLLM process, which is started when it is first needed and ends with its owner.

    Args:
        settings: How it is started.
        restarts: How many restarts may follow each other, within ten minutes.
        progress: Called with the stages of a start.
        on_change: Called with the engine's state whenever that changes.
    """

    def __init__(
        self,
        settings: VllmSettings,
        *,
        restarts: int,
        progress: StartProgress | None = None,
        on_change: Callable[[EngineState], None] | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._restarts = restarts
        self._deaths: list[float] = []
        self._progress = progress
        self._on_change = on_change
        self._plan: LaunchPlan | None = None
        self._process: EngineProcess | None = None
        self._state: EngineState | None = None

    def current(self) -> EngineState | None:
        """The engine as it is now; None before its first start, and where it has died."""
        dead = self._process is not None and not self._process.alive()
        return None if dead else self._state

    async def watch(self, *, restart: bool) -> NoReturn:
        """Put the engine to sleep when it has been idle for the settings' ``idle_sleep``.

        Args:
            restart: Also start it again as soon as it dies; without, the next use does.

        Raises:
            ConfigEngineError: It has died too often, or does not start again.
        """
        last: tuple[int, float] | None = None
        since = time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            if restart:
                async with self.use(wake=False):
                    pass
            seconds, state = self._settings.idle_sleep, self.current()
            if seconds is None or state is None or not self.can_sleep:
                continue
            now = await asyncio.to_thread(state.endpoint.activity)
            if now is None:
                continue
            busy = now[0] > 0
            if self._users or busy or now != last:
                last, since = now, time.monotonic()
            with suppress(EngineError):
                if self.asleep and busy:
                    # Sent between the check that found it idle and its falling asleep.
                    await self.wake()
                elif not self.asleep and time.monotonic() - since >= seconds:
                    await self.sleep()

    async def stop(self) -> None:
        """End the engine; safe to call twice."""
        if self._process is not None:
            await _uninterrupted(asyncio.to_thread(self._process.stop))

    async def _ready(self, wake: bool) -> EngineState:
        if wake and self.asleep:
            await _uninterrupted(self._wake())
        process = self._process
        if process is not None and not process.alive():
            reason = await asyncio.to_thread(process.exit_reason)
            await asyncio.to_thread(process.stop)
            now = time.monotonic()
            self._deaths.append(now)
            if sum(now - then < _CALM for then in self._deaths) > self._restarts:
                raise ConfigEngineError(
                    f"the engine {reason}, and is not started again after "
                    f"{len(self._deaths) - 1} restarts",
                    remedy=f"read its log, {process.log}",
                )
        if process is None or not process.alive():
            await self._start()
        assert self._state is not None
        return self._state

    async def _start(self) -> None:
        if self._plan is None:
            self._plan = await asyncio.to_thread(plan_launch, self._settings)
        plan = self._plan
        # After a death it comes back at the address that others know.
        endpoint = Endpoint.new() if self._state is None else self._state.endpoint
        starting = EngineState(
            status="starting",
            pid=os.getpid(),
            pid_start=process_start(os.getpid()),
            engine_pid=0,
            port=endpoint.port,
            key=endpoint.key,
            model=plan.checkpoint.name,
            source=plan.checkpoint.source,
            revision=plan.checkpoint.revision,
            family=plan.checkpoint.family,
            images=plan.settings.images,
            context=plan.memory.context,
            version=plan.installation.version,
            note=plan.memory.note,
            log="",
            since=time.time(),
            can_sleep=plan.settings.sleep,
            restarts=len(self._deaths),
        )
        self._change(starting)
        process, endpoint = await start_engine(plan, endpoint, self._progress)
        self._process = process
        ready = dataclasses.replace(
            starting,
            status="ready",
            engine_pid=process.pid,
            port=endpoint.port,
            key=endpoint.key,
            log=str(process.log),
            since=time.time(),
        )
        self._change(ready)

    async def _sleep(self, level: int) -> None:
        state = self._state
        assert state is not None
        if level == 2 and not can_reload(state.version):
            raise ConfigEngineError(
                f"vLLM {state.version} cannot load the weights again after a sleep of level 2",
                remedy="use level 1, or a later vLLM",
            )
        if state.level == level:
            return
        if state.level:
            await asyncio.to_thread(state.endpoint.wake, state.level)
        # The state says so first, so that whoever sends next wakes it.
        self._change(dataclasses.replace(state, status="sleeping", level=level))
        try:
            await asyncio.to_thread(state.endpoint.sleep, level)
        except EngineError:
            self._change(dataclasses.replace(state, status="ready", level=0))
            raise

    async def _wake(self) -> None:
        """Wake it. One that does not wake is ended: the next start replaces it."""
        state, process = self._state, self._process
        assert state is not None
        assert process is not None
        try:
            await asyncio.to_thread(state.endpoint.wake, state.level)
        except EngineError:
            await asyncio.to_thread(process.stop)
        else:
            self._change(dataclasses.replace(state, status="ready", level=0))

    def _change(self, state: EngineState) -> None:
        self._state = state
        if self._on_change is not None:
            self._on_change(state)

    async def _end_unresponsive(self) -> bool:
        await self.stop()
        return True


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end also where the caller is cancelled.

    Whoever comes next must not find an engine that is half asleep.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
