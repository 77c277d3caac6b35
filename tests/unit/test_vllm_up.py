"""The engine command, on a stand-in for vLLM: up, status, sleep, wake, down, logs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptlift.cli.main import main
from promptlift.engines.base import Request
from promptlift.engines.vllm import VllmEngine, VllmSettings
from promptlift.engines.vllm.state import State, process_identity, read_state
from promptlift.engines.vllm.up import bring_up, take_down
from vllm_stub.make import Stub, make_stub
from vllm_stub.server import ANSWER

pytestmark = pytest.mark.skipif(os.name != "posix", reason="vLLM needs process groups")

REQUEST = Request(text="Test prompt", frames=())


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """A stand-in for vLLM and a state folder of the test's own; nothing is up afterwards."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PROMPTLIFT_VLLM_PYTHON", raising=False)
    yield make_stub(tmp_path / "stub")
    take_down()


def _promptlift(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _state() -> State:
    state = read_state()
    assert state is not None
    return state


def _gone(pid: int) -> bool:
    return process_identity(pid) is None


def _ask(settings: VllmSettings | None = None) -> tuple[str, bool]:
    """The answer, and whether an engine of our own gave it."""

    async def ask() -> tuple[str, bool]:
        engine = VllmEngine(settings)
        try:
            return (await engine.complete(REQUEST)).text, engine.own is not None
        finally:
            await engine.close()

    return asyncio.run(ask())


def test_up_status_down(stub: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    """It stays up after the command, answers others, and `down` leaves nothing of it."""
    arguments = ("--vllm-python", str(stub.python), "--images", "4")
    assert _promptlift("engine", "up", str(stub.model), *arguments) == 0
    said = capfd.readouterr()
    assert said.out.startswith("tiny: ready, vLLM 0.32.0+cpu, context 9,216")
    assert "s: ready" in said.err
    assert _ask() == (ANSWER, False)
    assert _promptlift("engine", "status") == 0
    assert "0 requests under way" in capfd.readouterr().out
    state = _state()
    assert _promptlift("engine", "down") == 0
    assert _gone(state.pid)
    assert _gone(state.engine_pid)
    assert _promptlift("engine", "status") == 3
    assert _promptlift("engine", "down") == 0
    assert capfd.readouterr().out.endswith("no engine is up\n")


def test_the_status_for_programs_has_no_key(stub: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    """All that is known but the key, as JSON; null where nothing is up."""
    bring_up(stub.settings())
    key = _state().key
    assert _promptlift("engine", "status", "--json") == 0
    out = capfd.readouterr().out
    assert json.loads(out)["model"] == "tiny"
    assert key not in out
    take_down()
    assert _promptlift("engine", "status", "--json") == 3
    assert json.loads(capfd.readouterr().out) is None


def test_folders_where_one_stands_do_not_matter(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules there are taken neither for promptlift's own nor for vLLM's."""
    for name in ("json.py", "platformdirs.py", "vllm.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    bring_up(stub.settings())
    assert _ask() == (ANSWER, False)


def test_only_one_at_a_time(stub: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    """A second `up` is refused and does not disturb the first."""
    bring_up(stub.settings())
    first = _state()
    assert _promptlift("engine", "up", str(stub.model), "--vllm-python", str(stub.python)) == 3
    assert "an engine is up already" in capfd.readouterr().err
    assert _state() == first


def test_a_failed_start_is_one_line(stub: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    """The cause and the log's place, no traceback; nothing is up, and `logs` shows the rest."""
    stub.behave(fail="ValueError: Model architectures ['Foo'] are not supported for now.")
    assert _promptlift("engine", "up", str(stub.model), "--vllm-python", str(stub.python)) == 3
    said = capfd.readouterr().err
    assert "this vLLM does not know the model's architecture" in said
    assert "Traceback" not in said
    assert read_state() is None
    assert _promptlift("engine", "logs") == 0
    assert "architectures ['Foo']" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--checkpoint-dir", "/nowhere"), "there is no checkpoint"),
        (("./nowhere",), "there is no model folder"),
        ((), "no model is named"),
        (("o/m", "--vllm-python", "/nowhere/python"), "is no Python that has vLLM"),
        (("o/m", "--context", "0"), "context is 0"),
        (("o/m", "--no-sleep", "--idle-sleep", "60"), "cannot sleep is to sleep"),
    ],
)
def test_mistakes_are_said_before_anything_starts(
    stub: Stub, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """Each is one line with its remedy, and exit code 2 or 3."""
    assert _promptlift("engine", "up", *arguments) in (2, 3)
    assert said in capfd.readouterr().err
    assert read_state() is None
    assert stub.calls() == []


def test_sleep_and_wake(stub: Stub) -> None:
    """The levels go to vLLM as they are; a request wakes a sleeping engine; waking twice is one."""
    bring_up(stub.settings())
    assert _promptlift("engine", "sleep") == 0
    assert (_state().status, _state().level) == ("sleeping", 1)
    assert _ask() == (ANSWER, False)
    assert (_state().status, _state().level) == ("ready", 0)
    assert _promptlift("engine", "wake") == 0
    assert stub.calls() == [
        "start",
        "/sleep?level=1&mode=wait",
        "/wake_up",
        "/reset_prefix_cache",
        "/v1/chat/completions",
    ]


def test_waking_from_level_2_loads_the_weights_first(stub: Stub) -> None:
    """Memory for the weights, the weights, and only then the rest, with an empty cache."""
    bring_up(stub.settings())
    assert _promptlift("engine", "sleep", "--level", "2") == 0
    assert _promptlift("engine", "wake") == 0
    assert stub.calls()[1:] == [
        "/sleep?level=2&mode=wait",
        "/wake_up?tags=weights",
        "/collective_rpc",
        "/wake_up?tags=kv_cache",
        "/reset_prefix_cache",
    ]


def test_level_2_needs_a_vllm_that_can(tmp_path: Path, stub: Stub) -> None:
    """0.9.2 could not load the weights again; the engine is not put to sleep at all."""
    del stub
    old = make_stub(tmp_path / "old", version="0.9.2")
    bring_up(old.settings())
    assert _promptlift("engine", "sleep", "--level", "2") == 3
    assert _state().status == "ready"
    assert old.calls() == ["start"]


def test_it_falls_asleep_when_idle(stub: Stub) -> None:
    """After its seconds without a request it sleeps; the next request wakes it."""
    bring_up(stub.settings(idle_sleep=1.0))
    _wait(lambda: _state().status == "sleeping")
    assert _ask() == (ANSWER, False)
    assert "/wake_up" in stub.calls()


@pytest.mark.parametrize("arguments", [("sleep",), ("wake",)])
def test_nothing_to_put_to_sleep(
    stub: Stub, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Without an engine both say how to get one."""
    assert _promptlift("engine", *arguments) == 3
    assert "promptlift engine up" in capfd.readouterr().err


def test_a_dead_engine_is_started_again(stub: Stub) -> None:
    """The supervisor replaces it, and whoever was asking gets an answer from the new one."""
    before = bring_up(stub.settings())
    stub.behave(deaths=1)
    assert _ask() == (ANSWER, False)
    after = _state()
    assert after.restarts == 1
    assert after.endpoint == before.endpoint
    assert after.engine_pid != before.engine_pid
    assert _gone(before.engine_pid)


def test_an_engine_that_cannot_live_is_given_up(stub: Stub) -> None:
    """After some deaths in a row the supervisor ends, and its file with it."""
    state = bring_up(stub.settings())
    for _ in range(4):
        engine_pid = _state().engine_pid
        os.kill(engine_pid, signal.SIGKILL)
        _wait(partial(_given_up_or_changed, engine_pid))
        if read_state() is None:
            break
    assert read_state() is None
    _wait(lambda: _gone(state.pid))


def _given_up_or_changed(pid: int) -> bool:
    state = read_state()
    return state is None or (state.status == "ready" and state.engine_pid != pid)


def test_nothing_outlives_the_supervisor(stub: Stub) -> None:
    """Killed with -9 it leaves no engine and no state that anybody believes."""
    state = bring_up(stub.settings())
    os.kill(state.pid, signal.SIGKILL)
    _wait(lambda: _gone(state.engine_pid))
    assert read_state() is None
    bring_up(stub.settings())


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name
)
def test_an_interrupted_up_is_undone(stub: Stub, number: signal.Signals) -> None:
    """Whatever ends the command while the engine starts ends what was started."""
    stub.behave(slow=600)
    arguments = ["engine", "up", str(stub.model), "--vllm-python", str(stub.python)]
    command = [sys.executable, "-m", "promptlift", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
        _wait(lambda: stub.calls())
        supervisor = _state().pid
        os.kill(up.pid, number)
        up.wait(60)
    _wait(lambda: _gone(supervisor))
    assert read_state() is None


def test_another_model_gets_an_engine_of_its_own(stub: Stub, tmp_path: Path) -> None:
    """What is up serves who asks for its model or for whatever there is, and nobody else."""
    bring_up(stub.settings())
    assert _ask(stub.settings()) == (ANSWER, False)
    assert _ask(stub.settings(context=4096)) == (ANSWER, True)
    other = make_stub(tmp_path / "other")
    assert _ask(other.settings()) == (ANSWER, True)


def test_settings_survive_the_way_to_the_supervisor() -> None:
    """Every one of them, of every type."""
    values: dict[str, Any] = {
        "model": "o/m",
        "checkpoint_dir": Path("/models"),
        "gpu": 1,
        "context": 4096,
        "idle_sleep": 2.5,
        "arguments": ("--seed", "1"),
    }
    settings = VllmSettings(**values)
    assert VllmSettings.from_json(json.dumps(settings.to_json())) == settings
