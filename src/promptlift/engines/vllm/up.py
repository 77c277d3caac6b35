"""Starting and ending the supervisor, from a command or a program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from promptlift.engines.vllm.settings import VllmSettings
from promptlift.engines.vllm.state import State, process_identity, read_state
from promptlift.errors import ConfigEngineError

__all__ = ["Report", "bring_up", "take_down"]

Report: TypeAlias = Callable[[dict[str, Any]], None]
"""Called with each line of the supervisor: its note, its stages, its readiness."""

_DOWN = 40.0
_MODULE = "promptlift.engines.vllm.supervisor"


def bring_up(settings: VllmSettings, report: Report | None = None) -> State:
    """Start a supervisor with an engine, and wait until the engine answers.

    It outlives this process. A start that is interrupted is undone.

    Raises:
        ConfigEngineError: It did not start, or an engine is up already.
    """
    supervisor = subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        _follow(supervisor, settings, report)
    except BaseException:
        supervisor.terminate()
        with suppress(subprocess.TimeoutExpired):
            supervisor.wait(_DOWN)
        raise
    finally:
        for stream in (supervisor.stdin, supervisor.stdout, supervisor.stderr):
            if stream is not None:
                stream.close()
    # Its own end is nobody's to wait for any more; Popen would warn about that.
    supervisor.returncode = 0
    state = read_state()
    if state is None:
        raise ConfigEngineError(
            "the engine ended as soon as it was up", remedy="read `promptlift engine logs`"
        )
    return state


def take_down() -> bool:
    """End the engine that is up, and wait until nothing of it is left.

    Returns:
        Whether there was one.
    """
    state = read_state()
    if state is None:
        return False
    _signal(state, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN
    while process_identity(state.pid) == state.identity:
        if time.monotonic() > deadline:
            # Its guardian ends the engine.
            _signal(state, signal.SIGKILL)
        time.sleep(0.1)
    read_state()
    return True


def _follow(
    supervisor: subprocess.Popen[str], settings: VllmSettings, report: Report | None
) -> None:
    assert supervisor.stdin is not None
    with suppress(BrokenPipeError):
        supervisor.stdin.write(json.dumps(settings.to_json()) + "\n")
        supervisor.stdin.flush()
    for said in _lines(supervisor):
        if "error" in said:
            supervisor.wait(_DOWN)
            raise ConfigEngineError(said["error"], remedy=said["remedy"])
        if report is not None:
            report(said)
        if said.get("ready"):
            return
    assert supervisor.stderr is not None
    complaint = supervisor.stderr.read().strip().splitlines()[-1:] or ["it gave no reason"]
    raise ConfigEngineError(
        f"the engine's supervisor ended: {complaint[0]}", remedy="read `promptlift engine logs`"
    )


def _lines(supervisor: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert supervisor.stdout is not None
    for line in supervisor.stdout:
        with suppress(ValueError):
            yield json.loads(line)


def _signal(state: State, number: int) -> None:
    if process_identity(state.pid) == state.identity:
        with suppress(ProcessLookupError):
            os.kill(state.pid, number)
