"""Whatever ends the owner of an engine ends the engine and all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from promptlift.engines.vllm.process import EngineProcess
from promptlift.errors import ConfigEngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# An engine with a child, a grandchild in a session of its own, and one that ignores SIGTERM.
TREE = """
import os, signal, subprocess, sys, time
sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
deaf = [sys.executable, "-c",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
children = [subprocess.Popen(sleeper), subprocess.Popen(deaf),
            subprocess.Popen(sleeper, start_new_session=True)]
with open(sys.argv[1] + ".new", "w") as file:
    file.write(" ".join(str(pid) for pid in [os.getpid(), *(c.pid for c in children)]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""

OWNER = """
import os, sys, time
from pathlib import Path
from promptlift.engines.vllm.process import EngineProcess
process = EngineProcess.start(sys.argv[3:], os.environ, Path(sys.argv[2]))
if sys.argv[1] == "fork" and os.fork() == 0:
    time.sleep(600)
print(process.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _left(pids: list[int]) -> list[int]:
    deadline = time.monotonic() + 60
    while (left := [pid for pid in pids if _alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _tree(tmp_path: Path) -> tuple[list[str], Path]:
    return [sys.executable, "-c", TREE, str(tmp_path / "pids")], tmp_path / "pids"


def _pids(file: Path) -> list[int]:
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return [int(pid) for pid in file.read_text().split()]


@contextmanager
def _owner(tmp_path: Path, how: str) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    tree, file = _tree(tmp_path)
    command = [sys.executable, "-c", OWNER, how, str(tmp_path / "log"), *tree]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as owner:
        try:
            yield owner, _pids(file)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(owner.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name
)
def test_nothing_outlives_the_owner(tmp_path: Path, number: signal.Signals) -> None:
    """The group, one that ignores being asked, and one that left the group are all gone."""
    with _owner(tmp_path, "plain") as (owner, pids):
        assert len(pids) == 4
        assert all(_alive(pid) for pid in pids)
        os.kill(owner.pid, number)
        assert _left(pids) == []


def test_a_fork_of_the_owner_does_not_keep_the_engine(tmp_path: Path) -> None:
    """A worker that the owner forked holds the pipe open; the engine ends all the same."""
    with _owner(tmp_path, "fork") as (owner, pids):
        assert owner.stdout is not None
        owner.stdout.readline()
        os.kill(owner.pid, signal.SIGKILL)
        assert _left(pids) == []


def test_stop_leaves_nothing(tmp_path: Path) -> None:
    """After an orderly stop the whole tree is gone, and the process says how it ended."""
    tree, file = _tree(tmp_path)
    process = EngineProcess.start(tree, os.environ, tmp_path / "log")
    pids = _pids(file)
    assert pids[0] == process.pid
    assert process.alive()
    process.stop()
    assert [pid for pid in pids if _alive(pid)] == []
    assert not process.alive()
    process.stop()


def test_the_engine_has_a_session_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C on the terminal, which goes to our group, does not reach it."""
    tree, file = _tree(tmp_path)
    process = EngineProcess.start(tree, os.environ, tmp_path / "log")
    try:
        _pids(file)
        assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid
        assert process.pid != os.getsid(0)
    finally:
        process.stop()


def test_killing_the_guardian_ends_the_engine(tmp_path: Path) -> None:
    """The engine does not run unguarded; who owns it is told that it is gone."""
    tree, file = _tree(tmp_path)
    process = EngineProcess.start(tree, os.environ, tmp_path / "log")
    engine, child, deaf, _ = _pids(file)
    process._guardian.kill()
    process._guardian.wait()
    assert _left([engine]) == []
    assert not process.alive()
    assert _left([child, deaf]) == []
    assert process.ended() == "was ended together with its guardian"
    process.stop()
    os.kill(_pids(file)[3], signal.SIGKILL)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    ],
)
def test_how_it_ended_is_told(tmp_path: Path, code: str, said: str) -> None:
    """Status or signal of the engine come through the guardian, and what it wrote is in the log."""
    command = [sys.executable, "-c", f"print('a last word', flush=True); {code}"]
    process = EngineProcess.start(command, os.environ, tmp_path / "log")
    deadline = time.monotonic() + 60
    while process.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.ended() == said
    assert (tmp_path / "log").read_text() == "a last word\n"
    process.stop()


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    """Is one clear error and no process."""
    with pytest.raises(ConfigEngineError, match=r"vLLM cannot be run: .*No such file"):
        EngineProcess.start(["/nowhere/python"], os.environ, tmp_path / "log")
