"""Packets of the one video stream that is shown, and which of them to decode.

The container is read through a Python file object, with a list of the demuxers that may be
used and every nested open refused, so no name in a file is ever followed.

The times of a container's index are decoding times (DTS) in MP4 and AVI and presentation times
(PTS) in Matroska; seeking is by presentation time. `Key` keeps the two apart.

Decoding goes forward through a group of pictures (GOP) once. It jumps only where the wanted
frame lies behind a later keyframe, and frames that no other frame refers to are skipped until
shortly before the wanted one; both give bit for bit what decoding everything would give.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias, cast

import av
from av.codec.context import CodecContext, ThreadType
from av.error import FFmpegError
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from promptlift.errors import VideoRefused
from promptlift.video.source import check_video, unreadable_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from promptlift.video.source import Limits, Opened

__all__ = [
    "Access",
    "Cursor",
    "DecodedFrame",
    "Demuxer",
    "Key",
    "Keys",
    "PacketEntry",
    "decode_alone",
    "has_full_index",
    "listed_keys",
    "listed_packets",
    "scan_packets",
]

_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,"
    "ivf,asf,flv,ogg,mxf,nut,dv,gxf,wtv,rm,yuv4mpegpipe,h263,vc1,mjpeg"
)
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_BUFFER_BYTES = 256 * 1024
_RAW_RATE = Fraction(25)  # what players assume for a raw stream without a rate
_READ_ERRORS = 32  # unreadable packets in a row after which the rest is given up
_ERRORS = (FFmpegError, OSError, ValueError, EOFError)


class Demuxer:
    """The video stream of one file.

    Args:
        opened: The file, which stays the caller's to close.
        limits: The most pixels that a picture may have.

    Attributes:
        name: What to call the file in messages.
        container: The container, as PyAV knows it; another one after `reopen`.
        stream: The stream that is shown: the largest one that is not cover art.
        decoder: The decoder of the stream.

    Raises:
        VideoUnreadable: No demuxer knows the file, or there is no video in it.
        VideoRefused: It is a playlist, or its pictures are too large.
    """

    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext

    def __init__(self, opened: Opened, limits: Limits) -> None:
        check_video(opened.name, opened.head)
        self.name = opened.name
        self._opened = opened
        self._max_pixels = limits.max_pixels
        # The limit as libavcodec takes it: for each picture, with its padding to whole blocks.
        self._options = {"max_pixels": str(limits.max_pixels * 5 // 4 + 2**16)}
        self._open()

    @property
    def tick(self) -> Fraction:
        """Seconds of one unit of the stream's clock."""
        return self.stream.time_base or 1 / self.raw_rate

    @property
    def raw_rate(self) -> Fraction:
        """Frames a second of a stream that carries no times."""
        # For raw streams average_rate is only the demuxer's default, guessed_rate is the stream's.
        return self.stream.guessed_rate or self.stream.average_rate or _RAW_RATE

    def close(self) -> None:
        """Close the container; the file stays open."""
        self.container.close()

    def reopen(self) -> None:
        """Start again at the first packet, whatever the container can do."""
        self.container.close()
        self._open()

    def seek(self, stamp: int) -> bool:
        """Go to a keyframe at or before a stamp; False where the container cannot."""
        try:
            self.container.seek(stamp, stream=self.stream)
        except _ERRORS:
            return False
        return True

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Give the stream's packets from here on; unreadable ones are left out."""
        errors = 0
        while errors < _READ_ERRORS:
            try:
                for packet in self.container.demux(self.stream):
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
            self.container = av.open(
                self._opened.file,
                "r",
                options=self._options,
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
            if self._opened.head[4:8] not in (b"ftyp", b"mdat", b"wide", b"free", b"moov"):
                reason = getattr(error, "strerror", None) or error
                why = f"it is not a video that can be read ({reason})"
                raise unreadable_error(self.name, why) from error
            raise unreadable_error(
                self.name,
                "the file was cut off before its index (moov), which holds everything needed"
                " to read it",
                "download or copy it again",
            ) from error
        try:
            self._choose()
        except BaseException:
            self.container.close()
            raise

    def _choose(self) -> None:
        # Cover art, chapter thumbnails, and tiles that only make a picture together.
        parts = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
        streams = [
            stream
            for stream in self.container.streams
            if isinstance(stream, VideoStream)
            and getattr(stream, "codec_context", None) is not None
            and not stream.disposition & parts
        ]
        if not streams:
            has_sound = any(stream.type == "audio" for stream in self.container.streams)
            what = "it holds sound but no video" if has_sound else "there is no video in it"
            raise unreadable_error(self.name, what)
        self.stream = chosen = max(
            streams,
            key=lambda stream: (
                stream.codec_context.width * stream.codec_context.height,
                bool(stream.disposition & Disposition.default),
                -stream.index,
            ),
        )
        for stream in self.container.streams:
            stream.discard = Discard.default if stream is chosen else Discard.all
        width, height = chosen.codec_context.width, chosen.codec_context.height
        if width * height > self._max_pixels:
            raise VideoRefused(
                f"{self.name}: {width}x{height} pictures are over the limit of"
                f" {self._max_pixels} pixels",
                remedy="scale the video down first, or raise the limit",
            )
        self.decoder = chosen.codec_context
        library = _ALPHA_DECODERS.get(self.decoder.name)
        if library is not None and chosen.metadata.get("alpha_mode") == "1":
            # Only libvpx reads the alpha channel.
            with contextlib.suppress(FFmpegError):
                self.decoder = cast("VideoCodecContext", CodecContext.create(library, "r"))
        self.decoder.options = self._options
        self.decoder.thread_type = ThreadType.AUTO


def _stamp_of(packet: Packet[VideoStream]) -> int | None:
    """Give the time at which a packet is decoded, or shown where only that is known."""
    return packet.dts if packet.dts is not None else packet.pts


def _refuse_nested(*_: object) -> NoReturn:
    raise PermissionError("nested files are not opened")


@dataclass(frozen=True, slots=True)
class Key:
    """A keyframe.

    Attributes:
        stamp: Its time by the index's own clock.
        time: The time at which it is shown; an estimate where the index has decoding times.
    """

    stamp: int
    time: int


@dataclass(frozen=True, slots=True)
class PacketEntry:
    """What one packet says of itself, in ticks of the stream's clock.

    Attributes:
        stamp: When it is decoded; a running number where packets carry no times.
        time: When it is shown, None where unknown.
        duration: How long it is shown, 0 where unknown.
        size: Bytes.
        is_key: Whether decoding can start with it.
    """

    stamp: int
    time: int | None
    duration: int
    size: int
    is_key: bool


class Keys:
    """Keyframes in the order in which they are shown."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = sorted(keys, key=lambda key: key.time)
        self._times = [key.time for key in self._keys]

    def before(self, time: int) -> Key | None:
        """Give the last keyframe shown at or before a time."""
        position = bisect_right(self._times, time)
        return self._keys[position - 1] if position else None

    def after(self, time: int) -> Key | None:
        """Give the first keyframe shown after a time."""
        position = bisect_right(self._times, time)
        return self._keys[position] if position < len(self._keys) else None


def listed_keys(demuxer: Demuxer, delay: int) -> Keys:
    """Keyframes of the container's index.

    Args:
        demuxer: The container.
        delay: What to add to a time of the index to get the time at which a frame is shown.
    """
    stamps = [e.timestamp for e in demuxer.stream.index_entries if e.is_keyframe]
    return Keys(Key(stamp, stamp + delay) for stamp in stamps)


def scan_packets(demuxer: Demuxer) -> tuple[PacketEntry, ...]:
    """Read every packet of the stream without decoding any; the demuxer is left at the end."""
    entries: list[PacketEntry] = []
    is_cut = False
    for packet in demuxer.packets():
        if not packet.is_discard:
            stamp = _stamp_of(packet)
            number = len(entries) if stamp is None else stamp
            duration = packet.duration or 0
            entry = PacketEntry(number, packet.pts, duration, packet.size, packet.is_keyframe)
            entries.append(entry)
            is_cut = packet.is_corrupt
    return tuple(entries[:-1] if is_cut else entries)  # the last one of a file that was cut off


def listed_packets(demuxer: Demuxer) -> tuple[PacketEntry, ...]:
    """Read the container's index."""
    return tuple(
        PacketEntry(e.timestamp, None, 0, e.size, e.is_keyframe)
        for e in demuxer.stream.index_entries
        if not e.is_discard
    )


def has_full_index(demuxer: Demuxer, opened: Opened) -> bool:
    """Say whether the container lists every packet, and the file holds them all.

    A fragmented MP4 lists only what was read so far; a file that was cut off lists more than
    it holds.
    """
    entries = demuxer.stream.index_entries
    count = demuxer.stream.frames
    if not count or len(entries) < count or b"mvex" in opened.head:
        return False
    last = entries[-1]
    return last.pos + last.size <= opened.size


# Frames before the wanted one that are decoded in full, at least.
_MARGIN = 16

# How a place in a stream is reached: the container seeks to a keyframe; packets are read and
# dropped up to it; or, where frames carry no times, they are decoded and counted from the start.
Access: TypeAlias = Literal["seek", "scan", "count"]


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame and the time at which it is shown, in ticks of the stream's clock."""

    time: int
    frame: VideoFrame


class Cursor:
    """A place in a video stream that moves forward by decoding and sideways by seeking.

    Args:
        demuxer: Where the packets come from; at its first packet.
        keys: The keyframes; None where the stream can only be read from the start.
        access: How a place is reached, see `Access`.
        start: When the first frame is shown.
    """

    _line: deque[Packet[VideoStream]]
    _upcoming: deque[DecodedFrame]
    _shown: DecodedFrame | None
    _landed: Key | None
    _read_to: int | None

    def __init__(
        self,
        demuxer: Demuxer,
        keys: Keys | None,
        access: Access,
        start: int = 0,
    ) -> None:
        self._demuxer = demuxer
        self._keys = keys
        self._access = access
        self._first = start
        # In the order of decoding, the frame on show stands at most one reordering before the last
        # packet that is decoded by then, which stands at most one before the wanted time.
        self._margin = max(_MARGIN, 2 * demuxer.stream.codec_context.reorder_depth + 1)
        self._counter = count()
        self._coarsely = False
        self._start()

    def frame_at(self, time: int, *, coarsely: bool = False) -> DecodedFrame | None:
        """Give the frame on show at a time: the last that starts at or before it.

        A time before the first frame gives the first; after the end, the last one that can be
        decoded. None if no frame can be decoded at all. Coarsely, frames that no other frame
        refers to are passed over: a frame or two earlier for about half of the work.
        """
        self._coarsely = coarsely
        key = self._key_before(time)
        is_behind = self._shown is not None and self._shown.time > time
        is_ahead = key is not None and (self._read_to is None or key.stamp > self._read_to)
        if self._is_lost or is_behind or is_ahead:
            self._land(key, time)
        self._run_to(time)
        while self._shown is None and self._landed is not None:
            # Nothing at or before the time came out from here on: the keyframe was damaged, or
            # one of those (intra refresh) after which the picture takes a while to be whole.
            self._land(self._key_before(self._landed.time - 1), time)
            self._run_to(time)
        return self._shown or (self._upcoming[0] if self._upcoming else None)

    def key_frame(self, key: Key) -> DecodedFrame | None:
        """Decode one keyframe by itself; None where that gives no picture."""
        packet = self._find(key)
        if packet is None:
            return None
        frame = decode_alone(self._demuxer.decoder, packet)
        self._shown, self._is_lost = None, True
        return DecodedFrame(self._time_of(frame), frame) if frame is not None else None

    def frames(self) -> Iterator[DecodedFrame]:
        """Give every frame from the start."""
        self._land(self._key_before(self._first), self._first)
        self._is_lost = True
        while True:
            while self._upcoming:
                yield self._upcoming.popleft()
            if not self._fill(None):
                return

    def _start(self) -> None:
        """Forget what was read: packets come from another place now."""
        self._packets = self._demuxer.packets()
        self._line = deque()
        self._upcoming = deque()
        self._shown = self._landed = self._read_to = None
        self._is_drained = self._is_lost = False

    def _key_before(self, time: int) -> Key | None:
        return self._keys.before(time) if self._keys is not None else None

    def _land(self, key: Key | None, time: int) -> None:
        """Go to a keyframe, or an earlier one if it is shown after the time, or the start."""
        while key is not None:
            packet = self._find(key)
            if packet is not None and (packet.pts is None or packet.pts <= time):
                self._line.append(packet)
                self._landed = key
                return
            key = self._key_before(key.time - 1)
        self._demuxer.reopen()
        self._counter = count()
        self._start()

    def _find(self, key: Key) -> Packet[VideoStream] | None:
        """Read on to the packet of a keyframe, seeking where that is sooner."""
        is_behind = self._read_to is None or self._read_to >= key.stamp
        if self._access == "seek":
            if not self._demuxer.seek(key.time):
                return None
        elif is_behind or self._is_drained:
            self._demuxer.reopen()
        self._demuxer.decoder.flush_buffers()
        self._start()
        for packet in self._packets:
            stamp = _stamp_of(packet)
            self._read_to = stamp
            latest = max((t for t in (packet.dts, packet.pts) if t is not None), default=None)
            if packet.is_keyframe and latest is not None and latest >= key.stamp:
                return packet
        return None

    def _run_to(self, time: int) -> None:
        """Decode until a frame after the time has come out, or the end."""
        while True:
            while self._upcoming and self._upcoming[0].time <= time:
                self._shown = self._upcoming.popleft()
            if self._upcoming or not self._fill(time):
                return

    def _fill(self, time: int | None) -> bool:
        """Decode one more packet; False at the end."""
        while len(self._line) <= self._margin:
            following = next(self._packets, None)
            if following is None:
                # The last packet of a file that was cut off would, besides failing itself, take
                # along the frames that are decoded side by side with it.
                if self._line and self._line[-1].is_corrupt:
                    self._line.pop()
                break
            self._line.append(following)
            self._read_to = _stamp_of(following)
        if self._line:
            skips = False
            if time is not None and self._access != "count":
                stamp = self._line[-1].dts
                is_far = len(self._line) > self._margin and stamp is not None and stamp <= time
                skips = self._coarsely or is_far
            self._demuxer.decoder.skip_frame = "NONREF" if skips else "DEFAULT"
        elif self._is_drained:
            return False
        self._is_drained = not self._line
        packet = self._line.popleft() if self._line else None
        frames = _decoded(self._demuxer.decoder, packet)
        self._upcoming.extend([DecodedFrame(self._time_of(frame), frame) for frame in frames])
        return True

    def _time_of(self, frame: VideoFrame) -> int:
        if self._access == "count":
            return next(self._counter)
        stamp = frame.pts if frame.pts is not None else frame.dts
        if stamp is not None:
            return stamp
        last = self._upcoming[-1] if self._upcoming else self._shown
        return last.time if last is not None else 0


def decode_alone(decoder: VideoCodecContext, packet: Packet[VideoStream]) -> VideoFrame | None:
    """Decode one keyframe without any other; the decoder is ready for another place after it."""
    decoder.skip_frame = "DEFAULT"
    frames = _decoded(decoder, packet) or _decoded(decoder, None)
    decoder.flush_buffers()
    return frames[0] if frames else None


def _decoded(decoder: VideoCodecContext, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
    """Decode a packet; nothing where it is damaged, after which the decoder takes the next."""
    try:
        return decoder.decode(packet)
    except _ERRORS:
        return []
