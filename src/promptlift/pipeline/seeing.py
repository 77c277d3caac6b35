"""The two times that a video is looked at: once to survey it, once for the hint frames.

Both are plain functions of plain values, so that they run as well in a child process that can
be killed. Where they run is a `Runner`: a thread of this process, a child for one call, or a crew
of children that are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Protocol, TypeVar

from promptlift.config import Options
from promptlift.core.facts import Facts
from promptlift.core.video import Frame, Size, VideoInfo
from promptlift.facts import measure
from promptlift.frames import Source, open_video
from promptlift.frames.isolated import isolated_call
from promptlift.frames.look import hint_frames

__all__ = ["PRELOAD", "Runner", "See", "Survey", "here", "look", "survey"]

T = TypeVar("T")

PRELOAD: Final = ("promptlift.pipeline.seeing", "promptlift.frames.movie")
"""Modules that a process which is kept for looking may import before it is asked to."""


class Runner(Protocol):
    """Runs a function of plain values somewhere, such as `promptlift.frames.crew.Crew.call`."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]:
        """Run it and give its result, or raise what it raised."""
        ...


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first look gives.

    Attributes:
        info: The probe.
        content: Hash of the content, with its kind before the colon.
        facts: What was measured.
    """

    info: VideoInfo
    content: str
    facts: Facts


class See(Protocol):
    """What shows a video to the pipeline: `promptlift.pipeline.sights.Sights`, or a gate to it."""

    async def survey(self, source: Source, *, isolated: bool) -> Survey:
        """Probe, content and facts; see `survey`."""
        ...

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """The hint frames; see `look`."""
        ...


async def here(function: Callable[..., T], /, *args: Any, isolated: bool = False) -> T:
    """Run it in a thread of this process, or in a child of its own."""
    if isolated:
        return await asyncio.to_thread(isolated_call, function, *args)
    return await asyncio.to_thread(function, *args)


async def survey(
    run: Runner, source: Source, decoded: Callable[[VideoInfo], None] | None = None
) -> Survey:
    """Probe a video, hash it and measure it.

    Args:
        run: Where.
        source: The video.
        decoded: Told, in whatever thread it is, what the video is once it is decoded and before
            it is measured; for a runner in this process only.

    Raises:
        VideoError: It cannot be used.
    """
    return await (run(_survey, source) if decoded is None else run(_survey, source, decoded))


async def look(
    run: Runner, source: Source, options: Options, count: int, size: Size
) -> tuple[Frame, ...]:
    """The hint frames that the options ask for, at the planned size.

    Raises:
        VideoError: It cannot be used.
    """
    return await run(_look, source, options.strategy, count, options.fps, size, options.exact)


def _survey(source: Source, decoded: Callable[[VideoInfo], None] | None = None) -> Survey:
    with open_video(source) as reader:
        strip = reader.strip()
        if decoded is not None:
            decoded(reader.info)
        return Survey(reader.info, reader.content_id, measure(strip))


def _look(
    source: Source, strategy: str, count: int, fps: Fraction, size: Size, exact: bool
) -> tuple[Frame, ...]:
    with open_video(source) as reader:
        return hint_frames(
            reader, strategy=strategy, count=count, fps=fps, box=size, exact=exact, exactly=True
        )
