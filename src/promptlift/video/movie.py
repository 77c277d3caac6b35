"""Videos that libav decodes: their stream, their thumbnails and their frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING

from av.error import FFmpegError
from av.video.reformatter import Interpolation

from promptlift.files import content_id
from promptlift.types import Frame, PacketIndex, Size, VideoInfo, fit
from promptlift.video.clip import with_native
from promptlift.video.decode import (
    Access,
    Cursor,
    DecodedFrame,
    Demuxer,
    Key,
    Keys,
    PacketEntry,
    decode_alone,
    has_full_index,
    listed_keys,
    listed_packets,
    scan_packets,
)
from promptlift.video.reader import Reader, due_times, stack
from promptlift.video.scale import (
    Scaler,
    has_alpha,
    is_full_range,
    orientation_of,
    shown_size,
    transfer_of,
)
from promptlift.video.source import Limits, Opened, unreadable_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from promptlift.types import RGB, Instant, Thumbnails
    from promptlift.video.scale import Orientation

__all__ = ["MovieReader"]

_CUES_ABOVE = 64 * 2**20  # bytes of a Matroska file from which its sparse index saves a full pass
_MICROSECOND = Fraction(1, 10**6)


@dataclass(frozen=True, slots=True)
class _StreamInfo:
    """What a container and its packets say of a video, before any frame is read.

    Attributes:
        tick: Seconds of one unit of its clock.
        origin: The stamp of the first frame shown.
        first: The first frame shown.
        keys: Its keyframes; None where it can only be read from the start.
        access: How a place in it is reached.
        entries: Its packets in the order of the file; none where only a pass over a large file
            would tell.
        rate: Average frames a second; None where unknown.
        duration: Seconds; None where unknown.
        count: Number of frames; None where unknown.
    """

    tick: Fraction
    origin: int
    first: VideoFrame
    keys: Keys | None
    access: Access
    entries: tuple[PacketEntry, ...]
    rate: Fraction | None
    duration: Fraction | None
    count: int | None

    def seconds(self, stamp: int) -> Fraction:
        """Give the seconds from the first frame shown to a stamp."""
        return (stamp - self.origin) * self.tick

    def stamp(self, seconds: Fraction) -> int:
        """Give the last stamp at or before a time."""
        return int(seconds // self.tick) + self.origin


def _stream_info(opened: Opened, demuxer: Demuxer) -> _StreamInfo | None:
    """Read the times of a stream; None where no frame can be decoded."""
    first, delay = _first_frame(demuxer)
    if first is None:
        return None
    tick, rate, origin = demuxer.tick, demuxer.stream.average_rate, first.pts or 0
    # AVI has no times: those of B-frames are libav's guess.
    is_avi = demuxer.container.format.name == "avi"
    is_timed = first.pts is not None and not (
        is_avi and demuxer.stream.codec_context.reorder_depth > 0
    )
    if is_timed and has_full_index(demuxer, opened):
        found, duration = listed_packets(demuxer), _duration(demuxer, origin, ())
        keys = listed_keys(demuxer, delay)
        return _StreamInfo(tick, origin, first, keys, "seek", found, rate, duration, len(found))
    if is_timed and _has_cues(demuxer, opened):
        duration, count = _duration(demuxer, origin, ()), demuxer.stream.frames
        keys = listed_keys(demuxer, 0)
        return _StreamInfo(tick, origin, first, keys, "seek", (), rate, duration, count or None)
    demuxer.reopen()
    found = scan_packets(demuxer)
    demuxer.reopen()
    count = len(found)
    if not is_timed:  # a raw stream, or AVI with B-frames: the frames have to be counted
        rate = demuxer.raw_rate
        return _StreamInfo(1 / rate, 0, first, None, "count", found, rate, count / rate, count)
    duration = _duration(demuxer, origin, found)
    rate = rate or (count / duration if duration else None)
    keys = Keys(Key(e.stamp, e.stamp if e.time is None else e.time) for e in found if e.is_key)
    return _StreamInfo(tick, origin, first, keys, "scan", found, rate, duration, count)


def _first_frame(demuxer: Demuxer) -> tuple[VideoFrame | None, int]:
    """Decode the first frame shown, and measure how long after its decoding it is shown."""
    packet = next(demuxer.packets(), None)
    delay = 0
    if packet is not None and packet.pts is not None:
        delay = packet.pts - packet.dts if packet.dts is not None else 0
        if packet.is_keyframe and not packet.is_discard and packet.pts == demuxer.stream.start_time:
            frame = decode_alone(demuxer.decoder, packet)
            if frame is not None and frame.pts == packet.pts:
                return frame, delay
    cursor = Cursor(demuxer, None, "scan")
    decoded = next(cursor.frames(), None)
    return (decoded.frame if decoded is not None else None), delay


def _has_cues(demuxer: Demuxer, opened: Opened) -> bool:
    if opened.size < _CUES_ABOVE or "matroska" not in demuxer.container.format.name:
        return False
    # The demuxer reads the cues at the first seek only.
    return demuxer.seek(demuxer.stream.start_time or 0) and len(demuxer.stream.index_entries) > 1


def _duration(demuxer: Demuxer, origin: int, entries: tuple[PacketEntry, ...]) -> Fraction | None:
    """Give the length: as the file claims, unless its packets say otherwise."""
    rate = demuxer.stream.average_rate
    frame = 1 / rate if rate else Fraction(0)
    stream, length, tick = demuxer.stream, demuxer.container.duration, demuxer.tick
    claims: list[Fraction] = []
    if stream.duration is not None:
        start = stream.start_time if stream.start_time is not None else origin
        claims.append((start + stream.duration - origin) * tick)
    if length is not None:
        # Matroska counts from zero, and not from the first frame shown.
        claims += [length * _MICROSECOND - origin * tick, length * _MICROSECOND]
    if not entries:
        return claims[0] if claims else None
    measured = max(
        ((e.stamp if e.time is None else e.time) - origin) * tick + (e.duration * tick or frame)
        for e in entries
    )
    return next((claim for claim in claims if abs(claim - measured) < frame), measured)


def _video_info(
    opened: Opened, demuxer: Demuxer, stream: _StreamInfo, turn: Orientation
) -> VideoInfo:
    """Describe a video from its stream, its first frame and its measured times."""
    frame, pixels = stream.first, stream.first.format
    aspect = demuxer.stream.sample_aspect_ratio or Fraction(1)
    aspect = aspect if Fraction(1, 16) <= aspect <= 16 else Fraction(1)  # not what is absurd
    coded = Size(frame.width, frame.height)
    shown = shown_size(coded, aspect, turn)
    container = demuxer.container.format.name.split(",")[0]
    if container == "matroska" and b"webm" in opened.head[:64]:
        container = "webm"
    elif container == "mov" and opened.head[8:12] != b"qt  ":
        container = "mp4"
    return VideoInfo(
        container=container,
        codec=demuxer.stream.codec_context.name,
        width=shown.width,
        height=shown.height,
        coded_width=coded.width,
        coded_height=coded.height,
        rotation=turn.quarters * 90,
        sample_aspect_ratio=aspect,
        frame_rate=stream.rate,
        duration=stream.duration,
        frame_count=stream.count,
        pixel_format=pixels.name,
        bit_depth=max((component.bits for component in pixels.components), default=8),
        transfer=transfer_of(int(frame.color_trc)),
        full_range=is_full_range(frame),
        has_alpha=has_alpha(pixels),
        is_still=stream.count == 1,
        size_bytes=opened.size,
    )


_LARGE = 1920 * 1088  # pixels above which thumbnails are decoded coarsely
_MAX_KEPT_PIXELS = 16 * 1920 * 1088  # of all frames that are kept, 1.5 or 2 bytes each
_LONG = 30  # seconds above which what lies between the stretches of a sample is skipped
# Samples: bursts that are long enough for slow motion and dense enough for fast.
_BURSTS, _BURST_SECONDS, _LUMA_SIDE = 3, Fraction(18, 8), 128


class MovieReader(Reader):
    """Reads frames of one video; made by `promptlift.video.open_video`.

    Args:
        opened: The file; closed with the reader.
        limits: The most pixels that a picture may have.
        native: Give frames with the video's own colours, see `promptlift.video.open_video`.

    Raises:
        VideoUnreadable: No picture can be decoded.
        VideoRefused: It is a playlist, or its pictures are too large.
    """

    def __init__(self, opened: Opened, limits: Limits, *, native: bool = False) -> None:
        self._opened = opened
        self._demuxer = Demuxer(opened, limits)
        try:
            stream = _stream_info(opened, self._demuxer)
            if stream is None:
                raise self._no_picture()
            self._turn = orientation_of(stream.first)
            self.info = _video_info(opened, self._demuxer, stream, self._turn)
        except BaseException:
            self.close()
            raise
        self._stream, self._keys = stream, stream.keys
        self._cursor = Cursor(self._demuxer, stream.keys, stream.access, stream.origin)
        aspect = self.info.sample_aspect_ratio
        self._scaler = Scaler(aspect, self._turn)
        self._thumbnail_scaler = Scaler(aspect, self._turn, Interpolation.BILINEAR)
        self._luma_scaler = Scaler(aspect, self._turn, Interpolation.BILINEAR)
        self._native = native
        self._kept: dict[Instant, DecodedFrame] = {}

    def close(self) -> None:
        """Close the container and the file."""
        self._demuxer.close()
        self._opened.file.close()

    @cached_property
    def content_id(self) -> str:  # type: ignore[override]
        """The name of the content, see `promptlift.files.content_id`."""
        return content_id(self._opened.file, self._opened.size)

    @cached_property
    def index(self) -> PacketIndex:  # type: ignore[override]
        """The packets by the container's index, or by one pass over them."""
        entries = sorted(self._stream.entries, key=lambda entry: entry.stamp)
        return PacketIndex(
            tuple(max(Fraction(0), self._stream.seconds(entry.stamp)) for entry in entries),
            tuple(entry.size for entry in entries),
            tuple(entry.is_key for entry in entries),
        )

    def frames_at(
        self, instants: Sequence[Instant], box: Size, *, stretch: bool = False
    ) -> tuple[Frame, ...]:
        """Frames at instants, see `Reader`."""
        wanted = ((instant.time, *self._decoded_at(instant)) for instant in instants)
        return self._frames(wanted, box, stretch=stretch)

    def first(self, count: int, box: Size, *, stretch: bool = False) -> tuple[Frame, ...]:
        """The first frames, see `Reader`."""
        decoded = islice(self._cursor.frames(), count)
        wanted = ((self._stream.seconds(one.time), one, False) for one in decoded)
        return self._frames(wanted, box, stretch=stretch)

    def thumbnails(self, *, side: int = 320, keep: Sequence[Instant] = ()) -> Thumbnails:
        """Thumbnails of the whole video or of stretches of it, see `Reader`."""
        dues = due_times(self.info.duration)
        passed = self._pass(dues, keep, skip=len(dues) > 1)
        pictures = [(s, one.time, self._thumbnail(one, side)) for s, one in passed]
        return self._stacked(pictures)

    def samples(self, *, keep: Sequence[Instant] = ()) -> tuple[Thumbnails, Thumbnails | None]:
        """A few thumbnails and bursts of luma, see `Reader`."""
        dues = due_times(self.info.duration, _BURST_SECONDS, _BURSTS)
        total = sum(len(due) for due in dues)
        is_long = self.info.duration is not None and self.info.duration > _LONG
        size = fit(self.info.size, Size(_LUMA_SIDE, _LUMA_SIDE))
        lumas = []
        chosen: list[DecodedFrame] = []
        for number, (stretch, one) in enumerate(self._pass(dues, keep, skip=is_long)):
            luma = self._converted(partial(self._luma_scaler.to_luma, one.frame, size))
            lumas.append((stretch, one.time, luma))
            if number <= total // 6:
                chosen[:1] = [one]
            elif number in (total // 2, total * 5 // 6):
                chosen.append(one)
        motion = self._stacked(lumas)
        return self._stacked([(0, one.time, self._thumbnail(one)) for one in chosen]), motion

    def _pass(
        self, dues: Sequence[Sequence[Fraction]], keep: Sequence[Instant], *, skip: bool
    ) -> Iterator[tuple[int, DecodedFrame]]:
        """Give the frames on show at ascending times, each once, with the number of its stretch.

        Args:
            dues: The times of each stretch.
            keep: Instants whose frames are kept on the way.
            skip: Begin each stretch at a keyframe instead of decoding up to it. What is decoded
                so, or coarsely, does not pass the exact frames, and nothing is kept then.
        """
        pixels = self.info.coded_width * self.info.coded_height
        coarsely = pixels > _LARGE
        exact = all(instant.earliest == instant.latest for instant in keep)
        has_room = len(keep) * pixels <= _MAX_KEPT_PIXELS
        later = deque(keep if exact and has_room and not (coarsely or skip) else ())

        def keep_until(time: Fraction | None) -> None:
            while later and (time is None or later[0].time <= time):
                instant = later.popleft()
                decoded = self._cursor.frame_at(self._stream.stamp(instant.time))
                if decoded is not None:
                    self._kept[instant] = decoded

        last, end = self._stream.origin - 1, Fraction(0)
        for stretch, due in enumerate(dues):
            times = self._from_key(due, end) if skip and stretch else due
            end = times[-1]
            for time in times:
                keep_until(time)
                decoded = self._cursor.frame_at(self._stream.stamp(time), coarsely=coarsely)
                if decoded is not None and decoded.time > last:
                    last = decoded.time
                    yield stretch, decoded
        keep_until(None)

    def _stacked(self, pictures: Sequence[tuple[int, int, NDArray[np.uint8]]]) -> Thumbnails:
        """Put pictures together, each with its stretch and its stamp."""
        if not pictures:
            raise self._no_picture()
        stretches, stamps, images = zip(*pictures, strict=True)
        return stack(images, [self._stream.seconds(s) for s in stamps], stretches, self.info.size)

    def _from_key(self, times: Sequence[Fraction], end: Fraction) -> Sequence[Fraction]:
        """Move a stretch back to the keyframe before it, but not into the stretch before.

        Decoding then begins with the stretch and not, in the worst case, seconds before it.
        """
        key = self._keys.before(self._stream.stamp(times[0])) if self._keys is not None else None
        shown = self._stream.seconds(key.time) if key is not None else end
        back = times[0] - shown
        return [time - back for time in times] if shown > end else times

    def _decoded_at(self, instant: Instant) -> tuple[DecodedFrame | None, bool]:
        if instant in self._kept:
            return self._kept[instant], False
        if instant.earliest < instant.latest:
            decoded = self._nearest_key(instant)
            if decoded is not None:
                return decoded, True
        return self._cursor.frame_at(self._stream.stamp(instant.time)), False

    def _nearest_key(self, instant: Instant) -> DecodedFrame | None:
        if self._keys is None:
            return None
        wanted = self._stream.stamp(instant.time)
        around = (self._keys.before(wanted), self._keys.after(wanted))
        inside = (k for k in around if k is not None and self._is_inside(k.time, instant))
        for key in sorted(inside, key=lambda k: abs(k.time - wanted)):
            decoded = self._cursor.key_frame(key)
            if decoded is not None and self._is_inside(decoded.time, instant):
                return decoded
        return None

    def _is_inside(self, stamp: int, instant: Instant) -> bool:
        return instant.earliest <= self._stream.seconds(stamp) <= instant.latest

    def _frames(
        self,
        wanted: Iterable[tuple[Fraction, DecodedFrame | None, bool]],
        box: Size,
        *,
        stretch: bool,
    ) -> tuple[Frame, ...]:
        """Scale frames, each once; in a damaged video none that goes back in time.

        Args:
            wanted: The time that was asked for, the decoded frame, and whether it is a keyframe
                instead.
            box: See `frames_at`.
            stretch: See `frames_at`.
        """
        frames: list[Frame] = []
        last: int | None = None
        for time, decoded, snapped in wanted:
            if decoded is None:
                raise self._no_picture()
            if last is not None and decoded.time <= last:
                continue
            last = decoded.time
            scale = partial(self._scaler.to_rgb, decoded.frame, box, stretch=stretch)
            image = self._converted(scale)
            seconds = self._stream.seconds(decoded.time)
            frame = Frame(seconds, image, time, snapped, decoded.frame.is_corrupt)
            if self._native:
                frame = with_native(frame, decoded.frame, self.info.sample_aspect_ratio, self._turn)
            frames.append(frame)
        return tuple(frames)

    def _thumbnail(self, decoded: DecodedFrame, side: int = 320) -> RGB:
        size = fit(self.info.size, Size(side, side))
        scale = partial(self._thumbnail_scaler.to_rgb, decoded.frame, size, stretch=True)
        return self._converted(scale)

    def _converted(self, convert: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        try:
            return convert()
        except (FFmpegError, ValueError, MemoryError) as error:
            raise unreadable_error(
                self._opened.name, f"its pictures cannot be converted to RGB ({error})"
            ) from error

    def _no_picture(self) -> Exception:
        return unreadable_error(
            self._opened.name, "no picture in it can be decoded", "download or convert it again"
        )
