"""The process that ``promptlift engine up`` leaves behind: it owns the engine until told to end.

Run as a module. It reads its settings from standard input, and writes its progress to standard
output as lines of JSON until the engine is ready. Whoever started it keeps the input open until
then: where it closes earlier, nobody waits for the engine, and the start is undone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from promptlift.engines.vllm.control import Endpoint, new_endpoint
from promptlift.engines.vllm.deaths import Deaths
from promptlift.engines.vllm.launch import LaunchPlan, Running, launch, prepare
from promptlift.engines.vllm.log import Stage
from promptlift.engines.vllm.settings import VllmSettings
from promptlift.engines.vllm.sleeping import IdleWatch
from promptlift.engines.vllm.state import (
    State,
    clear_state,
    exclusive,
    process_identity,
    read_state,
    write_state,
)
from promptlift.errors import ConfigEngineError, EngineError, PromptliftError

__all__ = ["main"]

_INPUT = 0
_LOOK = 1.0
_RESTARTS = 3


def main() -> int:
    """Own one engine; the exit status is 0 when it was taken down, 3 when it failed."""
    settings = VllmSettings.from_json(sys.stdin.readline())
    with exclusive("supervisor", wait=False) as alone:
        if not alone:
            _report_error(
                ConfigEngineError(
                    "an engine is up already, or coming up",
                    remedy="use it, or take it down first with `promptlift engine down`",
                )
            )
            return 3
        try:
            asyncio.run(_supervise(settings))
        except PromptliftError as error:
            _report_error(error)
            return 3
        except asyncio.CancelledError:
            pass
    return 0


async def _supervise(settings: VllmSettings) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(asked, task.cancel)
    loop.add_reader(_INPUT, _abandoned, task)
    plan = await asyncio.to_thread(prepare, settings)
    _report(note=plan.memory.note, version=plan.installation.version)
    owner = _Owner(plan)
    try:
        await owner.start()
        loop.remove_reader(_INPUT)
        _report(ready=True, seconds=owner.seconds)
        _let_go()
        await owner.keep()
    finally:
        owner.end()


def _abandoned(task: asyncio.Task[None]) -> None:
    # Once: the end of the file stays readable, and a second cancellation would disturb the first.
    asyncio.get_running_loop().remove_reader(_INPUT)
    task.cancel()


class _Owner:
    """The engine, its state file, and its restarts."""

    def __init__(self, plan: LaunchPlan) -> None:
        self._plan = plan
        self._running: Running | None = None
        self._endpoint: Endpoint | None = None
        self._deaths = Deaths(_RESTARTS)
        self.seconds = 0.0

    async def start(self) -> None:
        """Start it, the second time at the address of the first."""
        # The state says that it is starting, under an address that nobody answers at yet.
        self._write("starting", self._endpoint or Endpoint(0, ""), 0)
        at = self._endpoint or new_endpoint()
        self._running = await launch(self._plan, _report_stage, at)
        self._endpoint, self.seconds = self._running.endpoint, self._running.seconds
        self._write("ready", self._running.endpoint, self._running.process.pid)

    async def keep(self) -> None:
        """Start it again when it dies, and let it sleep when it idles; ends only with an error."""
        idle = IdleWatch(self._plan.settings.idle_sleep)
        while True:
            await asyncio.sleep(_LOOK)
            assert self._running is not None
            if not self._running.process.alive():
                await self._revive()
                continue
            state = read_state()
            if state is not None:
                with suppress(EngineError):
                    await asyncio.to_thread(idle.look, state)

    async def _revive(self) -> None:
        assert self._running is not None
        how = self._running.process.ended()
        self._running.process.stop()
        if not self._deaths.another():
            raise ConfigEngineError(
                f"the engine {how}, for the {self._deaths.total}th time",
                remedy=f"read its log, {self._running.process.log}",
            )
        await self.start()

    def end(self) -> None:
        """End the engine, and take the file away."""
        if self._running is not None:
            self._running.process.stop()
        state = read_state()
        if state is not None and state.pid == os.getpid():
            clear_state(state)

    def _write(self, status: Any, endpoint: Endpoint, engine_pid: int) -> None:
        plan = self._plan
        write_state(
            State(
                status=status,
                pid=os.getpid(),
                identity=process_identity(os.getpid()) or "",
                engine_pid=engine_pid,
                port=endpoint.port,
                key=endpoint.key,
                model=plan.checkpoint.name,
                source=plan.checkpoint.source,
                revision=plan.checkpoint.revision,
                family=plan.checkpoint.family,
                images=plan.settings.images,
                context=plan.memory.context,
                version=plan.installation.version,
                note=plan.memory.note,
                log="" if self._running is None else str(self._running.process.log),
                since=time.time(),
                restarts=self._deaths.total,
            )
        )


def _report_stage(stage: Stage, seconds: float) -> None:
    _report(stage=stage, seconds=seconds)


def _report_error(error: PromptliftError) -> None:
    _report(error=error.message, remedy=error.remedy)


def _report(**what: Any) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def _let_go() -> None:
    """Nobody listens any more: keep later writes from failing, and the terminal from waiting."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
