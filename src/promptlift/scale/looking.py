"""The first stage: hash, survey, plan and decode, and remember what was seen for the second.

The pipeline's own steps run with an engine that only says who it is, up to where it would be
asked. What it sees on the way is recorded, failures too; the second stage runs the same steps
over the recording, and so comes to the same plan, the same record and the same errors.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace

from promptlift.batch.runner.contents import Contents
from promptlift.batch.runner.items import Item
from promptlift.config import Options
from promptlift.core.video import Frame, Size
from promptlift.engines.base import Completion, EngineInfo, Request
from promptlift.errors import ItemEngineError, PromptliftError
from promptlift.frames import Source
from promptlift.frames.crew import Crew
from promptlift.frames.isolated import IsolationLimits
from promptlift.pipeline.foresight import Foreseen
from promptlift.pipeline.item import upsample_item
from promptlift.pipeline.seeing import PRELOAD, See, Survey
from promptlift.pipeline.sights import Sights
from promptlift.scale.parcels import Fate, Look, Seen, Ticketed

__all__ = ["Claim", "Described", "Looker", "Recorder", "Replay"]

Claim = Callable[[int, str, bool], Fate]
"""Asks the desk what is to become of a row: its number, its key, whether that was looked up."""

_SIGHTS_BYTES = 64 << 20


class Described:
    """Stands in for an engine that is known and elsewhere.

    Args:
        who: What that engine says of itself.
    """

    def __init__(self, who: EngineInfo) -> None:
        self._who = who

    async def describe(self) -> EngineInfo:
        """Say who it stands for."""
        return self._who

    async def complete(self, request: Request) -> Completion:  # noqa: ARG002 - the port's name
        """Answer nothing.

        Raises:
            ItemEngineError: Always; what needs an answer is left to the second stage.
        """
        raise ItemEngineError(
            f"{self._who.name} cannot be asked here", remedy="ask where the engine is"
        )

    async def close(self) -> None:
        """Hold nothing."""


class Recorder:
    """Looks through another's eyes, and remembers what was seen.

    Args:
        sights: Who looks.

    Attributes:
        survey_: The survey or why there is none; None before it was made.
        looks: The looks at frames.
    """

    def __init__(self, sights: See) -> None:
        self.survey_: Survey | PromptliftError | None = None
        self.looks: list[Look] = []
        self._sights = sights

    async def survey(
        self, source: Source, *, isolated: bool, foreseen: Foreseen | None = None
    ) -> Survey:
        """See `promptlift.pipeline.seeing.See`."""
        try:
            self.survey_ = seen = await self._sights.survey(
                source, isolated=isolated, foreseen=foreseen
            )
        except PromptliftError as error:
            self.survey_ = error
            raise
        return seen

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """See `promptlift.pipeline.seeing.See`."""
        try:
            frames = await self._sights.look(source, options, count, size)
        except PromptliftError as error:
            self.looks.append(Look(count, size, error))
            raise
        self.looks.append(Look(count, size, frames))
        return frames


class Replay:
    """Shows a recording, and looks itself at what is not on it, as where a plan must shrink.

    Args:
        seen: The recording.
        sights: Who looks then.
    """

    def __init__(self, seen: Seen, sights: See) -> None:
        self._seen = seen
        self._sights = sights

    async def survey(
        self, source: Source, *, isolated: bool, foreseen: Foreseen | None = None
    ) -> Survey:
        """See `promptlift.pipeline.seeing.See`."""
        found = self._seen.survey
        if found is None:
            return await self._sights.survey(source, isolated=isolated, foreseen=foreseen)
        if isinstance(found, PromptliftError):
            raise found
        return found

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """See `promptlift.pipeline.seeing.See`."""
        for look in self._seen.looks:
            if (look.count, look.size) == (count, size):
                if isinstance(look.found, PromptliftError):
                    raise look.found
                return look.found
        return await self._sights.look(source, options, count, size)


class Looker:
    """Looks at rows one after another, in a child process that can be killed.

    Is kept by a process from one task to the next, with its child and what it saw last.

    Args:
        decode_seconds: Seconds that one look at one video may take.
    """

    def __init__(self, decode_seconds: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._crew = Crew(1, IsolationLimits(wall_seconds=decode_seconds), preload=PRELOAD)
        self._sights = Sights(_SIGHTS_BYTES, self._crew.call)

    def look_at(self, rows: Sequence[Ticketed], claim: Claim, who: EngineInfo) -> list[Seen]:
        """What is seen of some rows, in their order."""
        return self._loop.run_until_complete(self._all(rows, claim, Described(who)))

    def close(self) -> None:
        """End the child."""
        self._loop.run_until_complete(self._crew.close())
        self._loop.close()

    async def _all(self, rows: Sequence[Ticketed], claim: Claim, engine: Described) -> list[Seen]:
        return [await self._safely(ticket, item, claim, engine) for ticket, item in rows]

    async def _safely(self, ticket: int, item: Item, claim: Claim, engine: Described) -> Seen:
        try:
            return await self._one(ticket, item, claim, engine)
        except Exception:  # noqa: BLE001 - it is raised again in the driver
            return Seen(ticket, item, "leave", defect=traceback.format_exc())

    async def _one(self, ticket: int, item: Item, claim: Claim, engine: Described) -> Seen:
        start = time.perf_counter()
        lines: list[bytes] = []
        key = item.key or await self._key(item, lines)
        fate = claim(ticket, key, item.key is not None)
        recorder = Recorder(self._sights)
        row = item.row
        if fate == "ask" and row.trouble is None:
            await upsample_item(
                row.video,
                row.prompt,
                engine,
                item.meaning.options,
                plan_only=True,
                sights=recorder,
            )
        return Seen(
            ticket,
            replace(item, key=key),
            fate,
            tuple(lines),
            recorder.survey_,
            tuple(recorder.looks),
            time.perf_counter() - start,
        )

    async def _key(self, item: Item, lines: list[bytes]) -> str:
        async def keep(line: bytes) -> None:
            lines.append(line)

        return item.keyed(await Contents(self._crew.call, keep).of(item.row.video))
