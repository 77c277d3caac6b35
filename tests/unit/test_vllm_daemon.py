"""The engine that stays up, on a stub of vLLM: up, status, sleep, wake, down, its state file."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptlift.cli.main import main
from promptlift.engines.base import Request
from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.engine import VllmEngine
from promptlift.engines.vllm.owner import bring_up, set_asleep, take_down
from promptlift.engines.vllm.state import EngineState, process_start, read_state, write_state
from promptlift.errors import ConfigEngineError
from vllm_stub.make import Stub, make_stub
from vllm_stub.server import ANSWER

pytestmark = pytest.mark.skipif(os.name != "posix", reason="vLLM needs process groups")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the state file lies in this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "promptlift" / "vllm"


@pytest.fixture
def stub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """A stub of vLLM; nothing is up afterwards."""
    monkeypatch.delenv("PROMPTLIFT_VLLM_PYTHON", raising=False)
    yield make_stub(tmp_path / "stub")
    take_down()


def promptlift(*arguments: str) -> int:
    """The command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def up(stub: Stub) -> tuple[str, ...]:
    """The arguments that start the stub."""
    return ("engine", "up", str(stub.model), "--vllm-python", str(stub.python))


def wait(condition: Callable[[], object]) -> None:
    """Wait for something that happens within seconds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def current() -> EngineState:
    """What is up."""
    state = read_state()
    assert state is not None
    return state


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    return process_start(pid) is None


def ask(settings: VllmSettings | None = None) -> tuple[str, bool]:
    """The answer, and whether an engine of our own gave it."""

    async def use() -> tuple[str, bool]:
        engine = VllmEngine(settings)
        try:
            answer = await engine.complete(Request(text="Test prompt", frames=()))
            return answer.text, engine.own is not None
        finally:
            await engine.close()

    return asyncio.run(use())


def test_up_status_down(stub: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    """It stays up after the command, answers others, and `down` leaves nothing of it."""
    assert promptlift(*up(stub), "--images", "4") == 0
    output = capfd.readouterr()
    assert output.out.startswith("tiny: ready, vLLM 0.32.0+cpu, context 9,216")
    assert "vLLM 0.32.0+cpu: tiny on the CPU" in output.err
    assert ask() == (ANSWER, False)
    assert promptlift("engine", "status") == 0
    assert "0 requests in progress" in capfd.readouterr().out
    state = current()
    assert promptlift("engine", "status", "--json") == 0
    output = capfd.readouterr()
    assert json.loads(output.out)["model"] == "tiny"
    assert state.key not in output.out
    assert promptlift("engine", "down") == 0
    assert gone(state.pid)
    assert gone(state.engine_pid)
    capfd.readouterr()
    assert promptlift("engine", "status", "--json") == 3
    assert json.loads(capfd.readouterr().out) is None
    assert promptlift("engine", "down") == 0
    assert capfd.readouterr().out == "no engine is running\n"


def test_only_one_is_up(stub: Stub, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A second `up` is refused; whoever needs another model or context starts an engine for it."""
    first = bring_up(stub.settings())
    assert promptlift(*up(stub)) == 3
    assert "an engine is up already" in capfd.readouterr().err
    assert current() == first
    assert ask(stub.settings()) == (ANSWER, False)
    assert ask(stub.settings(context=4096)) == (ANSWER, True)
    assert ask(make_stub(tmp_path / "other").settings()) == (ANSWER, True)


def test_a_failed_start_is_one_line(stub: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    """The cause and the log's path, no traceback; nothing is up, and `logs` shows the rest."""
    stub.behave(fail="ValueError: Model architectures ['Foo'] are not supported for now.")
    assert promptlift(*up(stub)) == 3
    error = capfd.readouterr().err
    assert "this vLLM does not know the model's architecture" in error
    assert "Traceback" not in error
    assert read_state() is None
    assert promptlift("engine", "logs") == 0
    assert "architectures ['Foo']" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("up",), "no model is given"),
        (("up", "o/m", "--context", "0"), "context is 0"),
        (("up", "o/m", "--no-sleep", "--idle-sleep", "60"), "leave one of"),
        (("sleep",), "promptlift engine up"),
    ],
)
def test_mistakes_are_errors_before_anything_starts(
    stub: Stub, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Each is one line with its remedy, and exit code 2 or 3."""
    assert promptlift("engine", *arguments) in (2, 3)
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert read_state() is None
    assert stub.calls() == []


def test_sleep_and_wake(stub: Stub) -> None:
    """A request wakes a sleeping engine; `wake` does too; waking twice is waking once."""
    bring_up(stub.settings())
    assert promptlift("engine", "sleep") == 0
    assert current().status == "sleeping"
    assert ask() == (ANSWER, False)
    assert current().status == "ready"
    assert promptlift("engine", "wake") == 0
    asleep, awake = "/sleep?level=1&mode=wait", ["/wake_up", "/reset_prefix_cache"]
    assert stub.calls() == ["start", asleep, *awake, "/v1/chat/completions"]


def test_an_engine_without_sleep_mode_stays_awake(stub: Stub) -> None:
    """It is not tried, and the error says how to start one that can sleep."""
    bring_up(stub.settings(sleep=False))
    with pytest.raises(ConfigEngineError, match="without sleep mode"):
        set_asleep(True)
    assert current().status == "ready"
    assert stub.calls() == ["start"]


def test_it_sleeps_when_idle(stub: Stub) -> None:
    """After its seconds without a request it sleeps; the next request wakes it."""
    bring_up(stub.settings(), idle_sleep=0.5)
    wait(lambda: current().status == "sleeping")
    assert ask() == (ANSWER, False)
    assert "/wake_up" in stub.calls()


@pytest.mark.parametrize("asleep", [False, True])
def test_a_dead_engine_is_started_again(stub: Stub, asleep: bool) -> None:
    """Whether it dies in its sleep or over a request, that is answered by the next one."""
    before = bring_up(stub.settings())
    if asleep:
        set_asleep(True)
        os.kill(before.engine_pid, signal.SIGKILL)
    else:
        stub.behave(deaths=1)
    assert ask() == (ANSWER, False)
    after = current()
    assert after.restarts == 1
    assert after.engine_pid != before.engine_pid
    assert gone(before.engine_pid)


def test_an_engine_that_keeps_dying_is_given_up(stub: Stub) -> None:
    """After some deaths in a row the daemon ends, and its file with it."""
    daemon = bring_up(stub.settings()).pid
    killed = set()
    deadline = time.monotonic() + 60
    while (state := read_state()) is not None and time.monotonic() < deadline:
        if state.status == "ready" and state.engine_pid not in killed:
            killed.add(state.engine_pid)
            os.kill(state.engine_pid, signal.SIGKILL)
        time.sleep(0.05)
    assert len(killed) == 4
    wait(lambda: gone(daemon))


def test_nothing_outlives_the_daemon(stub: Stub) -> None:
    """Killed with -9 it leaves no engine and no state that is believed."""
    state = bring_up(stub.settings())
    os.kill(state.pid, signal.SIGKILL)
    wait(lambda: gone(state.engine_pid))
    assert read_state() is None
    bring_up(stub.settings())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_up_is_undone(stub: Stub, number: signal.Signals) -> None:
    """Whatever ends the command while the engine starts ends what was started."""
    stub.behave(slow=600)
    command = [sys.executable, "-m", "promptlift", *up(stub)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        wait(stub.calls)
        daemon = current().pid
        os.kill(started.pid, number)
        started.wait(60)
    wait(lambda: gone(daemon))
    assert read_state() is None
    assert stub.processes() == []


@pytest.fixture
def written(folder: Path) -> EngineState:
    """The state of an engine whose owner is this process, in its file."""
    state = EngineState(
        status="ready",
        pid=os.getpid(),
        pid_start=process_start(os.getpid()),
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
    write_state(state)
    return state


@pytest.mark.parametrize("content", ["{", '{"status": "ready", "shoe": 3}'])
def test_a_garbled_state_file_is_removed(written: EngineState, folder: Path, content: str) -> None:
    """Only its user can read it; half of one, or one whose owner is gone, does not count."""
    assert read_state() == written
    file = next(folder.glob("engine-*.json"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    file.write_text(content)
    assert read_state() is None
    assert not file.exists()
    write_state(dataclasses.replace(written, pid_start=1.0))  # a process id that is reused
    assert read_state() is None


def test_a_state_folder_that_cannot_be_written_is_one_error(
    written: EngineState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading finds no engine there and creates nothing; writing is an error with a remedy."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "empty"))
    assert read_state() is None
    assert not (tmp_path / "empty").exists()
    (tmp_path / "empty").write_text("a file in the way")
    assert read_state() is None
    with pytest.raises(ConfigEngineError, match="cannot be used") as raised:
        write_state(written)
    assert "XDG_STATE_HOME" in raised.value.remedy
