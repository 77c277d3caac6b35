"""Frames of a video that libav decodes."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from av.video.reformatter import Interpolation

from promptlift.core.video import Frame, PacketIndex, Size, fit
from promptlift.frames.decode import Cursor, Shot
from promptlift.frames.demux import Demuxer
from promptlift.frames.index import ContainerKeys, Keys, ScannedKeys, has_full_index, scan
from promptlift.frames.probe import aspect_of, video_info
from promptlift.frames.reader import Reader
from promptlift.frames.scale import Scaler
from promptlift.frames.sniff import unreadable
from promptlift.frames.source import Limits, Opened, content_id
from promptlift.frames.strip import due_times, stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from promptlift.core.video import RGB, Instant, Strip, VideoInfo
    from promptlift.frames.index import Entry

__all__ = ["MovieReader"]


_CHEAP = Interpolation.BILINEAR


class MovieReader(Reader):
    """Reads frames of one video; made by `promptlift.frames.open_video`.

    Args:
        opened: The file; closed with the reader.
        limits: The most pixels that a picture may have.

    Attributes:
        info: What the video is.

    Raises:
        VideoUnreadable: No picture can be decoded.
        VideoRefused: It is a playlist, or its pictures are too large.
    """

    info: VideoInfo

    def __init__(self, opened: Opened, limits: Limits) -> None:
        self._opened = opened
        self._demuxer = Demuxer(opened, limits)
        try:
            self._survey()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the container and the file."""
        self._demuxer.close()
        self._opened.file.close()

    @cached_property
    def content_id(self) -> str:
        """The name of the content, see `promptlift.frames.source.content_id`."""
        return content_id(self._opened)

    @cached_property
    def index(self) -> PacketIndex:
        """What the container tells of its packets, or one pass over them did."""
        entries = self._entries or tuple(_listed(self._demuxer))
        timed = sorted((e for e in entries if e.stamp is not None), key=lambda e: e.stamp or 0)
        return PacketIndex(
            tuple(max(Fraction(0), self._seconds(e.stamp or 0)) for e in timed),
            tuple(e.size for e in timed),
            tuple(e.is_key for e in timed),
        )

    def frames_at(
        self, instants: Sequence[Instant], box: Size, *, exactly: bool = False
    ) -> tuple[Frame, ...]:
        """See `promptlift.frames.Reader.frames_at`."""
        frames: list[Frame] = []
        last: int | None = None
        for instant in instants:
            shot, snapped = self._shot_of(instant)
            if shot is None:
                raise self._no_picture()
            if shot.time != last:
                image = self._scaler.to_rgb(shot.frame, box, exactly=exactly)
                frames.append(self._frame(shot, image, instant.time, snapped=snapped))
            last = shot.time
        return tuple(frames)

    def first(self, count: int, box: Size, *, exactly: bool = False) -> tuple[Frame, ...]:
        """See `promptlift.frames.Reader.first`."""
        shots = islice(self._cursor.shots(), count)
        return tuple(
            self._frame(
                shot,
                self._scaler.to_rgb(shot.frame, box, exactly=exactly),
                self._seconds(shot.time),
            )
            for shot in shots
        )

    def strip(self, *, side: int = 320, fps: int = 8, max_seconds: int = 30) -> Strip:
        """See `promptlift.frames.Reader.strip`."""
        size = fit(self.info.size, Size(side, side))
        scaler = Scaler(aspect_of(self._demuxer), _CHEAP)
        taken: dict[int, tuple[int, RGB]] = {}
        for stretch, times in enumerate(due_times(self.info.duration, fps, max_seconds)):
            for time in times:
                shot = self._cursor.shot_at(self._stamp(time))
                if shot is None:
                    raise self._no_picture()
                if shot.time not in taken:
                    image = scaler.to_rgb(shot.frame, size, exactly=True)
                    taken[shot.time] = (stretch, image)
        seconds = [self._seconds(stamp) for stamp in taken]
        stretches = tuple(stretch for stretch, _ in taken.values())
        return stack([image for _, image in taken.values()], seconds, stretches, self.info.size)

    def _survey(self) -> None:
        """Find the first frame shown, the keyframes and the length."""
        demuxer = self._demuxer
        self._cursor = Cursor(demuxer, None, can_seek=False, is_timed=True)
        shot = next(self._cursor.shots(), None)
        if shot is None:
            raise self._no_picture()
        self._is_timed = shot.frame.pts is not None or shot.frame.dts is not None
        self._tick = demuxer.tick if self._is_timed else 1 / demuxer.raw_rate
        self._origin = shot.time if self._is_timed else 0
        can_seek = self._is_timed and has_full_index(demuxer, self._opened.size)
        demuxer.reopen()
        self._entries = () if can_seek else scan(demuxer)
        demuxer.reopen()
        keys: Keys | None = None
        if can_seek:
            keys = ContainerKeys(demuxer, _delay(demuxer))
        elif self._is_timed:
            keys = ScannedKeys(self._entries)
        self._cursor = Cursor(demuxer, keys, can_seek=can_seek, is_timed=self._is_timed)
        self._keys = keys
        self._scaler = Scaler(aspect_of(demuxer))
        count = len(self._entries) or demuxer.stream.frames or None
        duration = self._duration(count)
        self.info = video_info(
            self._opened,
            demuxer,
            shot.frame,
            rate=self._rate(count, duration),
            duration=duration,
            count=count,
        )

    def _duration(self, count: int | None) -> Fraction | None:
        stream = self._demuxer.stream
        if not self._is_timed:
            return count * self._tick if count else None
        if self._entries:
            return max(
                (
                    self._seconds(e.time if e.time is not None else e.stamp or 0)
                    + e.duration * self._tick
                    for e in self._entries
                ),
                default=None,
            )
        if stream.duration is None:
            return None
        start = stream.start_time if stream.start_time is not None else self._origin
        return (start + stream.duration - self._origin) * self._tick

    def _rate(self, count: int | None, duration: Fraction | None) -> Fraction | None:
        if not self._is_timed:
            return self._demuxer.raw_rate
        average = self._demuxer.stream.average_rate
        if average:
            return Fraction(average)
        return count / duration if count and duration else None

    def _seconds(self, stamp: int) -> Fraction:
        return (stamp - self._origin) * self._tick

    def _stamp(self, seconds: Fraction) -> int:
        return int(seconds // self._tick) + self._origin

    def _shot_of(self, instant: Instant) -> tuple[Shot | None, bool]:
        if instant.earliest < instant.latest:
            shot = self._nearest_key(instant)
            if shot is not None:
                return shot, True
        return self._cursor.shot_at(self._stamp(instant.time)), False

    def _nearest_key(self, instant: Instant) -> Shot | None:
        if self._keys is None:
            return None
        wanted = self._stamp(instant.time)
        around = (self._keys.before(wanted), self._keys.after(wanted))
        inside = (k for k in around if k is not None and self._is_inside(k.time, instant))
        for key in sorted(inside, key=lambda k: abs(k.time - wanted)):
            shot = self._cursor.key_shot(key)
            if shot is not None and self._is_inside(shot.time, instant):
                return shot
        return None

    def _is_inside(self, stamp: int, instant: Instant) -> bool:
        return instant.earliest <= self._seconds(stamp) <= instant.latest

    def _frame(self, shot: Shot, image: RGB, wanted: Fraction, *, snapped: bool = False) -> Frame:
        return Frame(self._seconds(shot.time), image, wanted, snapped, shot.frame.is_corrupt)

    def _no_picture(self) -> Exception:
        return unreadable(
            self._opened.name, "no picture in it can be decoded", "download or convert it again"
        )


def _delay(demuxer: Demuxer) -> int:
    """Measure how long after the index's time a keyframe is shown."""
    packet = next((p for p in demuxer.packets() if p.is_keyframe), None)
    demuxer.reopen()
    if packet is None or packet.pts is None or packet.dts is None:
        return 0
    entries = demuxer.stream.index_entries
    listed = entries[max(0, entries.search_timestamp(packet.dts))].timestamp
    return packet.pts - listed if listed == packet.dts else 0


def _listed(demuxer: Demuxer) -> Iterable[Entry]:
    from promptlift.frames.index import Entry

    for e in demuxer.stream.index_entries:
        yield Entry(e.timestamp, None, 0, e.size, e.is_keyframe)
