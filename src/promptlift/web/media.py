"""Pictures for the page and its example clips; a worker process loads this module alone."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from promptlift.files import replacing
from promptlift.testing.video import Motion, synthetic_video
from promptlift.types import Size

if TYPE_CHECKING:
    from promptlift.types import RGB
    from promptlift.video.reader import VideoAnalysis

__all__ = ["EXAMPLE_CLIPS", "draw_example", "encode_picture", "first_picture", "fixed_frames"]


class ExampleClip(NamedTuple):
    """A clip that is drawn on first use: its title, a prompt that fits, and how it is drawn."""

    title: str
    prompt: str
    motion: Motion
    size: tuple[int, int]
    seed: int


EXAMPLE_CLIPS: Final = {
    "balloon": ExampleClip(
        "Balloon, 720p", "a red hot-air balloon drifts over the hills", "pan", (1280, 720), 0
    ),
    "hills": ExampleClip(
        "Hills, 480p", "a balloon rises above wooded hills", "tilt", (640, 480), 3
    ),
}


def draw_example(name: str, path: str) -> None:
    """Write an example clip as MP4; takes seconds, so it is for a worker process."""
    clip = EXAMPLE_CLIPS[name]
    with replacing(Path(path)) as temporary:
        synthetic_video(
            temporary, seconds=3, fps=12, size=clip.size, motion=clip.motion, seed=clip.seed
        )


def first_picture(path: str, side: int) -> bytes:
    """The first picture of a video as WebP; for a worker process, since videos are not trusted.

    Args:
        path: The video.
        side: Longest side in pixels.

    Raises:
        VideoError: It cannot be read.
    """
    from promptlift.video.source import open_video

    with open_video(path) as reader:
        return encode_picture(reader.first(1, Size(side, side))[0].image, "webp")


def fixed_frames(count: int, size: Size, analysis: VideoAnalysis) -> tuple[int, Size]:
    """A plan of a video's frames that is made already; see `promptlift.video.reader`."""
    del analysis
    return count, size


def encode_picture(image: RGB, form: Literal["png", "webp"]) -> bytes:
    """A picture as a file.

    Args:
        image: RGB, ``(height, width, 3)``, 8 bits a component.
        form: PNG, which keeps every pixel, or WebP.
    """
    from PIL import Image

    content = BytesIO()
    settings = {"compress_level": 3} if form == "png" else {"quality": 88, "method": 3}
    Image.fromarray(image).save(content, form, **settings)
    return content.getvalue()
