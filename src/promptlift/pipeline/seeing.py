"""The two times that a video is looked at: once to survey it, once for the hint frames.

The survey takes along the hint frames that will probably be asked for, where it passes them.

Both are plain functions of plain values, so that they run as well in a child process that can
be killed. Where they run is a `Runner`: a thread of this process, a child for one call, or a crew
of children that are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NamedTuple, Protocol, TypedDict, TypeVar

from promptlift.config import Options
from promptlift.core.facts import Facts
from promptlift.core.video import Frame, Instant, Size, VideoInfo
from promptlift.errors import VideoError
from promptlift.facts import measure
from promptlift.frames import Source, open_video
from promptlift.frames.isolated import isolated_call
from promptlift.frames.look import hint_frames, very_instants
from promptlift.frames.reader import Reader
from promptlift.pipeline.foresight import Foresee, Foreseen, Shape, frame_count

__all__ = ["PRELOAD", "Glimpse", "Runner", "See", "Survey", "here", "look", "survey"]

T = TypeVar("T")

PRELOAD: Final = ("promptlift.pipeline.seeing", "promptlift.frames.movie")
"""Modules that a process which is kept for looking may import before it is asked to."""


class Runner(Protocol):
    """Runs a function of plain values somewhere, such as `promptlift.frames.crew.Crew.call`."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]:
        """Run it and give its result, or raise what it raised."""
        ...


class _Which(TypedDict):
    """The options that say which frames are hint frames."""

    strategy: str
    fps: Fraction
    exact: bool


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


class Glimpse(NamedTuple):
    """What a first look took along.

    Attributes:
        options: Say which frames these are.
        shape: So many were to be taken, and of this size.
        frames: The hint frames.
    """

    options: Options
    shape: Shape
    frames: tuple[Frame, ...]


class See(Protocol):
    """What shows a video to the pipeline: `promptlift.pipeline.sights.Sights`, or a gate to it."""

    async def survey(
        self, source: Source, *, isolated: bool, foreseen: Foreseen | None = None
    ) -> Survey:
        """Probe, content and facts; see `survey`. What is foreseen will probably be looked at."""
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
    run: Runner, source: Source, foresee: Foresee | None = None
) -> tuple[Survey, Glimpse | None]:
    """Probe a video, hash it and measure it.

    Args:
        run: Where.
        source: The video.
        foresee: Tells which frames to take along; one that waits for something is for a runner in
            this process only.

    Returns:
        The survey; and the frames, where they cost nothing but the scaling.

    Raises:
        VideoError: It cannot be used.
    """
    return await run(_survey, source, foresee)


async def look(
    run: Runner, source: Source, options: Options, count: int, size: Size
) -> tuple[Frame, ...]:
    """The hint frames that the options ask for, at the planned size.

    Raises:
        VideoError: It cannot be used.
    """
    return await run(_look, source, options, count, size)


def _survey(source: Source, foresee: Foresee | None) -> tuple[Survey, Glimpse | None]:
    with open_video(source) as reader:
        keep = () if foresee is None else _instants(reader, foresee)
        seen = Survey(reader.info, reader.content_id, measure(reader.strip(keep=keep)))
        if foresee is None or not keep or not reader.holds(keep):
            return seen, None
        # Asked last, as the answer may have to be waited for.
        return seen, _glimpse(reader, foresee)


def _instants(reader: Reader, foresee: Foresee) -> tuple[Instant, ...]:
    options = foresee.options
    return very_instants(reader, frame_count(reader.info, options), **_which(options))


def _glimpse(reader: Reader, foresee: Foresee) -> Glimpse | None:
    shape = foresee(reader.info)
    if shape is None or shape.frames != frame_count(reader.info, foresee.options):
        return None
    with suppress(VideoError):  # it comes up again when they are asked for
        return Glimpse(foresee.options, shape, _frames(reader, foresee.options, *shape))
    return None


def _look(source: Source, options: Options, count: int, size: Size) -> tuple[Frame, ...]:
    with open_video(source) as reader:
        return _frames(reader, options, count, size)


def _frames(reader: Reader, options: Options, count: int, size: Size) -> tuple[Frame, ...]:
    return hint_frames(reader, count=count, box=size, exactly=True, **_which(options))


def _which(options: Options) -> _Which:
    return {"strategy": options.strategy, "fps": options.fps, "exact": options.exact}
