"""Results of a batch on disk: parts, the index over them, the folder of a run."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.batch.rows import Row, count_rows, row_json, rows_of
from promptlift.errors import InputError, OptionError, OutputError, SpecError
from promptlift.options import Options
from promptlift.store.index import Index, KeyState
from promptlift.store.results import (
    EndLine,
    PartName,
    PartWriter,
    ProgressLine,
    ResultLine,
    RowLine,
    StoreFull,
    VideoLine,
    path_text,
)
from promptlift.store.run_dir import (
    InputCopy,
    RunCommand,
    RunConfig,
    copy_input,
    create_run_dir,
    ensure_config,
    input_copies,
    open_run,
)

KEYS = [f"{number:064x}" for number in range(300)]
ROWS = [f"{number:032x}" for number in range(300)]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The empty folder of a run."""
    create_run_dir(tmp_path / "run")
    return tmp_path / "run"


def begin(run_dir: Path, turn: int = 1, **settings: Any) -> PartWriter:
    """A writer in the folder of a run."""
    return PartWriter(run_dir / "parts", turn=turn, **settings)


def ok(
    number: int, size: int = 10, status: str = "ok", code: str | None = None, text: str = ""
) -> ResultLine:
    """A result for the item with this number, with a record of about `size` bytes."""
    raw = msgspec.Raw((text or record(number, size)).encode())
    return ResultLine(KEYS[number], status, code, False, raw)


def record(number: int, size: int = 10) -> str:
    """What `ok` says of an item."""
    return json.dumps({"n": number, "text": "é" + "x" * size})


def config(options: dict[str, Any] | None = None, model: str = "pixtral") -> RunConfig:
    """What a run with these options is."""
    return RunConfig(
        options=options or {"seed": 0}, engine="vllm", model=model, revision="r1", template="t1"
    )


# Parts and the index


def test_what_is_written_is_read(run_dir: Path) -> None:
    """Results with their records, rows, videos, and what the writer says of itself."""
    odd = "/videos/\udcff.mp4"
    with begin(run_dir) as writer:
        writer.append(VideoLine("/a.mp4", 5, 7, "1"), VideoLine(path_text(odd), 5, 7, "2"))
        writer.append(ok(1), RowLine(ROWS[4], KEYS[1]))
        writer.append(ok(2, status="rejected", code="loop"), ProgressLine({"now": {"ok": 1}}))
        with Index(run_dir) as index:  # while it is being written
            assert len(index) == 2
        writer.append(EndLine("done"))
    with Index(run_dir) as index:
        assert index.state(KEYS[1]) == KeyState("ok", None, False)
        assert index.state(KEYS[2]) == KeyState("rejected", "loop", False)
        assert index.state(KEYS[3]) is None
        assert index.raw_record(KEYS[1]).decode() == record(1)
        assert dict(index.items()).keys() == {KEYS[1], KEYS[2]}
        assert (index.key_of(ROWS[4]), index.key_of(ROWS[5])) == (KEYS[1], None)
        assert index.video("/a.mp4") == VideoLine("/a.mp4", 5, 7, "1")
        assert index.video("/b.mp4") is None
        noted = index.video(odd)
        assert noted is not None
        assert noted.content == "2"
        (log,) = index.writers
        assert (log.name, log.turn, index.highest_turn) == (writer.name, 1, 1)
        assert log.start is not None
        assert log.start.pid == os.getpid()
        assert [line.counts for line in log.progress] == [{"now": {"ok": 1}}]
        assert log.end is not None
        assert log.end.reason == "done"
        assert index.damage == []
        with pytest.raises(KeyError):
            index.raw_record(KEYS[3])


def test_parts_are_rotated_and_complete_ones_never_change(run_dir: Path) -> None:
    """By size and by age; each complete part is named once, and all are read in their order."""
    with begin(run_dir, part_bytes=3000) as writer:
        for number in range(100):
            writer.append(ok(number, 100))
        complete = sorted((run_dir / "parts").iterdir())
        assert len(complete) > 3
        before = {path: path.read_bytes() for path in complete[:-1]}
    assert {path: path.read_bytes() for path in before} == before
    assert [PartName.parse(path.name) for path in complete] == [
        (1, writer.name, number) for number in range(len(complete))
    ]
    assert len(Index(run_dir)) == 100
    with begin(run_dir, turn=2, part_seconds=0.05, sync_seconds=0.02) as writer:
        first = writer.path
        while len(list((run_dir / "parts").iterdir())) == len(complete) + 1:
            writer.append(ok(200))
        assert writer.path != first


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["ok", "rejected", "failed"]))))
def test_which_result_stands_does_not_depend_on_the_order_of_reading(
    said: list[tuple[int, str]],
) -> None:
    """The better one, and among equals the one of the later writer."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        create_run_dir(run_dir)
        live = Index(run_dir)
        writers = {turn: begin(run_dir, turn) for turn in (3, 1, 2)}
        for place, (turn, status) in enumerate(said):
            writers[turn].append(ok(0, status=status, code=str(turn), text=f"[{place}]"))
            live.refresh()
        for writer in writers.values():
            writer.close()
        fresh = Index(run_dir)
        rank = ["failed", "rejected", "ok"]
        best = max(((rank.index(s), t, p) for p, (t, s) in enumerate(said)), default=None)
        for index in (live, fresh):
            if best is None:
                assert index.state(KEYS[0]) is None
            else:
                assert index.raw_record(KEYS[0]) == f"[{best[2]}]".encode()
        live.close()
        fresh.close()


@pytest.mark.parametrize(
    ("tail", "damage"),
    [
        (b'{"kind":"result","key":"00', (0, 26)),
        (b'{"kind":"result","key":"00\n', (1, 0)),
        (b'{"kind":"result","key":"00","status":"ok","code":null,"retryable":false}\n', (1, 0)),
        (b'{"kind":"row","row":"zz","key":"00"}\n', (1, 0)),
        (b"\xff\xfe\n", (1, 0)),
        (b"\n", (0, 0)),
    ],
)
def test_damaged_lines_cost_themselves(run_dir: Path, tail: bytes, damage: tuple[int, int]) -> None:
    """A torn end and lines that are not understood are left out and counted."""
    with begin(run_dir) as writer:
        writer.append(ok(1))
    with writer.path.open("ab") as file:
        file.write(tail)
    with Index(run_dir) as index:
        assert len(index) == 1
        assert [(one.lines, one.torn) for one in index.damage] == ([damage] if any(damage) else [])


def test_a_record_that_has_changed_is_not_given(run_dir: Path) -> None:
    """A line that was overwritten since it was read is no other item's record."""
    with begin(run_dir) as writer:
        writer.append(ok(1))
    with Index(run_dir) as index:
        text = writer.path.read_bytes().replace(KEYS[1].encode(), KEYS[2].encode())
        writer.path.write_bytes(text)
        with pytest.raises(OutputError, match="has changed since it was read"):
            index.raw_record(KEYS[1])


def test_a_folder_of_a_newer_format_is_refused(run_dir: Path) -> None:
    """With the version that wrote it."""
    with begin(run_dir) as writer:
        pass
    text = writer.path.read_text().replace('"schema":1', '"schema":2')
    writer.path.write_text(text)
    with pytest.raises(OutputError, match="in a format that this version does not know"):
        Index(run_dir)


# Bad disks


class Disk:
    """Stands in the way of a writer's system calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.fsync_error: int | None = None
        self._write, self._fsync = os.write, os.fsync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def write(self, handle: int, data: bytes) -> int:
        """Write as much as there is room for."""
        if self.room is None:
            return self._write(handle, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(handle, data[: self.room])
        self.room -= written
        return written

    def fsync(self, handle: int) -> None:
        """Fail if told to."""
        if self.fsync_error is not None:
            raise OSError(self.fsync_error, os.strerror(self.fsync_error))
        self._fsync(handle)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk."""
    return Disk(monkeypatch)


def test_a_full_disk_is_waited_for(run_dir: Path, disk: Disk) -> None:
    """A line that did not fit is written whole when there is room; the piece of it is left out."""
    full: list[StoreFull] = []

    def make_room(error: StoreFull) -> None:
        full.append(error)
        disk.room = None

    async def work() -> None:
        with begin(run_dir) as writer:
            await writer.write(ok(1), on_full=make_room)
            disk.room = 30
            await writer.write(ok(2), on_full=make_room)

    asyncio.run(work())
    assert "the disk is full" in str(full[0])
    with Index(run_dir) as index:
        assert len(index) == 2
        assert [damage.lines for damage in index.damage] == [1]


def test_a_full_disk_when_the_next_part_begins(run_dir: Path, disk: Disk) -> None:
    """The line goes into the new part as soon as there is room."""
    with begin(run_dir, part_bytes=100) as writer:
        writer.append(ok(1, 100))
        disk.room = 0
        with pytest.raises(StoreFull):
            writer.append(ok(2))
        disk.room = None
        writer.append(ok(2))
    assert len(Index(run_dir)) == 2


def test_lines_are_written_again_after_a_failed_fsync(run_dir: Path, disk: Disk) -> None:
    """What may have been dropped since the last good one is there again."""
    writer = begin(run_dir, sync_seconds=1000)
    writer.append(ok(1))
    disk.fsync_error = errno.EIO
    with pytest.raises(StoreFull):
        writer.close()
    disk.fsync_error = None
    text = writer.path.read_bytes()
    assert text.count(KEYS[1].encode()) == 1
    writer = begin(run_dir, turn=2, sync_seconds=0.02)
    writer.append(ok(2))
    disk.fsync_error = errno.EIO
    while not writer._doubtful:
        pass
    disk.fsync_error = None
    writer.append(ok(3))
    writer.close()
    assert writer.path.read_bytes().count(KEYS[2].encode()) >= 2
    assert len(Index(run_dir)) == 3


def test_a_file_system_without_fsync_will_do(run_dir: Path, disk: Disk) -> None:
    """Such as some network file systems."""
    disk.fsync_error = errno.EINVAL
    with begin(run_dir) as writer:
        writer.append(ok(1))
    assert len(Index(run_dir)) == 1


# The folder and run.json


def test_a_folder_is_made_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new or empty folder, or one of a run that may be written to; nothing else."""
    create_run_dir(tmp_path / "a" / "b")
    create_run_dir(tmp_path / "a" / "b")
    (tmp_path / "other").mkdir()
    for name in "12":
        (tmp_path / "other" / name).touch()
    with pytest.raises(OutputError, match=r"it holds 2 other files or folders, such as '1'"):
        create_run_dir(tmp_path / "other")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError, match="cannot keep a run in"):
            create_run_dir(path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match=r"cannot keep a run in '.*': it may not be written to"):
        create_run_dir(tmp_path / "a" / "b")


def test_what_is_no_run_is_not_read(tmp_path: Path) -> None:
    """Each with what to name instead."""
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("gone", "file", "empty"):
        with pytest.raises(OptionError, match="is not the folder"), open_run(tmp_path / name):
            pass
    with pytest.raises(InputError, match="there is no run in"):
        RunCommand.read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, r"run\.json.*no result is lost") for text in ("", "[]", '{"schema": 1}', "null")),
        ('{"schema": 2, "promptlift": "9.9"}', r"promptlift 9\.9, in a format"),
    ],
)
def test_a_run_json_that_cannot_be_read_is_refused(run_dir: Path, text: str, message: str) -> None:
    """One that is damaged, and one of a newer version, which is named."""
    (run_dir / "run.json").write_text(text)
    with pytest.raises(OptionError, match=message):
        RunConfig.read(run_dir)


def test_other_options_are_refused_unless_accepted(run_dir: Path) -> None:
    """The message says what differs; accepted, the new ones hold."""
    first = config({"seed": 0, "frames": 8})
    assert ensure_config(run_dir, first) == first
    assert ensure_config(run_dir, config(first.options)).created_at == first.created_at
    other = config({"seed": 1}, model="m")
    with pytest.raises(OptionError) as caught:
        ensure_config(run_dir, other)
    assert caught.value.message.endswith(
        "seed is 1 here and 0 in the folder; model is m here and pixtral in the folder; "
        "frames is not set here and 8 in the folder"
    )
    assert "--accept-changes" in caught.value.remedy
    ensure_config(run_dir, other, accept_changes=True)
    assert ensure_config(run_dir, other).options == {"seed": 1}


def test_the_last_command_is_kept(run_dir: Path) -> None:
    """So that a retry needs the folder only; a run without one leaves what is there."""
    options = Options(frames=4, seed=3, attempts=2)
    command = RunCommand(
        engine="openai", engine_settings={"base_url": "http://a/v1"}, options=options
    )
    ensure_config(run_dir, config().model_copy(update={"command": command}))
    ensure_config(run_dir, config())
    read = RunCommand.read(run_dir)
    assert read == command
    assert read.settings_without_retries["retries"] == 0


# Copies of inputs


def copied(run_dir: Path, lines: list[bytes], source: str = "in") -> InputCopy:
    """Copy an input."""
    return copy_input(run_dir, source, iter(lines))


def test_the_latest_copy_of_an_input_holds(run_dir: Path) -> None:
    """Each input has one, by its name."""
    copied(run_dir, [b"{}\n"])
    assert list(copied(run_dir, [b'{"n":3}\n']).lines()) == [b'{"n":3}\n']
    copied(run_dir, [b"{}\n"], source="other")
    assert [copy.source for copy in input_copies(run_dir)] == ["in", "other"]
    with open_run(run_dir, source="other") as run:
        assert [copy.source for copy in run.inputs] == ["other"]
    with pytest.raises(OptionError, match="no input 'x'"), open_run(run_dir, source="x"):
        pass


def test_a_copy_that_was_broken_off_leaves_the_earlier_one(run_dir: Path) -> None:
    """And what a kill left of one is removed by the next."""
    first = copied(run_dir, [b"{}\n"])

    def broken() -> Any:
        yield b"{}\n"
        raise OptionError("no more", remedy="")

    with pytest.raises(OptionError):
        copy_input(run_dir, "in", broken())
    (
        run_dir / "inputs" / f".{begin(run_dir).name.rsplit('-', 2)[0]}-999999999-00000000.part"
    ).touch()
    assert input_copies(run_dir) == [first]
    copied(run_dir, [b"{}\n"], source="other")
    assert not list((run_dir / "inputs").glob(".*"))


def test_rows_come_back_from_a_copy_as_they_were(run_dir: Path) -> None:
    """Whatever they say; shards of them are the whole, and damage is no row less."""
    trouble = SpecError("line 3 is no JSON", remedy="mend it")
    rows = [
        Row.of(0, "/videos/\udcff.mp4", "é", id="a", options={"frames": 3}, extra={"x": [1, None]}),
        *(Row.of(number, f"/{number}.mp4") for number in range(1, 30)),
        Row.broken(30, "{", trouble, extra={"y": 0.5}),
    ]
    copy = copied(run_dir, [row_json(row) for row in rows])
    assert list(rows_of(copy)) == rows
    parts = [list(rows_of(copy, (part, 3))) for part in (1, 2, 3)]
    assert sorted(chain.from_iterable(parts), key=lambda row: row.number) == rows
    assert [count_rows(copy, (part, 3)) for part in (1, 2, 3)] == [len(part) for part in parts]
    copy.path.write_bytes(copy.path.read_bytes().replace(b'"number"', b'"numbe"', 1))
    with pytest.raises(OutputError, match="is damaged"):
        list(rows_of(copy))
