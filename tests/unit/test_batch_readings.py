"""Readings of inputs: no row lost, none kept in memory, and nothing read twice in vain."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.batch.inputs import open_input
from promptlift.batch.journal.folder import INPUTS
from promptlift.batch.journal.names import here
from promptlift.batch.readings import Reading, Spool, readings
from promptlift.batch.rows import Row, row_digest, row_line, row_of
from promptlift.errors import InputError, OutputError

HERE = here()


class Rows:
    """An input of rows that are there."""

    def __init__(
        self, rows: Iterable[Row], description: str = "/in.jsonl", stamp: Any = None
    ) -> None:
        self._rows = rows
        self.description = description
        self.stamp = stamp
        self.read = 0

    def rows(self) -> Iterator[Row]:
        """The rows."""
        self.read += 1
        yield from self._rows


def some(number: int, start: int = 0, word: str = "words") -> list[Row]:
    """Rows that differ."""
    return [Row.of(at, f"/v/{at}.mp4", f"{word} {at}") for at in range(start, start + number)]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of a run."""
    (tmp_path / "run" / INPUTS).mkdir(parents=True)
    return tmp_path / "run"


def writer(name: str = "aa") -> str:
    """A writer of this process."""
    return f"{HERE}-{os.getpid()}-{name}"


def spool(run_dir: Path, source: Any, turn: int = 1, **more: Any) -> list[Row]:
    """Read all of an input into the folder, and give what was handed on."""
    with Spool(run_dir, more.pop("writer", writer()), source, turn=turn, **more) as made:
        return [row for chunk in made.chunks() for row in chunk]


def await_end(made: Spool) -> None:
    """Wait until the input has been read to its end."""
    while made.total is None:
        time.sleep(0.005)


def cut_off(run_dir: Path, rows: list[Row], turn: int, name: str = "cc", **more: Any) -> Path:
    """Leave a reading that was cut off after some rows."""

    def broken() -> Iterator[Row]:
        yield from rows
        raise InputError("cut off", remedy="none")

    source = Rows(broken(), **more)
    with pytest.raises(InputError, match="cut off"):
        spool(run_dir, source, turn, writer=writer(name))
    (part,) = (run_dir / INPUTS).glob(f"*.{writer(name)}.part")
    return part


def only(run_dir: Path) -> Reading:
    """The one reading of a folder."""
    (reading,) = readings(run_dir)
    return reading


def whole(run_dir: Path) -> Path:
    """The file of the one complete reading."""
    (path,) = (run_dir / INPUTS).glob("*.jsonl")
    return path


# ---- rows as lines

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
ROWS = st.builds(
    Row.of,
    st.integers(0, 10**9),
    st.text(),
    st.text(),
    id=st.none() | st.text(),
    options=OBJECTS,
    extra=OBJECTS,
    trouble=st.none() | st.tuples(st.text(), st.text(), st.text()),
)


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_a_row_comes_back_from_its_line(row: Row) -> None:
    """Whatever its texts and values are; the line is one, and ASCII."""
    line = row_line(row)
    assert line.isascii()
    assert line.count("\n") == 1
    assert row_of(line) == row
    for cut in (0, 1, len(line) // 2, len(line) - 2):
        assert row_of(line[:cut]) is None


@given(st.text(), st.text(), OBJECTS, st.none() | st.text())
@settings(max_examples=200, deadline=None)
def test_a_digest_is_of_the_row_as_json(
    video: str, prompt: str, options: dict[str, Any], own: str | None
) -> None:
    """The quick way to it gives the same as the plain one, so old journals stay good."""
    words = json.dumps([video, prompt, options, own], sort_keys=True)
    expected = hashlib.sha256(words.encode()).hexdigest()[:32]
    assert row_digest(video, prompt, options, own) == expected


def test_bytes_of_a_name_that_are_no_text_survive(run_dir: Path) -> None:
    """A file's name may be anything on Linux."""
    row = Row.of(0, os.fsdecode(b"/v/\xff\xfe.mp4"))
    assert spool(run_dir, Rows([row])) == [row]
    assert list(only(run_dir).rows()) == [row]


# ---- reading and handing on


@given(st.lists(ROWS, max_size=30))
@settings(max_examples=25, deadline=None)
def test_what_is_read_is_handed_on_and_kept(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    """In its order, duplicates and all."""
    run_dir = tmp_path_factory.mktemp("run")
    (run_dir / INPUTS).mkdir()
    assert spool(run_dir, Rows(rows)) == rows
    reading = only(run_dir)
    assert list(reading.rows()) == rows
    assert (reading.source, reading.complete, reading.total) == ("/in.jsonl", True, len(rows))


def test_a_consumer_that_lags_gets_the_rows_from_the_file(run_dir: Path) -> None:
    """The input is read to its end meanwhile, so that the total is known; chunks stay small."""
    rows = some(25_300)
    with Spool(run_dir, writer(), Rows(rows), turn=1) as made:
        await_end(made)
        assert (made.total, made.seen) == (25_300, 25_300)
        assert sum(chunk.rows is not None for chunk in made._ready) <= 8
        chunks = list(made.chunks())
    assert [row for chunk in chunks for row in chunk] == rows
    assert max(map(len, chunks)) <= 1000


def test_a_row_is_handed_on_while_the_input_is_silent(run_dir: Path) -> None:
    """A pipe may send a few rows and then nothing for an hour; they are in the file by then."""
    more = threading.Event()

    def slow() -> Iterator[Row]:
        yield from some(3)
        assert more.wait(60)
        yield from some(2, 3)

    with Spool(run_dir, writer(), Rows(slow()), turn=1) as made:
        chunks = made.chunks()
        got: list[Row] = []
        while len(got) < 3:
            got += next(chunks)
        assert got == some(3)
        assert made.total is None
        live = only(run_dir)
        assert (live.complete, live.total, list(live.rows())) == (False, None, some(3))
        more.set()
        assert [row for chunk in chunks for row in chunk] == some(2, 3)
    assert only(run_dir).total == 5


def test_stop_frees_a_consumer_that_waits(run_dir: Path) -> None:
    """From another thread, and twice; what was read stays."""
    never = threading.Event()

    def silent() -> Iterator[Row]:
        yield from some(1)
        never.wait(60)

    with Spool(run_dir, writer(), Rows(silent()), turn=1) as made:
        chunks = made.chunks()
        assert next(chunks) == some(1)
        waiting = threading.Thread(target=list, args=(chunks,))
        waiting.start()
        made.stop()
        waiting.join(60)
        assert not waiting.is_alive()
        assert list(made.chunks()) == []
        made.stop()
        never.set()
    assert list(only(run_dir).rows()) == some(1)


def test_the_process_can_end_while_standard_input_is_silent(tmp_path: Path, run_dir: Path) -> None:
    """The thread that waits in it is left behind without a word."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from promptlift.batch.inputs import open_input\n"
        "from promptlift.batch.readings import Spool\n"
        "with Spool(Path(sys.argv[1]), 'h-1-a', open_input('-', prompt='p'), turn=1) as made:\n"
        "    print(next(made.chunks())[0].video, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(run_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        assert child.stdin
        assert child.stdout
        assert child.stderr
        child.stdin.write(b'{"video": "/v/a.mp4"}\n')
        child.stdin.flush()
        assert child.stdout.read() == b"/v/a.mp4\n"
        assert child.stderr.read() == b""
        child.stdin.close()
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("problem", "raised", "says"),
    [
        (InputError("bad", remedy="mend"), InputError, "bad"),
        (OSError(5, "Input/output error"), InputError, "cannot read '/in.jsonl' to its end"),
        (RuntimeError("a fault of ours"), RuntimeError, "a fault of ours"),
    ],
    ids=["input", "system", "ours"],
)
def test_an_error_comes_after_the_rows_before_it(
    run_dir: Path, problem: Exception, raised: type[Exception], says: str
) -> None:
    """The consumer gets all rows that were read, then the error; the reading is not complete."""

    def rows() -> Iterator[Row]:
        yield from some(1500)
        raise problem

    got: list[Row] = []
    with Spool(run_dir, writer(), Rows(rows()), turn=1) as made:
        chunks = made.chunks()
        with pytest.raises(raised, match=says):
            while True:
                got += next(chunks)
        assert made.total is None
    assert got == some(1500)
    assert not only(run_dir).complete
    assert list(only(run_dir).rows()) == some(1500)


def test_a_folder_that_cannot_be_written_to_is_named(run_dir: Path) -> None:
    """With what the system says, as an error of the output and not of the input."""
    (run_dir / INPUTS).rmdir()
    (run_dir / INPUTS).write_text("a file")
    with pytest.raises(OutputError, match=r"cannot keep the rows of '/in.jsonl' in .*directory"):
        spool(run_dir, Rows(some(1)))


FULL = """
import resource, sys, time
from pathlib import Path
from promptlift.batch.inputs import open_input
from promptlift.batch.readings import Spool, readings
run_dir, listing = map(Path, sys.argv[1:])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
with Spool(run_dir, "h-1-a", open_input(listing, prompt="p"), turn=1) as made:
    chunks = made.chunks()
    got = next(chunks)
    while not made.waiting:
        time.sleep(0.01)
    assert made.total is None
    (reading,) = readings(run_dir)
    kept = list(reading.rows())
    assert not reading.complete
    assert len(kept) < 5000
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for chunk in chunks:
        got += chunk
    assert not made.waiting
(reading,) = readings(run_dir)
assert reading.complete
assert [row.number for row in got] == list(range(5000))
assert list(reading.rows()) == got
assert kept == got[:len(kept)]
print("all there")
"""


def test_a_full_disk_pauses_the_reading(tmp_path: Path, run_dir: Path) -> None:
    """Once there is room it goes on where it stopped: every row once, in its order."""
    listing = tmp_path / "in.jsonl"
    listing.write_text("".join(f'{{"video": "/v/{at}.mp4"}}\n' for at in range(5000)))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(run_dir), str(listing)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("all there\n", "")


MEMORY = """
import resource, sys, time
from pathlib import Path
from promptlift.batch.inputs import open_input
from promptlift.batch.readings import Spool, readings

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

run_dir = Path(sys.argv[1])
(run_dir / "inputs").mkdir(parents=True)
def listing(number):
    path = run_dir.parent / f"{number}.jsonl"
    with path.open("w") as file:
        for at in range(number):
            file.write(f'{{"video": "/v/{at}.mp4", "prompt": "a robot hands over cup {at}"}}\\n')
    return path
small, large = listing(20_000), listing(300_000)
for turn, path in enumerate((small, large), 1):
    before = peak()
    with Spool(run_dir, "h-1-a", open_input(path, prompt=None), turn=turn) as made:
        while made.total is None:  # the consumer lags as much as it can
            time.sleep(0.01)
        number = sum(map(len, made.chunks()))
    assert number == made.total
    assert sum(1 for reading in readings(run_dir) for _ in reading.rows()) >= number
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """300,000 rows with a consumer that takes none until all are read: a few MiB above 20,000."""
    run_dir = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(run_dir)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert float(done.stdout) < 16


# ---- using a reading again


def test_an_unchanged_input_is_not_read_again(run_dir: Path) -> None:
    """The rows come from the folder, and their number is known at once."""
    source = Rows(some(2500), stamp=["/in.jsonl", 9, 9])
    assert spool(run_dir, source) == some(2500)
    with Spool(run_dir, writer("bb"), source, turn=2) as made:
        got = [row for chunk in made.chunks() for row in chunk]
        assert made.reused
        assert (made.total, made.seen) == (2500, 2500)
    assert got == some(2500)
    assert source.read == 1
    assert [path.suffix for path in (run_dir / INPUTS).iterdir()] == [".jsonl"]


def test_a_tuple_for_a_stamp_is_known_again(run_dir: Path) -> None:
    """It comes back from the file as a list."""
    source = Rows(some(1), stamp=("/in.jsonl", 9))
    spool(run_dir, source)
    spool(run_dir, source, 2)
    assert source.read == 1


@pytest.mark.parametrize("stamp", [None, ["/in.jsonl", 9, 10]], ids=["none", "another"])
def test_an_input_that_may_have_changed_is_read_again(run_dir: Path, stamp: Any) -> None:
    """Another stamp is another state; none at all tells nothing."""
    first = None if stamp is None else ["/in.jsonl", 9, 9]
    spool(run_dir, Rows(some(5), stamp=first))
    assert spool(run_dir, Rows(some(7), stamp=stamp), 2) == some(7)
    assert list(only(run_dir).rows()) == some(7)


def test_an_input_that_changes_while_it_is_read_is_read_again(run_dir: Path) -> None:
    """The reading may be of half of each state, though it is the best that there is."""
    source = Rows([], stamp=1)

    def rows() -> Iterator[Row]:
        source.stamp = 2
        yield from some(3)

    source._rows = rows()
    assert spool(run_dir, source) == some(3)
    again = Rows(some(4), stamp=1)
    assert spool(run_dir, again, 2) == some(4)
    assert again.read == 1


@pytest.mark.parametrize("place", range(0, 900, 37))
def test_a_reading_that_was_damaged_is_made_anew(run_dir: Path, place: int) -> None:
    """Whatever bit is wrong, counted from the end: nothing of it is used."""
    source = Rows(some(8), stamp=[1])
    spool(run_dir, source)
    data = bytearray(whole(run_dir).read_bytes())
    data[-1 - place] ^= 1
    whole(run_dir).write_bytes(data)
    assert spool(run_dir, source, 2) == some(8)
    assert source.read == 2
    assert list(only(run_dir).rows()) == some(8)


def test_a_wrong_number_of_rows_is_seen(run_dir: Path) -> None:
    """The sum is over the rows and not over their number, which is checked for itself."""
    source = Rows(some(8), stamp=[1])
    spool(run_dir, source)
    whole(run_dir).write_bytes(whole(run_dir).read_bytes().replace(b'"rows":8', b'"rows":9'))
    assert spool(run_dir, source, 2) == some(8)
    assert source.read == 2


def test_a_real_list_is_read_again_only_after_a_change(tmp_path: Path, run_dir: Path) -> None:
    """One row more is one row more; the rest keeps its digests."""
    listing = tmp_path / "in.csv"

    def write(number: int, tick: int) -> None:
        listing.write_text("video,prompt\n" + "".join(f"/v/{at}.mp4,x\n" for at in range(number)))
        os.utime(listing, ns=(10**18 + tick, 10**18 + tick))

    write(3, 1)
    first = spool(run_dir, open_input(listing, prompt=None))
    with Spool(run_dir, writer("bb"), open_input(listing, prompt=None), turn=2) as made:
        assert [row for chunk in made.chunks() for row in chunk] == first
        assert made.reused
    write(4, 2)
    then = spool(run_dir, open_input(listing, prompt=None), 3)
    assert then[:3] == first
    assert len(then) == 4


# ---- shards


@pytest.mark.parametrize("again", [False, True], ids=["read", "used again"])
def test_shards_are_disjoint_and_complete(run_dir: Path, again: bool) -> None:
    """Each of three gets its part, whichever way it comes; the reading has all."""
    rows = some(12_000)
    source = Rows(rows, stamp=[1] if again else None)
    if again:
        spool(run_dir, source)
    got: list[Row] = []
    for part in (1, 2, 3):
        with Spool(run_dir, writer(f"s{part}"), source, turn=1 + part, shard=(part, 3)) as made:
            await_end(made)
            mine = [row for chunk in made.chunks() for row in chunk]
            assert made.total == made.seen == len(mine)
            assert made.reused is again
        assert all(row.in_shard((part, 3)) for row in mine)
        assert len(mine) > 3000
        got += mine
        assert only(run_dir).total == 12_000
    assert sorted(got, key=lambda row: row.number) == rows


# ---- what the folder has


def test_an_empty_or_missing_folder_has_no_readings(run_dir: Path) -> None:
    """Neither is an error: nothing has been read."""
    assert readings(run_dir) == []
    assert readings(run_dir / "nowhere") == []


def test_a_torn_part_gives_all_its_whole_rows(run_dir: Path) -> None:
    """Wherever a kill cut it; one without even a whole header is nothing."""
    part = cut_off(run_dir, some(4), 1)
    data = part.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    assert len(ends) == 5
    for cut in range(len(data) + 1):
        part.write_bytes(data[:cut])
        whole_lines = sum(end <= cut for end in ends)
        if whole_lines == 0:
            assert readings(run_dir) == []
        else:
            assert list(only(run_dir).rows()) == some(whole_lines - 1)
            assert only(run_dir).total is None


def test_a_damaged_line_costs_itself_alone(run_dir: Path) -> None:
    """The rows around it are given."""
    spool(run_dir, Rows(some(5)))
    lines = whole(run_dir).read_bytes().split(b"\n")
    lines[3] = lines[3][:-20] + b"\xff" * 20
    whole(run_dir).write_bytes(b"\n".join(lines))
    assert [row.number for row in only(run_dir).rows()] == [0, 1, 3, 4]


def test_later_parts_add_what_is_new_in_them(run_dir: Path) -> None:
    """The complete reading, then of each later one what was in none before; twice is twice."""
    cut_off(run_dir, some(2, 90), 1, "old")
    spool(run_dir, Rows([*some(3), *some(1)]), 2)
    cut_off(run_dir, [*some(2), *some(1, 10), *some(1, 10)], 3, "x")
    cut_off(run_dir, [*some(1, 10), *some(1, 11), *some(1, 2)], 4, "y")
    reading = only(run_dir)
    assert [row.number for row in reading.rows()] == [0, 1, 2, 0, 10, 10, 11]
    assert (reading.turn, reading.complete, reading.total) == (4, False, None)
    spool(run_dir, Rows(some(2, 50)), 5)
    reading = only(run_dir)
    assert [row.number for row in reading.rows()] == [50, 51]
    assert (reading.turn, reading.complete, reading.total) == (5, True, 2)


def test_a_part_that_becomes_complete_while_one_looks_is_found(run_dir: Path) -> None:
    """A status that has listed the folder finds the rows under the new name, and once only."""
    spool(run_dir, Rows(some(2)), 1)
    part = cut_off(run_dir, some(5), 2)
    before = only(run_dir)
    part.rename(whole(run_dir))
    assert list(before.rows()) == some(5)
    cut_off(run_dir, some(7), 3)
    before = only(run_dir)
    spool(run_dir, Rows(some(9)), 4)
    for path in (run_dir / INPUTS).glob("*.part"):
        path.unlink()
    assert list(before.rows()) == some(9)


def test_a_reading_that_was_killed_before_it_was_put_in_place_is_complete(run_dir: Path) -> None:
    """Its last line says so, whatever its name is."""
    spool(run_dir, Rows(some(3)), 7)
    path = whole(run_dir)
    path.rename(path.with_name(f"{path.stem}.{writer()}.part"))
    cut_off(run_dir, some(9), 6)
    reading = only(run_dir)
    assert (reading.complete, reading.total, list(reading.rows())) == (True, 3, some(3))


def test_readings_of_different_inputs_stand_beside_each_other(run_dir: Path) -> None:
    """In the order of their descriptions, so that an export is the same every time."""
    for turn, name in enumerate(("/c", "/a", "/b"), 1):
        spool(run_dir, Rows(some(turn), description=name), turn)
    found = readings(run_dir)
    assert [(reading.source, reading.total) for reading in found] == [
        ("/a", 2),
        ("/b", 3),
        ("/c", 1),
    ]


# ---- several writers


def interleaved(run_dir: Path, turns: tuple[int, int], first_ends: int) -> list[list[Row]]:
    """Two writers read one source at the same time; one of them ends first.

    Returns:
        What each got.
    """
    gates = [threading.Event(), threading.Event()]

    def rows(which: int) -> Iterator[Row]:
        yield from some(2000, word=f"w{which}")
        assert gates[which].wait(60)
        yield from some(10, 2000, word=f"w{which}")

    got: list[list[Row]] = [[], []]
    with (
        Spool(run_dir, writer("w0"), Rows(rows(0)), turn=turns[0]) as one,
        Spool(run_dir, writer("w1"), Rows(rows(1)), turn=turns[1]) as other,
    ):
        made = [one, other]
        chunks = [spool.chunks() for spool in made]
        for which in (0, 1):
            got[which] += next(chunks[which])
        for which in (first_ends, 1 - first_ends):
            gates[which].set()
            for chunk in chunks[which]:
                got[which] += chunk
    return got


@pytest.mark.parametrize("first_ends", [0, 1])
@pytest.mark.parametrize("turns", [(1, 2), (2, 1)])
def test_of_two_writers_the_later_turn_stands(
    run_dir: Path, turns: tuple[int, int], first_ends: int
) -> None:
    """Whichever ends first; and each hands on all that it reads."""
    got = interleaved(run_dir, turns, first_ends)
    assert [len(rows) for rows in got] == [2010, 2010]
    later = turns.index(2)
    reading = only(run_dir)
    assert (reading.turn, reading.complete) == (2, True)
    assert list(reading.rows()) == got[later]
    assert [path.suffix for path in (run_dir / INPUTS).iterdir()] == [".jsonl"]


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_parts_of_the_dead_are_removed_and_those_of_the_living_left(
    run_dir: Path, gone: int
) -> None:
    """Dead by its process on this host, by a day of silence elsewhere; never of a later turn."""
    part = cut_off(run_dir, some(1), 1)
    source = part.name.partition(".")[0]
    data = part.read_bytes()

    def leave(name: str, age: float = 0, content: bytes = data) -> Path:
        path = part.with_name(f"{source}.{name}.part")
        path.write_bytes(content)
        now = path.stat().st_mtime
        os.utime(path, (now - age, now - age))
        return path

    dead = leave(f"{HERE}-{gone}-dddddddd")
    elsewhere_long_ago = leave("other.host-1-eeeeeeee", 2 * 86_400)
    headless = leave(f"{HERE}-{gone}-cccccccc", content=b'{"kind":"rea')
    elsewhere = leave("other.host-1-ffffffff")
    later = leave(f"{HERE}-{gone}-99999999", content=data.replace(b'"turn":1', b'"turn":9'))
    strange = part.with_name(f"{'0' * 16}.{HERE}-{gone}-11111111.part")
    strange.write_bytes(data)
    spool(run_dir, Rows(some(2)), 5)
    assert not any(path.exists() for path in (dead, elsewhere_long_ago, headless))
    assert all(path.exists() for path in (part, elsewhere, later, strange))


def test_a_killed_reading_is_finished_by_the_next(tmp_path: Path, run_dir: Path) -> None:
    """After kill -9 in the middle the rows that were handed on are there, and a rerun has all."""
    code = (
        "import sys, itertools\n"
        "from pathlib import Path\n"
        "from promptlift.batch.readings import Spool\n"
        "from promptlift.batch.rows import Row\n"
        "class Endless:\n"
        "    description, stamp = '/in.jsonl', None\n"
        "    def rows(self):\n"
        "        return (Row.of(at, f'/v/{at}.mp4', f'words {at}') for at in itertools.count())\n"
        "with Spool(Path(sys.argv[1]), sys.argv[2], Endless(), turn=1) as made:\n"
        "    for chunk in made.chunks():\n"
        "        print(chunk[-1].number, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(run_dir), "h-1-a"], stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout
        for _ in range(5):
            told = int(child.stdout.readline())
        child.kill()
    kept = list(only(run_dir).rows())
    assert len(kept) > told
    assert kept == some(len(kept))
    rows = some(len(kept) + 7)
    assert spool(run_dir, Rows(rows), 2) == rows
    assert list(only(run_dir).rows()) == rows
