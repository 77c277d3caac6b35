"""Show a part of the picture: hint frames cut to a region, as pictures for the pipeline."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.core.video import Instant, Size
from promptlift.cosmos.items import Box
from promptlift.cosmos.part import Part
from promptlift.errors import SpecError, VideoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptlift.config import Options
    from promptlift.core.video import Frame
    from promptlift.frames import Reader

__all__ = ["cut_region"]

_READ_AT = Size(2048, 2048)
_SMALLEST = 16  # pixels; less is one patch of the usual models and shows nothing


def cut_region(video: Path, region: Box | Path, options: Options) -> Part:
    """The hint frames of a video, cut to a region.

    A box cuts all frames in the same place. A mask video is followed: a window as large as the
    region ever is in the frames shown, around where the region is in each of them. One box over
    the whole clip would show a moving thing together with all that it passes. Where the region is
    missing from a hint frame, frames that have it are shown instead.

    Args:
        video: The video.
        region: A box, or a mask video.
        options: Which frames.

    Raises:
        VideoError: The video cannot be used.
        SpecError: The mask cannot be used, or next to nothing of the picture is left.
    """
    from promptlift.frames import open_video

    with open_video(video) as reader:
        if isinstance(region, Box):
            return _part([(frame, region) for frame in _hints(reader, options)], [])
        try:
            mask = open_video(region)
        except VideoError as error:
            raise SpecError(
                f"the region's mask cannot be read: {error.message}", remedy=error.remedy
            ) from error
        with mask:
            return _follow(reader, mask, region.name, options)


def _hints(reader: Reader, options: Options) -> Sequence[Frame]:
    from promptlift.frames.look import hint_frames

    return hint_frames(
        reader,
        strategy=options.strategy,
        count=options.frames,
        fps=options.fps,
        box=_READ_AT,
        exact=options.exact,
    )


def _follow(reader: Reader, mask: Reader, name: str, options: Options) -> Part:
    from promptlift.cosmos.masks import oddities

    notes = []
    hints = _hints(reader, options)
    seen = _with_region(hints, reader, mask)
    others = _elsewhere(reader, mask, options.frames) if len(seen) < len(hints) else []
    if len(others) > len(seen):
        seen = others
        first, last = (float(pair[0].time) for pair in (seen[0], seen[-1]))
        notes.append(
            f"its region comes and goes: frames from {first:.2f} to {last:.2f} s are shown"
        )
    if not seen:
        raise SpecError(
            f"the mask {name[:200]!r} is empty: it is above 191 of 255 nowhere, where "
            "Cosmos-Transfer1 sees the region",
            remedy="paint the region white, or give a box of four numbers",
        )
    boxes = [box for _, box in seen]
    notes += oddities(mask.info, reader.info, boxes)
    shown = [(frame, box) for (frame, _), box in zip(seen, _windows(boxes), strict=True)]
    return _part(shown, [f"mask {name[:200]!r}: {note}" for note in notes])


def _part(shown: Sequence[tuple[Frame, Box]], notes: Sequence[str]) -> Part:
    pictures = tuple(_cut(frame, box) for frame, box in shown)
    return Part(pictures, tuple(frame.time for frame, _ in shown), tuple(notes))


def _with_region(frames: Sequence[Frame], reader: Reader, mask: Reader) -> list[tuple[Frame, Box]]:
    """The frames in which something of the region is, each with where that is."""
    from promptlift.cosmos.masks import boxes_at

    boxes = boxes_at(mask, reader.info, [frame.time for frame in frames])
    return [(frame, box) for frame, box in zip(frames, boxes, strict=True) if box is not None]


def _elsewhere(reader: Reader, mask: Reader, count: int) -> list[tuple[Frame, Box]]:
    """Frames spread over the time in which the region is seen."""
    from promptlift.cosmos.masks import times_seen

    times = times_seen(mask, reader.info)
    if not times:
        return []
    centres = {times[(2 * part + 1) * len(times) // (2 * count)] for part in range(count)}
    instants = [Instant.exact(time) for time in sorted(centres)]
    return _with_region(reader.frames_at(instants, _READ_AT), reader, mask)


def _windows(boxes: Sequence[Box]) -> list[Box]:
    """Boxes around the same middles, each as wide and as high as the largest, in the picture."""
    width = max(box.right - box.left for box in boxes)
    height = max(box.bottom - box.top for box in boxes)
    windows = []
    for box in boxes:
        left = min(max((box.left + box.right - width) / 2, 0), 1 - width)
        top = min(max((box.top + box.bottom - height) / 2, 0), 1 - height)
        windows.append(Box(left, top, left + width, top + height))
    return windows


def _cut(frame: Frame, box: Box) -> bytes:
    from PIL import Image

    size = frame.size
    left, width = _pixels(box.left, box.right, size.width)
    top, height = _pixels(box.top, box.bottom, size.height)
    if width < _SMALLEST or height < _SMALLEST:
        raise SpecError(
            f"the region is {width}x{height} pixels of {size}",
            remedy=f"give a region of at least {_SMALLEST}x{_SMALLEST} pixels",
        )
    file = io.BytesIO()
    Image.fromarray(frame.image[top : top + height, left : left + width]).save(file, "PNG")
    return file.getvalue()


def _pixels(low: float, high: float, side: int) -> tuple[int, int]:
    """Where a part of a side begins and how long it is; windows as large stay as large."""
    length = round((high - low) * side)
    return min(round(low * side), side - length), length
