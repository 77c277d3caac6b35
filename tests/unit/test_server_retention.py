"""What ended long ago is taken out of a server's folder, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from promptlift.batch.journal import Index, Writer, lines, open_folder
from promptlift.batch.journal.folder import SEGMENTS
from promptlift.errors import OutputError
from promptlift.server.ledger import Ledger, read_jobs
from promptlift.server.retention import forget

DAY = 86_400.0
KEYS = [f"{number:064x}" for number in range(100)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """An empty journal in the folder of a server."""
    open_folder(tmp_path / "journal")
    return tmp_path / "journal"


def result(number: int, days: float) -> bytes:
    """A result that came so many days ago; its record speaks of other times and kinds."""
    record = '{"text":"said \\"at\\":1, {\\"kind\\":\\"job\\"}","at":1.0}'
    return lines.result_line(KEYS[number], "ok", None, False, record, at=time.time() - days * DAY)


def job(name: str, step: str, days: float) -> bytes:
    """A job's line."""
    return lines.encode("job", {"id": name, "step": step, "at": time.time() - days * DAY})


def written(journal: Path, *said: bytes) -> Path:
    """A segment with those lines, as a server leaves it."""
    with Index.load(journal) as index, Writer(journal, turn=index.highest_turn + 1) as writer:
        for line in said:
            writer.append(line)
        writer.end("stopped")
    return writer.path


def left(journal: Path) -> set[int]:
    """The results that stand."""
    with Index.load(journal) as index:
        assert not index.damage
        return {KEYS.index(stored.key) for stored in index.places()}


def steps(journal: Path) -> list[tuple[str, str]]:
    """What is said of jobs."""
    return [(fields["id"], fields["step"]) for fields in read_jobs(journal)]


def test_what_is_old_goes_and_the_rest_stays(tmp_path: Path, journal: Path) -> None:
    """Results by their time; a job with both of its lines, wherever they are, once it is over."""
    written(journal, result(0, 40), job("a", "accepted", 41), job("b", "accepted", 41))
    written(journal, job("a", "ended", 40), result(1, 40), result(2, 1), job("c", "ended", 1))
    written(journal, result(3, 0))
    assert forget(tmp_path, 30 * DAY) == 4
    assert left(journal) == {2, 3}
    assert steps(journal) == [("b", "accepted"), ("c", "ended")]


def test_an_item_that_was_done_again_stays(tmp_path: Path, journal: Path) -> None:
    """Its newer result stands, with the record that belongs to it."""
    written(journal, result(0, 40))
    written(journal, result(0, 1))
    assert forget(tmp_path, 30 * DAY) == 1
    assert left(journal) == {0}


def test_segments_are_left_alone_or_replaced_as_a_whole(tmp_path: Path, journal: Path) -> None:
    """One with nothing old is not touched, one with nothing else is gone; the turns go on."""
    old = written(journal, result(0, 40))
    mixed = written(journal, result(1, 40), result(2, 0))
    new = written(journal, result(3, 0))
    was, times = new.read_bytes(), mixed.stat().st_mtime_ns
    assert forget(tmp_path, 30 * DAY) == 2
    assert sorted(path.name for path in (journal / SEGMENTS).iterdir()) == sorted(
        [mixed.name, new.name]
    )
    assert not old.exists()
    assert new.read_bytes() == was
    assert mixed.stat().st_mtime_ns == times
    with Index.load(journal) as index:
        assert index.highest_turn == 3
        assert [run.end is not None for run in index.runs] == [True, True]
    assert forget(tmp_path, 30 * DAY) == 0


def test_damage_is_no_reason_to_keep_or_to_lose(tmp_path: Path, journal: Path) -> None:
    """A line that nobody can read goes with a rewriting; whole ones around it are as they were."""
    path = written(journal, result(0, 40), result(1, 0), result(2, 0))
    text = path.read_bytes().replace(KEYS[1].encode(), KEYS[9].encode())
    path.write_bytes(text + b'{"sum":"0000')
    assert forget(tmp_path, 30 * DAY) == 1
    assert left(journal) == {2}


def test_a_kill_in_the_middle_costs_nothing(
    tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two segments, or before a new one is in its place; the next start does it again."""

    class Killed(BaseException):
        """Nothing else is done."""

    written(journal, result(0, 40), result(1, 0))
    written(journal, result(2, 40), result(3, 0))
    replace = Path.replace

    def killed(*_: object) -> None:
        raise Killed

    for place, name in ((Path, "replace"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, killed)
            with pytest.raises(Killed):
                forget(tmp_path, 30 * DAY)
        assert left(journal) == {0, 1, 2, 3}
    once = iter([replace])

    def killed_at_the_second(path: Path, target: Path) -> Path:
        return next(once, killed)(path, target)  # type: ignore[return-value]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed_at_the_second)
        with pytest.raises(Killed):
            forget(tmp_path, 30 * DAY)
    assert len(left(journal)) == 3
    assert forget(tmp_path, 30 * DAY) == 1
    assert left(journal) == {1, 3}
    assert not list((journal / SEGMENTS).glob(".*"))


def test_the_page_forgets_with_it(tmp_path: Path, journal: Path) -> None:
    """Thumbnails and lists of batches that were kept before."""
    kept = []
    for kind in ("thumbnails", "batches"):
        folder = tmp_path / "page" / kind
        folder.mkdir(parents=True)
        for name, days in (("old", 40), ("new", 1)):
            path = folder / name
            path.write_text("x")
            os.utime(path, (time.time() - days * DAY,) * 2)
        kept.append(folder / "new")
    assert forget(tmp_path, 30 * DAY) == 0
    assert sorted((tmp_path / "page").glob("*/*")) == sorted(kept)


def test_a_server_goes_on_with_what_is_left(tmp_path: Path, journal: Path) -> None:
    """Its ledger reads the new segments and writes its own after them."""
    written(journal, result(0, 40), result(1, 0))
    forget(tmp_path, 30 * DAY)

    async def through() -> None:
        ledger = Ledger(journal)
        assert ledger.standing(KEYS[0]) is None
        assert ledger.standing(KEYS[1]) is not None
        await ledger.job({"id": "a", "step": "accepted", "at": 1.0}, now=True)
        await asyncio.to_thread(ledger.close)

    asyncio.run(through())
    assert left(journal) == {1}
    assert steps(journal) == [("a", "accepted")]


def test_a_journal_that_cannot_be_written_is_said(
    tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do, and nothing is lost."""
    written(journal, result(0, 40), result(1, 0))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            forget(tmp_path, 30 * DAY)
    assert left(journal) == {0, 1}
    assert not list((journal / SEGMENTS).glob(".*"))
