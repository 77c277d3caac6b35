"""Analyses and frames of recent videos, so that many prompts for one video decode it once."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, Protocol, TypeVar

from promptlift.errors import PromptliftError
from promptlift.types import Frame
from promptlift.video.reader import (
    AnalysedError,
    Detail,
    FrameChoice,
    FramePlan,
    VideoAnalysis,
    analyse,
    analyse_and_read,
    named_kind,
    read_frames,
)
from promptlift.video.source import Source
from promptlift.video.workers import isolated_call

__all__ = ["Runner", "VideoCache"]

T = TypeVar("T")


class Runner(Protocol):
    """Runs a function of plain values somewhere, such as `ProcessPool.call`."""

    def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """Run it and give its result, or raise what it raised."""
        ...


class VideoCache:
    """Remembers analyses and frames by file, until memory is needed for newer ones.

    A file is known by what the file system calls it, its size and its time of change, so that a
    replaced one is read anew, and by the kind of video that its name speaks of. Bytes and lists of
    pictures are not remembered. Belongs to one event loop: a video that is read for one item is
    waited for by the others, and goes on being read where the first no longer wants it.

    Args:
        max_bytes: Bytes of pictures that are kept; 0 to keep nothing.
        run: Where videos are decoded; None for a thread of this process, or a process of its own
            where an item is to be isolated.
    """

    def __init__(self, max_bytes: int = 256 << 20, run: Runner | None = None) -> None:
        self._max_bytes = max_bytes
        self._run = run
        self._held_bytes = 0
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    async def read(
        self,
        source: Source,
        choice: FrameChoice,
        plan: FramePlan,
        *,
        detail: Detail,
        isolated: bool = False,
    ) -> tuple[VideoAnalysis, tuple[Frame, ...]]:
        """Analyse a video and read the frames that a plan asks for; see `analyse_and_read`.

        Raises:
            VideoError: It cannot be used.
            AnalysedError: The plan failed, or its frames cannot be read.
        """
        video, run = self._identity(source), self._runner(isolated)
        both = partial(run, analyse_and_read, source, choice, plan, detail=detail)
        if video is None:
            return await both()

        async def analysed() -> VideoAnalysis:
            """Decode the video once, and remember the frames that come with its analysis."""
            try:
                analysis, frames = await both()
            except AnalysedError as error:
                return error.analysis  # whoever plans or reads frames meets the error again
            if frames:
                self._keep((video, choice, frames[0].size), frames)
            return analysis

        analysis = await self._once((video, detail), analysed)
        try:
            _, size = plan(analysis)
            reading = partial(run, read_frames, source, choice, size)
            return analysis, await self._once((video, choice, size), reading)
        except PromptliftError as error:
            raise AnalysedError(error, analysis) from error

    async def analyse(
        self, source: Source, *, detail: Detail, isolated: bool = False
    ) -> VideoAnalysis:
        """Analyse a video; see `promptlift.video.reader.analyse`.

        Raises:
            VideoError: It cannot be used.
        """
        video = self._identity(source)
        work = partial(self._runner(isolated), analyse, source, detail=detail)
        return await (work() if video is None else self._once((video, detail), work))

    def _runner(self, isolated: bool) -> Runner:
        if self._run is not None:
            return self._run
        in_process = partial(asyncio.to_thread, isolated_call)  # type: ignore[arg-type]
        return in_process if isolated else asyncio.to_thread

    def _identity(self, source: Source) -> Hashable:
        """What a file is known by; None for what is not remembered, or cannot be looked at."""
        if not isinstance(source, str | os.PathLike) or self._max_bytes == 0:
            return None
        try:
            status = os.stat(source)  # noqa: PTH116 - a path may be no text, which Path takes badly
        except (OSError, ValueError):
            return None
        named = named_kind(source)
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, named)

    async def _once(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """What work gives, from memory or done once for all who ask meanwhile."""
        if key in self._held:
            self._held.move_to_end(key)
            value: T = self._held[key][0]
            return value
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._done(key, work))
        return await asyncio.shield(self._running[key])

    async def _done(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        try:
            value = await work()
        finally:
            del self._running[key]
        self._keep(key, value)
        return value

    def _keep(self, key: Hashable, value: Any) -> None:
        """Remember a value, and forget the oldest of what is too much."""
        if key in self._held:
            return
        size = 4096
        if isinstance(value, tuple):
            size = sum(frame.image.nbytes for frame in value)
        self._held[key] = value, size
        self._held_bytes += size
        while self._held_bytes > self._max_bytes and self._held:
            _, (_, freed) = self._held.popitem(last=False)
            self._held_bytes -= freed
