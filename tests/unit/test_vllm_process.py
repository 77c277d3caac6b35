"""An engine's process ends with its owner, whatever ends that, and its log explains its starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from promptlift.engines.vllm.process import (
    EngineProcess,
    read_log,
    start_error,
)
from promptlift.engines.vllm.state import process_start
from promptlift.errors import ConfigEngineError

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends every orphan")

# An engine with a child, and one in a session of its own; with an argument more, the child ignores
# SIGTERM.
TREE = """
import os, subprocess, sys, time
sleeper = "import time; time.sleep(600)"
deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
child = [sys.executable, "-c", (deaf if sys.argv[2:] else "") + sleeper]
children = [subprocess.Popen(child),
            subprocess.Popen([sys.executable, "-c", sleeper], start_new_session=True)]
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


def _left(pids: list[int]) -> list[int]:
    deadline = time.monotonic() + 60
    while (left := [pid for pid in pids if process_start(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _tree(tmp_path: Path) -> tuple[list[str], Path]:
    return [sys.executable, "-c", TREE, str(tmp_path / "pids")], tmp_path / "pids"


def _pids(file: Path) -> list[int]:
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return [int(pid) for pid in file.read_text().split()]


@linux
@pytest.mark.parametrize(
    ("how", "number"),
    [("plain", signal.SIGKILL), ("plain", signal.SIGTERM), ("fork", signal.SIGKILL)],
)
def test_nothing_outlives_the_owner(tmp_path: Path, how: str, number: signal.Signals) -> None:
    """The group and one that left it are gone, also where a fork of the owner holds the pipe."""
    tree, file = _tree(tmp_path)
    command = [sys.executable, "-c", OWNER, how, str(tmp_path / "log"), *tree]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as owner:
        try:
            assert owner.stdout is not None
            owner.stdout.readline()
            pids = _pids(file)
            assert len(pids) == 3
            assert all(process_start(pid) for pid in pids)
            os.kill(owner.pid, number)
            assert _left(pids) == []
        finally:
            with suppress(ProcessLookupError):
                os.killpg(owner.pid, signal.SIGKILL)


@linux
def test_stop_leaves_nothing(tmp_path: Path) -> None:
    """The engine has a session of its own, which no Ctrl-C reaches; a stop ends the whole tree.

    One that ignores SIGTERM is killed.
    """
    tree, file = _tree(tmp_path)
    process = EngineProcess.start([*tree, "deaf"], os.environ, tmp_path / "log")
    pids = _pids(file)
    assert pids[0] == process.pid == os.getpgid(process.pid) == os.getsid(process.pid)
    assert process.alive()
    process.stop()
    assert [pid for pid in pids if process_start(pid)] == []
    assert not process.alive()
    process.stop()


@linux
def test_killing_the_watchdog_ends_the_engine(tmp_path: Path) -> None:
    """The engine does not run unwatched, and its owner finds out."""
    tree, file = _tree(tmp_path)
    process = EngineProcess.start(tree, os.environ, tmp_path / "log")
    engine, child, orphan = _pids(file)
    watchdog = int(Path(f"/proc/{engine}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(watchdog, signal.SIGKILL)
    assert _left([engine]) == []
    assert not process.alive()
    assert _left([child]) == []
    assert process.exit_reason() == "was ended together with its watchdog"
    process.stop()
    os.kill(orphan, signal.SIGKILL)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9 (Killed)"),
    ],
)
def test_the_exit_reason_is_known(tmp_path: Path, code: str, reason: str) -> None:
    """The engine's status or signal comes through the watchdog, and its output is in the log."""
    command = [sys.executable, "-c", f"print('a last word', flush=True); {code}"]
    process = EngineProcess.start(command, os.environ, tmp_path / "log")
    deadline = time.monotonic() + 60
    while process.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.exit_reason() == reason
    assert (tmp_path / "log").read_text() == "a last word\n"
    process.stop()


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    """It is one clear error and no process."""
    with pytest.raises(ConfigEngineError, match=r"vLLM cannot be run: .*No such file"):
        EngineProcess.start(["/nowhere/python"], os.environ, tmp_path / "log")


CAUSES = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.", "not enough mem"),
    ("ValueError: No available memory for the cache blocks.", "not enough memory"),
    (
        "ValueError: Model architectures ['FooForCausalLM'] are not supported for now.",
        "does not know the model's architecture",
    ),
    ("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.", "no such model"),
    ("requests: Max retries exceeded with url: /api/models", "cannot be reached"),
    ("ModuleNotFoundError: No module named 'mistral_common'", "a package or library"),
    ("ImportError: vllm/_C.abi3.so: undefined symbol: _ZN3c10", "does not fit"),
]


@pytest.mark.parametrize(("line", "cause"), CAUSES, ids=[cause for _, cause in CAUSES])
def test_a_failed_start_is_its_cause(tmp_path: Path, line: str, cause: str) -> None:
    """The error has the cause, the line that shows it without its prefix, and the log's path."""
    log = tmp_path / "engine.log"
    prefix = "(EngineCore pid=8) ERROR 11-21 21:22:39 [core.py:700] "
    noise = [prefix + "Traceback (most recent call last):", "RuntimeError: Engine core failed"]
    log.write_text(
        "\n".join(["INFO 11-21 21:22:18 [model.py:733] Resolved", prefix + line, *noise])
    )
    error = start_error(log, "ended with status 1")
    assert cause in error.message
    assert line.rstrip(".")[:80] in error.message
    assert "pid=8" not in error.message
    assert str(log) in error.remedy


def test_an_unknown_cause_shows_the_last_lines(tmp_path: Path) -> None:
    """Lines that are not recognized are shown; an empty or missing log hides no failure."""
    log = tmp_path / "engine.log"
    log.write_bytes(
        b"first\n\n(Worker pid=9) ERROR 11-21 21:22:39 [a.py:1] strange\n\xff stranger\n"
    )
    error = start_error(log, "was ended by SIGKILL")
    assert "vLLM was ended by SIGKILL before it was ready" in error.message
    assert "strange | \ufffd stranger" in error.message
    assert str(log) in error.remedy
    assert read_log(log)[-1:] == ["\ufffd stranger"]
    log.unlink()
    assert "its last lines: none" in start_error(log, "ended with status 1").message
