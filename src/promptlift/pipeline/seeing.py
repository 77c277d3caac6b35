"""The two times that a video is looked at: once to survey it, once for the hint frames.

Both are plain functions of plain values, so that they run as well in a child process that can
be killed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from promptlift.config import Options
from promptlift.core.facts import Facts
from promptlift.core.video import Frame, Size, VideoInfo
from promptlift.facts import measure
from promptlift.frames import Source, open_video
from promptlift.frames.isolated import isolated_call
from promptlift.frames.look import hint_frames

__all__ = ["Survey", "look", "survey"]

T = TypeVar("T")


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


def survey(source: Source, *, isolated: bool) -> Survey:
    """Probe a video, hash it and measure it.

    Raises:
        VideoError: It cannot be used.
    """
    return _call(isolated, _survey, source)


def look(source: Source, options: Options, count: int, size: Size) -> tuple[Frame, ...]:
    """The hint frames that the options ask for, at the planned size.

    Raises:
        VideoError: It cannot be used.
    """
    return _call(
        options.isolated, _look, source, options.strategy, count, options.fps, size, options.exact
    )


def _call(isolated: bool, function: Callable[..., T], *args: object) -> T:
    return isolated_call(function, *args) if isolated else function(*args)


def _survey(source: Source) -> Survey:
    with open_video(source) as reader:
        return Survey(reader.info, reader.content_id, measure(reader.strip()))


def _look(
    source: Source, strategy: str, count: int, fps: Fraction, size: Size, exact: bool
) -> tuple[Frame, ...]:
    with open_video(source) as reader:
        return hint_frames(
            reader, strategy=strategy, count=count, fps=fps, box=size, exact=exact, exactly=True
        )
