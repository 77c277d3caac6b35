"""A part of a video as the pipeline sees it: the cut hint frames, with their times in the video."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    from promptlift.config import Options
    from promptlift.core.video import Frame, Size
    from promptlift.frames import Source
    from promptlift.pipeline.foresight import Foreseen
    from promptlift.pipeline.seeing import See, Survey

__all__ = ["Part", "PartSights"]


@dataclass(frozen=True, slots=True)
class Part:
    """A region of a video.

    Attributes:
        pictures: Its hint frames as PNG files, in order of time, all of one size.
        times: Seconds of each in the video.
        notes: What a person should know of the region.
    """

    pictures: tuple[bytes, ...]
    times: tuple[Fraction, ...]
    notes: tuple[str, ...] = ()


class PartSights:
    """Shows the pictures of a part, as `promptlift.pipeline.seeing.See` asks.

    A list of pictures is taken for a video of one picture a second. These are moments of a longer
    one, so that nothing can be said from them about camera, movement or cuts.

    Args:
        part: The part.
        sights: Who looks at its pictures.
    """

    def __init__(self, part: Part, sights: See) -> None:
        self._part = part
        self._sights = sights

    async def survey(
        self, source: Source, *, isolated: bool, foreseen: Foreseen | None = None
    ) -> Survey:
        """See `promptlift.pipeline.seeing.See`."""
        seen = await self._sights.survey(source, isolated=isolated, foreseen=foreseen)
        unknown = {"camera": None, "movement": None, "cuts": None}
        return dataclasses.replace(seen, facts=seen.facts.model_copy(update=unknown))

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """See `promptlift.pipeline.seeing.See`."""
        frames = await self._sights.look(source, options, count, size)
        # The list's own times are the pictures' numbers: one picture a second.
        times = [self._part.times[int(frame.time)] for frame in frames]
        return tuple(
            dataclasses.replace(frame, time=time, wanted=time)
            for frame, time in zip(frames, times, strict=True)
        )
