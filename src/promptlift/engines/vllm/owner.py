"""Who provides an engine: starts it, replaces it when it dies, puts it to sleep and wakes it.

`EngineOwner` does so in the process of a program that uses the engine, and in the daemon that
``promptlift engine up`` leaves. Whoever uses the daemon's engine goes through `RunningEngine`.

The daemon is this module run as a program, with its settings as arguments. It writes the progress
of the start to standard output as lines of JSON until the engine is ready. Whoever started it keeps
its standard input open until then: where that closes earlier, nobody waits for the engine, and the
start is undone. Afterwards other processes find the engine by its state file, and ask the daemon to
put it to sleep or to wake it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NoReturn

import psutil

from promptlift.engines.settings import VllmSettings
from promptlift.engines.vllm.launch import LaunchPlan, plan_launch
from promptlift.engines.vllm.process import EngineProcess, StartProgress, start_engine
from promptlift.engines.vllm.state import (
    HOST,
    EngineState,
    clear_state,
    process_start,
    read_state,
    state_path,
    write_state,
)
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    PromptliftError,
    TransientEngineError,
)

__all__ = ["EngineOwner", "RunningEngine", "bring_up", "set_asleep", "take_down"]

_CALM = 600.0
_SETTLE = 20.0
_POLL = 0.2
_DOWN = 40.0
_WATCH_INTERVAL = 0.5
_DAEMON_RESTARTS = 3
_CONTROL_TIMEOUT = 3600.0  # an engine that does not wake is started again
_LOGS = "read `promptlift engine logs`"


class RunningEngine:
    """The engine that ``promptlift engine up`` left, ready and awake while it is used.

    Args:
        patience: Seconds to wait for one that is starting.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = asyncio.Lock()
        self._users = 0

    def current(self) -> EngineState | None:
        """The engine as it is now; None where none runs."""
        return read_state()

    @asynccontextmanager
    async def use(self, *, wake: bool = True) -> AsyncIterator[EngineState]:
        """The engine, ready, and awake for as long as it is used.

        Args:
            wake: Whether one that sleeps is woken; without, it is only described.

        Raises:
            ConfigEngineError: It is not up, or does not start.
        """
        async with self._lock:
            state = await self._ready(wake)
            # Counted before the lock is released: whoever wants it to sleep must see it.
            self._users += wake
        try:
            yield state
        finally:
            self._users -= wake

    async def sleep(self) -> bool:
        """Put it to sleep unless it is in use; requests that come meanwhile wait, and wake it.

        Returns:
            Whether it sleeps now.

        Raises:
            EngineError: It does not answer.
        """
        async with self._lock:
            state = self.current()
            if self._users or state is None or not state.can_sleep or state.status == "starting":
                return False
            if state.status != "sleeping":
                await _uninterrupted(self._sleep())
        return True

    async def wake(self) -> None:
        """Have it ready and awake.

        Raises:
            EngineError: It does not answer, or does not start.
        """
        async with self.use():
            pass

    async def has_died(self, state: EngineState) -> bool:
        """Whether that engine is dead, or was replaced, after a request failed.

        Waits until it is clear: a server whose engine is dead ends within seconds. One that goes
        on and does not answer is ended where it is ours.
        """
        deadline = time.monotonic() + _SETTLE
        while (now := self.current()) is not None and now.status == "ready":
            if now.engine_pid != state.engine_pid:
                break
            if await asyncio.to_thread(state.is_healthy):
                return False
            if time.monotonic() > deadline:
                await self.stop()
                return self.current() is None
            await asyncio.sleep(_POLL)
        return True

    async def stop(self) -> None:
        """End the engine where it is ours; safe to call twice."""

    async def _ready(self, wake: bool) -> EngineState:
        deadline = time.monotonic() + self._patience
        while (state := _running()).status == "starting":
            if time.monotonic() > deadline:
                raise ConfigEngineError(
                    f"the engine is not ready after {self._patience:g} s", remedy=_LOGS
                )
            await asyncio.sleep(_POLL)
        if wake and state.status == "sleeping":
            return await asyncio.to_thread(set_asleep, False)
        return state

    async def _sleep(self) -> None:
        await asyncio.to_thread(set_asleep, True)


class EngineOwner(RunningEngine):
    """An engine of our own, which is started when it is first needed and ends with its owner.

    Args:
        settings: How it is started.
        restarts: How many restarts may follow each other, within ten minutes.
        progress: Called with the stages of a start.
        on_change: Called with the engine's state whenever that changes.

    Attributes:
        key: The key of each engine that it starts.
    """

    def __init__(
        self,
        settings: VllmSettings,
        *,
        restarts: int,
        progress: StartProgress | None = None,
        on_change: Callable[[EngineState], None] | None = None,
    ) -> None:
        super().__init__(settings.start_timeout)
        self.key = secrets.token_urlsafe(32)
        self._settings = settings
        self._restarts = restarts
        self._deaths: list[float] = []
        self._progress = progress
        self._on_change = on_change
        self._plan: LaunchPlan | None = None
        self._process: EngineProcess | None = None
        self._state: EngineState | None = None

    def current(self) -> EngineState | None:
        """The engine as it is now; None before its first start, and where it has died."""
        dead = self._process is not None and not self._process.alive()
        return None if dead else self._state

    async def stop(self) -> None:
        """End the engine; safe to call twice."""
        if self._process is not None:
            await _uninterrupted(asyncio.to_thread(self._process.stop))

    async def _ready(self, wake: bool) -> EngineState:
        state = self.current()
        if wake and state is not None and state.status == "sleeping":
            await _uninterrupted(self._wake())
        process = self._process
        if process is not None and not process.alive():
            reason = await asyncio.to_thread(process.exit_reason)
            await asyncio.to_thread(process.stop)
            now = time.monotonic()
            self._deaths.append(now)
            if sum(now - then < _CALM for then in self._deaths) > self._restarts:
                raise ConfigEngineError(
                    f"the engine {reason}, and is not started again after "
                    f"{len(self._deaths) - 1} restarts",
                    remedy=f"read its log, {process.log}",
                )
        if process is None or not process.alive():
            await self._start()
        assert self._state is not None
        return self._state

    async def _start(self) -> None:
        if self._plan is None:
            self._plan = await asyncio.to_thread(plan_launch, self._settings)
        plan = self._plan
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        state = EngineState(
            pid=os.getpid(),
            pid_start=process_start(os.getpid()),
            port=port,
            key=self.key,
            model=plan.checkpoint.name,
            source=plan.checkpoint.source,
            revision=plan.checkpoint.revision,
            family=plan.checkpoint.family,
            images=plan.settings.images,
            context=plan.memory.context,
            version=plan.version,
            note=plan.memory.note,
            can_sleep=plan.settings.sleep,
            restarts=len(self._deaths),
        )
        self._change(state)
        process = await start_engine(plan, state, self._progress)
        self._process = process
        started = {"engine_pid": process.pid, "log": str(process.log), "since": time.time()}
        self._change(state, status="ready", **started)

    async def _sleep(self) -> None:
        state = self._state
        assert state is not None
        # The state says so first, so that whoever sends next wakes it.
        self._change(state, status="sleeping")
        try:
            await asyncio.to_thread(state.sleep)
        except EngineError:
            self._change(state)
            raise

    async def _wake(self) -> None:
        """Wake it. One that does not wake is ended: the next start replaces it."""
        state, process = self._state, self._process
        assert state is not None
        assert process is not None
        try:
            await asyncio.to_thread(state.wake)
        except EngineError:
            await asyncio.to_thread(process.stop)
        else:
            self._change(state, status="ready")

    def _change(self, state: EngineState, **changes: Any) -> None:
        self._state = dataclasses.replace(state, **changes)
        if self._on_change is not None:
            self._on_change(self._state)


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end also where the caller is cancelled.

    Whoever comes next must not find an engine that is half asleep.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def set_asleep(asleep: bool) -> EngineState:
    """Have the engine that is up release its GPU memory once its requests are answered, or wake it.

    One that is so already stays as it is.

    Raises:
        ConfigEngineError: None is up, or it is still starting, or cannot sleep.
        TransientEngineError: It does not answer, or the daemon does not.
    """
    state = _running()
    if state.status == "starting":
        raise ConfigEngineError(
            "the engine is still starting", remedy="wait for `promptlift engine status` to be ready"
        )
    if asleep and not state.can_sleep:
        raise ConfigEngineError(
            "this engine was started without sleep mode",
            remedy="take it down, and up again without --no-sleep",
        )
    try:
        address = (HOST, state.control_port)
        with socket.create_connection(address, timeout=_CONTROL_TIMEOUT) as connection:
            request = json.dumps({"key": state.key, "asleep": asleep})
            connection.sendall(f"{request}\n".encode())
            with connection.makefile("rb") as answer:
                reply = json.loads(answer.readline())
    except (OSError, ValueError):
        raise TransientEngineError("the engine's daemon does not answer", remedy=_LOGS) from None
    if reply:
        raise TransientEngineError(reply["error"], remedy=reply["remedy"])
    return _running()


def _running() -> EngineState:
    state = read_state()
    if state is None:
        raise ConfigEngineError("no engine is up", remedy="start one with `promptlift engine up`")
    return state


# ---- the daemon


def bring_up(
    settings: VllmSettings,
    report: Callable[[dict[str, Any]], None] | None = None,
    *,
    idle_sleep: float | None = None,
) -> EngineState:
    """Start a daemon with an engine, and wait until the engine answers.

    It outlives this process. A start that is interrupted is undone.

    Args:
        settings: How the engine is started.
        report: Called with each report of the daemon: its memory note, its stages, its readiness.
        idle_sleep: Seconds without a request after which the engine sleeps; None for never.

    Raises:
        ConfigEngineError: It did not start, or an engine is up already.
    """
    command = [sys.executable, "-P", "-m", "promptlift.engines.vllm.owner"]
    with subprocess.Popen(  # noqa: S603
        [*command, settings.model_dump_json(), json.dumps(idle_sleep)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stderr is not None
        try:
            for line in daemon.stdout:
                message = json.loads(line)
                if "error" in message:
                    raise ConfigEngineError(message["error"], remedy=message["remedy"])
                if report is not None:
                    report(message)
                if "ready" in message:
                    break
            else:
                last = daemon.stderr.read().strip().splitlines()[-1:] or ["it gave no reason"]
                raise ConfigEngineError(f"the engine's daemon ended: {last[0]}", remedy=_LOGS)
        except BaseException:
            daemon.terminate()
            try:
                daemon.wait(_DOWN)
            except subprocess.TimeoutExpired:
                daemon.kill()
            raise
        # Nobody waits for its end any more; Popen would.
        daemon.returncode = 0
    return _running()


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


def main(settings: VllmSettings, idle_sleep: float | None) -> int:
    """Own one engine; the exit status is 0 when it was taken down, 3 when it failed."""
    import fcntl  # not on Windows, where promptlift may still be asked what is up

    try:
        # One daemon of this user on this host, for as long as it lasts.
        with state_path().with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigEngineError(
                    "an engine is up already, or starting",
                    remedy="use it, or take it down first with `promptlift engine down`",
                ) from None
            asyncio.run(_serve(settings, idle_sleep))
    except PromptliftError as error:
        _print(error=error.message, remedy=error.remedy)
        return 3
    except asyncio.CancelledError:
        pass
    return 0


async def _serve(settings: VllmSettings, idle_sleep: float | None) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)

    def abandon() -> None:
        # Once: the end of the file stays readable, and a second cancellation would disturb the
        # clean-up after the first.
        loop.remove_reader(sys.stdin)
        task.cancel()

    def publish(state: EngineState) -> None:
        if state.status == "starting":
            _print(note=state.note, version=state.version)
        write_state(dataclasses.replace(state, control_port=server.sockets[0].getsockname()[1]))

    loop.add_reader(sys.stdin, abandon)
    owner = EngineOwner(
        settings,
        restarts=_DAEMON_RESTARTS,
        progress=lambda stage, seconds: _print(stage=stage, seconds=seconds),
        on_change=publish,
    )
    server = await asyncio.start_server(partial(_control, owner), HOST, 0)
    try:
        async with owner.use():
            loop.remove_reader(sys.stdin)
            # The streams are pipes to whoever started the daemon, and end with that.
            _print(ready=True)
        await _watch(owner, idle_sleep)
    finally:
        server.close()
        await owner.stop()
        published = read_state()
        if published is not None and published.pid == os.getpid():
            clear_state()


async def _control(
    owner: EngineOwner, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Put the engine to sleep, or wake it, for a process that has its key."""
    reply = {}
    with suppress(ValueError, TypeError, KeyError, OSError):
        request = json.loads(await reader.readline())
        if hmac.compare_digest(request["key"], owner.key):
            try:
                if not request["asleep"]:
                    await owner.wake()
                elif not await owner.sleep():
                    reply = {"error": "the engine is being started again", "remedy": _LOGS}
            except EngineError as error:
                reply = {"error": error.message, "remedy": error.remedy}
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
    writer.close()


async def _watch(owner: EngineOwner, idle_sleep: float | None) -> NoReturn:
    """Start the engine again when it dies, and put it to sleep when it was idle for so long."""
    last: tuple[int, float] | None = None
    since = time.monotonic()
    while True:
        await asyncio.sleep(_WATCH_INTERVAL)
        async with owner.use(wake=False) as state:
            pass
        if idle_sleep is None or (now := await asyncio.to_thread(state.activity)) is None:
            continue
        busy = now[0] > 0
        if busy or now != last:
            last, since = now, time.monotonic()
        with suppress(EngineError):
            if busy:
                # It sleeps where the request came after the check that had found it idle.
                await owner.wake()
            elif time.monotonic() - since >= idle_sleep:
                await owner.sleep()


def _print(**message: Any) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(VllmSettings.model_validate_json(sys.argv[1]), json.loads(sys.argv[2])))
