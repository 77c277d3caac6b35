"""A run in this process: which items are asked, which are left, and what is written."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loaders.desk import ThreadPool
from promptlift.batch.readers import open_input
from promptlift.batch.rows import Row, rows_of
from promptlift.batch.runner import BatchRun, RunSettings
from promptlift.engines.base import Completion, Request
from promptlift.errors import (
    ConfigEngineError,
    InputError,
    OptionError,
)
from promptlift.options import Options
from promptlift.record import Record
from promptlift.store.index import Index
from promptlift.store.run_dir import input_copies
from promptlift.testing import FakeEngine, synthetic_video
from stubs.faulty_engine import Fault, FaultyEngine

ANYTHING = Options(on_reject="best", attempts=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, each other content, and a file that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    for number in (1, 2, 3):
        synthetic_video(folder / f"{number}.mp4", seconds=0.2 + number / 10, size=(96, 64))
    (folder / "bad.mp4").write_bytes(b"no video " * 99)
    return folder


class Bench:
    """A folder with clips, an input and a run, and what became of it."""

    def __init__(self, folder: Path, clips: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.input = folder / "in.jsonl"
        self.engine = FakeEngine()
        for clip in clips.iterdir():
            shutil.copy(clip, folder / clip.name)

    def rows(self, *rows: dict[str, Any] | str) -> None:
        """Put rows into the input; a text is a line as it stands."""
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        self.input.write_text("\n".join(lines))

    def run(
        self,
        *,
        options: Options = ANYTHING,
        faults: Callable[[Request], Fault] | None = None,
        kept: bool = False,
        **settings: Any,
    ) -> BatchRun:
        """Run to the end; the requests of this run are in `asked`."""

        async def through() -> BatchRun:
            engine = FaultyEngine(self.engine, faults) if faults else self.engine
            rows = None if kept else open_input(self.input, prompt=None)
            run = BatchRun(
                engine, options, rows, self.run_dir, RunSettings(**{"workers": 1, **settings})
            )
            self.why = await run.run()
            return run

        before = len(self.engine.requests)
        try:
            return asyncio.run(through())
        finally:
            self.asked = [one.short_prompt for one in self.engine.requests[before:]]

    @property
    def states(self) -> dict[str, str]:
        """State of each row by its prompt; rows that have none are ``-``."""
        with Index(self.run_dir) as index:
            found: dict[str, str] = {}
            for row in self.kept_rows:
                key = index.key_of(row.digest)
                state = index.state(key) if key else None
                found[row.prompt] = state.status if state else "-"
            return found

    @property
    def kept_rows(self) -> list[Row]:
        """The rows that the folder has."""
        return [row for copy in input_copies(self.run_dir) for row in rows_of(copy)]


@pytest.fixture
def bench(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A fresh folder."""
    monkeypatch.setattr("promptlift.batch.runner.ProcessPool", ThreadPool)
    return Bench(tmp_path, clips)


def balloon(number: int, clip: int = 1) -> dict[str, Any]:
    """A row."""
    return {"video": f"{clip}.mp4", "prompt": f"balloon {number}"}


FIT = {"ok", "repaired", "rejected"}


def test_every_row_is_answered_once(bench: Bench) -> None:
    """Nine rows over three clips are nine requests; a rerun asks only for what is new."""
    bench.rows(*(balloon(n, n % 3 + 1) for n in range(9)))
    run = bench.run()
    assert sorted(bench.asked) == [f"balloon {n}" for n in range(9)]
    assert set(bench.states) == {f"balloon {n}" for n in range(9)}
    assert set(bench.states.values()) <= FIT
    assert (run.progress.total, run.progress.finished, run.progress.left) == (9, 9, 0)
    assert (bench.why, run.progress.requests, run.progress.in_work) == ("done", 9, 0)
    run = bench.run()
    assert bench.asked == []
    assert (run.progress.before.total(), run.progress.now.total()) == (9, 0)
    bench.rows(*(balloon(n, n % 3 + 1) for n in (9, 4, 3, 1, 0)))
    bench.run()
    assert bench.asked == ["balloon 9"]
    assert set(bench.states) == {f"balloon {n}" for n in (0, 1, 3, 4, 9)}


def test_what_a_file_holds_decides(bench: Bench) -> None:
    """A renamed or removed video keeps its result; one that is replaced is asked about again."""
    bench.rows(balloon(1), balloon(2, 2))
    bench.run()
    (bench.folder / "1.mp4").rename(bench.folder / "other.mp4")
    bench.rows({"video": "other.mp4", "prompt": "balloon 1"}, balloon(2, 2))
    bench.run()
    assert bench.asked == []
    before = bench.states
    assert set(before.values()) <= FIT
    (bench.folder / "other.mp4").unlink()
    run = bench.run()
    assert (bench.asked, bench.states, run.progress.failed) == ([], before, 0)
    shutil.copy(bench.folder / "3.mp4", bench.folder / "2.mp4")
    bench.run()
    assert bench.asked == ["balloon 2"]


def test_rows_that_are_the_same_item_are_asked_once(bench: Bench) -> None:
    """Two names of one clip and one prompt are one request, and each row has the answer."""
    shutil.copy(bench.folder / "1.mp4", bench.folder / "twin.mp4")
    twin = {"video": "twin.mp4", "prompt": "balloon 1", "id": "twin"}
    bench.rows(balloon(1), twin, balloon(1), {**balloon(1), "id": "again"})
    run = bench.run()
    assert bench.asked == ["balloon 1"]
    assert run.progress.now.total() == 4
    with Index(bench.run_dir) as index:
        rows = bench.kept_rows
        assert len(rows) == 4
        assert len({index.key_of(row.digest) for row in rows}) == 1


def test_one_bad_row_stops_nobody(bench: Bench) -> None:
    """A broken video, a missing one, a line that is none and a bad option are rows that failed."""
    bench.rows(
        {"video": "bad.mp4", "prompt": "broken"},
        {"video": "nowhere.mp4", "prompt": "missing"},
        "{not json",
        {**balloon(7), "options": {"framse": 3}},
        balloon(1),
        balloon(2, 2),
    )
    bench.run()
    assert sorted(bench.asked) == ["balloon 1", "balloon 2"]
    with Index(bench.run_dir) as index:
        failed = {key: one.code for key, one in index.items() if one.status == "failed"}
        assert sorted(map(str, failed.values())) == [
            *("input", "option", "video_not_found", "video_unreadable")
        ]
        for key in failed:
            record = Record.model_validate_json(index.raw_record(key))
            assert record.key == key
            assert record.error is not None
            assert record.error.remedy
    bench.run()
    assert bench.asked == []


def test_a_video_that_appears_is_done(bench: Bench) -> None:
    """A row whose file was missing is asked as soon as the file is there."""
    bench.rows({"video": "late.mp4", "prompt": "late"})
    bench.run()
    assert bench.states == {"late": "failed"}
    shutil.copy(bench.folder / "3.mp4", bench.folder / "late.mp4")
    bench.run()
    assert bench.asked == ["late"]
    assert bench.states["late"] in FIT


def test_a_row_may_set_its_own_options(bench: Bench) -> None:
    """Three frames for one row, and the rows are two items though all else is the same."""
    bench.rows(balloon(1), {**balloon(1), "options": {"frames": 3}})
    bench.run()
    assert sorted(len(one.frames) for one in bench.engine.requests) == [2, 3]


def test_what_only_a_row_asks_for_is_the_rows_trouble(bench: Bench) -> None:
    """A larger context than the engine has fails the row that wants it, and not the run."""
    bench.rows({**balloon(1), "options": {"context": 99_999}}, balloon(2))
    run = bench.run()
    assert (bench.asked, run.progress.failed, run.progress.left) == (["balloon 2"], 1, 0)


def test_a_wrong_setting_stops_the_run_at_once(bench: Bench) -> None:
    """An engine that refuses everything is asked once, and nothing is marked."""
    wrong = ConfigEngineError("the key is wrong", remedy="give another")
    asked: list[Request] = []

    def faults(request: Request) -> Fault:
        asked.append(request)
        return wrong

    bench.rows(*(balloon(n) for n in range(30)))
    with pytest.raises(ConfigEngineError, match="the key is wrong"):
        bench.run(faults=faults)
    assert len(asked) == 1
    assert set(bench.states.values()) == {"-"}
    bench.run()
    assert len(bench.asked) == 30


def test_a_damaged_line_is_done_again(bench: Bench) -> None:
    """And nothing else."""
    bench.rows(*(balloon(n) for n in range(4)))
    bench.run()
    (part,) = (bench.run_dir / "parts").iterdir()
    part.write_bytes(part.read_bytes().replace(b'"status":"', b'"status":#', 1))
    bench.run()
    assert len(bench.asked) == 1
    bench.run()
    assert bench.asked == []


def test_a_clock_that_jumps_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Years ahead, then years back: what was written later stands, and nothing is done twice."""
    bench.rows(*(balloon(n) for n in range(4)))
    asked = []
    for years, limit in ((9, 2), (-9, 4)):
        now = time.time() + years * 365 * 86400
        monkeypatch.setattr("promptlift.store.results.time.time", lambda now=now: now)
        bench.run(limit=limit)
        asked += bench.asked
    assert sorted(asked) == [f"balloon {n}" for n in range(4)]


def test_a_run_that_is_to_stop_after_a_while(bench: Bench) -> None:
    """What was begun is finished, the rest is left for the next."""

    class Slow(FakeEngine):
        async def complete(self, request: Request) -> Completion:
            """Take a moment."""
            await asyncio.sleep(0.2)
            return await super().complete(request)

    bench.engine = Slow()
    bench.rows(*(balloon(n) for n in range(20)))
    bench.run(stop_after=0.5, concurrency=2)
    first = bench.asked
    assert bench.why == "time"
    assert 0 < len(first) < 20
    assert Counter(bench.states.values())["-"] == 20 - len(first)
    bench.run()
    assert sorted(first + bench.asked) == sorted(f"balloon {n}" for n in range(20))


def test_shards_do_everything_once(bench: Bench) -> None:
    """Two parts of one input, into one folder, are the whole of it."""
    bench.rows(*(balloon(n) for n in range(20)))
    bench.run(shard=(1, 2))
    first = bench.asked
    bench.run(shard=(2, 2))
    assert 0 < len(first) < 20
    assert sorted(first + bench.asked) == sorted(f"balloon {n}" for n in range(20))


def test_the_folders_own_rows_can_be_run(bench: Bench) -> None:
    """A retry needs no input: the folder has its rows, if any were begun."""
    with pytest.raises(InputError, match="holds no rows"):
        bench.run(kept=True)
    bench.rows(*(balloon(n) for n in range(6)))
    bench.run(limit=2)
    bench.input.unlink()
    run = bench.run(kept=True)
    assert len(bench.asked) >= 1
    assert run.progress.left == 0
    assert len(bench.states) == len([s for s in bench.states.values() if s in FIT])


def test_other_settings_are_not_mixed_in(bench: Bench) -> None:
    """Another seed in the same folder is refused with what differs, unless it is wanted."""
    bench.rows(balloon(1))
    bench.run()
    other = Options(on_reject="best", attempts=1, seed=7)
    with pytest.raises(OptionError, match="seed is 7 here and 0 in the folder"):
        bench.run(options=other)
    bench.run(options=other, accept_changes=True)
    assert bench.asked == ["balloon 1"]


def test_little_memory_is_slow_and_right(bench: Bench) -> None:
    """With room for one item's pictures at a time all items are still done."""
    bench.rows(*(balloon(n, n % 3 + 1) for n in range(9)))
    bench.run(memory=1)
    assert len(bench.asked) == 9


def test_the_frames_are_those_of_a_single_run(bench: Bench) -> None:
    """A batch shows what `upsample` would: the same pictures, the same key."""
    import promptlift

    bench.rows(balloon(1))
    bench.run()
    single = FakeEngine()
    record = promptlift.upsample(
        bench.folder / "1.mp4", "balloon 1", engine=single, on_reject="best", attempts=1
    )
    one, other = bench.engine.requests[0], single.requests[0]
    assert [frame.time for frame in one.frames] == [frame.time for frame in other.frames]
    assert all((a.image == b.image).all() for a, b in zip(one.frames, other.frames, strict=True))
    with Index(bench.run_dir) as index:
        assert [key for key, _ in index.items()] == [record.key]
