"""The process of an engine: started behind its watchdog, followed by its log, ended as a group.

vLLM reports the progress and the failure of a start only in its log. A line that changes in a
later version costs a stage on the progress line or a remedy in an error, never the start itself:
whether the engine is up is asked of the engine.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from promptlift.engines.vllm.launch import LaunchPlan, engine_environment, serve_arguments
from promptlift.engines.vllm.state import Endpoint, log_folder
from promptlift.errors import ConfigEngineError

__all__ = [
    "START_STAGES",
    "EngineProcess",
    "StartProgress",
    "StartStage",
    "log_tail",
    "start_engine",
    "start_error",
    "start_stage",
]

StartStage = Literal["start", "download", "load", "compile", "capture", "ready"]
START_STAGES: dict[StartStage, str] = {
    "start": "starting vLLM",
    "download": "downloading the model",
    "load": "loading the weights",
    "compile": "compiling and measuring memory",
    "capture": "capturing graphs",
    "ready": "ready",
}
StartProgress: TypeAlias = Callable[[StartStage, float], None]
"""Called with the stage that has begun, or goes on, and the seconds since the start."""

_MODULE = "vllm.entrypoints.cli.main"
_WATCHDOG = Path(__file__).parent / "_watchdog.py"
_LAST_LINE = 20.0
_POLL = 0.25
_PORT_ATTEMPTS = 3
_MAX_LOGS = 10


@dataclass(slots=True)
class EngineProcess:
    """An engine, and the watchdog that ends it with this process.

    Attributes:
        pid: The engine's process id, which is its process group's and its session's too.
        log: Where it writes.
    """

    pid: int
    log: Path
    _watchdog: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> EngineProcess:
        """Start `command` in a session and process group of its own.

        It lives no longer than this process, however this process ends.

        Raises:
            ConfigEngineError: The platform has no process groups, or the command cannot be run.
        """
        if os.name != "posix":
            raise ConfigEngineError(
                "vLLM does not run on Windows", remedy="use WSL, or --engine openai"
            )
        # -I -S: the watchdog needs nothing but the standard library, and starts at once.
        starter = [sys.executable, "-I", "-S", str(_WATCHDOG), str(os.getpid()), str(log), "--"]
        watchdog = subprocess.Popen(  # noqa: S603
            [*starter, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            # Where the engine ends at once, the last line is already behind the first one.
            bufsize=0,
        )
        assert watchdog.stdout is not None
        try:
            pid = int(watchdog.stdout.readline())
        except ValueError:
            watchdog.kill()
            _, output = watchdog.communicate()
            last = output.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
            raise ConfigEngineError(
                f"vLLM cannot be run: {last[0]}", remedy="check the Python that has vLLM"
            ) from None
        return cls(pid, log, watchdog)

    def alive(self) -> bool:
        """Whether the engine runs; where its watchdog is gone, what is left of it is ended."""
        if self._watchdog.poll() is None:
            return True
        _kill_group(self.pid)
        return False

    def exit_reason(self) -> str:
        """How it ended, as the predicate of a sentence about it."""
        try:
            output, _ = self._watchdog.communicate(timeout=_LAST_LINE)
            status = int(output.split()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            return "was ended together with its watchdog"
        if status < 0:
            with suppress(ValueError):
                return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def stop(self) -> None:
        """End the engine's whole group, and return when no process of it is left."""
        if self._watchdog.stdin is not None:
            with suppress(OSError):
                self._watchdog.stdin.close()
        try:
            self._watchdog.wait(_LAST_LINE)
        except subprocess.TimeoutExpired:
            self._watchdog.kill()
            self._watchdog.wait()
        _kill_group(self.pid)
        for stream in (self._watchdog.stdout, self._watchdog.stderr):
            if stream is not None:
                stream.close()


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


async def start_engine(
    plan: LaunchPlan, endpoint: Endpoint, progress: StartProgress | None = None
) -> tuple[EngineProcess, Endpoint]:
    """Start the engine and wait until it answers.

    It belongs to this process, and is ended where the start fails or is cancelled.

    Args:
        plan: From `plan_launch`.
        endpoint: Where it shall answer.
        progress: Called with the stages.

    Returns:
        The process, and where it answers: elsewhere if another process took the port meanwhile.

    Raises:
        ConfigEngineError: It did not start; says why.
    """
    began = time.monotonic()
    for _ in range(_PORT_ATTEMPTS):
        arguments = serve_arguments(plan, endpoint.port)
        command = [plan.installation.python, "-m", _MODULE, "serve", *arguments]
        environment = engine_environment(plan, os.environ, endpoint.key)
        # Not in a thread, which could not be cancelled and would leave what it started.
        process = EngineProcess.start(command, environment, _new_log())
        try:
            if await _wait_until_ready(plan, process, endpoint, progress, began):
                return process, endpoint
        except BaseException:
            process.stop()
            raise
        process.stop()
        endpoint = Endpoint.new()
    raise start_error(process.log, "found no free port")


async def _wait_until_ready(
    plan: LaunchPlan,
    process: EngineProcess,
    endpoint: Endpoint,
    progress: StartProgress | None,
    began: float,
) -> bool:
    """Wait; False where another process took the port meanwhile."""
    stage: StartStage = "start"
    port_taken, pending = False, b""
    with process.log.open("rb") as log:
        while True:
            alive = process.alive()  # before the log is read, so that its last lines are
            # Progress bars, which are drawn over themselves, count as lines.
            *lines, pending = (pending + log.read()).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                stage = start_stage(line.decode(errors="replace"), stage)
                port_taken |= b"address already in use" in line.lower()
            seconds = time.monotonic() - began
            if progress is not None:
                progress(stage, seconds)
            if not alive:
                if port_taken:
                    return False
                raise start_error(process.log, process.exit_reason())
            if await asyncio.to_thread(endpoint.serves, plan.checkpoint.name):
                if progress is not None:
                    progress("ready", seconds)
                return True
            if seconds > plan.settings.start_timeout:
                raise start_error(process.log, f"took more than {plan.settings.start_timeout:g} s")
            await asyncio.sleep(_POLL)


def _new_log() -> Path:
    folder = log_folder()
    for old in sorted(folder.glob("engine-*.log"))[: -_MAX_LOGS + 1]:
        old.unlink(missing_ok=True)
    name = f"engine-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06}-{os.getpid()}"
    path = folder / f"{name}.log"
    path.touch(mode=0o600)
    return path


_STAGE_SIGNS: tuple[tuple[StartStage, re.Pattern[str]], ...] = (
    ("capture", re.compile(r"Capturing (CUDA|cudagraph)|Graph capturing")),
    ("compile", re.compile(r"Loading weights took|Model loading took|torch\.compile|Warming up")),
    ("load", re.compile(r"Starting to load model|Loading safetensors|Loading model weights")),
    ("download", re.compile(r"Downloading|Fetching \d+ files")),
)


def start_stage(line: str, before: StartStage) -> StartStage:
    """The stage that a line of the log announces; never one before `before`."""
    order = list(START_STAGES)
    for stage, sign in _STAGE_SIGNS:
        if sign.search(line) and order.index(stage) > order.index(before):
            return stage
    return before


# A sign in the log, what it means, what to do. The first that is found anywhere in the log is the
# cause, so the most exact come first.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        (
            r"No module named '([\w.]+)'|requires the following packages|PackageNotFound"
            r"|undefined symbol|Could not load this library|cannot open shared object file"
        ),
        "a package or library that it needs is missing or does not fit",
        "install vLLM again in an environment of its own, and name it with --vllm-python",
    ),
    (
        (
            r"No available memory for the cache|KV cache is needed|can be stored in KV cache"
            r"|Free memory on device|less than desired [CG]PU memory|Available memory on node"
            r"|OutOfMemoryError|out of memory|Cannot allocate memory|MemoryError"
        ),
        "not enough memory",
        "free what others use, try another --gpu, a smaller --context or --quantization fp8",
    ),
    (
        r"architectures? \[?.*\]? (are|is) not supported|not supported for now",
        "this vLLM does not know the model's architecture",
        "use a later vLLM, or another model",
    ),
    (
        (
            r"RepositoryNotFound|not a valid model identifier|Invalid repository ID|Repo id must"
            r"|GatedRepo|40[134] Client Error|Max retries exceeded|Temporary failure in name"
            r"|LocalEntryNotFound|offline"
        ),
        "the hub has no such model, does not give it to you, or cannot be reached",
        "check the name, your access (`hf auth login`) and the connection, or give a folder",
    ),
    (
        r"unrecognized arguments: (.*)|invalid choice|error: argument",
        "vLLM refused an argument",
        "check the arguments that you passed to vLLM",
    ),
    (
        r"No CUDA GPUs are available|Failed to infer device type|CUDA driver version",
        "vLLM finds no GPU that it can use",
        "check the driver with `nvidia-smi`, and that vLLM's build suits it",
    ),
)


def start_error(log: Path, exit_reason: str) -> ConfigEngineError:
    """The error for a start that failed, by its cause where the log has a known one.

    Args:
        log: Where the engine wrote.
        exit_reason: How it ended, such as ``ended with status 1``.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    for sign, what, remedy in _CAUSES:
        if found := re.search(sign, text):
            start = text.rfind("\n", 0, found.start()) + 1
            line = _without_prefix(text[start:].partition("\n")[0])[:300]
            return ConfigEngineError(
                f"vLLM did not start: {what} ({line})", remedy=f"{remedy}; the whole log is {log}"
            )
    last = " | ".join(log_tail(log, 3)) or "none"
    return ConfigEngineError(
        f"vLLM {exit_reason} before it was ready; its last lines: {last}",
        remedy=f"read the whole log in {log}",
    )


def log_tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log that are not empty, without their prefixes."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return [_without_prefix(line) for line in text.splitlines() if line.strip()][-lines:]


_PREFIX = re.compile(r"^(\(\w+ pid=\d+\) )?((INFO|WARNING|ERROR) [\d-]+ [\d:]+ \[[^\]]*\] )?")


def _without_prefix(line: str) -> str:
    return _PREFIX.sub("", line.strip()).strip()
