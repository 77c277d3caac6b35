"""Analyses and frames of recent videos, so that many prompts for one video decode it once."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from promptlift.errors import PromptliftError
from promptlift.types import Frame, Size
from promptlift.video.reader import FrameChoice
from promptlift.video.session import (
    AnalysedError,
    Detail,
    FramePlan,
    VideoAnalysis,
    analyse,
    analyse_and_read,
    read_frames,
)
from promptlift.video.source import Source
from promptlift.video.workers import isolated_call

__all__ = ["Runner", "VideoCache", "run_in_thread"]

T = TypeVar("T")

_MAX_BYTES = 256 << 20
_ANALYSIS_BYTES = 4096


class Runner(Protocol):
    """Runs a function of plain values somewhere, such as `ProcessPool.call`."""

    def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """Run it and give its result, or raise what it raised."""
        ...


async def run_in_thread(
    function: Callable[..., T], /, *args: Any, isolated: bool = False, **kwargs: Any
) -> T:
    """Run a function in a thread of this process, or in a process of its own."""
    if isolated:
        return await asyncio.to_thread(isolated_call, function, *args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


class _FrameKey(NamedTuple):
    video: Hashable
    choice: FrameChoice
    size: Size


class VideoCache:
    """Remembers analyses and frames by file, until memory is needed for newer ones.

    A file is known by what the file system calls it, its size and its time of change, so that a
    replaced one is read anew. Bytes and lists of pictures are not remembered. Belongs to one
    event loop: a video that is read for one item is waited for by the others, and goes on being
    read where the first no longer wants it.

    Args:
        max_bytes: Bytes of pictures that are kept; 0 to keep nothing.
        run: Where videos are decoded; None for a thread of this process, or a process of its own
            where an item is to be isolated.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES, run: Runner | None = None) -> None:
        self._max_bytes = max_bytes
        self._run = run
        self._held_bytes = 0
        self._entries: dict[Hashable, asyncio.Task[Any]] = {}
        self._sizes: OrderedDict[Hashable, int] = OrderedDict()

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
        run = self._run or partial(run_in_thread, isolated=isolated)
        video = _identity(source)
        if video is None or self._max_bytes == 0:
            return await run(analyse_and_read, source, choice, plan, detail=detail)
        key = (video, detail)
        if key not in self._entries:
            work = self._analyse_and_read(run, key, source, choice, plan, detail)
            self._entries[key] = asyncio.create_task(work)
        self._touch(key)
        analysis = await asyncio.shield(self._entries[key])
        try:
            _, size = plan(analysis)
            frames = await self._frames(run, video, source, choice, size)
        except PromptliftError as error:
            raise AnalysedError(error, analysis) from error
        return analysis, frames

    async def analyse(
        self, source: Source, *, detail: Detail, isolated: bool = False
    ) -> VideoAnalysis:
        """Analyse a video; see `promptlift.video.session.analyse`.

        Raises:
            VideoError: It cannot be used.
        """
        run = self._run or partial(run_in_thread, isolated=isolated)
        video = _identity(source)
        if video is None or self._max_bytes == 0:
            return await run(analyse, source, detail=detail)
        key = (video, detail)
        if key not in self._entries:
            self._entries[key] = asyncio.create_task(self._analyse(run, key, source, detail))
        self._touch(key)
        analysis: VideoAnalysis = await asyncio.shield(self._entries[key])
        return analysis

    async def _analyse(
        self, run: Runner, key: Hashable, source: Source, detail: Detail
    ) -> VideoAnalysis:
        try:
            analysis = await run(analyse, source, detail=detail)
        except BaseException:
            self._entries.pop(key, None)
            raise
        self._keep(key, _ANALYSIS_BYTES)
        return analysis

    async def _analyse_and_read(
        self,
        run: Runner,
        key: tuple[Hashable, Detail],
        source: Source,
        choice: FrameChoice,
        plan: FramePlan,
        detail: Detail,
    ) -> VideoAnalysis:
        """Decode a video once, and remember the frames that came with its analysis."""
        try:
            analysis, frames = await run(analyse_and_read, source, choice, plan, detail=detail)
        except AnalysedError as error:
            self._keep(key, _ANALYSIS_BYTES)
            return error.analysis  # whoever plans or reads frames meets the error again
        except BaseException:
            self._entries.pop(key, None)
            raise
        self._keep(key, _ANALYSIS_BYTES)
        if frames:
            frame_key = _FrameKey(key[0], choice, frames[0].size)
            self._entries[frame_key] = asyncio.create_task(_return(frames))
            self._keep(frame_key, _bytes_of(frames))
        return analysis

    async def _frames(
        self,
        run: Runner,
        video: Hashable,
        source: Source,
        choice: FrameChoice,
        size: Size,
    ) -> tuple[Frame, ...]:
        key = _FrameKey(video, choice, size)
        if key not in self._entries:
            self._entries[key] = asyncio.create_task(self._read_frames(run, key, source))
        self._touch(key)
        frames: tuple[Frame, ...] = await asyncio.shield(self._entries[key])
        return frames

    async def _read_frames(self, run: Runner, key: _FrameKey, source: Source) -> tuple[Frame, ...]:
        try:
            frames = await run(read_frames, source, key.choice, key.size)
        except BaseException:
            self._entries.pop(key, None)
            raise
        self._keep(key, _bytes_of(frames))
        return frames

    def _touch(self, key: Hashable) -> None:
        if key in self._sizes:
            self._sizes.move_to_end(key)

    def _keep(self, key: Hashable, size: int) -> None:
        """Note what an entry takes, and forget the oldest of what is too much."""
        self._sizes[key] = size
        self._held_bytes += size
        while self._held_bytes > self._max_bytes and self._sizes:
            oldest, size = self._sizes.popitem(last=False)
            self._held_bytes -= size
            self._entries.pop(oldest, None)


async def _return(value: T) -> T:
    return value


def _bytes_of(frames: tuple[Frame, ...]) -> int:
    return sum(frame.image.nbytes for frame in frames)


def _identity(source: Source) -> Hashable:
    """What a file is known by; None for what is no file, or cannot be looked at."""
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        status = os.stat(source)  # noqa: PTH116 - a path may be no text, which Path takes badly
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
