"""The local folder of a run in an object store: what is fetched, what is put there, and by whom."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from promptlift.errors import OptionError, OutputError
from promptlift.store.index import Index
from promptlift.store.remote import RemoteBehind, RemoteRun, local_copy
from promptlift.store.results import PartWriter, ResultLine
from promptlift.store.run_dir import RunConfig, copy_input, create_run_dir
from stubs.flaky_store import FlakyStore

KEY, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def url() -> str:
    """Where nothing is yet."""
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


def result(key: str) -> ResultLine:
    """A result."""
    return ResultLine(key, "ok", None, False, msgspec.Raw(b"{}"))


def write(remote: RemoteRun, *keys: str, turn: int = 1) -> PartWriter:
    """A writer that has written results and is closed."""
    create_run_dir(remote.folder)
    with PartWriter(remote.folder / "parts", turn=turn) as writer:
        for key in keys:
            writer.append(result(key))
    return writer


def describe(remote: RemoteRun, seed: int) -> None:
    """Write what the run is."""
    config = RunConfig(options={"seed": seed}, engine="vllm", model="m", revision="", template="t")
    config.write(remote.folder)


def found(folder: Path) -> set[str]:
    """The keys that have a result."""
    with Index(folder) as index:
        return {key for key, _ in index.items()}


def test_a_run_is_found_on_another_machine(url: str, tmp_path: Path) -> None:
    """All of it; and what is replaced there, or here, is replaced on the other side."""
    here, there = RemoteRun(url, tmp_path / "here"), RemoteRun(url, tmp_path / "there")
    write(here, KEY)
    describe(here, 1)
    copy_input(here.folder, "in", [b'{"n":1}\n'])
    here.push(final=True)
    there.pull()
    assert found(there.folder) == {KEY}
    for name in ("run.json", *[f"inputs/{p.name}" for p in (here.folder / "inputs").iterdir()]):
        assert (there.folder / name).read_bytes() == (here.folder / name).read_bytes()

    write(there, OTHER, turn=2)
    describe(there, 2)
    there.push(final=True)
    here.pull()
    assert found(here.folder) == {KEY, OTHER}
    assert RunConfig.read(here.folder) == RunConfig.read(there.folder)


def test_each_part_is_put_once_and_only_when_it_is_complete(flaky: str, tmp_path: Path) -> None:
    """The open part of a writer is not; what is unchanged is not put again."""
    remote = RemoteRun(flaky, tmp_path / "here")
    create_run_dir(remote.folder)
    with PartWriter(remote.folder / "parts", turn=1, part_bytes=300) as writer:
        while writer.path.name.endswith("00000.jsonl"):
            writer.append(result(KEY))
        remote.push()
        remote.push()
        assert [name.endswith("00000.jsonl") for name in FlakyStore.uploads] == [True]
    remote.push(final=True)
    again = RemoteRun(flaky, tmp_path / "here")
    again.pull()
    again.push(final=True)
    assert len(FlakyStore.uploads) == 2


def test_what_a_killed_process_left_is_put_by_the_next(url: str, tmp_path: Path) -> None:
    """On its machine; another machine's parts are that machine's business."""
    remote = RemoteRun(url, tmp_path / "here")
    create_run_dir(remote.folder)
    ended = subprocess.Popen(["true"])
    ended.wait()
    path = write(remote, KEY).path
    part = path.rename(path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-")))
    foreign = part.with_name("00001.elsewhere-1-00000000.00000.jsonl")
    foreign.write_bytes(part.read_bytes())
    with remote.syncing(60, print):
        other = RemoteRun(url, tmp_path / "there")
        other.pull()
        assert found(other.folder) == {KEY}
        assert not (other.folder / "parts" / foreign.name).exists()


def test_parts_are_put_while_the_run_goes_on(url: str, tmp_path: Path) -> None:
    """Complete ones within the time, the last one at the end."""
    remote, other = RemoteRun(url, tmp_path / "here"), RemoteRun(url, tmp_path / "there")
    with remote.syncing(0.02, print) as folder:
        create_run_dir(folder)
        with PartWriter(folder / "parts", turn=1, part_seconds=0.02, sync_seconds=0.02) as writer:
            writer.append(result(KEY))
            deadline = time.monotonic() + 20
            while not (other.folder / "parts").exists() and time.monotonic() < deadline:
                other.pull()
            writer.append(result(OTHER))
    other.pull()
    assert found(other.folder) == {KEY, OTHER}


def test_a_store_that_fails_for_a_while_is_tried_again(flaky: str, tmp_path: Path) -> None:
    """At first and at the end; in between it is said once that uploads are paused."""
    remote = RemoteRun(flaky, tmp_path / "here", pause_s=0.001)
    FlakyStore.failures = 3
    said: list[str] = []
    with remote.syncing(0.01, said.append):
        write(remote, KEY)
        FlakyStore.failures = 4
        describe(remote, 1)
        deadline = time.monotonic() + 20
        while len(said) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "are paused: the store is away" in said[0]
    assert "go on" in said[1]
    assert any(name.endswith("00000.jsonl") for name in FlakyStore.uploads)


def test_a_store_that_stays_away_costs_nothing_that_is_here(flaky: str, tmp_path: Path) -> None:
    """The error says where the results are, with the exit code for work that is left."""
    remote = RemoteRun(flaky, tmp_path / "here", pause_s=0.001)
    FlakyStore.failures = 1000
    with pytest.raises(OutputError, match="cannot read"):
        remote.pull()
    write(remote, KEY)
    with pytest.raises(RemoteBehind) as caught:
        remote.push(final=True)
    assert caught.value.exit_code == 75
    assert str(remote.folder) in caught.value.message
    FlakyStore.failures = 0
    remote.push(final=True)
    assert len(FlakyStore.uploads) == 1


def test_a_run_is_read_by_its_url(url: str, cache: Path) -> None:
    """From a folder in the cache; where no run is, that is said."""
    with pytest.raises(OptionError, match="there is no run at"):
        local_copy(url)
    remote = RemoteRun(url)
    assert cache in remote.folder.parents
    write(remote, KEY)
    remote.push(final=True)
    assert found(local_copy(url)) == {KEY}
    assert local_copy(Path("here")) == Path("here")


def test_a_url_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """With what to install."""
    with pytest.raises(OptionError, match="cannot open 'nothing://x'"):
        RemoteRun("nothing://x", tmp_path)
