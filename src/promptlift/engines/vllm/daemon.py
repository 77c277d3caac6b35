"""The engine that stays up: the daemon that owns it, and how other processes use it.

``promptlift engine up`` starts the daemon, which is this module run as a program. It reads its
settings from standard input, and writes the progress of the start to standard output as lines of
JSON until the engine is ready. Whoever started it keeps the input open until then: where that
closes earlier, nobody waits for the engine, and the start is undone. Afterwards other processes
find the engine by its state file, and ask the daemon to put it to sleep or to wake it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psutil

from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.owner import EngineHost, EngineOwner
from promptlift.engines.vllm.process import StartStage
from promptlift.engines.vllm.state import (
    HOST,
    EngineState,
    clear_state,
    read_state,
    state_path,
    write_state,
)
from promptlift.errors import ConfigEngineError, EngineError, PromptliftError, TransientEngineError

__all__ = ["DaemonReport", "SharedEngine", "bring_up", "put_to_sleep", "take_down", "wake_up"]

DaemonReport: TypeAlias = Callable[[dict[str, Any]], None]
"""Called with each report of the daemon: its memory note, its stages, its readiness."""

_MODULE = "promptlift.engines.vllm.daemon"
_RESTARTS = 3
_DOWN = 40.0
_CONTROL_TIMEOUT = 3600.0  # an engine that does not wake is started again
_POLL = 0.2
_LOGS = "read `promptlift engine logs`"


class SharedEngine(EngineHost):
    """The engine that ``promptlift engine up`` left; its daemon owns it.

    Args:
        patience: Seconds to wait for one that is starting.
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience

    def current(self) -> EngineState | None:
        """The engine as it is now; None where none is up."""
        return read_state()

    async def stop(self) -> None:
        """Leave it as it is."""

    async def _ready(self, wake: bool) -> EngineState:
        deadline = time.monotonic() + self._patience
        while True:
            state = _known_state()
            if state.status == "sleeping" and wake:
                state = await asyncio.to_thread(wake_up)
            if state.status != "starting":
                return state
            if time.monotonic() > deadline:
                raise ConfigEngineError(
                    f"the engine is not ready after {self._patience:g} s", remedy=_LOGS
                )
            await asyncio.sleep(_POLL)

    async def _sleep(self, level: int) -> None:
        if not self.asleep:
            await asyncio.to_thread(put_to_sleep, level)


def put_to_sleep(level: int) -> EngineState:
    """Have the engine that is up release its GPU memory, once its requests are answered.

    Args:
        level: 1 keeps the weights in main memory, 2 drops them.

    Raises:
        ConfigEngineError: None is up, or it cannot sleep, or not that deep.
        TransientEngineError: It does not answer.
    """
    if not _known_state().can_sleep:
        raise ConfigEngineError(
            "this engine was started without sleep mode",
            remedy="take it down, and up again without --no-sleep",
        )
    return _control(level)


def wake_up() -> EngineState:
    """Wake the engine that is up; one that is awake stays as it is.

    Raises:
        ConfigEngineError: None is up, or one that did not wake could not be started again.
        TransientEngineError: The daemon does not answer.
    """
    return _control(0)


def _known_state() -> EngineState:
    state = read_state()
    if state is None:
        raise ConfigEngineError("no engine is up", remedy="start one with `promptlift engine up`")
    return state


def _control(level: int) -> EngineState:
    """Ask the daemon for a level of sleep, 0 for awake."""
    state = _known_state()
    if state.status == "starting":
        raise ConfigEngineError(
            "the engine is still starting", remedy="wait for `promptlift engine status` to be ready"
        )
    try:
        address = (HOST, state.control_port)
        with socket.create_connection(address, timeout=_CONTROL_TIMEOUT) as connection:
            request = json.dumps({"key": state.key, "level": level})
            connection.sendall(f"{request}\n".encode())
            with connection.makefile("rb") as answer:
                reply = json.loads(answer.readline())
    except (OSError, ValueError):
        raise TransientEngineError("the engine's daemon does not answer", remedy=_LOGS) from None
    if "error" in reply:
        kind = TransientEngineError if reply["transient"] else ConfigEngineError
        raise kind(reply["error"], remedy=reply["remedy"])
    return _known_state()


def bring_up(settings: VllmSettings, report: DaemonReport | None = None) -> EngineState:
    """Start a daemon with an engine, and wait until the engine answers.

    It outlives this process. A start that is interrupted is undone.

    Raises:
        ConfigEngineError: It did not start, or an engine is up already.
    """
    daemon = subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        _follow(daemon, settings, report)
    except BaseException:
        daemon.terminate()
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(_DOWN)
        raise
    finally:
        for stream in (daemon.stdin, daemon.stdout, daemon.stderr):
            if stream is not None:
                stream.close()
    # Nobody waits for its end any more; Popen would warn about that.
    daemon.returncode = 0
    state = read_state()
    if state is None:
        raise ConfigEngineError("the engine ended as soon as it was up", remedy=_LOGS)
    return state


def take_down() -> bool:
    """End the engine that is up, and wait until no process of it is left.

    Returns:
        Whether there was one.
    """
    state = read_state()
    if state is None:
        return False
    with suppress(psutil.NoSuchProcess):
        daemon = psutil.Process(state.pid)
        daemon.terminate()
        try:
            daemon.wait(_DOWN)
        except psutil.TimeoutExpired:
            daemon.kill()  # its watchdog ends the engine
            daemon.wait(_DOWN)
    read_state()  # removes the file that a killed daemon leaves
    return True


def _follow(
    daemon: subprocess.Popen[str], settings: VllmSettings, report: DaemonReport | None
) -> None:
    """Give a daemon its settings, and pass on what it reports until it is ready."""
    assert daemon.stdin is not None
    assert daemon.stdout is not None
    assert daemon.stderr is not None
    with suppress(BrokenPipeError):
        daemon.stdin.write(settings.model_dump_json() + "\n")
        daemon.stdin.flush()
    for line in daemon.stdout:
        message = json.loads(line)
        if "error" in message:
            daemon.wait(_DOWN)
            raise ConfigEngineError(message["error"], remedy=message["remedy"])
        if report is not None:
            report(message)
        if message.get("ready"):
            return
    last = daemon.stderr.read().strip().splitlines()[-1:] or ["it gave no reason"]
    raise ConfigEngineError(f"the engine's daemon ended: {last[0]}", remedy=_LOGS)


def main() -> int:
    """Own one engine; the exit status is 0 when it was taken down, 3 when it failed."""
    settings = VllmSettings.model_validate_json(sys.stdin.readline())
    with _single_daemon() as alone:
        try:
            if not alone:
                raise ConfigEngineError(
                    "an engine is up already, or starting",
                    remedy="use it, or take it down first with `promptlift engine down`",
                )
            asyncio.run(_serve(settings))
        except PromptliftError as error:
            _print(error=error.message, remedy=error.remedy)
            return 3
        except asyncio.CancelledError:
            pass
    return 0


@contextmanager
def _single_daemon() -> Iterator[bool]:
    """Whether this is the only daemon of this user on this host, for as long as it lasts."""
    import fcntl  # not on Windows, where promptlift may still be asked what is up

    with state_path().with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


async def _serve(settings: VllmSettings) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    stdin = sys.stdin.fileno()

    def abandon() -> None:
        # Once: the end of the file stays readable, and a second cancellation would disturb the
        # clean-up after the first.
        loop.remove_reader(stdin)
        task.cancel()

    loop.add_reader(stdin, abandon)

    key = ""

    def publish(state: EngineState) -> None:
        nonlocal key
        key = state.key
        if state.status == "starting":
            _print(note=state.note, version=state.version)
        write_state(dataclasses.replace(state, control_port=port))

    def report(stage: StartStage, seconds: float) -> None:
        _print(stage=stage, seconds=seconds)

    owner = EngineOwner(settings, restarts=_RESTARTS, progress=report, on_change=publish)

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ValueError, TypeError, KeyError, OSError):
            request = json.loads(await reader.readline())
            if key and hmac.compare_digest(str(request["key"]), key):
                reply = await _set_level(owner, int(request["level"]))
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(control, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with owner.use():
            loop.remove_reader(stdin)
            _print(ready=True)
            _detach()
        await owner.watch(restart=True)
    finally:
        server.close()
        await owner.stop()
        published = read_state()
        if published is not None and published.pid == os.getpid():
            clear_state(published)


async def _set_level(owner: EngineOwner, level: int) -> dict[str, Any]:
    try:
        if not level:
            await owner.wake()
        elif not await owner.sleep(level):
            raise TransientEngineError("the engine is being started again", remedy="try again")
    except EngineError as error:
        transient = isinstance(error, TransientEngineError)
        return {"error": error.message, "remedy": error.remedy, "transient": transient}
    return {}


def _print(**message: Any) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def _detach() -> None:
    """Let go of the standard streams, so that no terminal or pipe waits for the daemon."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
