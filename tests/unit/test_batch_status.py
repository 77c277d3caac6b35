"""The state of a run agrees with its results, and knows which processes live."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loaders.run_dirs import PROMPTS, Maker, make_run, make_videos, mixed_rows
from promptlift.batch.rows import Row
from promptlift.batch.status import (
    RunSummary,
    WriterStatus,
    active_seconds,
    damage_lines,
    find_rows,
    format_duration,
    format_rate,
    reason_of,
    summarise,
    writer_statuses,
)
from promptlift.errors import OptionError
from promptlift.review import CHECKS
from promptlift.store.index import WriterLog
from promptlift.store.results import EndLine, ProgressLine, WriterLine
from promptlift.store.run_dir import create_run_dir, open_run


def summary_of(run_dir: Path) -> RunSummary:
    """The state of a run."""
    with open_run(run_dir) as run:
        return summarise(run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and ``run``: a run in which everything has happened that may."""
    made = tmp_path_factory.mktemp("made")
    make_run(made)
    return made


def test_the_largest_group_comes_first_and_shows_a_few(tmp_path: Path) -> None:
    """However many rows there are, the examples are the first of them."""
    make_videos(tmp_path)
    rows = [
        Row.of(n, str(tmp_path / f"no{n % 4 or 'ne'}.mp4"), f"take {n}", id=f"r{n}")
        for n in range(8)
    ]
    rows.append(Row.of(8, str(tmp_path / "damaged.mp4"), "x", id="r8"))
    maker = Maker(tmp_path / "run")
    maker.write(rows)
    groups = summary_of(maker.run_dir).groups
    assert [(group.code, group.rows) for group in groups] == [
        ("video_not_found", 8),
        ("video_unreadable", 1),
    ]
    assert [example.id for example in groups[0].examples] == ["r0", "r1", "r2"]


def test_a_run_that_has_only_begun_and_one_that_is_finished(folder: Path, tmp_path: Path) -> None:
    """Without a copy of the input its rows are not known, and that is no error."""
    create_run_dir(tmp_path / "run")
    maker = Maker(tmp_path / "run")
    maker.write([], end=None)
    next((tmp_path / "run" / "inputs").glob("*")).unlink()
    summary = summary_of(tmp_path / "run")
    assert (summary.total, summary.complete, summary.state) == (0, False, "running")
    assert summary.eta_s is None
    done = Maker(tmp_path / "done")
    done.write(mixed_rows(folder)[:5])
    summary = summary_of(done.run_dir)
    assert (summary.state, summary.left, summary.live) == ("finished", 0, ())


def test_torn_and_damaged_lines_are_counted(folder: Path, tmp_path: Path) -> None:
    """A torn tail of a dead process is one; that of a living one is a line being written."""
    maker = Maker(tmp_path / "run")
    part = maker.write(mixed_rows(folder)[:2], end=None, torn=True)
    part.write_bytes(part.read_bytes().replace(b'"kind":"progress"', b'"kind":"PROGRESS"', 1))
    assert [*damage_lines(summary_of(maker.run_dir))] == [
        "1 stored line damaged and left out; their items are done again."
    ]


NOW = time.time()


def writer(**given: Any) -> WriterStatus:
    """A process of this machine that reported a moment ago, unless it is given otherwise."""
    begin: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid(), "at": NOW - 60}
    start = WriterLine(1, "w", promptlift="1", schema=1, **{**begin, **given.pop("start", {})})
    progress = [ProgressLine(counts, at) for at, counts in given.pop("news", [(time.time(), {})])]
    [made] = writer_statuses([WriterLog("w", 1, start, progress, given.pop("end", None))])
    return made


def test_who_lives() -> None:
    """A process of this machine that runs, or a fresh report from another one; or an end."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    now, elsewhere = time.time(), {"host": "another-machine", "pid": child.pid}
    assert writer().life == writer(news=[(now - 3600, {})]).life == "live"
    assert writer(end=EndLine("done", now)).life == "ended"
    assert writer(start={"pid": child.pid}).life == "killed"
    assert writer(start=elsewhere).life == "live"
    assert writer(start=elsewhere, news=[(now - 31, {})]).life == "killed"
    assert writer(start=elsewhere, news=[(now + 900, {})]).life == "live"  # its clock is ahead
    [damaged] = writer_statuses([WriterLog("w", 1, None, [], None)])
    assert (damaged.life, damaged.began, damaged.seconds) == ("killed", None, 0)
    assert "unknown" in damaged.describe()


def test_rates_and_times() -> None:
    """Rates are of the last minute; time is counted once, and pauses not at all."""
    steady = [(NOW - 10 * n, {"now": {"ok": 100 - 10 * n}}) for n in range(9, -1, -1)]
    assert writer(news=steady).rate == pytest.approx(1.0)
    stalled = [(NOW - 10 * n, {"now": {"ok": 100}}) for n in range(9, -1, -1)]
    assert writer(news=[(NOW - 200, {}), *stalled]).rate == 0
    first = writer(news=[(NOW, {"now": {"ok": 8, "failed": 2}, "seconds": 4})])
    assert (first.rate, first.finished, writer(news=[]).rate) == (2.5, 10, 0)
    spans = [(0.0, 10.0), (5.0, 20.0), (6.0, 7.0), (100.0, 110.0)]
    ended = [writer(start={"at": a}, news=[(b, {})], end=EndLine("", b)) for a, b in spans]
    assert active_seconds(ended) == 30.0
    assert active_seconds([]) == 0


def test_numbers_in_words() -> None:
    """Two units at most, and a slow rate in minutes or hours."""
    seconds = (0.0412, 4.24, 9.96, 59.4, 245, 3600 * 2 + 600, 3600 * 76)
    words = ["0.041 s", "4.2 s", "10 s", "59 s", "4 min 05 s", "2 h 10 min", "3 d 4 h"]
    assert list(map(format_duration, seconds)) == words
    rates = [format_rate(value, "rows") for value in (0, 3.21, 1234.5, 0.5, 0.001)]
    assert rates == ["0.0 rows/s", "3.2 rows/s", "1,234 rows/s", "30 rows/min", "3.6 rows/h"]


def test_every_check_has_a_remedy() -> None:
    """A rejected item says what to do, whichever check it failed, with or without a detail."""
    for name in CHECKS:
        checks = [{"name": "x", "passed": True}, {"name": name, "passed": False, "detail": ""}]
        reason = reason_of({"status": "rejected", "review": {"checks": checks}})
        assert reason is not None
        assert (reason.code, reason.message) == (name, f"the check {name!r} failed")
        assert reason.remedy
    assert reason_of({"status": "ok"}) is None


def test_an_id_of_several_items_is_refused(folder: Path, tmp_path: Path) -> None:
    """With the keys to choose from."""
    rows = [Row.of(n, str(folder / f"clip{n}.mp4"), PROMPTS[n], id="twin") for n in range(2)]
    maker = Maker(tmp_path / "run")
    maker.write(rows, do=lambda row: row.number == 0)
    with (
        open_run(maker.run_dir) as run,
        pytest.raises(OptionError, match=r"2 items: [0-9a-f]{64}, row 2 of "),
    ):
        find_rows(run, "twin")
