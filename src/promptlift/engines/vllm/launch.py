"""One start: everything checked first, then the process, then the wait until it answers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from promptlift.engines.vllm.checkpoint import Checkpoint, open_checkpoint
from promptlift.engines.vllm.control import Endpoint, new_endpoint, serves
from promptlift.engines.vllm.environment import engine_environment
from promptlift.engines.vllm.flags import dialect, serve_arguments
from promptlift.engines.vllm.gpus import choose_gpu, read_gpus
from promptlift.engines.vllm.installation import Installation, find_installation
from promptlift.engines.vllm.log import Stage, failure, stage_of
from promptlift.engines.vllm.memory import MemoryPlan, free_ram, plan_memory
from promptlift.engines.vllm.process import EngineProcess
from promptlift.engines.vllm.settings import VllmSettings
from promptlift.engines.vllm.state import log_folder

__all__ = ["LaunchPlan", "Progress", "Running", "launch", "prepare"]

Progress: TypeAlias = Callable[[Stage, float], None]
"""Called with the stage that has begun, or goes on, and the seconds since the start."""

_MODULE = "vllm.entrypoints.cli.main"
_LOOK = 0.25
_PORT_ATTEMPTS = 3
_LOGS_KEPT = 10
_FAST_ON_CPU = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What would be started, and how.

    Attributes:
        settings: What was asked for.
        installation: The vLLM.
        checkpoint: The model.
        memory: The device, its memory and the context.
    """

    settings: VllmSettings
    installation: Installation
    checkpoint: Checkpoint
    memory: MemoryPlan


@dataclass(slots=True)
class Running:
    """An engine that answers.

    Attributes:
        plan: What was started.
        endpoint: Where it answers.
        process: Its process.
        seconds: How long the start took.
    """

    plan: LaunchPlan
    endpoint: Endpoint
    process: EngineProcess
    seconds: float


def prepare(settings: VllmSettings) -> LaunchPlan:
    """Find the model, the vLLM and the device, and see that they go together.

    Starts nothing. Takes a second or so.

    Raises:
        ConfigEngineError: One is missing, not whole, or too small.
        OptionError: There is no GPU of that index.
    """
    checkpoint = open_checkpoint(settings.model, settings.checkpoint_dir)
    installation = find_installation(settings.python)
    dialect(installation.version)
    gpus = [] if installation.for_cpu else read_gpus()
    ram = free_ram() if installation.for_cpu else None
    memory = plan_memory(checkpoint, settings, choose_gpu(gpus, settings.gpu), ram)
    return LaunchPlan(settings, installation, checkpoint, memory)


async def launch(
    plan: LaunchPlan, progress: Progress | None = None, endpoint: Endpoint | None = None
) -> Running:
    """Start the engine and wait until it answers.

    It belongs to this process, and is ended where the start fails or is cancelled.

    Args:
        plan: From `prepare`.
        progress: Told about the stages.
        endpoint: Where it shall answer; None for a free port and a new key.

    Raises:
        ConfigEngineError: It did not start; says why.
    """
    began = time.monotonic()
    for attempt in range(_PORT_ATTEMPTS):
        at = endpoint if endpoint is not None and attempt == 0 else new_endpoint()
        process = await _started(plan, at)
        try:
            port_was_taken = await _until_ready(plan, process, at, progress, began)
        except BaseException:
            process.stop()
            raise
        if not port_was_taken:
            return Running(plan, at, process, time.monotonic() - began)
        process.stop()
    raise failure(process.log, process.ended())


async def _started(plan: LaunchPlan, endpoint: Endpoint) -> EngineProcess:
    starting = asyncio.ensure_future(asyncio.to_thread(_start, plan, endpoint))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # A thread cannot be cancelled: what it starts must still be ended.
        (await starting).stop()
        raise


def _start(plan: LaunchPlan, endpoint: Endpoint) -> EngineProcess:
    installation, memory, settings = plan.installation, plan.memory, plan.settings
    variables = dict(memory.variables)
    if memory.on_cpu and settings.fast_start:
        variables |= _FAST_ON_CPU
    environment = engine_environment(
        os.environ,
        key=endpoint.key,
        python=installation.python,
        same_python=installation.is_ours,
        extra=variables,
        dev_mode=settings.sleep,
    )
    arguments = serve_arguments(
        installation.version,
        plan.checkpoint,
        memory,
        settings,
        port=endpoint.port,
        fast_loader=installation.fast_loader,
    )
    command = [installation.python, "-m", _MODULE, "serve", *arguments]
    return EngineProcess.start(command, environment, _new_log())


async def _until_ready(
    plan: LaunchPlan,
    process: EngineProcess,
    endpoint: Endpoint,
    progress: Progress | None,
    began: float,
) -> bool:
    """Wait; True where the port was taken by another in the meantime."""
    reader = _LogReader(process.log)
    stage: Stage = "start"
    while True:
        stage = reader.stage(stage)
        if progress is not None:
            progress(stage, time.monotonic() - began)
        if not process.alive():
            if reader.port_was_taken:
                return True
            raise failure(process.log, process.ended())
        if await asyncio.to_thread(serves, endpoint, plan.checkpoint.name):
            if progress is not None:
                progress("ready", time.monotonic() - began)
            return False
        if time.monotonic() - began > plan.settings.start_timeout:
            raise failure(process.log, f"took more than {plan.settings.start_timeout:g} s")
        await asyncio.sleep(_LOOK)


class _LogReader:
    """Follows a log; bars that are drawn over themselves count as lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.port_was_taken = False

    def stage(self, stage: Stage) -> Stage:
        """The stage that the new lines announce."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.decode(errors="replace").replace("\r", "\n").splitlines():
            stage = stage_of(line, stage)
            self.port_was_taken |= "address already in use" in line.lower()
        return stage


def _new_log() -> Path:
    folder = log_folder()
    for old in sorted(folder.glob("engine-*.log"))[: -_LOGS_KEPT + 1]:
        old.unlink(missing_ok=True)
    name = f"engine-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06}-{os.getpid()}"
    path = folder / f"{name}.log"
    path.touch(mode=0o600)
    return path
