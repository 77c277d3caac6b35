"""Frames of a video that libav decodes."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from av.error import FFmpegError
from av.video.reformatter import Interpolation

from promptlift.core.video import Frame, PacketIndex, Size, fit
from promptlift.files import content_id
from promptlift.frames.decode import Cursor, Shot
from promptlift.frames.demux import Demuxer
from promptlift.frames.describe import video_info
from promptlift.frames.native import NativeScaler
from promptlift.frames.reader import Reader
from promptlift.frames.scale import Scaler, orientation_of
from promptlift.frames.sniff import unreadable
from promptlift.frames.source import Limits, Opened
from promptlift.frames.strip import due_times, stack
from promptlift.frames.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from promptlift.core.video import RGB, Instant, Strip, VideoInfo

__all__ = ["MovieReader"]


_LARGE = 1920 * 1088  # pixels above which a strip is decoded coarsely
_MOST_KEPT = 16 * 1920 * 1088  # pixels of all frames that are kept, of a byte and a half or two
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
            seen = survey(opened, self._demuxer)
            if seen is None:
                raise self._no_picture()
            self._turn = orientation_of(seen.first)
            self.info = video_info(opened, self._demuxer, seen, self._turn)
        except BaseException:
            self.close()
            raise
        self._entries = seen.entries
        self._clock = seen.clock
        self._keys = seen.keys
        self._cursor = Cursor(
            self._demuxer,
            seen.keys,
            seen.access,
            seen.clock.origin,
        )
        self._scaler = Scaler(self.info.sample_aspect_ratio, self._turn)
        self._native = NativeScaler(self.info.sample_aspect_ratio, self._turn)
        self._kept: dict[Instant, Shot] = {}

    def close(self) -> None:
        """Close the container and the file."""
        self._demuxer.close()
        self._opened.file.close()

    @cached_property
    def content_id(self) -> str:
        """The name of the content, see `promptlift.files.content_id`."""
        return content_id(self._opened.file, self._opened.size)

    @cached_property
    def index(self) -> PacketIndex:
        """What the container tells of its packets, or one pass over them did."""
        entries = sorted(self._entries(), key=lambda entry: entry.stamp)
        return PacketIndex(
            tuple(max(Fraction(0), self._clock.seconds(entry.stamp)) for entry in entries),
            tuple(entry.size for entry in entries),
            tuple(entry.is_key for entry in entries),
        )

    def frames_at(
        self,
        instants: Sequence[Instant],
        box: Size,
        *,
        exactly: bool = False,
        native: bool = False,
    ) -> tuple[Frame, ...]:
        """See `promptlift.frames.Reader.frames_at`."""
        wanted = ((instant.time, *self._shot_of(instant)) for instant in instants)
        return self._frames(wanted, box, exactly=exactly, native=native)

    def first(
        self, count: int, box: Size, *, exactly: bool = False, native: bool = False
    ) -> tuple[Frame, ...]:
        """See `promptlift.frames.Reader.first`."""
        shots = islice(self._cursor.shots(), count)
        wanted = ((self._clock.seconds(shot.time), shot, False) for shot in shots)
        return self._frames(wanted, box, exactly=exactly, native=native)

    def strip(
        self,
        *,
        side: int = 320,
        fps: int = 8,
        max_seconds: int = 30,
        keep: Sequence[Instant] = (),
    ) -> Strip:
        """See `promptlift.frames.Reader.strip`."""
        size = fit(self.info.size, Size(side, side))
        scaler = Scaler(self.info.sample_aspect_ratio, self._turn, _CHEAP)
        images, taken, stretches = [], [self._clock.origin - 1], []
        coarsely = self.info.coded_width * self.info.coded_height > _LARGE
        end = Fraction(0)
        dues = due_times(self.info.duration, fps, max_seconds)
        # What is decoded coarsely, or in stretches, does not pass the very frames.
        later = deque(keep if not coarsely and len(dues) == 1 and self._has_room(keep) else ())
        for stretch, due in enumerate(dues):
            times = self._from_key(due, end) if stretch else due
            end = times[-1]
            for time in times:
                self._keep(later, time)
                shot = self._cursor.shot_at(self._clock.stamp(time), coarsely=coarsely)
                if shot is not None and shot.time > taken[-1]:
                    images.append(self._image(scaler, shot, size, exactly=True))
                    taken.append(shot.time)
                    stretches.append(stretch)
        self._keep(later, None)
        if not images:
            raise self._no_picture()
        seconds = [self._clock.seconds(stamp) for stamp in taken[1:]]
        return stack(images, seconds, tuple(stretches), self.info.size)

    def holds(self, instants: Sequence[Instant]) -> bool:
        """See `promptlift.frames.Reader.holds`."""
        return all(instant in self._kept for instant in instants)

    def _has_room(self, instants: Sequence[Instant]) -> bool:
        pixels = self.info.coded_width * self.info.coded_height
        exact = all(instant.earliest == instant.latest for instant in instants)
        return exact and len(instants) * pixels <= _MOST_KEPT

    def _keep(self, later: deque[Instant], time: Fraction | None) -> None:
        """Keep what is due before a time on the way to it; None for the end."""
        while later and (time is None or later[0].time <= time):
            instant = later.popleft()
            shot = self._cursor.shot_at(self._clock.stamp(instant.time))
            if shot is not None:
                self._kept[instant] = shot

    def _from_key(self, times: Sequence[Fraction], end: Fraction) -> Sequence[Fraction]:
        """Move a stretch back to the keyframe before it, but not into the stretch before.

        Decoding then begins with the stretch and not, in the worst case, seconds before it.
        """
        key = self._keys.before(self._clock.stamp(times[0])) if self._keys is not None else None
        shown = self._clock.seconds(key.time) if key is not None else end
        back = times[0] - shown
        return [time - back for time in times] if shown > end else times

    def _shot_of(self, instant: Instant) -> tuple[Shot | None, bool]:
        if instant in self._kept:
            return self._kept[instant], False
        if instant.earliest < instant.latest:
            shot = self._nearest_key(instant)
            if shot is not None:
                return shot, True
        return self._cursor.shot_at(self._clock.stamp(instant.time)), False

    def _nearest_key(self, instant: Instant) -> Shot | None:
        if self._keys is None:
            return None
        wanted = self._clock.stamp(instant.time)
        around = (self._keys.before(wanted), self._keys.after(wanted))
        inside = (k for k in around if k is not None and self._is_inside(k.time, instant))
        for key in sorted(inside, key=lambda k: abs(k.time - wanted)):
            shot = self._cursor.key_shot(key)
            if shot is not None and self._is_inside(shot.time, instant):
                return shot
        return None

    def _is_inside(self, stamp: int, instant: Instant) -> bool:
        return instant.earliest <= self._clock.seconds(stamp) <= instant.latest

    def _frames(
        self,
        wanted: Iterable[tuple[Fraction, Shot | None, bool]],
        box: Size,
        *,
        exactly: bool,
        native: bool,
    ) -> tuple[Frame, ...]:
        """Scale shots; each is given once, and in a damaged video none that goes back in time.

        Args:
            wanted: The time that was asked for, the shot, and whether it is a keyframe instead.
            box: See `frames_at`.
            exactly: See `frames_at`.
            native: See `frames_at`.
        """
        frames: list[Frame] = []
        last: int | None = None
        for time, shot, snapped in wanted:
            if shot is None:
                raise self._no_picture()
            if last is not None and shot.time <= last:
                continue
            last = shot.time
            image = self._image(self._scaler, shot, box, exactly=exactly)
            seconds = self._clock.seconds(shot.time)
            frame = Frame(seconds, image, time, snapped, shot.frame.is_corrupt)
            frames.append(self._native.attach(frame, shot.frame) if native else frame)
        return tuple(frames)

    def _image(self, scaler: Scaler, shot: Shot, box: Size, *, exactly: bool = False) -> RGB:
        try:
            return scaler.to_rgb(shot.frame, box, exactly=exactly)
        except (FFmpegError, ValueError, MemoryError) as error:
            raise unreadable(
                self._opened.name, f"its pictures cannot be converted to RGB ({error})"
            ) from error

    def _no_picture(self) -> Exception:
        return unreadable(
            self._opened.name, "no picture in it can be decoded", "download or convert it again"
        )
