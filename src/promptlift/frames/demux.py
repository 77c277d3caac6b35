"""Packets of the one video stream that is shown, and nothing else of a file.

The container is read through a Python file object, with a list of the demuxers that may be
used and every nested open refused, so no name in a file is ever followed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NoReturn

import av
from av.codec.context import CodecContext, ThreadType
from av.error import FFmpegError
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from promptlift.errors import VideoRefused
from promptlift.frames.sniff import check_video, describe, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet

    from promptlift.frames.source import Limits, Opened

__all__ = ["Demuxer", "stamp_of"]

_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,"
    "ivf,asf,flv,ogg,mxf,nut,dv,gxf,wtv,rm,yuv4mpegpipe,h263,vc1,mjpeg"
)
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_BUFFER_BYTES = 256 * 1024
_RAW_RATE = Fraction(25)  # what players take for a raw stream that does not tell
_READ_ERRORS = 32  # unreadable packets in a row after which the rest is given up
_ERRORS = (FFmpegError, OSError, ValueError, EOFError)


class Demuxer:
    """The video stream of one file.

    Args:
        opened: The file, which stays the caller's to close.
        limits: The most pixels that a picture may have.

    Attributes:
        stream: The stream that is shown: the largest one that is not cover art.

    Raises:
        VideoUnreadable: No demuxer knows the file, or there is no video in it.
        VideoRefused: It is a playlist, or its pictures are too large.
    """

    stream: VideoStream

    def __init__(self, opened: Opened, limits: Limits) -> None:
        check_video(opened.name, opened.head)
        self._opened = opened
        self._limits = limits
        self._open()

    @property
    def name(self) -> str:
        """What to call the file in messages."""
        return self._opened.name

    @property
    def container(self) -> InputContainer:
        """The container, as PyAV knows it."""
        return self._container

    @property
    def tick(self) -> Fraction:
        """Seconds of one unit of the stream's clock."""
        return self.stream.time_base or 1 / self.raw_rate

    @property
    def raw_rate(self) -> Fraction:
        """Frames a second of a stream that carries no times."""
        # For raw streams average_rate is only the demuxer's default, guessed_rate is the stream's.
        return self.stream.guessed_rate or self.stream.average_rate or _RAW_RATE

    @property
    def reorder_depth(self) -> int:
        """How many frames may be decoded ahead of the one that is shown."""
        return self.stream.codec_context.reorder_depth

    @property
    def has_guessed_times(self) -> bool:
        """Whether times are libav's guess: AVI has none, which B-frames make ambiguous."""
        return self.container.format.name == "avi" and self.reorder_depth > 0

    @property
    def decoder(self) -> VideoCodecContext:
        """The decoder of the stream; another one after `reopen`."""
        return self._decoder

    @property
    def _decoder_limits(self) -> dict[str, str]:
        """The limit as libavcodec takes it: for each picture, with its padding to whole blocks."""
        return {"max_pixels": str(self._limits.max_pixels * 5 // 4 + 2**16)}

    def close(self) -> None:
        """Close the container; the file stays open."""
        self._container.close()

    def reopen(self) -> None:
        """Start again at the first packet, whatever the container can do."""
        self._container.close()
        self._open()

    def seek(self, stamp: int) -> bool:
        """Go to a keyframe at or before a stamp; False where the container cannot."""
        try:
            self._container.seek(stamp, stream=self.stream)
        except _ERRORS:
            return False
        return True

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Give the stream's packets from here on; unreadable ones are left out."""
        errors = 0
        while errors < _READ_ERRORS:
            try:
                for packet in self._container.demux(self.stream):
                    if packet.size:
                        errors = 0
                        yield packet
            except (*_ERRORS, IndexError):  # PyAV: a packet of a stream that began midway
                errors += 1
            else:
                return

    def _open(self) -> None:
        self._opened.file.seek(0)
        try:
            self._container = av.open(
                self._opened.file,
                "r",
                options=self._decoder_limits,
                container_options={
                    "format_whitelist": _DEMUXERS,
                    # A list of one protocol that does not exist: none. Demuxers that open other
                    # files by themselves, past io_open, hand it on.
                    "protocol_whitelist": "none",
                },
                metadata_errors="replace",
                buffer_size=_BUFFER_BYTES,
                io_open=_refuse_nested,
            )
        except _ERRORS as error:
            raise self._not_opened(error) from error
        try:
            self.stream = self._choose()
        except BaseException:
            self._container.close()
            raise

    def _not_opened(self, error: Exception) -> Exception:
        head = self._opened.head
        if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"moov"):
            return unreadable(
                self.name,
                "the file was cut off before its index (moov), which holds everything needed"
                " to read it",
                "download or copy it again",
            )
        reason = getattr(error, "strerror", None) or str(error)
        looks = describe(head)
        return unreadable(self.name, f"{looks} ({reason})" if "known" in looks else looks)

    def _choose(self) -> VideoStream:
        # Cover art, chapter thumbnails, and tiles that only make a picture together.
        parts = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
        streams = [
            stream
            for stream in self._container.streams
            if isinstance(stream, VideoStream)
            and getattr(stream, "codec_context", None) is not None
            and not stream.disposition & parts
        ]
        if not streams:
            raise self._no_video()
        chosen = max(streams, key=_rank)
        for stream in self._container.streams:
            stream.discard = Discard.default if stream is chosen else Discard.all
        self._check_pixels(chosen.codec_context.width, chosen.codec_context.height)
        self._decoder = _decoder_of(chosen)
        self._decoder.options = self._decoder_limits
        self._decoder.thread_type = ThreadType.AUTO
        return chosen

    def _no_video(self) -> Exception:
        kinds = {stream.type for stream in self._container.streams}
        if "audio" in kinds:
            return unreadable(self.name, "it holds sound but no video")
        return unreadable(self.name, "there is no video in it that can be decoded")

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self._limits.max_pixels:
            raise VideoRefused(
                f"{self.name}: {width}x{height} pictures are over the limit of"
                f" {self._limits.max_pixels} pixels",
                remedy="scale the video down first, or raise the limit",
            )


def stamp_of(packet: Packet[VideoStream]) -> int | None:
    """Give the time at which a packet is decoded, or shown where only that is known."""
    return packet.dts if packet.dts is not None else packet.pts


def _rank(stream: VideoStream) -> tuple[int, bool, int]:
    context = stream.codec_context
    is_default = bool(stream.disposition & Disposition.default)
    return context.width * context.height, is_default, -stream.index


def _decoder_of(stream: VideoStream) -> VideoCodecContext:
    """Give the stream's decoder; for WebM with alpha libvpx, the only one that reads it."""
    library = _ALPHA_DECODERS.get(stream.codec_context.name)
    if library is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    try:
        decoder = CodecContext.create(library, "r")
    except FFmpegError:
        return stream.codec_context
    assert isinstance(decoder, VideoCodecContext)
    return decoder


def _refuse_nested(*_: object) -> NoReturn:
    raise PermissionError("nested files are not opened")
