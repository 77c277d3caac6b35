"""Hint frames as a small video, such as people used to make with the ffmpeg program."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import av
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from promptlift.errors import OptionError
from promptlift.files import write_atomic
from promptlift.frames.native import NativeFrame, NativeScaler

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from promptlift.core.video import Frame

__all__ = ["write_clip"]

_OPTIONS = {"crf": "18", "preset": "medium"}
_SMPTE170M = 6  # AVCOL_SPC_SMPTE170M, the BT.601 matrix
_FROM_RGB = "flags=lanczos:out_color_matrix=smpte170m:out_range=tv"
_FASTEST = 1000


def write_clip(frames: Sequence[Frame], path: Path, *, fps: Fraction) -> None:
    """Write frames as H.264 in MP4: CRF 18, preset medium, 4:2:0.

    Frames that bring the video's own colours (`NativeFrame`) keep them, with their tags; the
    clip is then what FFmpeg would have made. Others are turned into BT.601 and tagged so: such
    a small clip is standard definition to programs that do not look at the tags.

    Args:
        frames: At least one, all of one even size and of one kind.
        path: The file; replaced if it exists.
        fps: Frames a second at which the clip plays.

    Raises:
        OptionError: The size is odd, or the rate cannot be had.
        OutputError: The file cannot be written.
    """
    size = frames[0].size
    if size.width % 2 or size.height % 2:
        raise OptionError(f"a hint clip cannot be {size}", remedy="give an even width and height")
    if not 0 < fps <= _FASTEST:
        raise OptionError(
            f"a clip cannot play at {float(fps):g} frames a second",
            remedy=f"give a rate above 0 and up to {_FASTEST}",
        )
    write_atomic(path, _encoded(_pictures(frames), fps))


def _pictures(frames: Sequence[Frame]) -> list[VideoFrame]:
    """The frames as YUV, all in the same colours."""
    native = [frame.native for frame in frames if isinstance(frame, NativeFrame)]
    if len(native) == len(frames):
        return native
    scaler = NativeScaler(options=_FROM_RGB)
    return [_from_rgb(frame, scaler) for frame in frames]


def _from_rgb(frame: Frame, scaler: NativeScaler) -> VideoFrame:
    picture = scaler.scaled(av.VideoFrame.from_ndarray(frame.image), frame.size)
    picture.colorspace = _SMPTE170M
    picture.color_range = ColorRange.MPEG
    picture.color_primaries = ColorPrimaries.BT709
    picture.color_trc = ColorTrc.BT709
    return picture


def _encoded(pictures: Sequence[VideoFrame], fps: Fraction) -> bytes:
    content = BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
        _set_up(stream, pictures[0])
        for number, picture in enumerate(pictures):
            picture.pts, picture.time_base = number, 1 / fps
            picture.pict_type = PictureType.NONE  # or it would be coded as it was in the source
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return content.getvalue()


def _set_up(stream: VideoStream, like: VideoFrame) -> None:
    stream.width, stream.height = like.width, like.height
    stream.pix_fmt = like.format.name
    stream.thread_count = 1  # more would make the file depend on the machine
    stream.colorspace = like.colorspace
    stream.color_range = like.color_range
    stream.color_primaries = like.color_primaries
    stream.color_trc = like.color_trc
