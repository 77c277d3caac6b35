"""Where the keyframes are: from the container's own index, or from one pass over the packets.

The times of a container's index are decoding times (DTS) in MP4 and AVI and showing times (PTS)
in Matroska; seeking is by showing time. `Key` keeps the two apart.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from promptlift.frames.demux import stamp_of

if TYPE_CHECKING:
    from typing import BinaryIO

    from av.index import IndexEntries

    from promptlift.frames.demux import Demuxer
    from promptlift.frames.source import Opened

__all__ = [
    "ContainerKeys",
    "Entry",
    "Key",
    "Keys",
    "ScannedKeys",
    "count_listed",
    "has_full_index",
    "listed",
    "scan",
]

_TOP_BOXES = 256  # top-level boxes of an MP4 that are looked at for a fragment


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
class Entry:
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


class Keys(Protocol):
    """The keyframes of a stream, in order."""

    def before(self, time: int) -> Key | None:
        """Give the last keyframe shown at or before a time."""
        ...

    def after(self, time: int) -> Key | None:
        """Give the first keyframe shown after a time."""
        ...


class ContainerKeys:
    """Keyframes from the container's index.

    Args:
        demuxer: The container; its index is looked up anew at each call, because it is gone
            once the container is opened again.
        delay: What to add to a time of the index to get the time at which a frame is shown.
    """

    def __init__(self, demuxer: Demuxer, delay: int) -> None:
        self._demuxer = demuxer
        self._delay = delay

    @property
    def _entries(self) -> IndexEntries:
        return self._demuxer.stream.index_entries

    def before(self, time: int) -> Key | None:
        """See `Keys`."""
        return self._at(self._entries.search_timestamp(time - self._delay, backward=True))

    def after(self, time: int) -> Key | None:
        """See `Keys`."""
        return self._at(self._entries.search_timestamp(time - self._delay + 1, backward=False))

    def _at(self, position: int) -> Key | None:
        if position < 0:
            return None
        stamp = self._entries[position].timestamp
        return Key(stamp, stamp + self._delay)


class ScannedKeys:
    """Keyframes from a pass over the packets."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._keys = sorted(
            (Key(e.stamp, e.stamp if e.time is None else e.time) for e in entries if e.is_key),
            key=lambda key: key.time,
        )
        self._times = [key.time for key in self._keys]

    def before(self, time: int) -> Key | None:
        """See `Keys`."""
        position = bisect_right(self._times, time)
        return self._keys[position - 1] if position else None

    def after(self, time: int) -> Key | None:
        """See `Keys`."""
        position = bisect_right(self._times, time)
        return self._keys[position] if position < len(self._keys) else None


def scan(demuxer: Demuxer) -> tuple[Entry, ...]:
    """Read every packet of the stream without decoding any; the demuxer is left at the end."""
    entries: list[Entry] = []
    is_cut = False
    for packet in demuxer.packets():
        if not packet.is_discard:
            stamp = stamp_of(packet)
            number = len(entries) if stamp is None else stamp
            duration = packet.duration or 0
            entry = Entry(number, packet.pts, duration, packet.size, packet.is_keyframe)
            entries.append(entry)
            is_cut = packet.is_corrupt
    return tuple(entries[:-1] if is_cut else entries)  # the last one of a file that was cut off


def listed(demuxer: Demuxer) -> tuple[Entry, ...]:
    """Read the container's index."""
    return tuple(
        Entry(e.timestamp, None, 0, e.size, e.is_keyframe)
        for e in demuxer.stream.index_entries
        if not e.is_discard
    )


def count_listed(demuxer: Demuxer) -> int:
    """Count what `listed` gives; at once where an edit list has added and dropped nothing."""
    entries = demuxer.stream.index_entries
    untouched = len(entries) == demuxer.stream.frames
    if untouched and not (entries[0].is_discard or entries[-1].is_discard):
        return len(entries)
    return sum(not entry.is_discard for entry in entries)


def has_full_index(demuxer: Demuxer, opened: Opened) -> bool:
    """Say whether the container lists every packet, and the file holds them all.

    A fragmented MP4 lists only what was read so far; a file that was cut off lists more than
    it holds.
    """
    entries = demuxer.stream.index_entries
    count = demuxer.stream.frames
    if not count or len(entries) < count:
        return False
    last = entries[-1]
    return last.pos + last.size <= opened.size and not _has_fragments(opened.file)


def _has_fragments(file: BinaryIO) -> bool:
    """Look for a ``moof`` among the top-level boxes of an MP4."""
    place, position = file.tell(), 0
    try:
        for _ in range(_TOP_BOXES):
            file.seek(position)
            head = file.read(16)
            if head[4:8] == b"moof":
                return True
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:], "big") if size == 1 else size
            if len(head) < 8 or size < 8:
                return False
            position += size
        return True
    finally:
        file.seek(place)
