"""A list of pictures, shown one after another as a video."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from promptlift.errors import OptionError, VideoUnreadable
from promptlift.frames.sniff import picture_format, unreadable
from promptlift.frames.source import open_source
from promptlift.frames.stills import Animation, Slides

if TYPE_CHECKING:
    from fractions import Fraction

    from PIL.Image import Image as Picture

    from promptlift.core.video import VideoInfo
    from promptlift.frames.source import Limits
    from promptlift.frames.source import Picture as PictureSource

__all__ = ["Album"]


class Album(Slides):
    """A list of pictures, shown one after another.

    Args:
        sources: The pictures.
        limits: The most pixels of a picture.
        rate: Pictures a second.

    Raises:
        VideoUnreadable: The list is empty, or one of them is not a picture.
        VideoError: As `Animation`, for any of the pictures.
        OptionError: The rate is not above 0.
    """

    def __init__(self, sources: tuple[PictureSource, ...], limits: Limits, rate: Fraction) -> None:
        if not sources:
            raise VideoUnreadable("the list of pictures is empty", remedy="give at least one")
        if rate <= 0:
            raise OptionError(f"a rate of {rate} pictures a second", remedy="give one above 0")
        self._sources = sources
        self._limits = limits
        self.times = tuple(number / rate for number in range(len(sources)))
        digest = hashlib.sha256()
        infos = []
        for source in sources:
            animation = self._open(source)
            infos.append(animation.info)
            digest.update(animation.content_id.encode())
            animation.close()
        self._content_id = f"sha256:{digest.hexdigest()}"
        self.info = _album_info(infos[0], len(sources), rate)

    @property
    def content_id(self) -> str:
        """See `Slides`."""
        return self._content_id

    def picture(self, number: int) -> Picture:
        """See `Slides`."""
        animation = self._open(self._sources[number])
        try:
            return animation.picture(0).copy()
        finally:
            animation.close()

    def close(self) -> None:
        """See `Slides`; nothing is held open."""

    def _open(self, source: PictureSource) -> Animation:
        opened = open_source(source, self._limits)
        try:
            kind = picture_format(opened.head)
            if kind is None:
                raise unreadable(opened.name, "it is not a picture", "give a list of pictures")
            return Animation(opened, kind, self._limits)
        except BaseException:
            opened.file.close()
            raise


def _album_info(first: VideoInfo, count: int, rate: Fraction) -> VideoInfo:
    return replace(
        first,
        container="images",
        frame_rate=rate,
        duration=count / rate,
        frame_count=count,
        is_still=count == 1,
        size_bytes=0,
    )
