"""The journal's lines, its writer, and the folder that it lies in."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.batch.journal import Index, JournalFull, Writer, lines, open_folder
from promptlift.errors import OutputError

KEYS = [f"{number:064x}" for number in range(200)]
TEXT = st.text(max_size=40)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The empty folder of a run."""
    open_folder(tmp_path / "run")
    return tmp_path / "run"


def an_ok(number: int, size: int = 10) -> bytes:
    """A line for the item with this number, with a record of about `size` bytes."""
    return lines.result_line(KEYS[number], "ok", None, False, record(number, size), at=1.0)


def record(number: int, size: int = 10) -> str:
    """What `an_ok` says of an item."""
    return json.dumps({"n": number, "text": "x" * size})


def segment_lines(run_dir: Path) -> list[bytes]:
    """The lines of all segments."""
    found = sorted((run_dir / "segments").iterdir())
    return [line for path in found for line in path.read_bytes().splitlines(keepends=True)]


@given(kind=TEXT, fields=st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.none())))
def test_a_line_is_one_json_object_on_one_line(kind: str, fields: dict[str, object]) -> None:
    """Whatever it says, a line ends with its only newline, parses, and its sum holds."""
    fields.pop("kind", None)
    fields.pop("sum", None)
    line = lines.encode(kind, fields)
    assert line.count(b"\n") == 1
    assert lines.check(line)
    assert lines.check(line[:-1])
    said = lines.fields_of(line)
    assert list(said) == ["sum", "kind", *fields]
    assert said | fields | {"kind": kind} == said


@given(text=TEXT, place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(text: str, place: int, bit: int) -> None:
    """A line with one bit turned over anywhere does not pass for whole."""
    damaged = bytearray(lines.encode("end", {"at": 1.5, "reason": text}))
    damaged[place % len(damaged)] ^= 1 << bit
    assert not lines.check(bytes(damaged))


@given(text=TEXT, cut=st.integers(min_value=1))
def test_a_torn_line_is_noticed(text: str, cut: int) -> None:
    """No beginning of a line passes for a line, unless only its newline is missing."""
    line = lines.encode("end", {"at": 1.5, "reason": text})
    assert not lines.check(line[: -1 - cut % (len(line) - 1) - 1])


@given(
    state=st.sampled_from(["ok", "repaired", "rejected", "failed"]),
    code=st.none() | TEXT,
    retryable=st.booleans(),
    said=st.dictionaries(TEXT, TEXT),
    indent=st.sampled_from([None, 2]),
    at=st.floats(allow_nan=False, allow_infinity=False),
)
def test_the_front_of_a_result_is_read_without_its_record(
    state: lines.State,
    code: str | None,
    retryable: bool,
    said: dict[str, str],
    indent: int | None,
    at: float,
) -> None:
    """Key, state, code and retryable come from the front as they went in; the record is behind."""
    given_record = json.dumps(said, indent=indent)
    line = lines.result_line(KEYS[7], state, code, retryable, given_record, at=at)
    assert lines.check(line)
    assert line.count(b"\n") == 1
    head = lines.result_head(line, lines.BODY_AT)
    assert head is not None
    assert head.key.decode() == KEYS[7]
    assert json.loads(b"[%b]" % head.verdict[1]) == [code]
    assert (head.verdict[0].decode(), head.verdict[2] == b"true") == (state, retryable)
    assert json.loads(lines.record_of(line)) == said
    assert lines.fields_of(line)["record"] == said


def test_a_record_is_kept_byte_for_byte() -> None:
    """A record without newlines comes back exactly, escapes and other scripts included."""
    given_record = '{"a": "é\\n\\u00e9\\ud83d", "sum":"00000000","b":[1.0,1e5]}'.encode()
    line = lines.result_line(KEYS[0], "ok", None, False, given_record, at=0)
    assert lines.record_of(line) == given_record


@given(path=TEXT | st.just("/a/\udcff.mp4"), size=st.integers(0, 2**63), content=TEXT)
def test_the_front_of_a_video_line_is_its_whole(path: str, size: int, content: str) -> None:
    """A path of any characters, undecodable bytes included, compares by how it is written."""
    line = lines.video_line(path, size, 10**18, content)
    head = lines.video_head(line, lines.BODY_AT)
    assert head is not None
    assert head == (lines.json_string(path), size, 10**18, lines.json_string(content))
    assert lines.fields_of(line)["path"] == path


def test_a_front_of_another_kind_is_none() -> None:
    """Each pattern takes its own kind only."""
    row = lines.row_line("ab" * 16, KEYS[1])
    assert lines.row_head(row, lines.BODY_AT) == (b"ab" * 16, KEYS[1].encode())
    for line in (row, lines.encode("result", {"key": "short"}), b"nonsense"):
        assert lines.result_head(line, lines.BODY_AT) is None
        assert lines.video_head(line, lines.BODY_AT) is None
    assert lines.row_head(an_ok(0), lines.BODY_AT) is None
    with pytest.raises(ValueError, match="result"):
        lines.record_of(row)


@pytest.mark.parametrize(
    "make",
    [
        lambda: lines.result_line("ab", "ok", None, False, "{}", at=0),
        lambda: lines.result_line("AB" * 32, "ok", None, False, "{}", at=0),
        lambda: lines.result_line("zz" * 32, "ok", None, False, "{}", at=0),
        lambda: lines.result_line(KEYS[0], "planned", None, False, "{}", at=0),  # type: ignore[arg-type]
        lambda: lines.result_line(KEYS[0], "ok", None, False, "[]", at=0),
        lambda: lines.row_line(KEYS[0], KEYS[0]),
        lambda: lines.encode("beat", {"at": float("nan")}),
        lambda: lines.fields_of(b"[]"),
    ],
)
def test_what_no_reader_would_understand_is_not_written(make: Callable[[], object]) -> None:
    """A key, state, record or number that is none stops at the writer."""
    with pytest.raises(ValueError, match=r"."):
        make()


def test_a_segment_tells_who_writes_it(run_dir: Path) -> None:
    """The name is host, process and chance; the first line says the same and the turn."""
    with Writer(run_dir, turn=3) as writer:
        assert re.fullmatch(rf"[\w.]+-{os.getpid()}-[0-9a-f]{{8}}\.jsonl", writer.path.name)
    (first,) = segment_lines(run_dir)
    said = lines.fields_of(first)
    assert list(said) == [
        *("sum", "kind", "turn", "writer", "at", "host", "pid", "promptlift", "schema")
    ]
    assert (said["kind"], said["turn"], said["pid"]) == ("run", 3, os.getpid())
    assert writer.path.name == f"{said['writer']}.jsonl"


def test_lines_stand_in_the_order_in_which_they_were_written(run_dir: Path) -> None:
    """Each method writes one line of its kind, in the table's order of fields."""
    with Writer(run_dir, turn=1) as writer:
        writer.video("/v.mp4", 5, 6, "sha256:1")
        writer.row("ab" * 16, KEYS[0])
        writer.result(KEYS[0], "failed", "video", True, "{}")
        writer.beat({"ok": 1})
        writer.end("done")
    written = segment_lines(run_dir)
    assert all(lines.check(line) for line in written)
    assert [list(lines.fields_of(line))[1:] for line in written[1:]] == [
        ["kind", "path", "size", "mtime_ns", "content"],
        ["kind", "row", "key"],
        ["kind", "key", "state", "code", "retryable", "at", "record"],
        ["kind", "at", "counts"],
        ["kind", "at", "reason"],
    ]


def test_a_line_is_there_when_append_returns(run_dir: Path) -> None:
    """Nothing waits in a buffer of the process: a kill cannot lose it."""
    with Writer(run_dir, turn=1) as writer:
        for number in range(5):
            writer.append(an_ok(number))
            assert segment_lines(run_dir)[-1] == an_ok(number)


def test_threads_may_share_a_writer(run_dir: Path) -> None:
    """Lines of eight threads stand whole beside each other, none lost."""
    with Writer(run_dir, turn=1) as writer, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: writer.append(an_ok(n, 9000)), range(len(KEYS))))
    assert sorted(segment_lines(run_dir)[1:]) == sorted(an_ok(n, 9000) for n in range(len(KEYS)))


def test_writers_do_not_share_a_segment(run_dir: Path) -> None:
    """Two writers of one process, even, have a file each."""
    with Writer(run_dir, turn=1) as one, Writer(run_dir, turn=1) as other:
        assert fcntl.fcntl(one._handle, fcntl.F_GETFL) & os.O_APPEND
        one.append(an_ok(1))
        other.append(an_ok(2))
    assert one.path.read_bytes().endswith(an_ok(1))
    assert other.path.read_bytes().endswith(an_ok(2))


def test_a_closed_writer_writes_no_more(run_dir: Path) -> None:
    """Closing twice is no error, writing afterwards is."""
    writer = Writer(run_dir, turn=1)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.append(an_ok(0))


class Syncs:
    """The real fsync of files, watched; the first `fail` of them report what a disk may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fail: int = 0) -> None:
        self.done = threading.Semaphore(0)
        self.threads: set[int] = set()
        self._fail = fail
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, handle: int) -> None:
        """What `os.fsync` does, counted where it is of a file."""
        self._real(handle)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            self.threads.add(threading.get_ident())
            self._fail -= 1
            if self._fail >= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self.done.release()


def test_lines_are_brought_to_the_disk_aside(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some time after a write there is an fsync, in a thread of its own, and none without need."""
    syncs = Syncs(monkeypatch)
    with Writer(run_dir, turn=1, window_s=0.02) as writer:
        assert syncs.done.acquire(timeout=20)
        assert threading.get_ident() not in syncs.threads
        assert not syncs.done.acquire(timeout=0.2)
        writer.append(an_ok(0))
        assert syncs.done.acquire(timeout=20)
    assert syncs.done.acquire(timeout=20)  # At the end.


def test_closing_between_a_line_and_its_fsync_comes_to_an_end(run_dir: Path) -> None:
    """The thread that syncs is told to end just before it puts aside what it was told."""
    writer = Writer(run_dir, turn=1, window_s=0.02)
    closer = threading.Thread(target=writer.close, daemon=True)
    told = threading.Event()
    put_aside, tell = writer._dirty.clear, writer._dirty.set

    def tell_and_say_so() -> None:
        tell()
        if writer._closing.is_set():
            told.set()

    def put_aside_late() -> None:
        closer.start()
        assert told.wait(20)
        put_aside()

    writer._dirty.set = tell_and_say_so  # type: ignore[method-assign]
    writer._dirty.clear = put_aside_late  # type: ignore[method-assign]
    writer.append(an_ok(0))
    assert told.wait(20)
    closer.join(20)
    assert not closer.is_alive()


def test_what_a_failed_fsync_may_have_dropped_is_written_again(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk says once that it failed: every line since is in the segment once more."""
    with Writer(run_dir, turn=1, window_s=60) as writer:
        writer.append(an_ok(0))
        writer.append(an_ok(1))
        Syncs(monkeypatch, fail=1)
        with pytest.raises(JournalFull, match="error"):
            writer._sync()
        writer.append(an_ok(2))
        assert not writer.full
    written = segment_lines(run_dir)
    assert written[1:] == [an_ok(0), an_ok(1), written[0], an_ok(0), an_ok(1), an_ok(2)]


def test_a_disk_that_fails_to_the_end_is_told(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing does not pretend that the lines are safe."""
    writer = Writer(run_dir, turn=1, window_s=60)
    Syncs(monkeypatch, fail=1)
    with pytest.raises(JournalFull, match="cannot write"):
        writer.close()


@contextmanager
def full_disk(writer: Writer) -> Iterator[None]:
    """Turn the writer's file into one that answers each write with "No space left"."""
    kept, full = os.dup(writer._handle), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._handle, inheritable=False)
    try:
        yield
    finally:
        os.dup2(kept, writer._handle, inheritable=False)
        os.close(kept)
        os.close(full)


def test_a_full_disk_can_be_tried_again(run_dir: Path) -> None:
    """The error is one to come back from, and what did not fit is written once there is room."""
    with Writer(run_dir, turn=1, window_s=60) as writer:
        with full_disk(writer):
            with pytest.raises(JournalFull, match="the disk is full") as caught:
                writer.append(an_ok(0))
            assert caught.value.retryable
            states = [writer.full]
        writer.append(an_ok(1))
        states.append(writer.full)
    assert states == [True, False]
    with Index.load(run_dir) as index:
        assert [stored.key for stored in index.places()] == [KEYS[1]]
        assert index.damage == []


def test_the_run_waits_for_room_and_is_told_once_each_time(run_dir: Path) -> None:
    """Twenty results wait while the disk is full, twice; two notices; all are there afterwards."""
    notices: list[JournalFull] = []

    async def go(writer: Writer) -> None:
        with full_disk(writer):
            waiting = [
                asyncio.create_task(writer.append_waiting(an_ok(n), notices.append))
                for n in range(20)
            ]
            while not notices:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)

    with Writer(run_dir, turn=1, window_s=60) as writer:
        for _ in range(2):
            notices.clear()
            asyncio.run(go(writer))
            assert len(notices) == 1
    written = [line for line in segment_lines(run_dir)[1:] if line.strip()]
    assert sorted(written) == sorted([an_ok(n) for n in range(20)] * 2)


def test_waiting_for_room_can_be_given_up(run_dir: Path) -> None:
    """A cancelled line leaves nothing behind, no half of it and no error that nobody saw."""
    unseen: list[object] = []

    async def go(writer: Writer) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        told = asyncio.Event()
        with full_disk(writer):
            task = asyncio.create_task(writer.append_waiting(an_ok(0), lambda _: told.set()))
            await told.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await writer.append_waiting(an_ok(1))

    with Writer(run_dir, turn=1, window_s=60) as writer:
        asyncio.run(go(writer))
    assert unseen == []
    assert [line for line in segment_lines(run_dir)[1:] if line.strip()] == [an_ok(1)]


def test_a_write_under_way_is_not_lost_to_a_cancel(run_dir: Path) -> None:
    """Results that were handed over are written although their tasks are cancelled at once."""

    async def go(writer: Writer) -> None:
        with writer._lock:
            tasks = [asyncio.create_task(writer.append_waiting(an_ok(n))) for n in range(5)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)

    with Writer(run_dir, turn=1) as writer:
        asyncio.run(go(writer))
    assert segment_lines(run_dir)[1:] == [an_ok(n) for n in range(5)]


def test_a_segment_that_may_not_be_written_any_more_is_no_full_disk(run_dir: Path) -> None:
    """An error that no waiting mends is an error of its own."""
    with Writer(run_dir, turn=1, window_s=60) as writer:
        kept, other = os.dup(writer._handle), os.open(os.devnull, os.O_RDONLY)
        os.dup2(other, writer._handle, inheritable=False)
        with pytest.raises(OutputError, match="cannot write") as caught:
            writer.append(an_ok(0))
        assert type(caught.value) is OutputError
        os.dup2(kept, writer._handle, inheritable=False)
        os.close(kept)
        os.close(other)


QUOTA = """
import resource, sys
from pathlib import Path
from promptlift.batch.journal import JournalFull, Writer, lines

def line(number):
    record = '{"text": "%s"}' % ("x" * 500)
    return lines.result_line(f"{number:064x}", "ok", None, False, record, at=1)

def quota(bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))

with Writer(Path(sys.argv[1]), turn=1) as writer:
    writer.append(line(1))
    quota(writer.path.stat().st_size + 300)
    for _ in range(3):
        try:
            writer.append(line(2))
        except JournalFull as error:
            print(error.message.rpartition(": ")[2])
    quota(resource.RLIM_INFINITY)
    writer.append(line(2))
    writer.append(line(3))

quota(50)
try:
    Writer(Path(sys.argv[1]), turn=2)
except JournalFull as error:
    print(error.message.rpartition(": ")[2])
"""


def test_half_a_line_stands_alone(run_dir: Path) -> None:
    """A quota cuts a line in its middle; the lines after it are whole, and one is counted bad."""
    out = run_child(QUOTA, str(run_dir))
    assert out.splitlines() == ["the disk is full"] * 4
    assert len(list((run_dir / "segments").iterdir())) == 1  # None of a writer that never was.
    with Index.load(run_dir) as index:
        assert [int(stored.key, 16) for stored in index.places()] == [1, 2, 3]
        (damage,) = index.damage
        assert (damage.corrupt, damage.torn) == (1, 0)


KILLED = """
import os, sys
from pathlib import Path
from promptlift.batch.journal import Writer, lines

writer = Writer(Path(sys.argv[1]), turn=int(sys.argv[2]))
number = int(sys.argv[2]) * 10**6
while True:
    writer.result(f"{number:064x}", "ok", None, False, '{"text": "%s"}' % ("x" * (number % 9000)))
    os.write(1, b"%d\\n" % number)
    number += 1
"""


def test_a_killed_writer_loses_nothing_that_it_had_written(run_dir: Path) -> None:
    """Writers are killed in the middle of appending; what they had reported done is all there."""
    done: list[int] = []
    for turn in range(1, 4):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(run_dir), str(turn)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        done += [int(child.stdout.readline()) for _ in range(40 * turn)]
        child.send_signal(signal.SIGKILL)
        done += [int(line) for line in child.stdout.read().splitlines()]
        child.wait()
        child.stdout.close()
    with Index.load(run_dir) as index:
        found = {int(stored.key, 16) for stored in index.places()}
        assert found >= set(done)
        assert len(found - set(done)) <= 3  # Written, and killed before it was reported.
        assert index.highest_turn == 3
        assert sum(damage.corrupt for damage in index.damage) == 0
        for number in done[::40]:
            assert index.record(f"{number:064x}") == {"text": "x" * (number % 9000)}


def run_child(program: str, *arguments: str) -> str:
    """What a Python program prints."""
    call = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_folder_is_made_with_all_above_it(tmp_path: Path) -> None:
    """Nothing need be there, and what is there already is no trouble."""
    run_dir = tmp_path / "a" / "b"
    for _ in range(2):
        open_folder(run_dir)
        assert sorted(path.name for path in run_dir.iterdir()) == ["inputs", "segments"]


def test_a_file_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    """A file at the place, or on the way there, is named."""
    (tmp_path / "f").write_text("precious")
    with pytest.raises(OutputError, match=r"f'.*file"):
        open_folder(tmp_path / "f")
    with pytest.raises(OutputError, match=r"file"):
        open_folder(tmp_path / "f" / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "segments").write_text("")
    with pytest.raises(OutputError, match=r"segments'.*file"):
        open_folder(tmp_path / "run")
    assert (tmp_path / "f").read_text() == "precious"


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    """A folder of videos is not filled with a journal; the error says what was found there."""
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        (tmp_path / name).touch()
    with pytest.raises(OutputError, match=r"'a\.mp4', 'b\.mp4', 'c\.mp4' and 1 more"):
        open_folder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    (tmp_path / "manifest.json").write_text("{}")
    open_folder(tmp_path)


def test_a_hidden_file_or_a_fresh_disk_is_empty_enough(tmp_path: Path) -> None:
    """What file systems and half-finished writes leave does not stand in the way."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".nfs0001").touch()
    open_folder(tmp_path)


FORBIDDEN = """
import os, sys
from pathlib import Path
from promptlift.batch.journal import Writer, open_folder
from promptlift.errors import OutputError

if os.geteuid() == 0:
    os.setuid(65534)  # What holds for everybody does not hold for root.
for act in (open_folder, lambda folder: Writer(folder, turn=1)):
    try:
        act(Path(sys.argv[1]))
    except OutputError as error:
        print(error)
"""


def test_a_folder_that_may_not_be_written_to_is_refused() -> None:
    """Both the opening and a writer say so in words."""
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name) / "run"
        open_folder(run_dir)
        Path(name).chmod(0o755)
        for folder in (run_dir / "segments", run_dir / "inputs", run_dir):
            folder.chmod(0o555)
        try:
            said = run_child(FORBIDDEN, str(run_dir)).splitlines()
        finally:
            for folder in (run_dir, run_dir / "segments", run_dir / "inputs"):
                folder.chmod(0o755)
    assert len(said) == 2
    assert "may not be written to" in said[0]
    assert "Permission denied" in said[1]


def test_a_place_where_nothing_can_be_made_is_refused() -> None:
    """A file system that takes no folders is named, for root too."""
    with pytest.raises(OutputError, match="/proc/promptlift"):
        open_folder(Path("/proc/promptlift-run"))
