"""What was seen of recent videos, so that many prompts for one video decode it once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from promptlift.config import Options
from promptlift.core.video import Frame, Size
from promptlift.frames import Source
from promptlift.pipeline.seeing import Survey, look, survey

__all__ = ["Sights"]

T = TypeVar("T")

_MOST_BYTES = 256 << 20
_SURVEY_BYTES = 4096


class Sights:
    """Remembers surveys and hint frames by file, until memory is needed for newer ones.

    A file is known by its path, size and time of change, so that a replaced one is seen anew.
    Bytes and lists of pictures are not remembered. May be used from many threads: a video that
    is being looked at by one is waited for by the others.

    Args:
        most_bytes: Bytes of pictures that are kept.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._seen: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}

    def survey(self, source: Source, *, isolated: bool) -> Survey:
        """See `promptlift.pipeline.seeing.survey`."""
        key = _identity(source)
        return self._once(key, lambda: survey(source, isolated=isolated), lambda _: _SURVEY_BYTES)

    def look(self, source: Source, options: Options, count: int, size: Size) -> tuple[Frame, ...]:
        """See `promptlift.pipeline.seeing.look`."""
        identity = _identity(source)
        how = (options.strategy, count, options.fps, size, options.exact)
        key = None if identity is None else (identity, how)
        return self._once(key, lambda: look(source, options, count, size), _bytes_of)

    def _once(self, key: Hashable, see: Callable[[], T], weigh: Callable[[T], int]) -> T:
        if key is None:
            return see()
        with self._lock:
            known = self._seen.get(key)
            if known is None:
                mine = self._seen[key] = Future()
            else:
                self._seen.move_to_end(key)
        if known is not None:
            return cast("T", known.result())
        try:
            seen = see()
        except BaseException as error:
            with self._lock:
                del self._seen[key]
            mine.set_exception(error)
            raise
        mine.set_result(seen)
        self._keep(key, weigh(seen))
        return seen

    def _keep(self, key: Hashable, size: int) -> None:
        """Note what something takes, and forget the oldest of what is too much."""
        with self._lock:
            self._sizes[key] = size
            self._held += size
            while self._held > self._most and self._sizes:
                oldest = next(iter(self._sizes))
                self._held -= self._sizes.pop(oldest)
                self._seen.pop(oldest, None)


def _bytes_of(frames: tuple[Frame, ...]) -> int:
    return sum(frame.image.nbytes for frame in frames)


def _identity(source: Source) -> Hashable:
    """What a file is known by; None for what is no file, or cannot be looked at."""
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        path = os.path.realpath(source)
        status = os.stat(path)  # noqa: PTH116 - a path may be no text, which Path takes badly
    except OSError:
        return None
    return (path, status.st_size, status.st_mtime_ns)
