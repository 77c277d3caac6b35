"""The first look at a video: when its first frame is shown, where its keyframes are, its length."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from promptlift.frames.decode import Access, Cursor, decode_alone
from promptlift.frames.index import (
    ContainerKeys,
    Entry,
    Keys,
    ScannedKeys,
    count_listed,
    has_full_index,
    listed,
    scan,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.video.frame import VideoFrame

    from promptlift.frames.demux import Demuxer
    from promptlift.frames.source import Opened

__all__ = ["Clock", "Survey", "survey"]

_CUES_ABOVE = 64 * 2**20  # bytes of a Matroska file from which its sparse index saves a full pass
_MICROSECOND = Fraction(1, 10**6)


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns the stamps of a stream into seconds and back.

    Attributes:
        tick: Seconds of one unit.
        origin: The stamp of the first frame shown.
    """

    tick: Fraction
    origin: int

    def seconds(self, stamp: int) -> Fraction:
        """Give the seconds since the first frame shown."""
        return (stamp - self.origin) * self.tick

    def stamp(self, seconds: Fraction) -> int:
        """Give the last stamp at or before a time."""
        return int(seconds // self.tick) + self.origin


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a video before any frame is asked for.

    Attributes:
        clock: Its clock.
        first: The first frame shown.
        keys: Its keyframes; None where it can only be read from the start.
        access: How a place in it is reached.
        entries: Gives its packets in the order of the file, as long as the demuxer is open;
            none where only a pass over a large file would tell.
        rate: Average frames a second; None where unknown.
        duration: Seconds; None where unknown.
        count: Number of frames; None where unknown.
    """

    clock: Clock
    first: VideoFrame
    keys: Keys | None
    access: Access
    entries: Callable[[], tuple[Entry, ...]]
    rate: Fraction | None
    duration: Fraction | None
    count: int | None


def survey(opened: Opened, demuxer: Demuxer) -> Survey | None:
    """Take the first look; None where no frame can be decoded."""
    first, delay = _first_frame(demuxer)
    if first is None:
        return None
    start = None if demuxer.has_guessed_times else first.pts
    if start is None:
        return _untimed(demuxer, first)
    clock = Clock(demuxer.tick, start)
    keys: Keys
    count: int | None
    rate = demuxer.stream.average_rate
    if has_full_index(demuxer, opened):
        entries, keys = partial(listed, demuxer), ContainerKeys(demuxer, delay)
        duration, count = _duration(demuxer, clock, ()), count_listed(demuxer)
        return Survey(clock, first, keys, "seek", entries, rate, duration, count)
    if _has_cues(demuxer, opened):
        duration, count = _duration(demuxer, clock, ()), demuxer.stream.frames or None
        keys = ContainerKeys(demuxer, 0)
        return Survey(clock, first, keys, "seek", tuple, rate, duration, count)
    found = _scanned(demuxer)
    duration, count = _duration(demuxer, clock, found), len(found)
    rate = rate or (len(found) / duration if duration else None)
    keys = ScannedKeys(found)
    return Survey(clock, first, keys, "scan", lambda: found, rate, duration, count)


def _untimed(demuxer: Demuxer, first: VideoFrame) -> Survey:
    """Survey a stream whose frames have to be counted: a raw one, or AVI with B-frames."""
    found = _scanned(demuxer)
    count, rate = len(found), demuxer.raw_rate
    clock = Clock(1 / rate, 0)
    return Survey(clock, first, None, "count", lambda: found, rate, count / rate, count)


def _first_frame(demuxer: Demuxer) -> tuple[VideoFrame | None, int]:
    """Decode the first frame shown, and measure how long after its decoding it is shown."""
    packet = next(demuxer.packets(), None)
    delay = 0
    if packet is not None and packet.pts is not None:
        delay = packet.pts - packet.dts if packet.dts is not None else 0
        if packet.is_keyframe and not packet.is_discard and packet.pts == demuxer.stream.start_time:
            frame = decode_alone(demuxer, packet)
            if frame is not None and frame.pts == packet.pts:
                return frame, delay
    cursor = Cursor(demuxer, None, "scan")
    shot = next(cursor.shots(), None)
    return (shot.frame if shot is not None else None), delay


def _has_cues(demuxer: Demuxer, opened: Opened) -> bool:
    if opened.size < _CUES_ABOVE or "matroska" not in demuxer.container.format.name:
        return False
    # The demuxer reads the cues at the first seek only.
    return demuxer.seek(demuxer.stream.start_time or 0) and len(demuxer.stream.index_entries) > 1


def _scanned(demuxer: Demuxer) -> tuple[Entry, ...]:
    demuxer.reopen()
    entries = scan(demuxer)
    demuxer.reopen()
    return entries


def _duration(demuxer: Demuxer, clock: Clock, entries: tuple[Entry, ...]) -> Fraction | None:
    """Give the length: as the file claims, unless its packets say otherwise."""
    rate = demuxer.stream.average_rate
    frame = 1 / rate if rate else Fraction(0)
    claims = tuple(_claims(demuxer, clock))
    if not entries:
        return claims[0] if claims else None
    measured = max(
        clock.seconds(e.stamp if e.time is None else e.time) + (e.duration * clock.tick or frame)
        for e in entries
    )
    return next((claim for claim in claims if abs(claim - measured) < frame), measured)


def _claims(demuxer: Demuxer, clock: Clock) -> list[Fraction]:
    """List what stream and container say of the length, counted from the first frame shown."""
    stream, container = demuxer.stream, demuxer.container
    claims = []
    if stream.duration is not None:
        start = stream.start_time if stream.start_time is not None else clock.origin
        claims.append(clock.seconds(start + stream.duration))
    if container.duration is not None:
        length = container.duration * _MICROSECOND
        claims.append(length - clock.origin * clock.tick)  # Matroska counts from zero
        claims.append(length)
    return claims
