"""What one item sees of videos: shared sights, behind the byte budget."""

from __future__ import annotations

from promptlift.batch.runner.patient import Turn
from promptlift.batch.runner.room import ByteBudget
from promptlift.config import Options
from promptlift.core.video import Frame, Size
from promptlift.frames import Source
from promptlift.pipeline.foresight import Foreseen
from promptlift.pipeline.seeing import See, Survey

__all__ = ["Gate"]

_CHANNELS = 3


class Gate:
    """Lets one item look when there is room for what it will see.

    Args:
        sights: Who looks.
        room: How many bytes of pictures may be held.
        turn: The item's with the engine. It is left while the item looks: who waits for room must
            hold nothing that those wait for who have it.
    """

    def __init__(self, sights: See, room: ByteBudget, turn: Turn) -> None:
        self._turn = turn
        self._sights = sights
        self._room = room
        self._held = 0

    async def survey(
        self, source: Source, *, isolated: bool, foreseen: Foreseen | None = None
    ) -> Survey:
        """See `promptlift.pipeline.seeing.See`."""
        return await self._sights.survey(source, isolated=isolated, foreseen=foreseen)

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """See `promptlift.pipeline.seeing.See`; waits for room first."""
        self.close()
        self._turn.leave()
        size_in_bytes = count * size.pixels * _CHANNELS
        await self._room.take(size_in_bytes)
        self._held = size_in_bytes
        return await self._sights.look(source, options, count, size)

    def close(self) -> None:
        """Give back what the item held; safe to call twice."""
        held, self._held = self._held, 0
        if held:
            self._room.give(held)
