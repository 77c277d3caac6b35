"""The file that says which engine is up, and when it is not to be believed."""

from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from promptlift.engines.vllm.state import (
    State,
    clear_state,
    exclusive,
    log_folder,
    process_identity,
    read_state,
    write_state,
)
from promptlift.errors import ConfigEngineError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setattr(
        "promptlift.engines.vllm.state.platformdirs.user_state_path", lambda _: tmp_path
    )
    return tmp_path / "vllm"


def _state(pid: int, identity: str) -> State:
    return State(
        status="ready",
        pid=pid,
        identity=identity,
        engine_pid=0,
        port=8123,
        key="secret",
        model="tiny",
        source="/models/tiny",
        revision="r",
        family="pixtral",
        images=2,
        context=9216,
        version="0.32.0",
        note="",
        log="",
        since=0.0,
    )


def _ours() -> State:
    identity = process_identity(os.getpid())
    assert identity is not None
    return _state(os.getpid(), identity)


def test_what_was_written_is_read() -> None:
    """A living owner's state comes back as it was."""
    write_state(_ours())
    assert read_state() == _ours()


def test_only_the_user_may_read_it(folder: Path) -> None:
    """It holds the key: the file and its folder are closed to others."""
    write_state(_ours())
    file = next(folder.glob("engine-*.json"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(log_folder().stat().st_mode) == 0o700


def test_the_key_is_in_no_repr() -> None:
    """What a traceback or a log shows of it has no key."""
    assert "secret" not in repr(_ours())
    assert "secret" not in repr(_ours().endpoint)


def test_a_dead_owners_file_is_removed(folder: Path) -> None:
    """After a crash of the owner nothing is up, and the file goes."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = process_identity(child.pid)
        assert identity is not None
        write_state(_state(child.pid, identity))
        assert read_state() is not None
        child.kill()
    assert read_state() is None
    assert not list(folder.glob("*.json"))


def test_a_number_that_was_given_again_is_not_the_owner() -> None:
    """Another process with the owner's id, but another beginning, does not count."""
    write_state(dataclasses.replace(_ours(), identity="another-boot/1"))
    assert read_state() is None


def test_a_zombie_is_dead() -> None:
    """An owner that nobody has waited for yet holds nothing any more."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert process_identity(pid) is None
    finally:
        os.waitpid(pid, 0)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"status": "ready", "shoe": 3}'])
def test_a_garbled_file_is_no_state(folder: Path, content: str) -> None:
    """A file of another version, or half of one, is removed and not believed."""
    write_state(_ours())
    file = next(folder.glob("engine-*.json"))
    file.write_text(content)
    assert read_state() is None
    assert not file.exists()


def test_a_stranger_with_the_engines_number_lives() -> None:
    """Cleaning up ends the dead owner's engine, and never a process that only has its number."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as stranger:
        clear_state(dataclasses.replace(_ours(), identity="gone", engine_pid=stranger.pid))
        assert stranger.poll() is None
        stranger.kill()


def test_an_engine_that_outlived_its_owner_is_ended() -> None:
    """Where even the guardian was killed, whoever reads the stale file ends the engine."""
    command = [sys.executable, "-c", "input()", "vllm", "8123"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as engine:
        write_state(dataclasses.replace(_ours(), identity="gone", engine_pid=engine.pid))
        assert read_state() is None
        assert engine.wait(30) == -9


def test_a_home_that_cannot_be_written_is_said(folder: Path) -> None:
    """Reading finds no engine there; writing is one clear error with a way out."""
    folder.write_text("a file in the way")
    assert read_state() is None
    with pytest.raises(ConfigEngineError, match="state cannot be kept in") as raised:
        write_state(_ours())
    assert "XDG_STATE_HOME" in raised.value.remedy


def test_looking_makes_nothing(folder: Path) -> None:
    """Who only asks whether an engine is up leaves no folder behind."""
    assert read_state() is None
    assert not folder.exists()


def test_looking_loads_no_client() -> None:
    """Commands ask it at each start, and most of them never need the client of an engine."""
    code = "import sys, promptlift.engines.vllm.state; sys.exit('openai' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_at_a_time() -> None:
    """Who does not wait is told that another is at it; afterwards it is free."""
    with exclusive("test", wait=False) as first:
        assert first
        with exclusive("test", wait=False) as second:
            assert not second
    with exclusive("test", wait=True) as third:
        assert third


def test_hosts_that_share_a_home_have_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process id says nothing on another machine."""
    write_state(_ours())
    monkeypatch.setattr("promptlift.engines.vllm.state.socket.gethostname", lambda: "node/17")
    assert read_state() is None
    write_state(_ours())
    assert read_state() == _ours()
