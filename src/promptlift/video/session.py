"""Open a video once: analyse it, have the frames planned, and read them, in one pass.

The functions take and return plain, picklable values, so that they run in a thread, in
`isolated_call` or in a `ProcessPool` alike.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol

from promptlift.errors import PromptliftError
from promptlift.facts.measurement import measure_facts
from promptlift.facts.model import Facts
from promptlift.types import Frame, Size, VideoInfo
from promptlift.video.reader import FrameChoice, exact_instants, hint_frames
from promptlift.video.source import VideoRegion, open_video

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptlift.types import Instant
    from promptlift.video.reader import Reader
    from promptlift.video.source import Source

__all__ = [
    "PRELOAD",
    "AnalysedError",
    "Detail",
    "FramePlan",
    "VideoAnalysis",
    "analyse",
    "analyse_and_read",
    "frame_count",
    "read_frames",
]

Detail = Literal["full", "low"]

PRELOAD: Final = ("promptlift.video.session", "promptlift.video.movie")
"""Modules that a worker process may import before its first call."""


@dataclass(frozen=True, slots=True)
class VideoAnalysis:
    """What an analysis gives, before the frames are chosen.

    Attributes:
        info: What the file says.
        content: The name of the content, see `Reader.content_id`.
        facts: What was measured.
        warnings: What a person should know of how it was read.
    """

    info: VideoInfo
    content: str
    facts: Facts
    warnings: tuple[str, ...] = ()


class FramePlan(Protocol):
    """Decides how many frames are read and at which size. Picklable, to run in another process."""

    def __call__(self, analysis: VideoAnalysis) -> tuple[int, Size]:
        """Number and size of the frames.

        Raises:
            PromptliftError: No frames can be shown.
        """
        ...


class AnalysedError(Exception):
    """Planning or reading the frames failed once the video was analysed.

    Attributes:
        error: What failed.
        analysis: The analysis of the video.
    """

    def __init__(self, error: PromptliftError, analysis: VideoAnalysis) -> None:
        super().__init__(error, analysis)
        self.error = error
        self.analysis = analysis

    def __str__(self) -> str:
        return str(self.error)


def frame_count(info: VideoInfo, count: int) -> int:
    """How many frames are read of the `count` that are wanted; 1 of a still."""
    if info.is_still:
        return 1
    return min(count, info.frame_count or count)


def analyse(source: Source, *, detail: Detail = "full") -> VideoAnalysis:
    """Probe a video, hash it and measure it.

    Raises:
        VideoError: It cannot be used.
    """
    with open_video(source) as reader:
        return _analysis(reader, detail, ())


def analyse_and_read(
    source: Source, choice: FrameChoice, plan: FramePlan, *, detail: Detail = "full"
) -> tuple[VideoAnalysis, tuple[Frame, ...]]:
    """Analyse a video, and read its frames as a plan says.

    The pass that measures keeps the decoded frames at the instants of `choice` where it comes
    across them, so that most videos are decoded once.

    Args:
        source: The video.
        choice: Which frames.
        plan: Called in this process, once the video is analysed.
        detail: ``full`` measures everything; ``low`` what an engine that sees the frames needs.

    Returns:
        The analysis; and the frames in order of time, each of the planned size.

    Raises:
        VideoError: It cannot be used.
        AnalysedError: The plan failed, or its frames cannot be read.
    """
    choice = _settle(source, choice)
    with open_video(source) as reader:
        count = frame_count(reader.info, choice.count)
        keep = exact_instants(reader, replace(choice, count=count))
        analysis = _analysis(reader, detail, keep)
        try:
            count, size = plan(analysis)
            return analysis, _frames(reader, choice, count, size)
        except PromptliftError as error:
            raise AnalysedError(error, analysis) from error


def read_frames(source: Source, choice: FrameChoice, size: Size) -> tuple[Frame, ...]:
    """Read the frames of a video that was analysed before.

    Args:
        source: The video.
        choice: Which frames.
        size: The size of each, stretched to it if need be.

    Raises:
        VideoError: It cannot be used.
    """
    choice = _settle(source, choice)
    with open_video(source) as reader:
        return _frames(reader, choice, frame_count(reader.info, choice.count), size)


def _settle(source: Source, choice: FrameChoice) -> FrameChoice:
    """A region has no frames but those that were chosen in its video: all of them are read."""
    return replace(choice, strategy="first") if isinstance(source, VideoRegion) else choice


def _analysis(reader: Reader, detail: Detail, keep: Sequence[Instant]) -> VideoAnalysis:
    if detail == "low":
        facts = measure_facts(*reader.samples(keep=keep))
    else:
        facts = measure_facts(reader.thumbnails(keep=keep))
    return VideoAnalysis(reader.info, reader.content_id, facts, reader.warnings)


def _frames(reader: Reader, choice: FrameChoice, count: int, size: Size) -> tuple[Frame, ...]:
    chosen = replace(choice, count=count)
    return hint_frames(reader, box=size, stretch=True, **asdict(chosen))
