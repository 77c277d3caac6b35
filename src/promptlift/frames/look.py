"""Look at a video: the hint frames of a strategy, read with as little decoding as it allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from promptlift.core import hints

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from promptlift.core.video import RGB, Frame, Instant, Size, Strip
    from promptlift.frames.reader import Reader

__all__ = ["hint_frames", "very_instants"]

_STRIP_SIDE = 96
_SAMPLED_PIXELS = 20_000


def hint_frames(
    reader: Reader,
    *,
    box: Size,
    strategy: str = "spread",
    count: int = hints.DEFAULT_COUNT,
    fps: Fraction = hints.DEFAULT_RATE,
    exact: bool = False,
    exactly: bool = False,
    native: bool = False,
) -> tuple[Frame, ...]:
    """The frames that stand for a video.

    Args:
        reader: The video.
        box: The most pixels across and down; nothing is enlarged.
        strategy: One of `promptlift.core.hints.STRATEGIES`.
        count: How many, at least 1.
        fps: Frames a second, for the strategy ``fps`` only.
        exact: Forbid keyframes near the wanted instants, which ``spread`` takes in long clips.
        exactly: Give frames of the very size of `box`.
        native: Keep the video's own colours too, for a clip; see `Reader.frames_at`.

    Returns:
        Frames in order of time, no two the same; fewer than `count` where there are fewer.

    Raises:
        OptionError: An unknown strategy, no frames asked for, or a rate that is not above 0.
        VideoUnreadable: No picture can be had.
    """
    hints.check_options(strategy, count, fps)
    if strategy == "first":
        return _in_order(reader.first(count, box, exactly=exactly, native=native))
    if strategy == "fps":
        instants = hints.at_rate(reader.info.duration, count, fps)
    elif strategy == "scenes":
        strip = reader.strip(side=_STRIP_SIDE)
        instants = hints.scenes(strip.times, _changes(strip), count)
    else:
        return _spread(reader, count, box, exact=exact, exactly=exactly, native=native)
    return _in_order(reader.frames_at(instants, box, exactly=exactly, native=native))


def very_instants(
    reader: Reader, count: int, *, strategy: str, fps: Fraction, exact: bool
) -> tuple[Instant, ...]:
    """The instants whose very frames `hint_frames` will ask for, where they are known by now.

    Args:
        reader: The video.
        count: As for `hint_frames`.
        strategy: Likewise.
        fps: Likewise.
        exact: Likewise.

    Returns:
        Ascending; none where a strategy reads from the start, has to see the video first, or takes
        keyframes, which cost next to nothing.
    """
    if strategy == "fps":
        return hints.at_rate(reader.info.duration, count, fps)
    duration = _duration(reader) if strategy == "spread" else None
    if duration is None or (duration > hints.LONG_CLIP and not exact):
        return ()
    return hints.spread(duration, count, index=reader.index, exact=exact)[0]


def _spread(
    reader: Reader, count: int, box: Size, *, exact: bool, exactly: bool, native: bool
) -> tuple[Frame, ...]:
    duration = _duration(reader)
    if duration is None:
        return reader.first(count, box, exactly=exactly, native=native)
    centres, retries = hints.spread(duration, count, index=reader.index, exact=exact)
    found = _by_instant(reader.frames_at(centres, box, exactly=exactly, native=native))
    for others in retries:
        again = [
            (centre.time, other)
            for centre, other in zip(centres, others, strict=True)
            if centre.time in found and _is_blank(found[centre.time].image)
        ]
        if not again:
            break
        better = _by_instant(
            reader.frames_at([other for _, other in again], box, exactly=exactly, native=native)
        )
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
    step = max(1, round((image.size / 3 / _SAMPLED_PIXELS) ** 0.5))
    values = image[::step, ::step].reshape(-1, 3)
    low, high = np.percentile(values, hints.BLANK_PERCENTILES, axis=0)
    return hints.is_blank(float((high - low).max()))


def _changes(strip: Strip) -> tuple[float, ...]:
    """How much each picture of a strip differs from the one before it: mean levels of 255."""
    pictures = strip.images.astype(np.int16)
    steps = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3))
    return (0.0, *steps.tolist())
