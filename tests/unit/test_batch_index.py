"""What an index makes of a journal, whole or damaged, at rest or growing."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.batch.journal import Index, Standing, Writer, lines, open_folder, segment
from promptlift.errors import OutputError

KEYS = [f"{number:064x}" for number in range(100)]
ROWS = [f"{number:032x}" for number in range(100)]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The empty folder of a run."""
    open_folder(tmp_path / "run")
    return tmp_path / "run"


def run_line(turn: int, **more: object) -> bytes:
    """The first line of a segment."""
    return lines.encode("run", {"turn": turn, "writer": "w", "pid": 1, **more})


def result(
    number: int, state: lines.State = "ok", *, says: object = None, at: float = 1.0
) -> bytes:
    """A result of an item."""
    record = json.dumps({"n": number, "state": state, "says": says})
    return lines.result_line(KEYS[number], state, None, state == "failed", record, at=at)


def put(run_dir: Path, name: str, *written: bytes) -> Path:
    """A segment of these lines."""
    path = run_dir / "segments" / f"{name}.jsonl"
    path.write_bytes(b"".join(written))
    return path


def said(index: Index) -> dict[int, object]:
    """What the standing record of each item says, by the item's number."""
    return {int(s.key, 16): index.record(s.key)["says"] for s in index.places()}


def test_an_empty_or_missing_folder_says_nothing(tmp_path: Path) -> None:
    """A run that has not begun has an index too, and its first turn is 1."""
    with Index.load(tmp_path / "no") as index:
        assert index.refresh() == 0
        assert index.highest_turn == 0
        assert (list(index.places()), index.runs, index.damage) == ([], [], [])
        assert index.state(KEYS[0]) is None
        assert index.key_of(ROWS[0]) is None
        assert index.content_of("/v.mp4", 1, 1) is None
        assert index.latest_content("/v.mp4") is None
        with pytest.raises(KeyError):
            index.record(KEYS[0])


def test_everything_that_was_written_is_found(run_dir: Path) -> None:
    """Rows, videos, results, beats and the end, as the writer gave them."""
    with Writer(run_dir, turn=4) as writer:
        writer.video("/v.mp4", 5, 6, "sha256:aa")
        writer.row(ROWS[0], KEYS[0])
        writer.row(ROWS[1], KEYS[1])
        writer.result(KEYS[0], "failed", "video_unreadable", False, '{"a": 1}')
        writer.beat({"ok": 1})
        writer.beat({"ok": 2})
        writer.end("done")
    with Index.load(run_dir) as index:
        assert index.state(KEYS[0]) == Standing("failed", "video_unreadable", False)
        assert index.state(KEYS[1]) is None
        assert [index.key_of(row) for row in ROWS[:3]] == [KEYS[0], KEYS[1], None]
        assert index.record(KEYS[0]) == {"a": 1}
        assert index.raw_record(KEYS[0]) == b'{"a": 1}'
        assert index.highest_turn == 4
        assert index.counts() == {Standing("failed", "video_unreadable", False): 1}
        with pytest.raises(KeyError):
            index.record(KEYS[1])
        (run,) = index.runs
        assert run.segment == writer.path.name
        assert (run.start["turn"], run.start["pid"]) == (4, os.getpid())
        assert [beat["counts"] for beat in run.beats] == [{"ok": 1}, {"ok": 2}]
        assert run.end is not None
        assert run.end["reason"] == "done"
        assert index.damage == []


def test_a_place_leads_to_the_line(run_dir: Path) -> None:
    """File, first byte and length of a place cut the result's line out of the segment."""
    put(run_dir, "a", run_line(1), result(3), result(1))
    put(run_dir, "b", run_line(2), result(2), result(3, says="later"))
    with Index.load(run_dir) as index:
        stored = list(index.places())
    assert [int(s.key, 16) for s in stored] == [3, 1, 2]  # As the keys first appeared.
    cut = [
        (run_dir / "segments" / s.segment).read_bytes()[s.offset : s.offset + s.length + 1]
        for s in stored
    ]
    assert cut == [result(3, says="later"), result(1), result(2)]


def test_a_video_is_known_by_its_size_and_time(run_dir: Path) -> None:
    """Another size or time is another file until it is hashed; the last word on a path counts."""
    put(
        run_dir,
        "a",
        run_line(1),
        lines.video_line("/a/é\udcff.mp4", 5, -6, "sha256:old"),
        lines.video_line("/b.mp4", 5, 6, "sha256:b"),
        lines.video_line("/a/é\udcff.mp4", 7, 8, "sha256-sampled:new"),
    )
    with Index.load(run_dir) as index:
        assert index.content_of("/a/é\udcff.mp4", 7, 8) == "sha256-sampled:new"
        assert index.content_of("/a/é\udcff.mp4", 7, 9) is None
        assert index.content_of("/a/é\udcff.mp4", 6, 8) is None
        assert index.content_of("/a/é\udcff.mp4", 5, -6) is None
        assert index.latest_content("/a/é\udcff.mp4") == "sha256-sampled:new"
        assert index.latest_content("/b.mp4") == "sha256:b"
        assert index.latest_content("/c.mp4") is None


# Which result stands: (earlier, later) -> which of the two.
STANDS = [
    ("ok", "ok", 1),
    ("ok", "repaired", 1),
    ("repaired", "ok", 1),
    ("ok", "rejected", 0),
    ("ok", "failed", 0),
    ("repaired", "rejected", 0),
    ("repaired", "failed", 0),
    ("rejected", "ok", 1),
    ("rejected", "repaired", 1),
    ("rejected", "rejected", 1),
    ("rejected", "failed", 0),
    ("failed", "ok", 1),
    ("failed", "repaired", 1),
    ("failed", "rejected", 1),
    ("failed", "failed", 1),
]


@pytest.mark.parametrize(("earlier", "later", "stands"), STANDS)
def test_which_result_stands(
    run_dir: Path, earlier: lines.State, later: lines.State, stands: int
) -> None:
    """The better, else the later: by place in a segment, by turn between segments."""
    first, second = result(0, earlier, says=0, at=99), result(0, later, says=1, at=1)
    for names in (("same",), ("a", "b"), ("b", "a")):
        for path in (run_dir / "segments").iterdir():
            path.unlink()
        if len(names) == 1:
            put(run_dir, "same", run_line(1), first, second)
        else:
            put(run_dir, names[0], run_line(1), first)
            put(run_dir, names[1], run_line(2), second)
        with Index.load(run_dir) as index:
            assert said(index) == {0: stands}
            assert index.state(KEYS[0]) == Standing(
                (earlier, later)[stands], None, (earlier, later)[stands] == "failed"
            )


@pytest.mark.parametrize("order", [*itertools.permutations([("c", 1), ("a", 2), ("b", 3)])])
def test_what_stands_does_not_depend_on_when_it_was_read(
    run_dir: Path, order: Sequence[tuple[str, int]]
) -> None:
    """An index that saw the segments appear in any order agrees with one that reads them now."""
    live = Index.load(run_dir)
    for name, turn in order:
        put(
            run_dir,
            name,
            run_line(turn),
            result(0, says=turn),
            lines.row_line(ROWS[0], KEYS[turn]),
            lines.video_line("/v.mp4", turn, turn, f"sha256:{turn}"),
        )
        assert live.refresh() == 4
    with live, Index.load(run_dir) as fresh:
        for index in (live, fresh):
            assert said(index) == {0: 3}
            assert index.key_of(ROWS[0]) == KEYS[3]
            assert index.latest_content("/v.mp4") == "sha256:3"
            assert index.content_of("/v.mp4", 3, 3) == "sha256:3"
            assert [run.start["turn"] for run in index.runs] == [1, 2, 3]


def test_writers_of_one_turn_are_told_apart_by_their_names(run_dir: Path) -> None:
    """Two that began at once have one turn; every reader lets the same of their results stand."""
    live = Index.load(run_dir)
    put(run_dir, "b", run_line(1), result(0, says="b"))
    live.refresh()
    put(run_dir, "a", run_line(1), result(0, says="a"))
    live.refresh()
    with live, Index.load(run_dir) as fresh:
        assert said(live) == said(fresh) == {0: "b"}


def test_only_what_is_new_is_read(run_dir: Path) -> None:
    """Each refresh gives the number of lines since the last, of old segments and of new."""
    path = put(run_dir, "a", run_line(1), result(0))
    with Index.load(run_dir) as index:
        assert index.refresh() == 0
        with path.open("ab") as file:
            file.write(result(1) + result(2))
        put(run_dir, "b", run_line(2), result(3))
        assert index.refresh() == 4
        assert index.refresh() == 0
        assert set(said(index)) == {0, 1, 2, 3}


@pytest.mark.parametrize("cut", [1, 20, 60, -1])
def test_a_line_that_is_being_written_is_no_damage(run_dir: Path, cut: int) -> None:
    """The beginning of a line is looked at again, and taken once it is whole."""
    whole = result(1)
    path = put(run_dir, "a", run_line(1), result(0), whole[:cut])
    with Index.load(run_dir) as index:
        assert set(said(index)) == {0}
        (damage,) = index.damage
        assert (damage.corrupt, damage.torn) == (0, len(whole[:cut]))
        with path.open("ab") as file:
            file.write(whole[cut:])
        assert index.refresh() == 1
        assert set(said(index)) == {0, 1}
        assert index.damage == []


def test_the_first_line_may_be_the_one_that_is_being_written(run_dir: Path) -> None:
    """A turn that was not there yet is learned by the next refresh."""
    path = put(run_dir, "a", run_line(5)[:30])
    with Index.load(run_dir) as index:
        assert index.highest_turn == 0
        path.write_bytes(run_line(5) + result(0))
        assert index.refresh() == 2
        assert index.highest_turn == 5


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_cut_at_any_byte_loses_no_whole_line(data: st.DataObject) -> None:
    """After a tear anywhere and a new writer, all whole lines are there and no other."""
    written = [run_line(1), *(result(n, says="x" * n) for n in range(6))]
    cut = data.draw(st.integers(0, sum(map(len, written))))
    whole = sum(end <= cut for end in itertools.accumulate(map(len, written)))
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        open_folder(run_dir)
        put(run_dir, "torn", b"".join(written)[:cut])
        with Index.load(run_dir) as index:
            turn = index.highest_turn + 1
        with Writer(run_dir, turn=turn) as writer:
            writer.append(result(50))
        with Index.load(run_dir) as index:
            assert set(said(index)) == {*range(whole - 1), 50}
            assert sum(damage.corrupt for damage in index.damage) == 0
            torn = cut - sum(map(len, written[:whole]))
            assert sum(damage.torn for damage in index.damage) == torn


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_flipped_bytes_cost_the_lines_that_they_touch(data: st.DataObject) -> None:
    """Every line that no changed byte lies in, or ended, stands as it was; none is invented."""
    written = [run_line(1), *(result(n, says="x" * n) for n in range(8))]
    damaged = bytearray(b"".join(written))
    ends = list(itertools.accumulate(map(len, written)))
    places = data.draw(st.sets(st.integers(0, len(damaged) - 1), min_size=1, max_size=4))
    touched = set()
    for place in places:
        line = next(n for n, end in enumerate(ends) if place < end)
        # A newline that is gone glues the next line to this one.
        touched |= {line, line + 1} if place == ends[line] - 1 else {line}
        damaged[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        open_folder(run_dir)
        put(run_dir, "bad", bytes(damaged))
        with Index.load(run_dir) as index:
            found = said(index)
            assert set(found) == {n - 1 for n in range(1, 9) if n not in touched}
            assert all(says == "x" * n for n, says in found.items())
            assert index.damage


def test_a_hole_of_zeros_costs_its_lines(run_dir: Path) -> None:
    """Zeros over the middle, as a power cut leaves them, lose two lines and their count is told."""
    written = [run_line(1), *(result(n) for n in range(5))]
    damaged = bytearray(b"".join(written))
    start = len(b"".join(written[:2])) + 40
    damaged[start : start + len(written[2])] = bytes(len(written[2]))
    put(run_dir, "a", bytes(damaged))
    with Index.load(run_dir) as index:
        assert set(said(index)) == {0, 3, 4}
        assert [(d.segment, d.corrupt, d.torn) for d in index.damage] == [("a.jsonl", 1, 0)]


def test_a_damaged_first_line_costs_the_turn_only(run_dir: Path) -> None:
    """Its results stand, as the earliest."""
    damaged = run_line(8).replace(b'"turn":8', b'"turn":9')
    put(run_dir, "z", damaged, result(0, says="z"), result(1, says="z"))
    put(run_dir, "a", run_line(1), result(1, says="a"))
    with Index.load(run_dir) as index:
        assert said(index) == {0: "z", 1: "a"}
        assert index.highest_turn == 1
        assert [(d.segment, d.corrupt) for d in index.damage] == [("z.jsonl", 1)]


def test_empty_lines_are_no_damage(run_dir: Path) -> None:
    """A writer that met a full disk begins with a newline, in vain where nothing was torn."""
    put(run_dir, "a", run_line(1), b"\n", result(0), b"\n\n", result(1))
    with Index.load(run_dir) as index:
        assert set(said(index)) == {0, 1}
        assert index.damage == []


def test_a_line_with_a_true_sum_and_a_false_front_is_counted(run_dir: Path) -> None:
    """What this version cannot make sense of is not taken for a result, nor passed over."""
    bad = [
        lines.encode("result", {"key": "short"}),
        lines.encode("row", {"key": KEYS[0]}),
        lines.encode("video", {"size": 1}),
        lines.encode("run", {"turn": "many"}),
        lines.encode("run", {}),
    ]
    put(run_dir, "a", run_line(1), *bad, result(0))
    with Index.load(run_dir) as index:
        assert set(said(index)) == {0}
        assert [damage.corrupt for damage in index.damage] == [len(bad)]
        assert index.highest_turn == 1


def test_kinds_and_states_of_a_newer_version_are_passed_over(run_dir: Path) -> None:
    """A newer writer in the same format does not disturb an older reader."""
    strange = result(1).replace(b'"ok"', b'"maybe"')[lines.BODY_AT : -2]
    put(
        run_dir,
        "a",
        run_line(1, colour="blue"),
        lines.encode("dream", {"of": "sheep"}),
        lines.encode("", {}),
        lines._sealed(strange + b"}"),
        lines._sealed(lines.row_line(ROWS[0], KEYS[0])[lines.BODY_AT : -2] + b',"more":1}'),
        result(0),
    )
    with Index.load(run_dir) as index:
        assert set(said(index)) == {0}
        assert index.state(KEYS[1]) is None
        assert index.key_of(ROWS[0]) == KEYS[0]
        assert index.damage == []


def test_a_newer_format_is_refused(run_dir: Path) -> None:
    """A reader that would misunderstand the segment says which version wrote it."""
    put(run_dir, "a", run_line(1, schema=lines.SCHEMA))
    index = Index.load(run_dir)
    put(run_dir, "b", run_line(1, schema=lines.SCHEMA + 1, promptlift="9.9"), result(0))
    for _ in range(3):
        with pytest.raises(OutputError, match=r"promptlift 9\.9.* format"):
            index.refresh()


def test_a_segment_that_is_taken_away_is_told(run_dir: Path) -> None:
    """What it alone said is gone, what others say stands, and the report names it."""
    gone = put(run_dir, "a", run_line(1), result(0, says="a"), result(1, says="a"))
    put(run_dir, "b", run_line(2), result(1, says="b"), result(2, says="b"))
    with Index.load(run_dir) as index:
        index.record(KEYS[0])
        gone.unlink()
        with pytest.raises(KeyError):
            index.refresh()
            index.record(KEYS[0])
        assert said(index) == {1: "b", 2: "b"}
        assert [(d.segment, d.trouble) for d in index.damage] == [("a.jsonl", "it is gone")]


def test_a_segment_that_is_cut_is_read_again(run_dir: Path) -> None:
    """A truncated segment keeps what is left of it, and the report says what happened."""
    path = put(run_dir, "a", run_line(1), result(0), result(1))
    size = path.stat().st_size
    with Index.load(run_dir) as index:
        os.truncate(path, size - 10)
        assert index.refresh() == 2
        assert set(said(index)) == {0}
        (damage,) = index.damage
        assert damage.trouble == f"it has been cut from {size} to {size - 10} bytes"
        assert damage.torn > 0


def test_a_record_that_changed_since_is_not_handed_out(run_dir: Path) -> None:
    """The sum is checked when the record is read, not only when the index was made."""
    path = put(run_dir, "a", run_line(1), result(0, says="true"), result(1))
    with Index.load(run_dir) as index:
        path.write_bytes(path.read_bytes().replace(b"true", b"lies"))
        with pytest.raises(OutputError, match="has changed"):
            index.record(KEYS[0])
        assert index.record(KEYS[1])["n"] == 1
        path.write_bytes(run_line(1) + result(2, says="true") + result(1))
        with pytest.raises(OutputError, match="has changed"):
            index.record(KEYS[0])
    path.unlink()
    with pytest.raises(OutputError, match=r"a\.jsonl"):
        index.record(KEYS[0])


def test_what_is_no_segment_is_passed_over(run_dir: Path) -> None:
    """Folders, other files and links to nowhere among the segments are none."""
    (run_dir / "segments" / "folder.jsonl").mkdir()
    (run_dir / "segments" / "notes.txt").write_bytes(run_line(7))
    (run_dir / "segments" / "nowhere.jsonl").symlink_to(run_dir / "nowhere")
    put(run_dir, "a", run_line(1), result(0))
    with Index.load(run_dir) as index:
        assert set(said(index)) == {0}
        assert (index.highest_turn, index.damage) == (1, [])


def test_a_file_in_the_place_of_the_segments_is_named(tmp_path: Path) -> None:
    """A folder that is no run's does not pass for an empty run."""
    (tmp_path / "segments").touch()
    with pytest.raises(OutputError, match="segments"):
        Index.load(tmp_path)


def test_reading_leaves_no_trace(run_dir: Path) -> None:
    """An index makes, changes and removes nothing, so that it serves on a read-only folder."""
    put(run_dir, "a", run_line(1), result(0), b"torn")

    def traces() -> list[tuple[str, int, int]]:
        found = sorted(run_dir.rglob("*"))
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in found]

    before = traces()
    with Index.load(run_dir) as index:
        said(index)
        index.refresh()
    assert traces() == before


FORBIDDEN = """
import os, sys
from pathlib import Path
from promptlift.batch.journal import Index

locked = Path(sys.argv[1], "segments", "a.jsonl")
if os.geteuid() == 0:
    os.chown(locked, 65534, -1)
    os.setuid(65534)  # What holds for everybody does not hold for root.
with Index.load(Path(sys.argv[1])) as index:
    for _ in range(2):
        print([(damage.segment, damage.trouble) for damage in index.damage])
        print([stored.segment for stored in index.places()])
        locked.chmod(0o400)
        index.refresh()
"""


def test_a_segment_that_may_not_be_read_is_told() -> None:
    """In a folder that may be read in part, the rest stands and the part is named, until it may."""
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        open_folder(run_dir)
        put(run_dir, "a", run_line(1), result(0)).chmod(0)
        put(run_dir, "b", run_line(2), result(1)).chmod(0o444)
        (run_dir / "segments").chmod(0o555)
        run_dir.chmod(0o555)
        call = [sys.executable, "-c", FORBIDDEN, name]
        done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=True)
        for folder in (run_dir, run_dir / "segments"):
            folder.chmod(0o755)
    assert done.stdout.splitlines() == [
        "[('a.jsonl', 'Permission denied')]",
        "['b.jsonl']",
        "[]",
        "['b.jsonl', 'a.jsonl']",
    ]


def test_lines_longer_than_a_block_are_whole_lines(run_dir: Path) -> None:
    """A record of three mebibytes stands between two small ones."""
    long = "x" * (3 * 2**20)
    put(run_dir, "a", run_line(1), result(0), result(1, says=long), result(2))
    with Index.load(run_dir) as index:
        assert said(index) == {0: None, 1: long, 2: None}
        assert index.damage == []


def test_a_line_without_end_does_not_fill_the_memory(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rubbish longer than any line is left out piece by piece; what follows it stands."""
    monkeypatch.setattr(segment, "_BLOCK_BYTES", 1024)
    monkeypatch.setattr(segment, "_LONGEST_LINE", 4096)
    path = put(run_dir, "a", run_line(1), result(0), bytes(100_000), b"\n", result(1))
    with Index.load(run_dir) as index:
        assert set(said(index)) == {0, 1}
        assert [damage.corrupt > 0 for damage in index.damage] == [True]
        path.write_bytes(path.read_bytes() + result(2))
        assert index.refresh() == 1


BUSY = """
import sys
from pathlib import Path
from promptlift.batch.journal import Writer

first = int(sys.argv[2])
with Writer(Path(sys.argv[1]), turn=1) as writer:
    for number in range(first, first + 400):
        writer.result(f"{number:064x}", "ok", None, False, '{"says": "%s"}' % ("x" * 3000))
    writer.end("done")
"""


@pytest.fixture
def busy_writers(run_dir: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that append to one run."""
    children = [
        subprocess.Popen([sys.executable, "-c", BUSY, str(run_dir), first])
        for first in ("1000", "2000")
    ]
    yield children
    for child in children:
        child.kill()
        child.wait()


def test_reading_while_two_processes_write(
    run_dir: Path, busy_writers: list[subprocess.Popen[bytes]]
) -> None:
    """Each look finds only whole lines, never fewer than before; the last finds all."""
    with Index.load(run_dir) as index:
        seen = 0
        while any(child.poll() is None for child in busy_writers):
            index.refresh()
            now = len(list(index.places()))
            assert now >= seen
            assert all(damage.corrupt == 0 for damage in index.damage)
            seen = now
            time.sleep(0.005)
        index.refresh()
        assert set(said(index)) == {*range(1000, 1400), *range(2000, 2400)}
        assert index.damage == []
        assert [run.end["reason"] for run in index.runs if run.end] == ["done", "done"]


def test_beats_of_days_do_not_pile_up(run_dir: Path) -> None:
    """An hour of beats is kept, the newest."""
    beats = [lines.encode("beat", {"at": n, "counts": {}}) for n in range(2000)]
    put(run_dir, "a", run_line(1), *beats)
    with Index.load(run_dir) as index:
        (run,) = index.runs
        assert [beat["at"] for beat in run.beats] == list(range(1640, 2000))


def test_an_item_costs_a_few_hundred_bytes_whatever_its_record(run_dir: Path) -> None:
    """Ten thousand items with their rows take less than 500 bytes each, records of 2 KB behind."""
    count = 10_000
    text = json.dumps({"text": "x" * 2000})
    written = [run_line(1)]
    for number in range(count):
        key = f"{number:064x}"
        written += [
            lines.row_line(key[32:], key),
            lines.result_line(key, "ok", None, False, text, at=1),
        ]
    put(run_dir, "a", *written)
    written.clear()
    tracemalloc.start()
    with Index.load(run_dir) as index:
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert index.counts() == {Standing("ok", None, False): count}
    assert kept / count < 500
