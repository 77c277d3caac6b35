"""A hint clip in the video's own colours: frames as YUV, and H.264 in MP4.

A frame shown to a model is RGB. On the way back to 4:2:0 that costs colour: values outside RGB
are cut off, the position of the chroma samples has to be guessed, and so has the matrix where the
file does not name it. A hint clip therefore is made the way FFmpeg makes it: from one YUV to the
other, with the tags left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

import av
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from promptlift.errors import OptionError
from promptlift.files import write_atomic
from promptlift.types import Frame
from promptlift.video.scale import has_alpha, transfer_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from av.video.frame import VideoFrame

    from promptlift.types import Size
    from promptlift.video.scale import Orientation

__all__ = ["NativeFrame", "with_native", "write_clip"]

# By quarter turns clockwise.
_TURNS = (
    (),
    (("transpose", "clock"),),
    (("hflip", ""), ("vflip", "")),
    (("transpose", "cclock"),),
)


@dataclass(frozen=True, slots=True)
class NativeFrame(Frame):
    """A frame with the same picture as YUV.

    Attributes:
        native: 8-bit 4:2:0, of the size of `image`.
    """

    native: VideoFrame = field(kw_only=True)


def with_native(
    frame: Frame, decoded: VideoFrame, aspect: Fraction, orientation: Orientation
) -> Frame:
    """Give a frame its picture as YUV, unless only RGB shows it as it should be.

    That is so where it is stretched, tone-mapped or composed on black.

    Args:
        frame: As it is shown.
        decoded: What it was made from.
        aspect: Width over height of one coded pixel.
        orientation: How the decoded picture is turned for display.
    """
    if aspect != 1 or transfer_of(int(decoded.color_trc)) != "sdr" or has_alpha(decoded.format):
        return frame
    # As FFmpeg turns a picture by itself.
    turns = ((("hflip", ""),) if orientation.mirrored else ()) + _TURNS[orientation.quarters]
    native = _scaled(decoded, frame.size, "flags=lanczos", turns)
    return NativeFrame(
        frame.time, frame.image, frame.wanted, frame.snapped, frame.corrupt, native=native
    )


def _scaled(
    frame: VideoFrame, size: Size, options: str, turns: tuple[tuple[str, str], ...] = ()
) -> VideoFrame:
    """Scale a frame to 8-bit 4:2:0, exactly as FFmpeg's ``scale=W:H`` does."""
    graph = av.filter.Graph()
    # Not `add_buffer`: it leaves out matrix and range, and they would be taken for BT.601's.
    start = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base="1/1000",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    scale = graph.add("scale", f"{size.width}:{size.height}:{options}")
    # yuvj420p is full-range 4:2:0; to leave it out would change the range of what has it.
    formatted = graph.add("format", "yuv420p|yuvj420p")
    turned = [graph.add(*turn) for turn in turns]
    graph.link_nodes(start, *turned, scale, formatted, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


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
    native = [frame.native for frame in frames if isinstance(frame, NativeFrame)]
    pictures = native if len(native) == len(frames) else [_from_rgb(frame) for frame in frames]
    like, content = pictures[0], BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
        stream.width, stream.height = like.width, like.height
        stream.pix_fmt = like.format.name
        stream.thread_count = 1  # more would make the file depend on the machine
        stream.colorspace = like.colorspace
        stream.color_range = like.color_range
        stream.color_primaries = like.color_primaries
        stream.color_trc = like.color_trc
        for number, picture in enumerate(pictures):
            picture.pts, picture.time_base = number, 1 / fps
            picture.pict_type = PictureType.NONE  # or it would be coded as it was in the source
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    write_atomic(path, content.getvalue())


def _from_rgb(frame: Frame) -> VideoFrame:
    picture = _scaled(av.VideoFrame.from_ndarray(frame.image), frame.size, _FROM_RGB)
    picture.colorspace = _SMPTE170M
    picture.color_range = ColorRange.MPEG
    picture.color_primaries = ColorPrimaries.BT709
    picture.color_trc = ColorTrc.BT709
    return picture
