"""What is shown in the bare requests: a video's own frames, or a scene drawn on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from promptlift.core.video import Frame, Size
from promptlift.frames.look import hint_frames
from promptlift.frames.opening import open_video
from promptlift.testing import synthetic_pictures

__all__ = ["drawn", "of_video"]


def of_video(video: Path, size: Size, count: int) -> tuple[Frame, ...]:
    """Frames spread over a video, brought to the size whatever its shape; the last again if few.

    Raises:
        VideoError: The video cannot be used.
    """
    with open_video(video) as reader:
        frames = hint_frames(reader, count=count, box=size, exactly=True)
    return frames + frames[-1:] * (count - len(frames))


def drawn(size: Size, count: int) -> tuple[Frame, ...]:
    """So many pictures of a moving scene, half a second apart."""
    pictures = synthetic_pictures(seconds=count / 2, size=(size.width, size.height), fps=2)
    return tuple(
        Frame(Fraction(number, 2), picture, wanted=Fraction(number, 2))
        for number, picture in enumerate(pictures)
    )
