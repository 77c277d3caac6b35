"""The engines of a server, each with what is its own, so that none has to wait for another's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Literal

from promptlift.engines.base import Engine, EngineInfo
from promptlift.engines.registry import make_engine, meant_by
from promptlift.errors import OptionError, PromptliftError
from promptlift.server.errors import Refusal
from promptlift.server.queue import FairQueue
from promptlift.server.settings import Settings
from promptlift.server.sleeping import Sleeper

__all__ = ["Lane", "Lanes"]

_LOG = logging.getLogger("promptlift.server")
_AGAIN_SECONDS = 5.0
_LOOK_SECONDS = 30.0
_GIVEN = "given"


class Lane:
    """One engine, its queue, its sleep, and what is known of it.

    Args:
        label: What requests call it.
        engine: The engine.
        settings: How the server is set up.
        owned: Whether it is ours to close.

    Attributes:
        label: What requests call it.
        engine: The engine.
        queue: The work that waits for it.
        sleeper: Lets it sleep.
        info: Who it is; None before it has answered once.
        trouble: Why it does not answer; None where it does, or was not asked yet.
    """

    def __init__(self, label: str, engine: Engine, settings: Settings, *, owned: bool) -> None:
        self.label = label
        self.engine = engine
        self.queue = FairQueue(settings.queue, settings.parallel)
        self.sleeper = Sleeper(engine, self.queue.idle_for, settings.idle_sleep)
        self.info: EngineInfo | None = None
        self.trouble: PromptliftError | None = None
        self._owned = owned

    @property
    def state(self) -> Literal["unknown", "ready", "asleep"]:
        """What it is doing."""
        if self.sleeper.asleep:
            return "asleep"
        return "unknown" if self.info is None else "ready"

    @property
    def answers(self) -> bool:
        """Whether it answered when it was asked last."""
        return self.info is not None and self.trouble is None

    async def describe(self) -> EngineInfo:
        """Who answers; starts it where it is to be started.

        Raises:
            EngineError: Nobody does.
        """
        self.info = await self.engine.describe()
        return self.info

    async def meet(self) -> None:
        """Learn who answers, so that what the journal knows can be told without asking.

        Never ends: another model may be behind the same door later. One that sleeps is let sleep.
        """
        while True:
            try:
                if self.info is None or not self.sleeper.asleep:
                    await self.describe()
                self.trouble = None
            except PromptliftError as error:
                self.trouble = error
                _LOG.warning("the engine %s does not answer: %s", self.label, error)
            await asyncio.sleep(_AGAIN_SECONDS if self.trouble else _LOOK_SECONDS)

    async def close(self) -> None:
        """Close it where it is ours."""
        if self._owned:
            await self.engine.close()


class Lanes:
    """All engines, by what requests call them. The first answers where none is named.

    Args:
        settings: Which they are.

    Raises:
        OptionError: Two are called the same, or one cannot be made so.
        ConfigEngineError: A setting cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.first = _first(settings)
        self._lanes = {self.first.label: self.first}
        for one in settings.also:
            if one.label in self._lanes:
                raise OptionError(
                    f"two engines are called {one.label!r}",
                    remedy=f"give one another label: --also LABEL={one.name}",
                )
            engine = make_engine(one.name, **one.settings)
            self._lanes[one.label] = Lane(one.label, engine, settings, owned=True)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __len__(self) -> int:
        return len(self._lanes)

    async def close(self) -> None:
        """Close all that are ours; one that cannot be closed keeps no other from it."""
        ended = await asyncio.gather(*(lane.close() for lane in self), return_exceptions=True)
        for lane, error in zip(self, ended, strict=True):
            if isinstance(error, BaseException):
                _LOG.warning("the engine %s does not end well: %s", lane.label, error)

    def get(self, label: str | None) -> Lane:
        """The engine that is called so; the first where none is named.

        Raises:
            Refusal: None is.
        """
        found = self.first if label is None else self._lanes.get(label)
        if found is None:
            raise Refusal(
                422,
                "engine_unknown",
                f"this server has no engine {label!r}",
                remedy=f"name one of: {', '.join(self._lanes)}; or none, for the first of them",
            )
        return found


def _first(settings: Settings) -> Lane:
    if not isinstance(settings.engine, str):
        return Lane(_GIVEN, settings.engine, settings, owned=False)
    label = meant_by(settings.engine, settings.engine_settings)
    engine = make_engine(settings.engine, **settings.engine_settings)
    return Lane(label, engine, settings, owned=True)
