"""Show a part of the picture: hint frames cut to a box, as pictures for the pipeline."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from promptlift.core.video import Size
from promptlift.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from promptlift.config import Options
    from promptlift.core.video import Frame
    from promptlift.cosmos.items import Box

__all__ = ["cut_frames"]

_READ_AT = Size(2048, 2048)
_SMALLEST = 16  # pixels; less is one patch of the usual models and shows nothing


def cut_frames(video: Path, box: Box, options: Options) -> list[bytes]:
    """The hint frames of a video, cut to a box, as PNG files in order of time.

    Raises:
        VideoError: The video cannot be used.
        SpecError: The box leaves next to nothing of the picture.
    """
    from promptlift.frames import open_video
    from promptlift.frames.look import hint_frames

    with open_video(video) as reader:
        frames = hint_frames(
            reader,
            strategy=options.strategy,
            count=options.frames,
            fps=options.fps,
            box=_READ_AT,
            exact=options.exact,
        )
    return [_cut(frame, box) for frame in frames]


def _cut(frame: Frame, box: Box) -> bytes:
    from PIL import Image

    size = frame.size
    left, right = round(box.left * size.width), round(box.right * size.width)
    top, bottom = round(box.top * size.height), round(box.bottom * size.height)
    if right - left < _SMALLEST or bottom - top < _SMALLEST:
        raise SpecError(
            f"the region is {right - left}x{bottom - top} pixels of {size}",
            remedy=f"give a box of at least {_SMALLEST}x{_SMALLEST} pixels",
        )
    file = io.BytesIO()
    Image.fromarray(frame.image[top:bottom, left:right]).save(file, "PNG")
    return file.getvalue()
