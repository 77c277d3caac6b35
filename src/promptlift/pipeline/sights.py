"""What was seen of recent videos, so that many prompts for one video decode it once."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

from promptlift.config import Options
from promptlift.core.video import Frame, Size, VideoInfo
from promptlift.frames import Source
from promptlift.pipeline.seeing import Runner, Survey, here, look, survey

__all__ = ["Sights"]

T = TypeVar("T")

_MOST_BYTES = 256 << 20
_SURVEY_BYTES = 4096


class Sights:
    """Remembers surveys and hint frames by file, until memory is needed for newer ones.

    A file is known by what the file system calls it, its size and its time of change, so that a
    replaced one is seen anew. Bytes and lists of pictures are not remembered. Belongs to one
    event loop: a video that is being looked at for one is waited for by the others, and goes on
    being looked at where the first no longer wants it.

    Args:
        most_bytes: Bytes of pictures that are kept.
        run: Where a video is looked at; None for a thread of this process, or a child of its own
            where an item is to be isolated.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES, run: Runner | None = None) -> None:
        self._most = most_bytes
        self._run = run
        self._held = 0
        self._seen: OrderedDict[Hashable, asyncio.Task[Any]] = OrderedDict()
        self._sizes: OrderedDict[Hashable, int] = OrderedDict()
        self._decoding: dict[Hashable, asyncio.Future[VideoInfo | None]] = {}

    async def survey(self, source: Source, *, isolated: bool) -> Survey:
        """See `promptlift.pipeline.seeing.survey`."""
        identity = _identity(source)
        see = partial(survey, self._runner(isolated), source)
        is_here = self._run is None and not isolated and self._most > 0
        if is_here and identity is not None and identity not in self._seen:
            self._decoding[identity] = decoding = asyncio.get_running_loop().create_future()
            see = partial(self._told, identity, source, decoding)
        return await self._once(identity, see, lambda _: _SURVEY_BYTES)

    async def decoded(self, source: Source) -> VideoInfo | None:
        """What a video is that is being surveyed, as soon as it is decoded.

        Returns:
            None where no survey is under way, it fails, or it is in another process.
        """
        await asyncio.sleep(0)  # a survey that was asked for just now begins
        decoding = self._decoding.get(_identity(source))
        return None if decoding is None else await asyncio.shield(decoding)

    def expect(self, source: Source, options: Options, count: int, size: Size) -> None:
        """Begin a look that will probably be asked for; what it fails of is told only then."""
        key, see = self._looking(source, options, count, size)
        if key is not None:
            self._begun(key, see, _bytes_of)

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """See `promptlift.pipeline.seeing.look`."""
        key, see = self._looking(source, options, count, size)
        return await self._once(key, see, _bytes_of)

    def _looking(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Hashable, Callable[[], Coroutine[Any, Any, tuple[Frame, ...]]]]:
        identity = _identity(source)
        how = (options.strategy, count, options.fps, size, options.exact)
        key = None if identity is None else (identity, how)
        return key, partial(look, self._runner(options.isolated), source, options, count, size)

    async def _told(
        self, identity: Hashable, source: Source, decoding: asyncio.Future[VideoInfo | None]
    ) -> Survey:
        """A survey in this process, which `decoded` hears of."""

        def tell(info: VideoInfo) -> None:
            with suppress(RuntimeError):  # the loop was closed over it
                decoding.get_loop().call_soon_threadsafe(_settle, decoding, info)

        try:
            return await survey(self._runner(isolated=False), source, tell)
        finally:
            _settle(decoding, None)
            del self._decoding[identity]

    def _runner(self, isolated: bool) -> Runner:
        return self._run or partial(here, isolated=isolated)

    async def _once(
        self, key: Hashable, see: Callable[[], Coroutine[Any, Any, T]], weigh: Callable[[T], int]
    ) -> T:
        if key is None:
            return await see()
        return cast("T", await asyncio.shield(self._begun(key, see, weigh)))

    def _begun(
        self, key: Hashable, see: Callable[[], Coroutine[Any, Any, T]], weigh: Callable[[T], int]
    ) -> asyncio.Task[T]:
        task = self._seen.get(key)
        if task is None:
            task = self._seen[key] = asyncio.create_task(see())
            task.add_done_callback(partial(self._keep, key, weigh))
        elif key in self._sizes:
            self._sizes.move_to_end(key)
        return task

    def _keep(self, key: Hashable, weigh: Callable[[T], int], task: asyncio.Task[T]) -> None:
        """Note what something takes, and forget the oldest of what is too much, and failures."""
        if task.cancelled() or task.exception() is not None:
            self._seen.pop(key, None)
            return
        self._sizes[key] = size = weigh(task.result())
        self._held += size
        while self._held > self._most and self._sizes:
            oldest, size = self._sizes.popitem(last=False)
            self._held -= size
            self._seen.pop(oldest, None)


def _settle(decoding: asyncio.Future[VideoInfo | None], info: VideoInfo | None) -> None:
    if not decoding.done():
        decoding.set_result(info)


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
