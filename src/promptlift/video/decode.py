"""Which packets to decode for the frame on show at a time, and no more than those.

Decoding goes forward through a group of pictures (GOP) once. It jumps only where the wanted
frame lies behind a later keyframe, and frames that no other frame refers to are skipped until
shortly before the wanted one; both give bit for bit what decoding everything would give.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Literal, TypeAlias

from av.error import FFmpegError

from promptlift.video.demux import stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from promptlift.video.demux import Demuxer, Key, Keys

__all__ = ["Access", "Cursor", "DecodedFrame", "decode_alone"]

# Frames before the wanted one that are decoded in full, at least.
_MARGIN = 16

# How a place in a stream is reached: the container seeks to a keyframe; packets are read and
# dropped up to it; or, where frames carry no times, they are decoded and counted from the start.
Access: TypeAlias = Literal["seek", "scan", "count"]

_ERRORS = (FFmpegError, OSError, ValueError, EOFError)


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
        self._margin = max(_MARGIN, 2 * demuxer.reorder_depth + 1)
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
        self._go_near(time)
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

    def _go_near(self, time: int) -> None:
        key = self._key_before(time)
        is_behind = self._shown is not None and self._shown.time > time
        is_ahead = key is not None and (self._read_to is None or key.stamp > self._read_to)
        if self._is_lost or is_behind or is_ahead:
            self._land(key, time)

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
            stamp = stamp_of(packet)
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
        self._read_ahead()
        if self._line:
            skips = False
            if time is not None and self._access != "count":
                stamp = self._line[-1].dts
                is_far = len(self._line) > self._margin and stamp is not None and stamp <= time
                skips = self._coarsely or is_far
            packet = self._line.popleft()
            self._upcoming.extend(self._decode(packet, "NONREF" if skips else "DEFAULT"))
            return True
        if self._is_drained:
            return False
        self._is_drained = True
        self._upcoming.extend(self._decode(None))
        return True

    def _read_ahead(self) -> None:
        while len(self._line) <= self._margin:
            packet = next(self._packets, None)
            if packet is None:
                # The last packet of a file that was cut off would, besides failing itself, take
                # along the frames that are decoded side by side with it.
                if self._line and self._line[-1].is_corrupt:
                    self._line.pop()
                return
            self._line.append(packet)
            self._read_to = stamp_of(packet)

    def _decode(
        self,
        packet: Packet[VideoStream] | None,
        skip: Literal["DEFAULT", "NONREF"] = "DEFAULT",
    ) -> list[DecodedFrame]:
        """Decode a packet, or what is left in the decoder."""
        if packet is not None:
            self._demuxer.decoder.skip_frame = skip
        frames = _decoded(self._demuxer.decoder, packet)
        return [DecodedFrame(self._time_of(frame), frame) for frame in frames]

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
