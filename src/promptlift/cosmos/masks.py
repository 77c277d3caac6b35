"""Find the region in a mask video, in the cells and by the threshold of Cosmos-Transfer1.

Cosmos-Transfer1 takes the red channel of each frame to -1..1 (cosmos_transfer1/utils/
video_utils.py:92-93), brings it to 80x44 cells of its latent picture and counts a cell above 0.5
(diffusion/module/attention.py:208-233): a level of 191.25 of 255. Mask and video go together by
the number of a frame, whatever rates their files claim.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from promptlift.core.video import Instant, Size
from promptlift.cosmos.items import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptlift.core.video import RGB, VideoInfo
    from promptlift.frames import Reader

__all__ = ["WHOLE", "box_of", "boxes_at", "oddities", "times_seen"]

WHOLE = Box(0, 0, 1, 1)

_CELLS = Size(80, 44)
_LEVEL = 191  # of 255; whole levels above it are above 0.5 of -1..1
_READ_AT = Size(1280, 1280)
_HALF = Fraction(1, 2)
# Any other size, and fewer frames (but for a single one), raise there:
# cosmos_transfer1/utils/regional_prompting_utils.py:91-95.
_MADE_AT = Size(1280, 704)
_MADE_FRAMES = 121
_LATENT = 8  # pixels; what is left over on the right and at the bottom is not looked at
_SHAPES_DIFFER = 0.02


def box_of(image: RGB) -> Box | None:
    """What holds all cells of the region in one frame of a mask; None where there is no cell."""
    from PIL import Image

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


def boxes_at(mask: Reader, video: VideoInfo, times: Sequence[Fraction]) -> list[Box | None]:
    """Where the region is in the frames of a video.

    Args:
        mask: The mask video.
        video: The video that it belongs to.
        times: Seconds of the video's frames, ascending.

    Returns:
        A box for each time; None where nothing of the region is in that frame.
    """
    if not times:
        return []
    moments = [_moved(time, video, mask.info) for time in times]
    frames = mask.frames_at([Instant.exact(moment) for moment in moments], _READ_AT)
    found = []
    for moment in moments:
        begun = [frame for frame in frames if frame.time <= moment] or list(frames[:1])
        found.append(box_of(begun[-1].image))
    return found


def times_seen(mask: Reader, video: VideoInfo) -> list[Fraction]:
    """Seconds of the video at which something of the region is seen, from an even sample."""
    strip = mask.strip()
    looks = zip(strip.times, strip.images, strict=True)
    seen = [time for time, image in looks if box_of(image) is not None]
    return [_moved(time, mask.info, video) for time in seen]


def _moved(time: Fraction, here: VideoInfo, there: VideoInfo) -> Fraction:
    """Seconds of the frame of the same number in another video; within that frame."""
    if there.frame_count == 1:
        return Fraction(0)
    if here.frame_rate is None or there.frame_rate is None:
        return time
    number = round(time * here.frame_rate)
    return (number + _HALF) / there.frame_rate


def oddities(mask: VideoInfo, video: VideoInfo, boxes: Sequence[Box]) -> list[str]:
    """What a person should know of a mask before the generator meets it."""
    said = []
    if _latent(mask.size) != _latent(_MADE_AT):
        said.append(
            f"it is {mask.size}, and Cosmos-Transfer1 raises for a mask that is not {_MADE_AT}"
        )
    ours, theirs = (info.width / info.height for info in (mask, video))
    if abs(ours / theirs - 1) > _SHAPES_DIFFER:
        said.append(
            f"it is {mask.size} and the video {video.size}, of another shape: "
            "it is taken to cover the same picture"
        )
    said += _lengths(mask.frame_count, video.frame_count)
    if boxes and all(box == WHOLE for box in boxes):
        said.append("its region reaches over the whole picture in all frames that are shown")
    return said


def _latent(size: Size) -> tuple[int, int]:
    return size.width // _LATENT, size.height // _LATENT


def _lengths(mask: int | None, video: int | None) -> list[str]:
    if mask is None or mask == 1:
        return []
    if mask < _MADE_FRAMES:
        least = f"Cosmos-Transfer1 raises for a mask of fewer than {_MADE_FRAMES}"
        return [f"it has {mask} frames, and {least}"]
    if video is not None and mask != video:
        return [f"it has {mask} frames and the video {video}: they are paired from the first on"]
    return []
