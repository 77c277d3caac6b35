"""Hint frames as a small video, such as people used to make with the ffmpeg program."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import av
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from promptlift.core.video import Size
from promptlift.errors import OptionError
from promptlift.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from promptlift.core.video import RGB, Frame

__all__ = ["write_clip"]

_OPTIONS = {"crf": "18", "preset": "medium"}
_SMPTE170M = 6  # AVCOL_SPC_SMPTE170M, the BT.601 matrix
_FLAGS = "lanczos+accurate_rnd+full_chroma_inp"
_CENTRE = 128  # swscale's unit: half the distance between two luma samples
_FASTEST = 1000


def write_clip(
    frames: Sequence[Frame], path: Path, *, fps: Fraction, source: Size | None = None
) -> None:
    """Write frames as H.264 in MP4: CRF 18, preset medium, 4:2:0, BT.601 and tagged so.

    The matrix is that of standard definition, which such a small clip is, because programs that
    do not look at the tags take it for granted.

    FFmpeg's scaler takes chroma samples to lie in the middle of their luma samples, where those
    of H.264 lie at the left, so what it scales down comes out with its colours a little to the
    left. With `source` given the same is done here, to give the same clip.

    Args:
        frames: At least one, all of one even size.
        path: The file; replaced if it exists.
        fps: Frames a second at which the clip plays.
        source: Displayed size of the video that the frames were scaled from.

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
    write_atomic(path, _encoded([frame.image for frame in frames], size, fps, source or size))


def _encoded(images: Sequence[RGB], size: Size, fps: Fraction, source: Size) -> bytes:
    content = BytesIO()
    to_yuv = _converter(size, fps, source)
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
        _set_up(stream, size)
        for number, image in enumerate(images):
            container.mux(stream.encode(_converted(to_yuv, image, number, fps)))
        container.mux(stream.encode())
    return content.getvalue()


def _set_up(stream: VideoStream, size: Size) -> None:
    stream.width, stream.height = size.width, size.height
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1  # more would make the file depend on the machine
    stream.colorspace = _SMPTE170M
    stream.color_range = ColorRange.MPEG
    stream.color_primaries = ColorPrimaries.BT709
    stream.color_trc = ColorTrc.BT709


def _converter(size: Size, fps: Fraction, source: Size) -> Graph:
    """A filter graph from RGB to 4:2:0, with the chroma where FFmpeg's scaler would leave it."""
    offset = round(_CENTRE * (1 - Fraction(size.width, source.width)))
    graph = av.filter.Graph()
    start = graph.add_buffer(
        width=size.width, height=size.height, format=av.VideoFormat("rgb24"), time_base=1 / fps
    )
    scale = graph.add(
        "scale",
        f"flags={_FLAGS}:out_color_matrix=smpte170m:out_range=tv"
        f":out_h_chr_pos={max(offset, -4 * _CENTRE)}:out_v_chr_pos={_CENTRE}",
    )
    formatted = graph.add("format", "yuv420p")
    graph.link_nodes(start, scale, formatted, graph.add("buffersink"))
    graph.configure()
    return graph


def _converted(graph: Graph, image: RGB, number: int, fps: Fraction) -> VideoFrame:
    picture = av.VideoFrame.from_ndarray(image)
    picture.pts, picture.time_base = number, 1 / fps
    graph.vpush(picture)
    converted = graph.vpull()
    converted.pts, converted.time_base = number, 1 / fps
    return converted
