"""An actor's part of the journal in an object store: a row is done when the store has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptlift.batch.journal import Index, lines
from promptlift.batch.mirror import Mirror, MirrorBehind
from promptlift.scale import book as module
from promptlift.scale.book import Book, StoreBook, open_book
from stubs.flaky_store import FlakyStore

URL = "flaky://bucket/run"
NEVER = 3600.0


def result(number: int) -> bytes:
    """A line with a result."""
    return lines.result_line(f"{number:064x}", "ok", None, False, b'{"status":"ok"}', at=1.0)


def in_store(folder: Path) -> set[int]:
    """The results that somebody sees who has the store alone."""
    mirror = Mirror(URL, folder)
    mirror.pull()
    with Index.load(folder) as index:
        return {int(stored.key, 16) for stored in index.places()}


class Told(list[str | None]):
    """Why it was paused, and when it went on."""

    def __call__(self, why: str | None) -> None:
        """Note what is new."""
        if why != (self[-1] if self else None):
            self.append(why)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store with nothing in it, and a cache of this test's own."""
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "cache"))
    FlakyStore.store.clear()
    FlakyStore.failures = 0
    FlakyStore.uploads.clear()
    yield
    FlakyStore.failures = 0


@asynccontextmanager
async def opened(
    starving: Callable[[], bool] = lambda: True,
    told: Callable[[str | None], None] = lambda _: None,
    **settings: Any,
) -> AsyncIterator[Book]:
    """A book at the URL, which is closed afterwards."""
    settings = {"every_s": NEVER, "patience_s": 60.0, **settings}
    book = open_book(URL, 1, told, starving=starving, **settings)
    try:
        yield book
    finally:
        await book.close()


async def settle() -> None:
    """Let everybody do what can be done now, uploads included."""
    for _ in range(20):
        await asyncio.sleep(0.01)


def test_a_folder_that_all_share_needs_no_upload(tmp_path: Path) -> None:
    """There a line that is written is kept."""

    async def run() -> None:
        (tmp_path / "run" / "segments").mkdir(parents=True)
        book = open_book(
            tmp_path / "run", 3, lambda _: None, starving=bool, every_s=NEVER, patience_s=1.0
        )
        assert type(book) is Book
        await book.write(result(1))
        await book.kept()
        await book.beat()
        await book.close()

    asyncio.run(run())
    with Index.load(tmp_path / "run") as index:
        (seen,) = index.runs
        assert (seen.start["turn"], seen.end and seen.end["reason"]) == (3, "done")
        assert [stored.key for stored in index.places()] == [f"{1:064x}"]


def test_a_row_is_kept_when_the_store_has_it(tmp_path: Path) -> None:
    """Whoever waits is told no sooner than somebody else could read it."""

    async def run() -> None:
        async with opened() as book:
            assert isinstance(book, StoreBook)
            await book.write(result(1))
            assert in_store(tmp_path / "a") == set()
            await book.kept()
            assert in_store(tmp_path / "b") == {1}

    asyncio.run(run())


def test_rows_that_wait_share_an_upload() -> None:
    """Fifty rows that wait are told by one upload."""

    async def run() -> None:
        async with opened() as book:
            for number in range(50):
                await book.write(result(number))
            await asyncio.gather(*(book.kept() for _ in range(50)))
            assert len(FlakyStore.uploads) == 1

    asyncio.run(run())


def test_while_the_engine_has_rows_enough_uploads_wait_for_their_time() -> None:
    """Only when it would stand still, or the time is over, is a segment uploaded again."""

    async def run() -> None:
        busy = [True]
        async with opened(lambda: not busy[0]) as book:
            await book.write(result(1))
            waiting = asyncio.create_task(book.kept())
            await settle()
            assert not waiting.done()
            assert FlakyStore.uploads == []
            busy[0] = False
            await waiting
        busy[0] = True
        async with opened(lambda: not busy[0], every_s=0.05) as book:
            await book.write(result(2))
            await book.kept()

    asyncio.run(run())


def test_a_store_that_is_away_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows wait, the run says why, and goes on."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    told = Told()

    async def run() -> None:
        async with opened(told=told) as book:
            await book.write(result(1))
            FlakyStore.failures = 3
            await book.kept()

    asyncio.run(run())
    assert in_store(tmp_path / "a") == {1}
    why, after = told
    assert why is not None
    assert why.startswith(f"cannot write to {URL!r}: the store is away")
    assert after is None


def test_a_store_that_stays_away_ends_the_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the run's patience each row that waits says where its result is, and loses nothing."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)

    async def run() -> None:
        async with opened(patience_s=0.05) as book:
            await book.write(result(1))
            FlakyStore.failures = 10_000
            with pytest.raises(MirrorBehind, match="what is not there is in") as caught:
                await book.kept()
            assert caught.value.exit_code == 75
            FlakyStore.failures = 0
            await book.write(result(2))
            await book.kept()

    asyncio.run(run())
    assert in_store(tmp_path / "a") == {1, 2}


def test_a_segment_that_has_grown_makes_room_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an upload is never much larger than what is new; the store has all of them, each ended."""
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 2000)

    async def run() -> None:
        async with opened() as book:
            for number in range(60):
                await book.write(result(number))
                if number % 4 == 3:
                    await book.kept()

    asyncio.run(run())
    assert in_store(tmp_path / "a") == set(range(60))
    segments = list((tmp_path / "a" / "segments").iterdir())
    assert 3 < len(segments) < 16
    assert max(path.stat().st_size for path in segments) < 4000
    with Index.load(tmp_path / "a") as index:
        assert {run.start["turn"] for run in index.runs} == {1}
        assert all(run.end for run in index.runs)


def test_the_end_is_uploaded_too(tmp_path: Path) -> None:
    """Whoever reads the store afterwards sees that the writer has ended by itself."""

    async def run() -> None:
        async with opened() as book:
            await book.write(result(1))

    asyncio.run(run())
    assert in_store(tmp_path / "a") == {1}
    with Index.load(tmp_path / "a") as index:
        (seen,) = index.runs
        assert seen.end is not None
