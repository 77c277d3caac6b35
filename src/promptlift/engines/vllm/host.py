"""Whose engine it is: one started for a call, or the one that is up. Both give an address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from promptlift.engines.vllm.control import Endpoint, healthy
from promptlift.engines.vllm.deaths import Deaths
from promptlift.engines.vllm.launch import LaunchPlan, Progress, Running, launch, prepare
from promptlift.engines.vllm.nap import Nap
from promptlift.engines.vllm.settings import VllmSettings
from promptlift.engines.vllm.sleeping import NOT_UP, put_to_sleep, wake_up
from promptlift.engines.vllm.state import State, read_state
from promptlift.errors import ConfigEngineError

__all__ = ["Host", "OwnHost", "Served", "SharedHost"]

_SETTLE = 20.0
_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Served:
    """What answers.

    Attributes:
        endpoint: Where.
        model: The name of the model.
        revision: Its revision, where it is known.
        family: Its image-token family, where it is known.
        images: The most images in one request.
        generation: The engine's process id, by which a new one is told from the one before.
        origin: The folder or name that it was given.
    """

    endpoint: Endpoint
    model: str
    revision: str
    family: str | None
    images: int
    generation: int
    origin: str = ""


class Host(Protocol):
    """Keeps an engine there."""

    @property
    def can_sleep(self) -> bool:
        """Whether there is an engine that can be put to sleep."""
        ...

    @property
    def asleep(self) -> bool:
        """Whether it sleeps."""
        ...

    async def ready(self, *, wake: bool = True) -> Served:
        """What answers, once it does; started, started again or woken where that is needed.

        Args:
            wake: Whether one that sleeps is woken; without, it only tells what it is.
        """
        ...

    async def sleep(self) -> None:
        """Put it to sleep; nothing of ours is under way in it."""
        ...

    async def died(self, served: Served) -> bool:
        """Whether that engine is dead, or was replaced, after a request failed."""
        ...

    def stop(self) -> None:
        """End what is ours to end."""
        ...


class OwnHost:
    """An engine of our own, started when it is first needed, and ended with us.

    Args:
        settings: How.
        progress: Told about the stages of a start.
        restarts: How often an engine that dies again and again is started again.
    """

    def __init__(self, settings: VllmSettings, progress: Progress | None, restarts: int) -> None:
        self._settings = settings
        self._progress = progress
        self._deaths = Deaths(restarts)
        self._plan: LaunchPlan | None = None
        self._running: Running | None = None
        self._nap = Nap()

    @property
    def running(self) -> Running | None:
        """The engine; None before the first request."""
        return self._running

    @property
    def can_sleep(self) -> bool:
        """Whether it was started so that it can, and is there."""
        running = self._running
        return self._settings.sleep and running is not None and running.process.alive()

    @property
    def asleep(self) -> bool:
        """Whether it sleeps; one that has died over it does not."""
        running = self._running
        return running is not None and self._nap.holds(running) and running.process.alive()

    async def ready(self, *, wake: bool = True) -> Served:
        """Start it unless it is there, and wake it where it sleeps.

        Raises:
            ConfigEngineError: It does not start, or died too often.
        """
        if self._plan is None:
            self._plan = await asyncio.to_thread(prepare, self._settings)
        if self._running is None:
            self._running = await launch(self._plan, self._progress)
        if wake and self.asleep:
            await _to_its_end(partial(self._nap.end, self._running))
        if not self._running.process.alive():
            self._running = await self._again(self._plan, self._running)
        checkpoint = self._plan.checkpoint
        return Served(
            endpoint=self._running.endpoint,
            model=checkpoint.name,
            revision=checkpoint.revision,
            family=checkpoint.family,
            images=self._settings.images,
            generation=self._running.process.pid,
            origin=checkpoint.source,
        )

    async def _again(self, plan: LaunchPlan, dead: Running) -> Running:
        how = await asyncio.to_thread(dead.process.ended)
        await asyncio.to_thread(dead.process.stop)
        if not self._deaths.another():
            raise ConfigEngineError(
                f"the engine {how} again, and is not started any more",
                remedy=f"read its log, {dead.process.log}",
            )
        return await launch(plan, self._progress, dead.endpoint)

    async def died(self, served: Served) -> bool:
        """Wait until it is clear; a server whose engine is dead ends within seconds."""
        running = self._running
        if running is None or running.process.pid != served.generation:
            return True
        deadline = time.monotonic() + _SETTLE
        while running.process.alive():
            if await asyncio.to_thread(healthy, served.endpoint):
                return False
            if time.monotonic() > deadline:
                await asyncio.to_thread(running.process.stop)
            await asyncio.sleep(_LOOK)
        return True

    async def sleep(self) -> None:
        """Put it to sleep where it is there.

        Raises:
            TransientEngineError: It does not answer.
        """
        await _to_its_end(self.fall_asleep)

    def fall_asleep(self) -> None:
        """The same for callers without a loop; whoever asks next through `ready` wakes it."""
        if self._running is not None:
            self._nap.begin(self._running)

    def wake_up(self) -> None:
        """Wake it where it sleeps; one that does not wake is ended."""
        if self.asleep and self._running is not None:
            self._nap.end(self._running)

    def stop(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.process.stop()


class SharedHost:
    """The engine that ``promptlift engine up`` left; it is not ours to end.

    Args:
        patience: Seconds to wait for one that is starting.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience

    @property
    def can_sleep(self) -> bool:
        """Whether it is up."""
        state = read_state()
        return state is not None and state.status != "starting"

    @property
    def asleep(self) -> bool:
        """Whether it sleeps, whoever put it to sleep."""
        state = read_state()
        return state is not None and state.status == "sleeping"

    async def ready(self, *, wake: bool = True) -> Served:
        """Wait for it while it starts, and wake it where it sleeps.

        Raises:
            ConfigEngineError: None is up, or it does not come up in time.
        """
        deadline = time.monotonic() + self._patience
        while True:
            state = read_state()
            if state is None:
                raise NOT_UP
            if state.status == "sleeping" and wake:
                state = await asyncio.to_thread(wake_up)
            if state.status != "starting":
                return _served(state)
            if time.monotonic() > deadline:
                raise ConfigEngineError(
                    f"the engine is not ready after {self._patience:g} s",
                    remedy="look at `promptlift engine logs`",
                )
            await asyncio.sleep(_LOOK)

    async def died(self, served: Served) -> bool:
        """Wait until it answers again, or its supervisor has noticed that it does not."""
        deadline = time.monotonic() + _SETTLE
        while time.monotonic() < deadline:
            state = read_state()
            if state is None or state.status != "ready":
                return True
            if state.engine_pid != served.generation:
                return True
            if await asyncio.to_thread(healthy, served.endpoint):
                return False
            await asyncio.sleep(_LOOK)
        return False

    async def sleep(self) -> None:
        """Put it to sleep, for everybody.

        Raises:
            EngineError: None is up, or it does not answer.
        """
        if not self.asleep:
            await asyncio.to_thread(put_to_sleep, 1)

    def stop(self) -> None:
        """Leave it as it is."""


async def _to_its_end(work: Callable[[], None]) -> None:
    """Do something in a thread, and stay until it is done also where nobody waits any more.

    Whoever comes next must not find an engine that is half asleep.
    """
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


def _served(state: State) -> Served:
    return Served(
        endpoint=state.endpoint,
        model=state.model,
        revision=state.revision,
        family=state.family,
        images=state.images,
        generation=state.engine_pid,
        origin=state.source,
    )
