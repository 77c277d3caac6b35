"""A hint clip in the video's own colours: frames as YUV, and H.264 in MP4.

A frame shown to a model is RGB. On the way back to 4:2:0 that costs colour: values outside RGB
are cut off, the position of the chroma samples has to be guessed, and so has the matrix where the
file does not name it. A hint clip therefore is made the way FFmpeg makes it: from one YUV to the
other, with the tags left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import av
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from promptlift.errors import OptionError
from promptlift.files import write_atomic
from promptlift.types import Frame
from promptlift.video.scale import UPRIGHT, Orientation, has_alpha, transfer_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from promptlift.types import Size

__all__ = ["NativeFrame", "NativeScaler", "write_clip"]

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


class NativeScaler:
    """Scales frames of one video to 8-bit 4:2:0, exactly as FFmpeg's ``scale=W:H`` does.

    Args:
        aspect: Width over height of one coded pixel.
        orientation: How the decoded pictures are turned for display.
        options: Further options of the filter.
    """

    def __init__(
        self,
        aspect: Fraction = Fraction(1),
        orientation: Orientation = UPRIGHT,
        options: str = "flags=lanczos",
    ) -> None:
        self._aspect = aspect
        self._orientation = orientation
        self._options = options
        self._shape: tuple[object, ...] = ()
        self._graph: Graph | None = None

    def attach(self, frame: Frame, decoded: VideoFrame) -> Frame:
        """Give a frame its picture as YUV, unless only RGB shows it as it should be.

        That is so where it is stretched, tone-mapped or composed on black.
        """
        if (
            self._aspect != 1
            or transfer_of(int(decoded.color_trc)) != "sdr"
            or has_alpha(decoded.format)
        ):
            return frame
        native = self.scaled(decoded, frame.size)
        return NativeFrame(
            frame.time, frame.image, frame.wanted, frame.snapped, frame.corrupt, native=native
        )

    def scaled(self, frame: VideoFrame, size: Size) -> VideoFrame:
        """Scale one decoded or made-up frame to a size."""
        colours = (frame.format.name, int(frame.colorspace), int(frame.color_range))
        shape = (*colours, frame.width, frame.height, size)
        if self._graph is None or shape != self._shape:
            self._graph, self._shape = self._made(frame, size), shape
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _made(self, frame: VideoFrame, size: Size) -> Graph:
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
        turns = [graph.add(*turn) for turn in self._turns()]
        scale = graph.add("scale", f"{size.width}:{size.height}:{self._options}")
        # yuvj420p is full-range 4:2:0; to leave it out would change the range of what has it.
        formatted = graph.add("format", "yuv420p|yuvj420p")
        graph.link_nodes(start, *turns, scale, formatted, graph.add("buffersink"))
        graph.configure()
        return graph

    def _turns(self) -> tuple[tuple[str, str], ...]:
        """The filters that put a decoded picture upright, as FFmpeg puts in by itself."""
        mirror = (("hflip", ""),) if self._orientation.mirrored else ()
        return mirror + _TURNS[self._orientation.quarters]


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
