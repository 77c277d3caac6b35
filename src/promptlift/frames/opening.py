"""Open a video, of whatever kind."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

from promptlift.frames.sniff import picture_format
from promptlift.frames.source import DEFAULT_LIMITS, Limits, Source, open_source

if TYPE_CHECKING:
    from promptlift.core.video import VideoInfo
    from promptlift.frames.reader import Reader

__all__ = ["open_video", "probe"]


def open_video(
    source: Source, *, limits: Limits = DEFAULT_LIMITS, rate: Fraction = Fraction(1)
) -> Reader:
    """Open a video for reading; use it in a ``with`` statement.

    Args:
        source: A path, the bytes of a file, or a list of either, one picture each.
        limits: What is refused as too large.
        rate: Pictures a second of a list; a file knows its own.

    Returns:
        A reader that holds the file open.

    Raises:
        VideoNotFound: There is no such file, or it may not be read.
        VideoRefused: It is not a regular file, it is a playlist, or it is too large.
        VideoUnreadable: No picture can be had from it.
        OptionError: The rate is not above 0.
    """
    # PyAV and Pillow are for the process that decodes; one with children for that needs neither.
    from promptlift.frames.album import Album
    from promptlift.frames.movie import MovieReader
    from promptlift.frames.pictures import PictureReader
    from promptlift.frames.stills import Animation

    if not isinstance(source, str | bytes | os.PathLike):
        return PictureReader(Album(tuple(source), limits, rate))
    opened = open_source(source, limits)
    try:
        kind = picture_format(opened.head)
        if kind is not None:
            return PictureReader(Animation(opened, kind, limits))
        return MovieReader(opened, limits)
    except BaseException:
        opened.file.close()
        raise


def probe(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Say what a video is; decodes its first frame only.

    Raises:
        VideoError: As `open_video`.
    """
    with open_video(source, limits=limits) as reader:
        return reader.info
