"""The engine: a vLLM of our own, or the one that is up, spoken to over its OpenAI API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.vllm.checkpoint import open_checkpoint
from promptlift.engines.vllm.control import Endpoint
from promptlift.engines.vllm.host import Host, OwnHost, Served, SharedHost
from promptlift.engines.vllm.launch import Progress
from promptlift.engines.vllm.settings import VllmSettings
from promptlift.engines.vllm.state import State, read_state
from promptlift.errors import ConfigEngineError, TransientEngineError

__all__ = ["VllmEngine"]

T = TypeVar("T")

_RESTARTS = 2
# Failures that pass by themselves are few on loopback; a dead engine is dealt with here.
_RETRIES = 1


class VllmEngine:
    """Answers with a vLLM that promptlift owns.

    Uses the engine that ``promptlift engine up`` left where it serves the model that is asked
    for, and starts one of its own otherwise, which ends with this object or this process. An
    engine that dies is started again, and what it was working on is sent again.

    Args:
        settings: Which model, on which device, and how; by default whatever is up.
        use_running: Use the engine that is up where it serves that model.
        restarts: How often a dead engine is replaced.
        progress: Told about the stages of a start, and the seconds since it began.
        retries: Attempts after the first where the engine is there and fails; 0 for a caller who
            tries again by itself.
    """

    def __init__(
        self,
        settings: VllmSettings | None = None,
        *,
        use_running: bool = True,
        restarts: int = _RESTARTS,
        progress: Progress | None = None,
        retries: int = _RETRIES,
    ) -> None:
        self.settings = settings or VllmSettings()
        self._use_running = use_running
        self._restarts = restarts
        self._progress = progress
        self._retries = retries
        self._host: Host | None = None
        self._clients: dict[Endpoint, OpenAIEngine] = {}
        self._lock = asyncio.Lock()
        self._under_way = 0
        self._closed = False

    @property
    def own(self) -> OwnHost | None:
        """The engine of our own; None before it was needed, or where the one that is up serves."""
        return self._host if isinstance(self._host, OwnHost) else None

    async def describe(self) -> EngineInfo:
        """Say who answers; starts the engine unless it is there, and lets one that sleeps sleep.

        Raises:
            ConfigEngineError: It does not start; says why.
        """
        served, info = await self._with_engine(lambda client: client.describe(), wake=False)
        return replace(
            info,
            name="vllm",
            revision=served.revision,
            family=served.family or info.family,
            max_images=min(served.images, info.max_images),
            origin=served.origin or info.origin,
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request, again on a new engine where the first one died over it.

        Raises:
            TransientEngineError: The engine is there, and fails.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: It does not start, or dies again and again.
        """
        _, completion = await self._with_engine(lambda client: client.complete(request))
        return completion

    async def stream(self, request: Request, told: Callable[[str], None]) -> Completion:
        """Answer one request on the engine that is there, telling each piece as it comes.

        Raises:
            TransientEngineError: It fails, or died; `complete` sees to another one.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: It does not start.
        """
        async with self._open() as (_, client):
            return await client.stream(request, told)

    async def count(self, request: Request) -> int | None:
        """Tokens of the whole prompt as the engine counts them."""
        _, tokens = await self._with_engine(lambda client: client.count(request))
        return tokens

    async def waiting(self) -> int | None:
        """How many requests the engine has taken in and not begun; None while it is not there."""
        if not self._clients:
            return None
        return await next(reversed(self._clients.values())).waiting()

    def can_sleep(self) -> bool:
        """Whether the engine can sleep: ours once it is there, and the one that is up."""
        if self._host is None:
            return self._use_running and read_state() is not None
        return self._host.can_sleep

    def asleep(self) -> bool:
        """Whether it sleeps."""
        host = self._host or SharedHost(0)
        return self.can_sleep() and host.asleep

    async def sleep(self) -> bool:
        """Put it to sleep, unless it works for us; what comes meanwhile waits, and wakes it.

        Returns:
            Whether it sleeps now.

        Raises:
            EngineError: It does not answer, or was started without the ability.
        """
        async with self._lock:
            host = await self._chosen()
            if self._under_way or not host.can_sleep:
                return False
            await host.sleep()
        return True

    async def wake(self) -> None:
        """Wake it; whoever asks it something does so as well.

        Raises:
            EngineError: It is not there, or does not answer.
        """
        async with self._lock:
            await (await self._chosen()).ready()

    async def close(self) -> None:
        """Close the connections, and end the engine where it is ours; safe to call twice."""
        self._closed = True
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()
        if self._host is not None:
            await asyncio.to_thread(self._host.stop)

    async def _with_engine(
        self, ask: Callable[[OpenAIEngine], Awaitable[T]], *, wake: bool = True
    ) -> tuple[Served, T]:
        """Ask an engine that is there; where it died, ask the next one the same."""
        for left in range(self._restarts, -1, -1):
            async with self._open(wake=wake) as (served, client):
                try:
                    return served, await ask(client)
                except TransientEngineError as error:
                    assert self._host is not None
                    if not await self._host.died(served):
                        raise
                    if not left:
                        raise _died_again(self._restarts + 1) from error
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def _open(self, *, wake: bool = True) -> AsyncIterator[tuple[Served, OpenAIEngine]]:
        """The engine, awake for as long as it is asked something."""
        async with self._lock:
            served = await (await self._chosen()).ready(wake=wake)
            client = self._client(served)
            # Counted before the lock is let go: whoever wants it to sleep must see it.
            self._under_way += wake
        try:
            yield served, client
        finally:
            self._under_way -= wake

    def _client(self, served: Served) -> OpenAIEngine:
        client = self._clients.get(served.endpoint)
        if client is None:
            # The client of a dead engine is kept until the end: others may wait in it.
            client = self._clients[served.endpoint] = OpenAIEngine(
                served.endpoint.base_url,
                model=served.model,
                api_key=served.endpoint.key,
                max_images=served.images,
                retries=self._retries,
            )
        return client

    async def _chosen(self) -> Host:
        if self._closed:
            raise ConfigEngineError("the engine is closed", remedy="make a new one")
        if self._host is None:
            self._host = await asyncio.to_thread(self._choose_host)
        return self._host

    def _choose_host(self) -> Host:
        settings = self.settings
        if self._use_running:
            state = read_state()
            if state is not None and _serves(state, settings):
                return SharedHost(settings.start_timeout)
        return OwnHost(settings, self._progress, self._restarts)


def _died_again(times: int) -> TransientEngineError:
    return TransientEngineError(
        f"the engine died {times} times while it worked on this request",
        remedy="read its log (`promptlift engine logs`); this request may be what ends it",
    )


def _serves(state: State, settings: VllmSettings) -> bool:
    """Whether the engine that is up is what these settings ask for."""
    if settings.context is not None and settings.context != state.context:
        return False
    if settings.images > state.images:
        return False
    if settings.model is None and settings.checkpoint_dir is None:
        return True
    wanted = open_checkpoint(settings.model, settings.checkpoint_dir).source
    return Path(wanted).expanduser() == Path(state.source).expanduser()
