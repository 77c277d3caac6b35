"""A part of the picture of a video as a source: its hint frames, cut to a box or along a mask.

A mask is read as Cosmos-Transfer1 reads it: the red channel of each frame goes to -1..1
(cosmos_transfer1/utils/video_utils.py:92-93), is brought to 80x44 cells of its latent picture, and
a cell above 0.5 counts (diffusion/module/attention.py:208-233): a level of 191.25 of 255. Mask and
video belong together by the number of a frame, whatever rates their files claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from promptlift.errors import SpecError, VideoError
from promptlift.types import Box, Frame, Instant, Size, Thumbnails
from promptlift.video.images import ImageSequence
from promptlift.video.reader import Reader, hint_frames, stack
from promptlift.video.source import VideoRegion, open_video

if TYPE_CHECKING:
    from promptlift.types import RGB, VideoInfo
    from promptlift.video.source import Limits

__all__ = ["RegionReader", "boxes_at", "mask_box", "open_region"]

_CELLS = Size(80, 44)
_LEVEL = 191  # of 255; whole levels above it are above 0.5 of -1..1
_READ_MASK_AT = Size(1280, 1280)
_READ_AT = Size(2048, 2048)
_SMALLEST = 16  # pixels; less is one patch of the usual models and shows nothing
# Any other size, and fewer frames (but for a single one), raise there:
# cosmos_transfer1/utils/regional_prompting_utils.py:91-95.
_LATENT = 8  # pixels; what is left over on the right and at the bottom is not looked at
_MADE_AT = (1280 // _LATENT, 704 // _LATENT)
_MADE_FRAMES = 121


class RegionReader(ImageSequence):
    """Hint frames of a video that were cut to a region, at their times in the video.

    Nothing of camera, movement and cuts can be measured from them, so that each thumbnail is a
    stretch of its own.

    Args:
        frames: The cut frames, in order of time, all of one size.
        info: The video that they are from.
        content_id: The name of the video's content.
        warnings: What a person should know of the region's mask.
    """

    def __init__(
        self, frames: Sequence[Frame], info: VideoInfo, content_id: str, warnings: Sequence[str]
    ) -> None:
        size, count = frames[0].size, len(frames)
        self._images = [frame.image for frame in frames]
        self.content_id = content_id
        self.times = tuple(frame.time for frame in frames)
        self.warnings = tuple(warnings)
        self.info = replace(
            info,
            width=size.width,
            height=size.height,
            coded_width=size.width,
            coded_height=size.height,
            rotation=0,
            sample_aspect_ratio=Fraction(1),
            frame_count=count,
            is_still=count == 1,
        )

    def picture(self, number: int) -> Image.Image:
        """See `ImageSequence`."""
        return Image.fromarray(self._images[number])

    def thumbnails(self, *, side: int = 320, **_: Any) -> Thumbnails:
        """See `Reader`."""
        frames = self.first(len(self.times), Size(side, side))
        stretches = tuple(range(len(frames)))
        return stack([frame.image for frame in frames], self.times, stretches, self.info.size)

    def close(self) -> None:
        """Nothing is held open."""


def open_region(source: VideoRegion, limits: Limits) -> RegionReader:
    """Read the hint frames of a video, cut to a region.

    A box cuts all frames in the same place. A mask video is followed: a window as large as the
    region ever is in the frames shown, around where the region is in each of them. One box over
    the whole clip would show a moving thing together with all that it passes. Where the region is
    missing from a hint frame, frames that have it are shown instead.

    Args:
        source: The region.
        limits: See `promptlift.video.open_video`.

    Raises:
        VideoError: The video cannot be used.
        SpecError: The mask cannot be used, or next to nothing of the picture is left.
    """
    with open_video(source.video, limits=limits) as video:
        hints = hint_frames(video, source.choice, box=_READ_AT)
        if isinstance(source.region, Box):
            cut = [_cut(frame, source.region) for frame in hints]
            return RegionReader(cut, video.info, video.content_id, ())
        try:
            mask = open_video(source.region, limits=limits)
        except VideoError as error:
            raise SpecError(
                f"the region's mask cannot be read: {error.message}", remedy=error.remedy
            ) from error
        with mask:
            name = Path(source.region).name[:200]
            cut, warnings = _follow(video, mask, hints, name, source.choice.count)
        warnings = [f"mask {name!r}: {line}" for line in warnings]
        return RegionReader(cut, video.info, video.content_id, warnings)


def _follow(
    video: Reader, mask: Reader, hints: Sequence[Frame], name: str, count: int
) -> tuple[list[Frame], list[str]]:
    """The frames that are shown, cut to their windows; and what a person should know."""

    def with_region(frames: Sequence[Frame]) -> list[tuple[Frame, Box]]:
        boxes = boxes_at(mask, video.info, [frame.time for frame in frames])
        return [(frame, box) for frame, box in zip(frames, boxes, strict=True) if box is not None]

    warnings = []
    shown = with_region(hints)
    if len(shown) < len(hints):
        # Frames spread over the time in which the region is there, by a sample of the mask.
        sample = mask.thumbnails()
        times = [
            _same_frame(time, mask.info, video.info)
            for time, image in zip(sample.times, sample.images, strict=True)
            if mask_box(image) is not None
        ]
        if times:
            middles = {times[(2 * part + 1) * len(times) // (2 * count)] for part in range(count)}
            instants = [Instant.exact(time) for time in sorted(middles)]
            others = with_region(video.frames_at(instants, _READ_AT))
            if len(others) > len(shown):
                shown = others
                first, last = float(shown[0][0].time), float(shown[-1][0].time)
                warnings.append(
                    f"its region comes and goes: frames from {first:.2f} to {last:.2f} s are shown"
                )
    if not shown:
        raise SpecError(
            f"the mask {name!r} is empty: it is above {_LEVEL} of 255 nowhere, where "
            "Cosmos-Transfer1 sees the region",
            remedy="paint the region white, or give a box of four numbers",
        )
    boxes = [box for _, box in shown]
    # What the generator stops at.
    size, frames = mask.info.size, mask.info.frame_count
    if (size.width // _LATENT, size.height // _LATENT) != _MADE_AT:
        warnings.append(
            f"it is {size}, and Cosmos-Transfer1 raises for a mask that is not 1280x704"
        )
    if frames is not None and 1 < frames < _MADE_FRAMES:
        warnings.append(
            f"it has {frames} frames, and Cosmos-Transfer1 raises for a mask of fewer than "
            f"{_MADE_FRAMES}"
        )
    # Windows around the middles of the boxes, each as wide and as high as the largest.
    width = max(box.right - box.left for box in boxes)
    height = max(box.bottom - box.top for box in boxes)
    cut = []
    for frame, box in shown:
        left = min(max((box.left + box.right - width) / 2, 0), 1 - width)
        top = min(max((box.top + box.bottom - height) / 2, 0), 1 - height)
        cut.append(_cut(frame, Box(left, top, left + width, top + height)))
    return cut, warnings


def boxes_at(mask: Reader, video: VideoInfo, times: Sequence[Fraction]) -> list[Box | None]:
    """Where the region is in the frames of a video.

    Args:
        mask: The mask video.
        video: The video that it belongs to.
        times: Seconds of the video's frames, ascending.

    Returns:
        A box for each time; None where nothing of the region is in that frame.
    """
    moments = [_same_frame(time, video, mask.info) for time in times]
    frames = mask.frames_at([Instant.exact(moment) for moment in moments], _READ_MASK_AT)
    found = []
    for moment in moments:
        begun = [frame for frame in frames if frame.time <= moment] or list(frames[:1])
        found.append(mask_box(begun[-1].image))
    return found


def mask_box(image: RGB) -> Box | None:
    """What holds all cells of the region in one frame of a mask; None where there is no cell."""
    red = Image.fromarray(image[:, :, 0])
    cells = red.resize((_CELLS.width, _CELLS.height), Image.Resampling.BOX)
    rows, columns = np.nonzero(np.asarray(cells) > _LEVEL)
    if not rows.size:
        return None
    return Box(
        int(columns.min()) / _CELLS.width,
        int(rows.min()) / _CELLS.height,
        (int(columns.max()) + 1) / _CELLS.width,
        (int(rows.max()) + 1) / _CELLS.height,
    )


def _same_frame(time: Fraction, of: VideoInfo, other: VideoInfo) -> Fraction:
    """Seconds of the frame of the same number in another video; within that frame."""
    if other.frame_count == 1:
        return Fraction(0)
    if of.frame_rate is None or other.frame_rate is None:
        return time
    return (round(time * of.frame_rate) + Fraction(1, 2)) / other.frame_rate


def _cut(frame: Frame, box: Box) -> Frame:
    size = frame.size
    # Windows that are as large stay as large.
    width = round((box.right - box.left) * size.width)
    height = round((box.bottom - box.top) * size.height)
    if width < _SMALLEST or height < _SMALLEST:
        raise SpecError(
            f"the region is {width}x{height} pixels of {size}",
            remedy=f"give a region of at least {_SMALLEST}x{_SMALLEST} pixels",
        )
    left = min(round(box.left * size.width), size.width - width)
    top = min(round(box.top * size.height), size.height - height)
    image = np.ascontiguousarray(frame.image[top : top + height, left : left + width])
    return replace(frame, image=image)
