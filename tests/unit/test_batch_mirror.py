"""The local folder of a run in an object store: what is brought, what is sent, and by whom."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from promptlift.batch.journal import Index, Writer, lines, open_folder
from promptlift.batch.mirror import Mirror, MirrorBehind, local_copy
from promptlift.cli import types
from promptlift.cli.main import _run
from promptlift.errors import OptionError, OutputError
from stubs.flaky_store import FlakyStore

KEY = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet."""
    if request.param == "file":
        return f"file://{tmp_path}/store/run"
    return f"memory://{secrets.token_hex(8)}/run"


@pytest.fixture
def flaky() -> str:
    """A URL in a store that fails at will."""
    FlakyStore.failures = 0
    FlakyStore.uploads.clear()
    return f"flaky://{secrets.token_hex(8)}/run"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache."""
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def begun(mirror: Mirror, turn: int = 1) -> Writer:
    """A writer in the folder of a mirror."""
    open_folder(mirror.folder)
    return Writer(mirror.folder, turn=turn)


def done(writer: Writer, key: str = KEY) -> None:
    """One result."""
    writer.append(lines.result_line(key, "ok", None, False, b"{}", at=1.0))


def keys(folder: Path) -> int:
    """How many items have a result."""
    with Index.load(folder) as index:
        return index.counts().total()


def never(line: str) -> None:
    """Nothing is to be said."""
    raise AssertionError(line)


def test_another_machine_has_what_was_sent(url: str, tmp_path: Path) -> None:
    """What one mirror pushes another pulls, byte for byte, again when it has grown."""
    here, there = Mirror(url, tmp_path / "a"), Mirror(url, tmp_path / "b")
    with begun(here) as writer:
        done(writer)
        here.push()
        there.pull()
        assert keys(there.folder) == 1
        done(writer, OTHER)
        there.pull()
        assert keys(there.folder) == 1
        here.push()
    there.pull()
    assert keys(there.folder) == 2
    copy = there.folder / "segments" / writer.path.name
    assert copy.read_bytes() == writer.path.read_bytes()


def test_two_writers_never_touch_each_others_segment(url: str, tmp_path: Path) -> None:
    """A mirror sends no segment of another machine, even if it holds more of it than the store."""
    here = Mirror(url, tmp_path / "a")
    segments = here.folder / "segments"
    open_folder(here.folder)
    foreign = segments / "elsewhere-1-0123abcd.jsonl"
    foreign.write_bytes(b"of another machine\n")
    with begun(here) as writer:
        here.push()
    there = Mirror(url, tmp_path / "b")
    there.pull()
    assert [path.name for path in (there.folder / "segments").iterdir()] == [writer.path.name]


@pytest.mark.parametrize("alive", [True, False])
def test_what_a_dead_process_left_is_sent_by_the_next(
    url: str, tmp_path: Path, alive: bool
) -> None:
    """A segment of this machine is sent by another process once its own is gone, not before."""
    here = Mirror(url, tmp_path / "a")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        if not alive:
            process.communicate(b"\n")
        with begun(here) as writer:
            done(writer)
        name = writer.path.name.replace(f"-{os.getpid()}-", f"-{process.pid}-")
        writer.path.rename(writer.path.with_name(name))
        here.push()
    finally:
        process.communicate(b"\n" if alive else None)
    there = Mirror(url, tmp_path / "b")
    there.pull()
    found = [path.name for path in (there.folder / "segments").glob("*")]
    assert found == ([] if alive else [name])


def test_the_longer_copy_of_a_segment_stays(url: str, tmp_path: Path) -> None:
    """A pull takes nothing away from a segment that has grown since it was sent."""
    here = Mirror(url, tmp_path / "a")
    with begun(here) as writer:
        here.push()
        done(writer)
        size = writer.path.stat().st_size
        here.pull()
        assert writer.path.stat().st_size == size
    assert keys(here.folder) == 1


def test_a_reading_that_changes_within_its_length_is_brought(url: str, tmp_path: Path) -> None:
    """A whole reading is replaced by one of the same size; its last line tells them apart."""
    here, there = Mirror(url, tmp_path / "a"), Mirror(url, tmp_path / "b")
    open_folder(here.folder)
    reading = here.folder / "inputs" / f"{'0' * 16}.jsonl"
    reading.write_bytes(b'{"row":1}\n{"sum":"11"}\n')
    here.push()
    there.pull()
    reading.write_bytes(b'{"row":2}\n{"sum":"22"}\n')
    os.utime(reading, ns=(1, 1))
    here.push()
    there.pull()
    assert (there.folder / "inputs" / reading.name).read_bytes() == reading.read_bytes()


def test_what_was_replaced_here_and_not_sent_is_kept(url: str, tmp_path: Path) -> None:
    """A reader beside a run does not put the store's older manifest over the run's new one."""
    here = Mirror(url, tmp_path / "a")
    (here.folder / "manifest.json").write_text("old")
    here.push()
    (here.folder / "manifest.json").write_text("newer")
    Mirror(url, tmp_path / "a").pull()
    assert (here.folder / "manifest.json").read_text() == "newer"
    here.push()
    there = Mirror(url, tmp_path / "b")
    there.pull()
    assert (there.folder / "manifest.json").read_text() == "newer"


def test_a_part_that_became_a_whole_reading_is_gone_from_the_store(
    url: str, tmp_path: Path
) -> None:
    """The store has no file that the run no longer has."""
    here = Mirror(url, tmp_path / "a")
    with begun(here) as writer:
        whole = here.folder / "inputs" / f"{'0' * 16}.jsonl"
        part = whole.with_name(f"{'0' * 16}.{writer.name}.part")
        part.write_bytes(b"rows\n")
        here.push()
        part.rename(whole)
        here.push()
    there = Mirror(url, tmp_path / "b")
    there.pull()
    assert [path.name for path in (there.folder / "inputs").iterdir()] == [whole.name]


def test_uploads_that_fail_are_told_once_and_go_on(flaky: str, tmp_path: Path) -> None:
    """A store that is away for a while costs nothing; the person hears of both ends of it."""
    said: list[str] = []
    over = threading.Event()

    def told(line: str) -> None:
        said.append(line)
        if "go on" in line:
            over.set()

    mirror = Mirror(flaky, tmp_path / "a", every_s=0.01, pause_s=0.001)
    with mirror.kept_up(told), begun(mirror) as writer:
        FlakyStore.failures = 3
        done(writer)
        assert over.wait(30)
    assert "paused: the store is away; results are kept in" in said[0]
    assert "go on" in said[1]
    there = Mirror(flaky, tmp_path / "b")
    there.pull()
    assert keys(there.folder) == 1


def test_a_store_that_stays_away_loses_nothing(flaky: str, tmp_path: Path) -> None:
    """The end of the run says where the results are and exits as with work left; the next run
    uploads them first.
    """
    mirror = Mirror(flaky, tmp_path / "a", every_s=1000, pause_s=0.001)
    with (
        pytest.raises(MirrorBehind, match="what is not there is in") as caught,
        mirror.kept_up(never),
        begun(mirror) as writer,
    ):
        done(writer)
        FlakyStore.failures = 1000
    assert caught.value.exit_code == 75
    assert keys(mirror.folder) == 1
    FlakyStore.failures = 0
    with Mirror(flaky, tmp_path / "a").kept_up(never):
        there = Mirror(flaky, tmp_path / "b")
        there.pull()
        assert keys(there.folder) == 1


def test_what_a_broken_transfer_left_is_removed(url: str, tmp_path: Path) -> None:
    """A copy of a process that is gone is removed, one of a process that runs is not."""
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE, check=True
    )
    mirror = Mirror(url, tmp_path / "a")
    gone = mirror.folder / f".{int(process.stdout)}-7.upload"
    mine = mirror.folder / f".{os.getpid()}-7.download"
    gone.touch()
    mine.touch()
    with mirror.kept_up(never):
        assert (gone.exists(), mine.exists()) == (False, True)


def test_only_what_changed_is_sent(flaky: str, tmp_path: Path) -> None:
    """Another push without a change uploads nothing; a new process knows what was sent."""
    here = Mirror(flaky, tmp_path / "a")
    with begun(here) as writer:
        (here.folder / "manifest.json").write_text("{}")
        here.push()
        here.push()
        assert FlakyStore.uploads == ["manifest.json", writer.path.name]
        again = Mirror(flaky, tmp_path / "a")
        again.pull()
        again.push()
        assert len(FlakyStore.uploads) == 2


def test_a_store_that_cannot_be_read(flaky: str, tmp_path: Path) -> None:
    """The error has the URL and the reason."""
    FlakyStore.failures = 1000
    with pytest.raises(OutputError, match=r"cannot read 'flaky://.*the store is away"):
        Mirror(flaky, tmp_path / "a", pause_s=0.001).pull()


def test_a_url_without_a_run(url: str) -> None:
    """Is told of by its own name, not by that of the copy."""
    with pytest.raises(OptionError, match=f"there is no run at '{url}'"):
        local_copy(url)


@pytest.mark.parametrize("url", ["nosuch://bucket/run", "s3a1://x/y"])
def test_a_url_that_nothing_opens(url: str) -> None:
    """The remedy says what is missing."""
    with pytest.raises(OptionError, match=r"cannot open .*") as caught:
        Mirror(url)
    assert "s3fs" in caught.value.remedy


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(OptionError, match="needs fsspec") as caught:
        Mirror("s3://bucket/run")
    assert "promptlift[objects]" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("runs/monday", Path("runs/monday")),
        ("C:\\runs", Path("C:\\runs")),
        ("s3://bucket/run", "s3://bucket/run"),
        ("file:///tmp/run", "file:///tmp/run"),
    ],
)
def test_a_place_is_a_folder_or_a_url(text: str, place: Path | str) -> None:
    """A URL keeps both its slashes."""
    assert types.place(text) == place


def test_a_folder_is_not_uploaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who says how often, and names no URL, is told so before anything is done."""
    more, why = ["-o", "run", "--upload-every", "5s"], "--upload-every is for a run at a URL"
    (tmp_path / "in.jsonl").write_text("")
    engine = ["--engine", "openai", "--base-url", "http://localhost:9/v1"]
    assert _run(["batch", str(tmp_path / "in.jsonl"), *engine, *more]) == 2
    assert why in capsys.readouterr().err
