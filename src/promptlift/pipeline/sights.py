"""What was seen of recent videos, so that many prompts for one video decode it once."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar, cast

from promptlift.config import Options
from promptlift.core.video import Frame, Size
from promptlift.frames import Source
from promptlift.pipeline.foresight import Foresee, Foreseen, Late
from promptlift.pipeline.seeing import Glimpse, Runner, Survey, here, look, survey

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
        self._seen: OrderedDict[Hashable, asyncio.Future[Any]] = OrderedDict()
        self._sizes: OrderedDict[Hashable, int] = OrderedDict()

    async def survey(
        self, source: Source, *, isolated: bool, foreseen: Foreseen | None = None
    ) -> Survey:
        """See `promptlift.pipeline.seeing.survey`; the frames that it gives are remembered."""
        identity = _identity(source)
        if identity is None or self._most == 0:
            foreseen = None  # they would be forgotten at once
        see = partial(self._surveyed, identity, source, isolated, foreseen)
        return await self._once(identity, see, lambda _: _SURVEY_BYTES)

    async def look(
        self, source: Source, options: Options, count: int, size: Size
    ) -> tuple[Frame, ...]:
        """See `promptlift.pipeline.seeing.look`."""
        identity = _identity(source)
        key = None if identity is None else (identity, _how(options, count, size))
        see = partial(look, self._runner(options.isolated), source, options, count, size)
        return await self._once(key, see, _bytes_of)

    async def _surveyed(
        self, identity: Hashable, source: Source, isolated: bool, foreseen: Foreseen | None
    ) -> Survey:
        foresee: Foresee | None = None
        if foreseen is not None:
            # A thread begins at once and hears later; another process is told before it begins.
            in_thread = self._run is None and not isolated
            foresee = Late(foreseen) if in_thread else await foreseen.soon()
        seen, glimpse = await survey(self._runner(isolated), source, foresee)
        if glimpse is not None:
            self._remember(identity, glimpse)
        return seen

    def _remember(self, identity: Hashable, glimpse: Glimpse) -> None:
        """Have frames that were seen in passing for whoever looks for them."""
        key = (identity, _how(glimpse.options, *glimpse.shape))
        if key not in self._seen:
            found = self._seen[key] = asyncio.get_running_loop().create_future()
            found.set_result(glimpse.frames)
            self._keep(key, _bytes_of, found)

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
    ) -> asyncio.Future[T]:
        task = self._seen.get(key)
        if task is None:
            task = self._seen[key] = asyncio.create_task(see())
            task.add_done_callback(partial(self._keep, key, weigh))
        elif key in self._sizes:
            self._sizes.move_to_end(key)
        return task

    def _keep(self, key: Hashable, weigh: Callable[[T], int], task: asyncio.Future[T]) -> None:
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


def _how(options: Options, count: int, size: Size) -> Hashable:
    return (options.strategy, count, options.fps, size, options.exact)


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
