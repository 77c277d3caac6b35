"""What a stream and its first frame say about a video."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from av.video.reformatter import ColorRange

from promptlift.core.video import Size, VideoInfo
from promptlift.frames.color import transfer_of
from promptlift.frames.scale import has_alpha, shown_size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from promptlift.frames.demux import Demuxer
    from promptlift.frames.scale import Orientation
    from promptlift.frames.source import Opened
    from promptlift.frames.survey import Survey

__all__ = ["video_info"]


def _aspect_of(demuxer: Demuxer) -> Fraction:
    """Give the shape of a coded pixel; 1 where the file does not tell or tells nonsense."""
    aspect = demuxer.stream.sample_aspect_ratio or Fraction(1)
    return aspect if Fraction(1, 16) <= aspect <= 16 else Fraction(1)


def video_info(opened: Opened, demuxer: Demuxer, seen: Survey, turn: Orientation) -> VideoInfo:
    """Describe a video from its stream, its first frame and its measured times."""
    frame = seen.first
    aspect = _aspect_of(demuxer)
    coded = Size(frame.width, frame.height)
    shown = shown_size(coded, aspect, turn)
    pixels = frame.format
    return VideoInfo(
        container=_container_name(demuxer, opened.head),
        codec=demuxer.stream.codec_context.name,
        width=shown.width,
        height=shown.height,
        coded_width=coded.width,
        coded_height=coded.height,
        rotation=turn.quarters * 90,
        sample_aspect_ratio=aspect,
        frame_rate=seen.rate,
        duration=seen.duration,
        frame_count=seen.count,
        pixel_format=pixels.name,
        bit_depth=max((component.bits for component in pixels.components), default=8),
        transfer=transfer_of(int(frame.color_trc)),
        full_range=_is_full_range(frame),
        has_alpha=has_alpha(pixels),
        is_still=seen.count == 1,
        size_bytes=opened.size,
    )


def _is_full_range(frame: VideoFrame) -> bool | None:
    if frame.format.is_rgb or frame.format.name.startswith("yuvj"):
        return True
    tagged = int(frame.color_range)
    return {int(ColorRange.JPEG): True, int(ColorRange.MPEG): False}.get(tagged)


def _container_name(demuxer: Demuxer, head: bytes) -> str:
    first = demuxer.container.format.name.split(",")[0]
    if first == "matroska":
        return "webm" if b"webm" in head[:64] else "matroska"
    if first == "mov":
        return "mov" if head[8:12] == b"qt  " else "mp4"
    return first
