"""The engine: a vLLM of our own, or the one that is up, asked over its OpenAI API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.engines.openai import OpenAIEngine
from promptlift.engines.settings import OpenAISettings, VllmSettings
from promptlift.engines.vllm.checkpoint import open_checkpoint
from promptlift.engines.vllm.owner import EngineOwner, RunningEngine
from promptlift.engines.vllm.process import StartProgress
from promptlift.engines.vllm.state import EngineState, read_state
from promptlift.errors import ConfigEngineError, TransientEngineError

__all__ = ["VllmEngine"]

T = TypeVar("T")

_RESTARTS = 2


class VllmEngine:
    """Answers with a vLLM that promptlift owns.

    Uses the engine that ``promptlift engine up`` left where it serves the requested model, and
    starts one of its own otherwise, which ends with this object or this process. An engine that
    dies is started again, and the requests that it had are sent again.

    Args:
        settings: Which model, on which device, and how; by default whatever is up.
        progress: Called with the stages of a start, and the seconds since it began.
    """

    def __init__(
        self,
        settings: VllmSettings | None = None,
        *,
        progress: StartProgress | None = None,
    ) -> None:
        self.settings = settings or VllmSettings()
        self._progress = progress
        self._host: RunningEngine | None = None
        self._clients: dict[str, OpenAIEngine] = {}
        self._closed = False

    @property
    def own(self) -> EngineOwner | None:
        """The owner of an engine of our own; None before one is needed, or where one is up."""
        return self._host if isinstance(self._host, EngineOwner) else None

    async def describe(self) -> EngineInfo:
        """Say who answers; starts the engine where none runs, and leaves one that sleeps asleep.

        Raises:
            ConfigEngineError: It does not start; says why.
        """
        state, info = await self._ask(lambda client: client.describe(), wake=False)
        return replace(
            info,
            name="vllm",
            revision=state.revision,
            family=state.family or info.family,
            max_images=min(state.images, info.max_images),
            origin=state.source,
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request, again on a new engine where the first one died over it.

        Raises:
            TransientEngineError: The engine runs, and fails.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: It does not start, or dies again and again.
        """
        _, completion = await self._ask(lambda client: client.complete(request))
        return completion

    async def stream(self, request: Request, on_text: Callable[[str], None]) -> Completion:
        """Answer one request, once, and pass on each piece of the text as it comes.

        Raises:
            TransientEngineError: It fails, or died; `complete` sees to another one.
            ItemEngineError: The engine refuses this request.
            ConfigEngineError: It does not start.
        """
        async with self._chosen().use() as state:
            return await self._client(state).stream(request, on_text)

    async def count(self, request: Request) -> int | None:
        """Tokens of the whole prompt as the engine counts them."""
        _, tokens = await self._ask(lambda client: client.count(request))
        return tokens

    def can_sleep(self) -> bool:
        """Whether the engine can sleep: ours once it runs, before that the one that is up."""
        state = self._state()
        return state is not None and state.can_sleep and state.status != "starting"

    def asleep(self) -> bool:
        """Whether it sleeps."""
        state = self._state()
        return state is not None and state.status == "sleeping"

    async def sleep(self) -> bool:
        """Put it to sleep, unless it works for us; requests meanwhile wait, and wake it.

        Returns:
            Whether it sleeps now.

        Raises:
            EngineError: It does not answer.
        """
        return await self._chosen().sleep()

    async def wake(self) -> None:
        """Wake it; every request does so as well.

        Raises:
            EngineError: It does not answer, or does not start.
        """
        await self._chosen().wake()

    async def close(self) -> None:
        """Close the connections, and end the engine where it is ours; safe to call twice."""
        self._closed = True
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()
        if self._host is not None:
            await self._host.stop()

    async def _ask(
        self, ask: Callable[[OpenAIEngine], Awaitable[T]], *, wake: bool = True
    ) -> tuple[EngineState, T]:
        """Ask the engine; where it died, ask the next one the same."""
        host = self._chosen()
        for left in range(_RESTARTS, -1, -1):
            async with host.use(wake=wake) as state:
                try:
                    return state, await ask(self._client(state))
                except TransientEngineError as error:
                    if not await host.has_died(state):
                        raise
                    if not left:
                        raise TransientEngineError(
                            f"the engine died {_RESTARTS + 1} times while it worked on this "
                            "request",
                            remedy="read its log (`promptlift engine logs`); this request may be "
                            "what ends it",
                        ) from error
        raise AssertionError("the last attempt returns or raises")

    def _client(self, state: EngineState) -> OpenAIEngine:
        client = self._clients.get(state.base_url)
        if client is None:
            # The client of a dead engine stays until the end: other requests may wait in it.
            client = self._clients[state.base_url] = OpenAIEngine(
                OpenAISettings(
                    base_url=state.base_url, model=state.model, retries=self.settings.retries
                ),
                api_key=state.key,
                max_images=state.images,
            )
        return client

    def _state(self) -> EngineState | None:
        return read_state() if self._host is None else self._host.current()

    def _chosen(self) -> RunningEngine:
        if self._closed:
            raise ConfigEngineError("the engine is closed", remedy="make a new one")
        if self._host is None:
            settings = self.settings
            if _is_up(settings):
                self._host = RunningEngine(settings.start_timeout)
            else:
                self._host = EngineOwner(settings, restarts=_RESTARTS, progress=self._progress)
        return self._host


def _is_up(settings: VllmSettings) -> bool:
    """Whether the engine that is up is what these settings ask for."""
    state = read_state()
    if state is None or settings.images > state.images:
        return False
    if settings.context not in (None, state.context):
        return False
    if settings.model is None and settings.checkpoint_dir is None:
        return True
    return open_checkpoint(settings.model, settings.checkpoint_dir).source == state.source
