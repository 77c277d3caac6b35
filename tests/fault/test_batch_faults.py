"""Batches that are disturbed: other inputs, other writers, bad disks, engines and videos, signals.

The real command in processes of its own, against a server that counts what it is asked. Kills at
random moments are in ``test_kills``.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fault.command import Process, left_over
from fault.desk import SHIMS, Desk, desk_in, until
from fault.ledger import damage, strays
from fault.scene import make_clips
from fault.server import Plan
from stubs.openai_server import Fault

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

DONE, SOME_UNFIT, LEFT, INTERRUPTED = 0, 1, 75, 130
HANG = Fault("hang")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips, made once."""
    return make_clips(tmp_path_factory.mktemp("made") / "clips")


@pytest.fixture
def desk(tmp_path: Path, made: Path) -> Iterator[Desk]:
    """A desk of its own with a copy of the clips."""
    clips = Path(shutil.copytree(made, tmp_path / "clips"))
    with desk_in(tmp_path, clips) as laid:
        yield laid


# Inputs


def test_rows_from_standard_input(desk: Desk) -> None:
    """A pipe is an input like any other: the same rows again cost nothing."""
    content = desk.put(desk.rows(4)).read_bytes()

    def piped() -> int:
        process = desk.batch.start(source="-", stdin=subprocess.PIPE)
        process.popen.communicate(content, timeout=60)
        return process.wait()

    assert piped() == DONE
    assert sorted(desk.server.asked) == [0, 1, 2, 3]
    assert piped() == DONE
    assert len(desk.server.asked) == 4
    assert desk.statuses() == {"ok": 4}


# What is to be done


def test_limit_and_retries_and_exit_codes(desk: Desk) -> None:
    """What is left, what failed, what was rejected: each is done when asked for, and only then."""
    desk.put(desk.rows(10))
    code, first = desk.run("--limit", "3")
    assert (code, len(first)) == (LEFT, 3)
    code, rest = desk.run()
    assert code == SOME_UNFIT
    assert {*first, *rest} == set(range(10))
    assert desk.statuses() == {"ok": 7, "repaired": 1, "rejected": 1, "failed": 1}
    assert desk.run() == (SOME_UNFIT, [])
    desk.server.follow(Plan(mended=True))
    assert desk.run("--retry", "failed") == (SOME_UNFIT, [8])
    assert desk.run("--retry", "rejected") == (DONE, [6])
    assert desk.run("--retry", "all") == (DONE, [])


def test_two_writers_of_the_same_rows(desk: Desk) -> None:
    """Two of the same command at once only cost a few requests that are made twice."""
    desk.put(desk.rows(20))
    desk.server.follow(Plan(delay=0.05))
    both = [desk.start() for _ in range(2)]
    assert [one.wait() for one in both] == [SOME_UNFIT, SOME_UNFIT]
    assert desk.run() == (SOME_UNFIT, [])
    assert damage(desk.run_dir) == []
    assert desk.statuses() == {"ok": 14, "repaired": 2, "rejected": 2, "failed": 2}


# The disk


def test_a_disk_that_fills_up(desk: Desk, tmp_path: Path) -> None:
    """On a full file system the run waits, asks nobody, and goes on when there is room."""
    disk = tmp_path / "run"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk]).returncode:
        pytest.skip("may not mount a file system")
    try:
        desk.put(desk.rows(30))
        (disk / ".filler").write_bytes(bytes(200 * 1024))
        process = desk.start()
        until(lambda: os.statvfs(disk).f_bavail == 0)
        until(lambda: _rests(desk))
        assert process.running
        assert 0 < desk.written() < 30
        (disk / ".filler").unlink()
        assert process.wait() == SOME_UNFIT, process.text
        assert desk.statuses() == {"ok": 21, "repaired": 3, "rejected": 3, "failed": 3}
        assert strays(desk.run_dir) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_quota_that_is_raised(desk: Desk) -> None:
    """The same with a limit on files; and a kill while it waits loses nothing that was written."""
    desk.put(desk.rows(20))
    for room in (25_000, 24_000):  # each for less than half of the results
        asked, written = len(desk.server.asked), desk.written()
        process = desk.start()
        resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        until(partial(_is_cut_at, desk, room))
        until(lambda: _rests(desk))
        assert process.running
        before = desk.written()
        assert before < 20
        # Who has an answer that cannot be written waits, and nothing more is asked meanwhile.
        now = set(desk.server.asked[asked:])
        assert len(now) - (before - written) <= 5
        if room == 25_000:
            process.kill()
            assert desk.written() == before
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE, unlimited)
    assert process.wait() == SOME_UNFIT, process.text
    assert desk.statuses() == {"ok": 14, "repaired": 2, "rejected": 2, "failed": 2}
    # The piece of a line for which there was no room is counted as damage, and is none.
    assert sum(one.lines for one in damage(desk.run_dir)) == 1


def _is_cut_at(desk: Desk, size: int) -> bool:
    """Whether a part has grown to so many bytes."""
    return any(path.stat().st_size == size for path in desk.run_dir.glob("parts/*"))


def _rests(desk: Desk) -> bool:
    """Whether something has been asked, and nothing for a while."""
    before = len(desk.server.asked)
    time.sleep(1.5)
    return 0 < before == len(desk.server.asked)


AS_NOBODY = """
import contextlib, io, os, sys
from promptlift.cli.main import _run
with contextlib.redirect_stderr(io.StringIO()):
    _run([argument.replace("in.jsonl", "no.jsonl") for argument in sys.argv[1:]])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.exit(_run(sys.argv[1:]))
"""


def test_a_folder_that_may_only_be_read(desk: Desk, tmp_path: Path) -> None:
    """Nothing is asked; one line says that the folder may not be written to."""
    desk.put(desk.rows(2))
    desk.run()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o005:
            folder.chmod(0o755)
    for folder in (desk.run_dir, *desk.run_dir.iterdir()):
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    asked = len(desk.server.asked)
    command = ["batch", "run", "in.jsonl", "--engine", "openai", "--base-url", desk.server.base_url]
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *command, "-o", str(desk.run_dir)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot keep a run in" in done.stderr
    assert len(desk.server.asked) == asked


# Videos


def test_videos_that_hang_or_crash_the_decoder_cost_themselves(desk: Desk) -> None:
    """A decoder that never comes back is ended at its time; all other rows are done meanwhile."""
    rows = desk.rows(6)
    for name in ("hangs.mp4", "crashes.mp4"):
        shutil.copy(desk.clips / "clip0.mp4", desk.clips / name)
        rows.insert(2, {**rows[0], "id": name, "video": str(desk.clips / name)})
    rows.append({**rows[0], "id": "cut", "video": str(desk.clips / "cut.mp4")})
    desk.put(rows)
    desk.batch.environment |= {"PYTHONPATH": SHIMS}
    process = desk.start("--decode-timeout", "6s", "--workers", "2")
    assert process.wait() == SOME_UNFIT, process.text
    codes = {name: row["error_code"] for name, row in desk.exported().items()}
    assert codes.pop("hangs.mp4") == "video_timeout"
    assert codes.pop("crashes.mp4") == "video_timeout"
    assert codes.pop("cut") == "video_unreadable"
    assert set(codes.values()) == {None}
    assert left_over(process.mark) == []


# Engines


def test_an_engine_that_goes_and_comes_back(desk: Desk) -> None:
    """The run waits for it, and no item is marked for it."""
    desk.put(desk.rows(30))
    desk.server.follow(Plan(delay=0.05))
    process = desk.start()
    until(lambda: len(desk.server.asked) > 6)
    desk.server.follow(Plan(chances={"503:0": 1.0}))
    until(lambda: len(desk.server.asked) > 13)  # so many that it is taken to be down
    desk.server.follow(Plan())
    assert process.wait() == SOME_UNFIT, process.text
    assert desk.statuses() == {"ok": 21, "repaired": 3, "rejected": 3, "failed": 3}
    codes = {row["error_code"] for row in desk.exported().values()}
    assert codes == {None, "engine_item", "refusal"}


def test_an_engine_that_stays_away(desk: Desk) -> None:
    """When patience is over the run ends with 75; nothing is marked, and nothing is lost."""
    desk.put(desk.rows(20))
    desk.server.follow(Plan(delay=0.05))
    process = desk.start("--patience", "1s")
    until(lambda: desk.run_dir.exists() and desk.written() > 5)
    desk.server.follow(Plan(chances={"503:0": 1.0}))
    assert process.wait() == LEFT, process.text
    done = desk.written()
    codes = {row["error_code"] for row in desk.exported().values()}
    assert codes <= {None, "engine_item", "refusal"}
    desk.server.follow(Plan())
    code, asked = desk.run()
    assert code == SOME_UNFIT
    assert len(set(asked)) == 20 - done


def test_a_request_that_hangs_costs_its_own_place(desk: Desk) -> None:
    """While one request hangs all others are answered and written."""
    desk.put(desk.rows(12, first=20))
    desk.server.follow(Plan(mended=True))
    desk.server.faults.extend([None, HANG])
    process = desk.start("--concurrency", "2")
    until(lambda: desk.server.hanging.is_set() and desk.written() == 11)
    assert process.running
    process.kill()
    assert left_over(process.mark) == []
    code, asked = desk.run()
    assert (code, len(asked)) == (DONE, 1)


# Signals


def test_ctrl_c_finishes_what_is_in_flight(desk: Desk) -> None:
    """Nothing more is sent, every answer is kept, and the same command asks for the rest only."""
    process, begun = _interrupted(desk, signal.SIGINT)
    assert process.wait() == INTERRUPTED, process.text
    assert left_over(process.mark) == []
    _goes_on(desk, begun)


def test_sigterm_does_the_same(desk: Desk) -> None:
    """With the exit code for work that is left."""
    process, begun = _interrupted(desk, signal.SIGTERM)
    assert process.wait() == LEFT, process.text
    _goes_on(desk, begun)


def test_ctrl_c_twice_stops_at_once(desk: Desk) -> None:
    """Requests that hang are not waited for; what was written stays."""
    desk.put(desk.rows(20, first=20))
    desk.server.follow(Plan(mended=True))
    desk.server.faults.extend([None] * 6 + [HANG] * 30)
    process = desk.start()
    until(lambda: desk.server.hanging.is_set() and desk.written() == 6)
    process.signal(signal.SIGINT)
    until(lambda: "once more" in process.text)
    assert process.running
    process.signal(signal.SIGINT)
    assert process.wait() == INTERRUPTED, process.text
    assert left_over(process.mark) == []
    desk.server.faults.clear()
    code, asked = desk.run()
    assert (code, len(asked)) == (DONE, 14)


def test_ctrl_c_while_the_engine_is_waited_for(desk: Desk) -> None:
    """A run that has not begun yet ends all the same, and has marked nothing."""
    desk.put(desk.rows(2))
    desk.server.page_faults.append(HANG)
    process = desk.start()
    until(desk.server.hanging.is_set)
    process.signal(signal.SIGINT)
    until(lambda: "once more" in process.text)
    process.signal(signal.SIGINT)
    assert process.wait() == INTERRUPTED, process.text
    assert desk.run()[0] == DONE


def _interrupted(desk: Desk, number: signal.Signals) -> tuple[Process, set[int]]:
    desk.put(desk.rows(30, first=20))
    desk.server.follow(Plan(mended=True, delay=0.3))
    process = desk.start()
    until(lambda: len(desk.server.asked) > 4)
    process.signal(number)
    process.wait()
    return process, set(desk.server.asked)


def _goes_on(desk: Desk, begun: set[int]) -> None:
    assert desk.written() == len(begun) < 30
    desk.server.follow(Plan(mended=True))
    code, asked = desk.run()
    assert code == DONE
    assert sorted(asked) == sorted(set(range(20, 50)) - begun)
