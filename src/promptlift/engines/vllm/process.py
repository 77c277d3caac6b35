"""The process of an engine: started behind its watchdog, followed by its log, ended as a group.

vLLM reports the progress and the failure of a start only in its log. A line that changes in a
later version costs a remedy in an error, never the start itself: whether the engine is up is asked
of the engine.
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
from typing import TypeAlias

from promptlift.engines.vllm.launch import LaunchPlan, engine_environment, serve_arguments
from promptlift.engines.vllm.state import EngineState, log_folder
from promptlift.errors import ConfigEngineError

__all__ = ["EngineProcess", "StartProgress", "read_log", "start_engine", "start_error"]

StartProgress: TypeAlias = Callable[[str, float], None]
"""Called with the latest line of the engine's log, and the seconds since the start."""

_MODULE = "vllm.entrypoints.cli.main"
_WATCHDOG = Path(__file__).parent / "_watchdog.py"
_LAST_LINE = 20.0
_POLL = 0.25
_MAX_LOGS = 10
_MAX_LINE = 60


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
            ConfigEngineError: The command cannot be run.
        """
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
            return f"was ended by signal {-status} ({signal.strsignal(-status)})"
        return f"ended with status {status}"

    def stop(self) -> None:
        """End the engine's whole group, and return when no process of it is left."""
        with self._watchdog as watchdog:
            assert watchdog.stdin is not None
            watchdog.stdin.close()
            try:
                watchdog.wait(_LAST_LINE)
            except subprocess.TimeoutExpired:
                watchdog.kill()
        _kill_group(self.pid)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


async def start_engine(
    plan: LaunchPlan, state: EngineState, progress: StartProgress | None = None
) -> EngineProcess:
    """Start the engine and wait until it answers.

    It belongs to this process, and is ended where the start fails or is cancelled.

    Args:
        plan: From `plan_launch`.
        state: Where it shall answer, and to which key.
        progress: Called with the latest line of the log, several times a second.

    Raises:
        ConfigEngineError: It did not start; says why.
    """
    began = time.monotonic()
    arguments = serve_arguments(plan, state.port)
    command = [plan.python, "-m", _MODULE, "serve", *arguments]
    environment = engine_environment(plan, os.environ, state.key)
    # Not in a thread, which could not be cancelled and would leave what it started.
    process = EngineProcess.start(command, environment, _new_log())
    try:
        while process.alive():
            seconds = time.monotonic() - began
            if await asyncio.to_thread(state.is_healthy):
                return process
            if seconds > plan.settings.start_timeout:
                raise start_error(process.log, f"took more than {plan.settings.start_timeout:g} s")
            if progress is not None:
                progress((read_log(process.log) or ["no word yet"])[-1][:_MAX_LINE], seconds)
            await asyncio.sleep(_POLL)
        raise start_error(process.log, process.exit_reason())
    except BaseException:
        process.stop()
        raise


def _new_log() -> Path:
    """An empty file that only this user can read; the oldest logs are removed."""
    folder = log_folder()
    for old in sorted(folder.glob("engine-*.log"))[: -_MAX_LOGS + 1]:
        old.unlink(missing_ok=True)
    now = time.time_ns() % 1_000_000_000
    path = folder / f"engine-{time.strftime('%Y%m%d-%H%M%S')}-{now:09}.log"
    path.touch(mode=0o600)
    return path


# A sign in the log, what it means, what to do. The first that is found anywhere in the log is the
# cause, so the most exact come first.
_CAUSES = (
    (
        r"No module named|undefined symbol|cannot open shared object file",
        "a package or library that it needs is missing or does not fit",
        "install vLLM again in an environment of its own, and name it with --vllm-python",
    ),
    (
        r"[Oo]ut ?[Oo]f ?[Mm]emory|KV cache is needed|in KV cache|memory (for the cache|on device)",
        "not enough memory",
        "free what others use, try another --gpu, a smaller --context or --quantization fp8",
    ),
    (
        r"architectures? .*not supported|not supported for now",
        "this vLLM does not know the model's architecture",
        "use a later vLLM, or another model",
    ),
    (
        r"RepositoryNotFound|GatedRepo|40[134] Client Error|Max retries|LocalEntryNotFound|offline",
        "the hub has no such model, does not give it to you, or cannot be reached",
        "check the name, your access (`hf auth login`) and the connection, or give a folder",
    ),
)


def start_error(log: Path, exit_reason: str) -> ConfigEngineError:
    """The error for a start that failed, by its cause where the log has a known one.

    Args:
        log: Where the engine wrote.
        exit_reason: How it ended, such as ``ended with status 1``.
    """
    lines = read_log(log)
    for sign, what, remedy in _CAUSES:
        line = next((line for line in lines if re.search(sign, line)), None)
        if line is not None:
            return ConfigEngineError(
                f"vLLM did not start: {what} ({line[:300]})",
                remedy=f"{remedy}; the whole log is {log}",
            )
    last = " | ".join(lines[-3:]) or "none"
    return ConfigEngineError(
        f"vLLM {exit_reason} before it was ready; its last lines: {last}",
        remedy=f"read the whole log in {log}",
    )


def read_log(log: Path) -> list[str]:
    """The lines of a log that are not empty, without vLLM's prefixes."""
    prefix = re.compile(r"^(\(\w+ pid=\d+\) )?((INFO|WARNING|ERROR) [\d-]+ [\d:]+ \[[^\]]*\] )?")
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return [prefix.sub("", line.strip()).strip() for line in text.splitlines() if line.strip()]
