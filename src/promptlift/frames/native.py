"""Frames that keep the video's own colours, so that writing them back loses nothing.

A frame shown to a model is RGB. On the way back to 4:2:0 that costs colour: values outside RGB
are cut off, the place of the chroma samples has to be guessed, and so has the matrix where the
file does not name it. A hint clip therefore is made the way FFmpeg makes it: from one YUV to the
other, with the tags left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from promptlift.core.video import Frame
from promptlift.frames.color import transfer_of
from promptlift.frames.scale import UPRIGHT, Orientation, has_alpha

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame

    from promptlift.core.video import Size

__all__ = ["NativeFrame", "NativeScaler"]

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
