"""What is told of a run agrees with its journal, costs little memory, and knows who lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.run_dirs import PROMPTS, Given, Maker, make_run, make_videos, many_rows, mixed_rows
from promptlift.batch.distribution import Distribution
from promptlift.batch.find import find
from promptlift.batch.journal import Index, Writer, lines, open_folder
from promptlift.batch.journal.segment import Run
from promptlift.batch.measure import DECODE, ENGINE, measure
from promptlift.batch.outcomes import joined, trouble_of
from promptlift.batch.readings import Spool
from promptlift.batch.rows import Row
from promptlift.batch.run_dir import open_run
from promptlift.batch.summary import Summary, summarise
from promptlift.batch.words import rate, span, writer_told
from promptlift.batch.writers import WriterSeen, active_seconds, see_writers
from promptlift.core.review import CHECKS
from promptlift.core.text import counted
from promptlift.errors import OptionError

NOW = 1_000_000.0
NUMBERS = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and ``run``: a run in which everything has happened that may."""
    made = tmp_path_factory.mktemp("made")
    make_run(made)
    return made


@pytest.fixture(scope="module")
def summary(folder: Path) -> Summary:
    """How that run stands, seen an hour later."""
    return summarise(folder / "run", now=time.time() + 3600)


def test_rows_are_counted_by_status(summary: Summary) -> None:
    """Rows, not items: two that share an answer count twice."""
    assert summary.rows == {"ok": 3, "repaired": 1, "rejected": 1, "failed": 5}
    assert (summary.total, summary.fit, summary.items) == (10, 4, 9)
    assert [(one.source, one.rows, one.complete) for one in summary.inputs] == [
        ("rows.jsonl", 10, True)
    ]


def test_what_went_wrong_is_grouped_with_examples(summary: Summary, folder: Path) -> None:
    """By reason, failures before rejections, each with a row, why, and what to do."""
    assert [(g.status, g.code, g.rows) for g in summary.groups] == [
        ("failed", "engine_item", 1),
        ("failed", "engine_transient", 1),
        ("failed", "spec", 1),
        ("failed", "video_not_found", 1),
        ("failed", "video_unreadable", 1),
        ("rejected", "refusal", 1),
    ]
    examples = {group.code: group.examples[0] for group in summary.groups}
    assert examples["engine_transient"].id == "later"
    assert examples["engine_transient"].remedy == "start it again"
    assert examples["spec"].message == "line 10 is no JSON object"
    assert examples["video_not_found"].video == str(folder / "gone.mp4")
    assert all(example.message and example.remedy for example in examples.values())
    assert [group.code for group in summary.groups if group.retryable] == ["engine_transient"]


def test_what_is_left_is_what_a_rerun_asks(summary: Summary) -> None:
    """The failure that may pass, and nothing else."""
    assert (summary.retryable, summary.left, summary.state) == (1, 1, "unfinished")


def test_the_largest_group_comes_first_and_shows_a_few(tmp_path: Path) -> None:
    """However many rows there are, the examples are the first of them."""
    make_videos(tmp_path)
    rows = [
        Row.of(n, str(tmp_path / f"no{n % 4 or 'ne'}.mp4"), f"take {n}", id=f"r{n}")
        for n in range(8)
    ]
    rows += [Row.of(8, str(tmp_path / "damaged.mp4"), "x", id="r8")]
    maker = Maker(tmp_path / "run")
    maker.write(rows)
    groups = summarise(maker.run_dir, examples=2).groups
    assert [(group.code, group.rows) for group in groups] == [
        ("video_not_found", 8),
        ("video_unreadable", 1),
    ]
    assert [example.id for example in groups[0].examples] == ["r0", "r1"]


def test_counts_alone_read_no_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no examples wanted, the journal's heads are enough."""
    opened: list[str] = []

    def raw_record(index: Index, key: str) -> bytes:
        opened.append(key)
        raise AssertionError("a record was read")

    monkeypatch.setattr(Index, "raw_record", raw_record)
    summary = summarise(folder / "run", examples=0)
    assert summary.total == 10
    assert {group.code: group.rows for group in summary.groups}["refusal"] == 1
    assert opened == []


def test_a_finished_run_is_finished(tmp_path: Path) -> None:
    """All rows have a result that a rerun leaves, and the input was read to its end."""
    make_videos(tmp_path)
    maker = Maker(tmp_path / "run")
    maker.write(mixed_rows(tmp_path)[:5])
    summary = summarise(maker.run_dir)
    assert (summary.state, summary.left, summary.live) == ("finished", 0, ())


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    """Rows without a result are missing; without a reading there are none, and it is no error."""
    open_folder(tmp_path / "run")
    with Writer(tmp_path / "run", turn=1) as writer:
        summary = summarise(tmp_path / "run")
        assert (summary.total, summary.complete, summary.state) == (0, False, "running")
        assert summary.eta_s is None
        rows = [Row.of(n, "/no.mp4", str(n)) for n in range(3)]
        with Spool(tmp_path / "run", writer.name, Given(rows), turn=1) as spool:
            assert sum(map(len, spool.chunks())) == 3
    assert summarise(tmp_path / "run").rows == {"missing": 3}
    assert measure(tmp_path / "run").items == 0


def test_torn_and_damaged_lines_are_counted(folder: Path, tmp_path: Path) -> None:
    """A torn tail of a dead writer is one; that of a living one is a line being written."""
    maker = Maker(tmp_path / "run")
    rows = mixed_rows(folder)[:2]
    maker.write(rows, end=None, torn=True)
    [segment] = (maker.run_dir / "segments").iterdir()
    data = segment.read_bytes().replace(b'"kind":"beat"', b'"kind":"BEAT"', 1)
    segment.write_bytes(data)
    later = time.time() + 3600
    assert summarise(maker.run_dir).torn == 0
    seen = summarise(maker.run_dir, now=later)
    assert (seen.torn, seen.corrupt, seen.total) == (1, 1, 2)


def a_run(**said: Any) -> Run:
    """What a writer on this machine said of itself, a moment ago unless it is told otherwise."""
    start = {
        "turn": 1,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "at": NOW - 60,
        **said.pop("start", {}),
    }
    beats = said.pop("beats", [(NOW - 5, {})])
    told = tuple({"at": at, "counts": counts} for at, counts in beats)
    return Run("w.jsonl", start, told, said.pop("end", None))


def seen(**said: Any) -> WriterSeen:
    """The same as it is seen."""
    [writer] = see_writers([a_run(**said)], now=NOW)
    return writer


@pytest.fixture(scope="module")
def dead_pid() -> int:
    """A process that was there and is not any more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_who_lives(dead_pid: int) -> None:
    """A fresh beat and, on this machine, a process; an end; or neither."""
    elsewhere = {"host": "another-machine", "pid": dead_pid}
    assert seen().life == "live"
    assert seen(end={"reason": "done", "at": NOW}).life == "ended"
    assert seen(start={"pid": dead_pid}).life == "killed"
    assert seen(start=elsewhere).life == "live"
    assert seen(start=elsewhere, beats=[(NOW - 31, {})]).life == "killed"
    assert seen(beats=[(NOW - 31, {})]).life == "silent"
    assert seen(beats=[], start={"at": NOW - 2}).life == "live"
    assert seen(beats=[(NOW + 900, {})], start=elsewhere).life == "live"
    assert seen(start={"pid": None}, beats=[(NOW - 99, {})]).life == "killed"


def test_a_writer_whose_first_line_is_damaged_is_told_of() -> None:
    """Nothing is known of it but its file."""
    [writer] = see_writers([Run("w-1-ab.jsonl", {}, (), None)], now=NOW)
    assert (writer.name, writer.life, writer.began, writer.seconds) == ("w-1-ab", "killed", None, 0)
    assert "unknown time" in writer_told(writer, now=NOW)


def test_rates_are_of_the_last_minute() -> None:
    """Rows between a beat and the one a minute before; with one beat, since it began."""
    steady = [(NOW - 10 * n, {"now": {"ok": 100 - 10 * n}}) for n in range(9, -1, -1)]
    assert seen(beats=steady).rate == pytest.approx(1.0)
    stalled = [(NOW - 10 * n, {"now": {"ok": 100}}) for n in range(9, -1, -1)]
    assert seen(beats=[(NOW - 200, {}), *stalled]).rate == 0
    assert seen(beats=[(NOW, {"now": {"ok": 8, "failed": 2}, "seconds": 4})]).rate == 2.5
    assert seen(beats=[(NOW, {"now": {"ok": 8, "failed": 2}})]).finished == 10
    assert seen(beats=[]).rate == 0


def test_time_is_counted_once_and_pauses_not_at_all() -> None:
    """Two writers at once are one stretch; a night between two runs is none."""
    spans = [(0.0, 10.0), (5.0, 20.0), (6.0, 7.0), (100.0, 110.0)]
    writers = [
        seen(start={"at": began}, beats=[(last, {})], end={"at": last}) for began, last in spans
    ]
    assert active_seconds(writers) == 30.0
    assert active_seconds([]) == 0


def test_what_is_told_of_a_writer() -> None:
    """What it does, why it ended, or since when it has been silent."""
    busy = seen(beats=[(NOW, {"in_flight": 12, "now": {"ok": 8}, "seconds": 4})])
    assert writer_told(busy, now=NOW) == "12 in flight, 2.0 rows/s"
    paused = seen(beats=[(NOW, {"paused": "the disk is full"})])
    assert "PAUSED: the disk is full" in writer_told(paused, now=NOW)
    assert writer_told(seen(end={"reason": "signal"}), now=NOW) == "signal"
    assert "5 min 00 s" in writer_told(seen(beats=[(NOW - 300, {})]), now=NOW)
    gone = seen(start={"host": "x"}, beats=[(NOW - 300, {})])
    assert writer_told(gone, now=NOW) == "or its machine is gone; last heard of 5 min 00 s ago"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0412, "0.041 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (245, "4 min 05 s"),
        (3600 * 2 + 600, "2 h 10 min"),
        (3600 * 76, "3 d 4 h"),
    ],
)
def test_a_time_in_words(seconds: float, words: str) -> None:
    """Two units at most."""
    assert span(seconds) == words


def test_counts_and_rates_in_words() -> None:
    """The noun agrees, and a slow rate is told in minutes or hours."""
    assert [counted(n, "row") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    told = [rate(value, "rows") for value in (0, 3.21, 1234.5, 0.5, 0.001)]
    assert told == ["0.0 rows/s", "3.2 rows/s", "1,234 rows/s", "30 rows/min", "3.6 rows/h"]


@given(NUMBERS, st.floats(0, 1))
def test_a_quantile_is_near_the_true_one(values: list[float], share: float) -> None:
    """Off by less than 1.3 %, whatever the numbers."""
    spread = Distribution()
    for value in values:
        spread.add(value)
    place = max(1, -int(-share * len(values) // 1)) - 1
    true = sorted(values)[min(place, len(values) - 1)]
    assert spread.quantile(share) == pytest.approx(true, rel=0.013)
    assert spread.least <= spread.quantile(share) <= spread.most
    assert spread.mean == pytest.approx(sum(values) / len(values))


@given(NUMBERS, st.integers(1, 40))
def test_bars_hold_every_number_once(values: list[float], most: int) -> None:
    """They touch each other, are no more than asked for, and reach around all numbers."""
    spread = Distribution()
    for value in values:
        spread.add(value)
    bars = spread.bars(most)
    assert sum(count for _, _, count in bars) == spread.count == len(values)
    assert len(bars) <= most
    assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(bars))
    assert bars[0][0] <= spread.least * (1 + 1e-9)
    assert bars[-1][1] >= spread.most * (1 - 1e-9)


def test_nothing_and_zero_are_spread_too() -> None:
    """No number has no quantile and no bars; a zero counts as the least there is."""
    spread = Distribution()
    assert (spread.quantile(0.5), spread.mean, spread.bars(5)) == (0, 0, [])
    spread.add(0.0)
    assert (spread.quantile(0.5), spread.count, len(spread.bars(5))) == (0.0, 1, 1)


def test_memory_does_not_grow_with_the_numbers() -> None:
    """A hundred thousand numbers over four powers of ten take a few hundred bins."""
    spread = Distribution()
    for number in range(1, 100_001):
        spread.add(number / 10)
    assert len(spread.bars(10_000)) < 500
    assert spread.quantile(0.99) == pytest.approx(9900, rel=0.013)


def test_the_records_are_measured_once_each(folder: Path) -> None:
    """Sums over the records of the items, however many rows share one."""
    with open_run(folder / "run") as run:
        records = {str(o.key): r for o, r in joined(run) if r is not None}
    measured = measure(folder / "run")
    assert measured.items == len(records) == 9
    answers = [one for record in records.values() for one in record["attempts"]]
    assert measured.answer_tokens == sum(one["completion_tokens"] for one in answers)
    times = sum((Counter(record["timings"]) for record in records.values()), Counter[str]())
    for stages in (DECODE, ENGINE):
        wanted = sum(times[stage] for stage in stages)
        assert measured.seconds(stages) == pytest.approx(wanted)
    assert measured.attempts == Counter(len(record["attempts"]) for record in records.values())
    assert measured.failed_checks == {"refusal": 1, "unfaithful": 1}
    assert measured.target_limits == {"cosmos-transfer1": 512}
    assert sum(measured.target_tokens.values()) == 3
    assert measured.used["model"] == {"scripted": 8}


def test_the_sample_is_fair_and_always_the_same(tmp_path: Path) -> None:
    """It goes by the keys, which are hashes; the order of the rows changes nothing."""
    rows = many_rows(make_videos(tmp_path), 60, seed=3)
    samples = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        maker = Maker(tmp_path / name)
        maker.write(order)
        sample = measure(maker.run_dir).sample
        samples.append([outcome.key for outcome, _ in sample])
        keys = [str(outcome.key) for outcome, _ in sample if outcome.status != "rejected"]
        with open_run(maker.run_dir) as run:
            fit = {str(o.key) for o, _ in joined(run) if o.status in ("ok", "repaired")}
        assert keys == sorted(fit)[:8]
    assert samples[0] == samples[1]
    assert len(samples[0]) <= 12


def test_every_check_has_a_remedy() -> None:
    """A rejected item says what to do, whichever check it failed, with or without a detail."""
    for name in CHECKS:
        checks = [{"name": "x", "passed": True}, {"name": name, "passed": False, "detail": ""}]
        trouble = trouble_of({"status": "rejected", "review": {"checks": checks}})
        assert trouble is not None
        assert trouble.code == name
        assert name in trouble.message
        assert trouble.remedy
    assert trouble_of({"status": "ok"}) is None


def test_an_item_is_found_by_id_or_key(folder: Path) -> None:
    """All rows of an item; an id before a key; too little of a key is refused with the choices."""
    with open_run(folder / "run") as run:
        [first] = find(run, "first")
        assert first.row.prompt == PROMPTS[0]
        assert first.key is not None
        both = find(run, first.key[:10])
        assert [one.row.id for one in both] == ["first", "the same again"]
        assert find(run, first.key.upper()) == both
        for nonsense in ("zzzz", "abc", "0" * 64, ""):
            with pytest.raises(OptionError, match="no row has the id"):
                find(run, nonsense)


def test_an_id_that_is_not_one_item_is_refused(tmp_path: Path) -> None:
    """Rows may share an id; the keys tell them apart."""
    rows = [Row.of(n, f"/no{n}.mp4", "p", id="twin") for n in range(2)]
    maker = Maker(tmp_path / "run")
    maker.write(rows, do=lambda row: row.number == 0)
    with (
        open_run(maker.run_dir) as run,
        pytest.raises(OptionError, match=r"2 items: [0-9a-f]{12} .*not asked yet \(row 2 of"),
    ):
        find(run, "twin")


def test_a_summary_of_many_rows_is_whole(tmp_path: Path) -> None:
    """Counts agree with the lines that were written, over a few thousand rows without records."""
    rows = [Row.of(n, "/no.mp4", f"take {n}") for n in range(3000)]
    maker = Maker(tmp_path / "run")
    maker.write(rows[:1], do=lambda row: False)
    states: list[lines.State] = ["ok", "repaired", "rejected", "failed"]
    with Writer(tmp_path / "run", turn=2) as writer:
        with Spool(tmp_path / "run", writer.name, Given(rows), turn=2) as spool:
            assert sum(map(len, spool.chunks())) == 3000
        (tmp_path / "run" / "manifest.json").unlink()
        for row in rows[:2500]:
            key = f"{row.number:064x}"
            writer.result(key, states[row.number % 4], None, row.number % 8 < 4, "{}")
            writer.row(row.digest, key)
        writer.end("limit")
    summary = summarise(tmp_path / "run")
    assert summary.rows == Counter({"missing": 500}) + Counter(states * 625)
    assert summary.retryable == 313, "failures alone are asked again"
    assert [(group.status, group.retryable) for group in summary.groups] == [
        ("failed", True),
        ("failed", False),
        ("rejected", True),
        ("rejected", False),
    ]
