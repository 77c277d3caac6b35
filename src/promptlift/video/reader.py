"""What every opened video can do, the hint frames of a strategy, and both in one pass.

The functions at the end open a video once, analyse it, have the frames planned, and read them. They
take and return plain, picklable values, so that they run in a thread, in `isolated_call` or in a
`ProcessPool` alike.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import numpy as np

from promptlift import instants as hints
from promptlift.errors import OptionError, PromptliftError
from promptlift.facts import Facts
from promptlift.facts.control_kind import kind_hint
from promptlift.facts.measurement import measure_facts
from promptlift.types import Frame, PacketIndex, Size, Thumbnails, VideoInfo
from promptlift.video.source import VideoRegion, open_video

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from promptlift.types import RGB, Instant, Kind
    from promptlift.video.source import Source

__all__ = [
    "AnalysedError",
    "Detail",
    "FrameChoice",
    "FramePlan",
    "Reader",
    "VideoAnalysis",
    "analyse",
    "analyse_and_read",
    "due_times",
    "frame_count",
    "hint_frames",
    "named_kind",
    "read_frames",
    "stack",
]

Detail = Literal["full", "low"]

_FPS = 8
_WHOLE = Fraction(30)  # seconds up to which a video is sampled as a whole
_LONGEST = Fraction(3)  # seconds of one stretch of a longer one


class Reader(ABC):
    """An opened video; a context manager that closes it.

    A reader is for one thread at a time. Every method may be called in any order and any number
    of times. All of them raise `promptlift.errors.VideoUnreadable` where no picture can be had.

    Attributes:
        info: What the video is.
        content_id: The name of the content, whatever the file is called: ``sha256:<hex>`` of all
            bytes up to 64 MiB; above, ``sha256-sampled:<hex>`` of the size and of blocks of the
            file; for a list of pictures, the hash of their hashes.
        index: Times, sizes and keyframes of the packets, read without decoding; may be empty.
        warnings: What a person should know of how it is read.
    """

    info: VideoInfo
    content_id: str
    index: PacketIndex = PacketIndex()
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def frames_at(
        self, instants: Sequence[Instant], box: Size, *, stretch: bool = False
    ) -> tuple[Frame, ...]:
        """Give the frames on show at ascending instants, scaled to fit into a box.

        An instant before the first frame gives the first frame; one after the end, the last
        frame that can be decoded. A frame that several instants share is given once. Where an
        instant has a window, a keyframe inside it may be taken instead (`Frame.snapped`).

        Args:
            instants: The moments to look at, ascending.
            box: The most pixels across and down; nothing is enlarged.
            stretch: Give frames of the very size of `box`, enlarged and stretched as need be.

        Returns:
            At most as many frames as instants, in order, each with its true time.
        """

    @abstractmethod
    def first(self, count: int, box: Size, *, stretch: bool = False) -> tuple[Frame, ...]:
        """Give the first frames shown, fewer where the video has fewer; see `frames_at`."""

    @abstractmethod
    def thumbnails(self, *, side: int = 320, keep: Sequence[Instant] = ()) -> Thumbnails:
        """Give a small copy for measuring: at most 8 pictures a second, all of one size.

        Of a video longer than 30 seconds, a few separate stretches are taken.

        Args:
            side: The most pixels across and down.
            keep: Ascending instants that `frames_at` will be asked for; where they can be had in
                passing they are kept for it.
        """

    def samples(self, *, keep: Sequence[Instant] = ()) -> tuple[Thumbnails, Thumbnails | None]:
        """Give the least that shows kind, light, colours and camera; see `thumbnails`.

        Returns:
            A few thumbnails in colour; and small ones of luma, ``(count, height, width)``, in
            short bursts that are spread over the video, or None where the first are enough.
        """
        return self.thumbnails(keep=keep), None

    @abstractmethod
    def close(self) -> None:
        """Give back the file; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Which frames stand for a video.

    Attributes:
        strategy: See `promptlift.instants.Strategy`.
        count: How many, at least 1; a video that has fewer gives those.
        fps: Frames a second, for the strategy ``fps`` only.
        exact: Forbid keyframes near the wanted instants, which ``spread`` takes in long clips.
        at: Seconds, ascending, of the first of which `count` frames are taken; empty to go by the
            strategy.
    """

    strategy: str = "spread"
    count: int = 2
    fps: Fraction = Fraction(2)
    exact: bool = False
    at: tuple[Fraction, ...] = ()


def due_times(
    duration: Fraction | None, max_seconds: Fraction = _WHOLE, parts: int = 5
) -> tuple[tuple[Fraction, ...], ...]:
    """Give the times to sample, 8 a second, one tuple for each stretch.

    A video of up to `max_seconds` is one stretch. Of a longer one, a few stretches of at most
    three seconds are spread over its length.

    Args:
        duration: Seconds; None is taken for `max_seconds`.
        max_seconds: The longest video that is sampled as a whole, and the most that the stretches
            add up to.
        parts: How many stretches there are of a longer one.
    """
    whole = duration if duration is not None else max_seconds
    if whole <= max_seconds:
        return (_grid(Fraction(0), whole),)
    length = min(_LONGEST, max_seconds / parts)
    centres = (whole * (2 * part + 1) / (2 * parts) for part in range(parts))
    return tuple(_grid(centre - length / 2, length) for centre in centres)


def stack(
    images: Sequence[NDArray[np.uint8]],
    times: Sequence[Fraction],
    stretches: tuple[int, ...],
    source: Size,
) -> Thumbnails:
    """Put pictures of one size together, in order even where timestamps are damaged."""
    order = sorted(range(len(times)), key=lambda place: times[place])
    contiguous = len(set(stretches)) <= 1
    return Thumbnails(
        np.stack([images[place] for place in order]),
        tuple(times[place] for place in order),
        source,
        contiguous,
        () if contiguous else tuple(stretches[place] for place in order),
    )


def _grid(start: Fraction, length: Fraction) -> tuple[Fraction, ...]:
    count = max(1, -(-length * _FPS // 1))
    return tuple(start + Fraction(number, _FPS) for number in range(int(count)))


_DEFAULT = FrameChoice()
_SCENE_SIDE = 96
_SAMPLED_PIXELS = 20_000
_BLANK_RANGE = 12.0  # levels of 255


def hint_frames(
    reader: Reader, choice: FrameChoice = _DEFAULT, *, box: Size, stretch: bool = False
) -> tuple[Frame, ...]:
    """The frames that stand for a video.

    Args:
        reader: The video.
        choice: Which frames.
        box: The most pixels across and down; nothing is enlarged.
        stretch: Give frames of the very size of `box`.

    Returns:
        Frames in order of time, no two the same; fewer than wanted where there are fewer.

    Raises:
        OptionError: An unknown strategy, no frames asked for, a rate that is not above 0, or a
            time that the video does not have.
        VideoUnreadable: No picture can be had.
    """
    count = choice.count
    hints.check_options(choice.strategy, count, choice.fps)
    if choice.at:
        if reader.info.is_still:
            raise OptionError(
                "frames are chosen by time, and there is only one picture", remedy="remove --at"
            )
        instants = hints.named(_duration(reader), choice.at)[:count]
        return _in_order(reader.frames_at(instants, box, stretch=stretch))
    if choice.strategy == "first":
        return _in_order(reader.first(count, box, stretch=stretch))
    if choice.strategy == "fps":
        instants = hints.at_rate(reader.info.duration, count, choice.fps)
    elif choice.strategy == "scenes":
        thumbnails = reader.thumbnails(side=_SCENE_SIDE)
        # How much each thumbnail differs from the one before it: mean levels of 255.
        steps = np.abs(np.diff(thumbnails.images.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        instants = hints.scenes(thumbnails.times, (0.0, *steps.tolist()), count)
    else:
        return _spread(reader, choice, box, stretch=stretch)
    return _in_order(reader.frames_at(instants, box, stretch=stretch))


def _exact_instants(reader: Reader, choice: FrameChoice) -> tuple[Instant, ...]:
    """The ascending instants whose exact frames `hint_frames` will read, where that is certain.

    None where a strategy reads from the start, has to see the video first, or takes keyframes,
    which cost next to nothing.
    """
    if choice.at:
        return hints.named(None, choice.at)[: choice.count]
    if choice.strategy == "fps":
        return hints.at_rate(reader.info.duration, choice.count, choice.fps)
    duration = _duration(reader) if choice.strategy == "spread" else None
    if duration is None or (duration > hints.LONG_CLIP and not choice.exact):
        return ()
    return hints.spread(duration, choice.count, index=reader.index, exact=choice.exact)[0]


def _spread(reader: Reader, choice: FrameChoice, box: Size, *, stretch: bool) -> tuple[Frame, ...]:
    duration = _duration(reader)
    if duration is None:
        return reader.first(choice.count, box, stretch=stretch)
    exact, index = choice.exact, reader.index
    centres, retries = hints.spread(duration, choice.count, index=index, exact=exact)
    found = _by_instant(reader.frames_at(centres, box, stretch=stretch))
    for others in retries:
        again = [
            (centre.time, other)
            for centre, other in zip(centres, others, strict=True)
            if centre.time in found and _is_blank(found[centre.time].image)
        ]
        if not again:
            break
        better = _by_instant(reader.frames_at([other for _, other in again], box, stretch=stretch))
        for place, other in again:
            if other.time in better and not _is_blank(better[other.time].image):
                found[place] = better[other.time]
    return _in_order(found.values())


def _by_instant(frames: Iterable[Frame]) -> dict[Fraction, Frame]:
    return {frame.wanted: frame for frame in frames}


def _in_order(frames: Iterable[Frame]) -> tuple[Frame, ...]:
    """Ascending, and each frame once, even where a file's timestamps are damaged."""
    once = {frame.time: frame for frame in frames}
    return tuple(once[time] for time in sorted(once))


def _duration(reader: Reader) -> Fraction | None:
    """Seconds, from the packets where the container does not say; None if they do not either."""
    if reader.info.duration:
        return reader.info.duration
    times = reader.index.times
    return times[-1] if len(times) > 1 else None


def _is_blank(image: RGB) -> bool:
    """Whether a picture shows nothing: all black, all white, or any other single colour.

    Specks of compression noise and a station logo's dot are not minded.
    """
    step = max(1, round((image.size / 3 / _SAMPLED_PIXELS) ** 0.5))
    values = image[::step, ::step].reshape(-1, 3)
    low, high = np.percentile(values, (0.5, 99.5), axis=0)
    return bool((high - low).max() < _BLANK_RANGE)


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


FramePlan: TypeAlias = Callable[[VideoAnalysis], tuple[int, Size]]
"""Decides how many frames are read and at which size, or raises a `PromptliftError`. Picklable, to
run in another process."""


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
        return _analysis(reader, source, detail, ())


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
        keep = _exact_instants(reader, replace(choice, count=count))
        analysis = _analysis(reader, source, detail, keep)
        try:
            count, size = plan(analysis)
            chosen = replace(choice, count=count)
            return analysis, hint_frames(reader, chosen, box=size, stretch=True)
        except PromptliftError as error:
            raise AnalysedError(error, analysis) from error


def named_kind(source: Source) -> Kind | None:
    """The kind of control video that the name of a source's file speaks of."""
    video = source.video if isinstance(source, VideoRegion) else source
    if not isinstance(video, str | os.PathLike):
        return None
    return kind_hint(os.path.basename(os.fsdecode(video)))  # noqa: PTH119 - may be no text


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
        chosen = replace(choice, count=frame_count(reader.info, choice.count))
        return hint_frames(reader, chosen, box=size, stretch=True)


def _settle(source: Source, choice: FrameChoice) -> FrameChoice:
    """A region has no frames but those that were chosen in its video: all of them are read."""
    return replace(choice, strategy="first", at=()) if isinstance(source, VideoRegion) else choice


def _analysis(
    reader: Reader, source: Source, detail: Detail, keep: Sequence[Instant]
) -> VideoAnalysis:
    hint = named_kind(source)
    if detail == "low":
        facts = measure_facts(*reader.samples(keep=keep), hint=hint)
    else:
        facts = measure_facts(reader.thumbnails(keep=keep), hint=hint)
    return VideoAnalysis(reader.info, reader.content_id, facts, reader.warnings)
