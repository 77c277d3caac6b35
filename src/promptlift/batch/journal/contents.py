"""What the lines of a journal say together of items, rows and videos.

What stands does not depend on the order in which segments are read: a better result before a
worse one, and among equals, as for rows and videos, the later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct

from promptlift.batch.journal import lines
from promptlift.batch.journal.segment import Segment
from promptlift.batch.journal.table import Items, Place, rank_of

__all__ = ["Contents"]

_SEGMENT_BITS = 24
_SEGMENT = (1 << _SEGMENT_BITS) - 1
_VIDEO = Struct("=IQq")
_RESULT_LINE, _ROW_LINE, _VIDEO_LINE = b'"kind":"result"', b'"kind":"row"', b'"kind":"video"'


class Contents:
    """All that the lines about items, rows and videos say.

    Args:
        segments: The segments by their numbers; may grow.

    Attributes:
        items: The keys and the results that stand.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.items = Items()
        self._segments = segments
        self._rows: dict[bytes, int] = {}
        self._videos: dict[bytes, bytes] = {}

    def take(self, data: bytes, body: int, place: Place) -> bool | None:
        """Take in a line; the lines of one segment come in their order.

        Args:
            data: Holds the line.
            body: Where in it the line's body begins.
            place: Where the line stands.

        Returns:
            Whether its front is as its kind's should be; None for other kinds.
        """
        if data.startswith(_RESULT_LINE, body):
            return self._take_result(lines.result_head(data, body), place)
        if data.startswith(_ROW_LINE, body):
            return self._take_row(lines.row_head(data, body), place)
        if data.startswith(_VIDEO_LINE, body):
            return self._take_video(lines.video_head(data, body), place)
        return None

    def key_of(self, row_digest: str) -> str | None:
        """The key of the item that a row was last found to be."""
        packed = self._rows.get(bytes.fromhex(row_digest))
        return None if packed is None else self.items.keys[packed >> _SEGMENT_BITS].hex()

    def content_of(self, path: str, size: int, mtime_ns: int) -> str | None:
        """What a path was last noted to hold, if it had this size and time of change then."""
        packed = self._videos.get(_path_digest(lines.json_string(path)))
        if packed is None or _VIDEO.unpack_from(packed)[1:] != (size, mtime_ns):
            return None
        return packed[_VIDEO.size :].decode()

    def latest_content(self, path: str) -> str | None:
        """What a path was last noted to hold."""
        packed = self._videos.get(_path_digest(lines.json_string(path)))
        return None if packed is None else packed[_VIDEO.size :].decode()

    def _take_result(self, head: lines.ResultHead | None, place: Place) -> bool:
        if head is None:
            return False
        rank = rank_of(head)
        if rank:  # 0 is a state of a newer version: for this one the item has no result.
            number = self.items.number(bytes.fromhex(head.key.decode()))
            stands = self.items.rank(number)
            if rank > stands or (
                rank == stands and self._follows(place.segment, self.items.place(number).segment)
            ):
                self.items.put(number, head, place)
        return True

    def _take_row(self, head: lines.RowHead | None, place: Place) -> bool:
        if head is None:
            return False
        row = bytes.fromhex(head.row.decode())
        known = self._rows.get(row)
        if known is None or self._follows(place.segment, known & _SEGMENT):
            number = self.items.number(bytes.fromhex(head.key.decode()))
            self._rows[row] = number << _SEGMENT_BITS | place.segment
        return True

    def _take_video(self, head: lines.VideoHead | None, place: Place) -> bool:
        if head is None:
            return False
        path = _path_digest(head.path)
        known = self._videos.get(path)
        if known is None or self._follows(place.segment, _VIDEO.unpack_from(known)[0]):
            content = json.loads(head.content).encode()
            self._videos[path] = _VIDEO.pack(place.segment, head.size, head.mtime_ns) + content
        return True

    def _follows(self, new: int, old: int) -> bool:
        return new == old or self._segments[new].order > self._segments[old].order


def _path_digest(written: bytes) -> bytes:
    return blake2b(written, digest_size=16).digest()
