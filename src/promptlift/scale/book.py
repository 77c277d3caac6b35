"""One actor's part of the journal: on a disk that all machines share, or in an object store.

In a store nothing can be appended to an object, and an actor's own disk may be lost with its
machine. So there a row counts as done only when the segment that tells of it has been uploaded.
Uploads are shared by all rows that wait: one begins when the engine would run out of rows, and
every so many seconds at the latest. A segment that has grown large is ended and another begun, so
that an upload stays small however long the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from promptlift.batch.journal import JournalFull, Writer, open_folder
from promptlift.batch.mirror import Mirror, MirrorBehind, Place
from promptlift.errors import PromptliftError

__all__ = ["Book", "StoreBook", "open_book"]

_LOOK_S = 0.02
_SOON_S = 1.0
_SHARE = 10  # of the time, the part that uploads may take
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_SEGMENT_BYTES = 8 << 20


class Book:
    """A segment in a folder that all machines share; for one event loop.

    Args:
        folder: The run's folder.
        turn: The turn of this run's writers.
        paused: Told why nothing can be written, and None when it can again.

    Attributes:
        folder: As given.
        name: The name of the first segment's writer.
    """

    def __init__(self, folder: Path, turn: int, paused: Callable[[str | None], None]) -> None:
        self.folder = folder
        self._turn = turn
        self._paused = paused
        self._under_way = 0
        self._begin()
        self.name = self._writer.name

    async def write(self, line: bytes) -> None:
        """Append a line, and wait where the disk is full.

        Raises:
            OutputError: The segment cannot be written to any more.
        """
        self._under_way += 1
        try:
            await self._writer.append_waiting(line, self._disk_is_full)
            self._paused(None)
        finally:
            self._under_way -= 1

    async def kept(self) -> None:
        """Wait until what was written is where a lost machine cannot take it along.

        Raises:
            MirrorBehind: The store took nothing for longer than the run has patience.
        """

    async def beat(self) -> None:
        """Say that this writer lives."""
        with contextlib.suppress(JournalFull):
            await asyncio.to_thread(self._writer.beat, self._life())

    async def close(self) -> None:
        """Say in the journal that this writer has ended, and let go of it."""
        with contextlib.suppress(PromptliftError, ValueError):
            await asyncio.to_thread(_end, self._writer, self._life())

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._writer = Writer(self.folder, turn=self._turn)

    def _life(self) -> dict[str, float]:
        # The driver tells of the rows; this says only that the writer lives.
        return {"seconds": round(time.monotonic() - self._began, 3)}

    def _disk_is_full(self, _: JournalFull) -> None:
        self._paused("the disk is full")


class StoreBook(Book):
    """Segments on this machine's disk, each uploaded whole to an object store.

    Args:
        mirror: The run's folder here, and its place in the store.
        turn: As for `Book`.
        paused: As for `Book`.
        starving: Whether the engine has fewer rows than it could answer.
        every_s: Seconds between two uploads, where the engine has rows enough.
        patience_s: Seconds without a successful upload until `kept` gives up.
    """

    def __init__(
        self,
        mirror: Mirror,
        turn: int,
        paused: Callable[[str | None], None],
        *,
        starving: Callable[[], bool],
        every_s: float,
        patience_s: float,
    ) -> None:
        open_folder(mirror.folder)
        super().__init__(mirror.folder, turn, paused)
        self._mirror = mirror
        self._starving = starving
        self._every_s = every_s
        self._patience_s = patience_s
        self._waiting: list[asyncio.Future[None]] = []
        self._grown: list[Path] = []
        self._wanted = asyncio.Event()
        self._uploaded_at = time.monotonic()
        self._took = 0.0
        self._following = asyncio.create_task(self._follow())

    async def kept(self) -> None:
        """See `Book.kept`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        await future

    async def close(self) -> None:
        """See `Book.close`; uploads what is left, once."""
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await super().close()
        with contextlib.suppress(Exception):  # it is on this disk, and the next run here sends it
            await asyncio.to_thread(self._send)

    async def _follow(self) -> None:
        while True:
            await self._wanted.wait()
            await self._until_due()
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            error = await self._uploaded()
            for future in waiting:
                if future.cancelled():
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
            if not self._under_way and self._writer.path.stat().st_size > _SEGMENT_BYTES:
                with contextlib.suppress(PromptliftError):  # the disk is full: the old one will do
                    self._turn_over()

    async def _until_due(self) -> None:
        """Wait while the engine has enough to do, and between uploads that take long."""
        least = max(_SOON_S, _SHARE * self._took) if self._took > _SOON_S / _SHARE else 0.0
        while (passed := time.monotonic() - self._uploaded_at) < max(least, self._every_s):
            if passed >= least and self._starving():
                return
            await asyncio.sleep(_LOOK_S)

    async def _uploaded(self) -> MirrorBehind | None:
        """Upload the segment, however often that must be tried; gives why it was given up."""
        began, pause = time.monotonic(), _FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            try:
                await asyncio.to_thread(self._send)
            except Exception as error:  # noqa: BLE001 - every store raises its own kinds
                behind = self._mirror.behind(error)
                if time.monotonic() - began + pause > self._patience_s:
                    return behind
                self._paused(behind.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self._uploaded_at = time.monotonic()
                self._took = self._uploaded_at - started
                self._paused(None)
                return None

    def _turn_over(self) -> None:
        """Begin another segment; the next upload sends the end of the one that has grown."""
        grown, life = self._writer, self._life()
        self._begin()
        self._grown.append(grown.path)
        _end(grown, life)

    def _send(self) -> None:
        for path in (*self._grown, self._writer.path):
            self._mirror.send(path)
        self._grown.clear()


def _end(writer: Writer, life: dict[str, float]) -> None:
    writer.beat(life)
    writer.end("done")
    writer.close()


def open_book(
    place: Place,
    turn: int,
    paused: Callable[[str | None], None],
    *,
    starving: Callable[[], bool],
    every_s: float,
    patience_s: float,
) -> Book:
    """The book of a run at a place; see `Book` and `StoreBook`.

    Raises:
        PromptliftError: It cannot be written there.
    """
    if isinstance(place, Path):
        return Book(place, turn, paused)
    return StoreBook(
        Mirror(place), turn, paused, starving=starving, every_s=every_s, patience_s=patience_s
    )
