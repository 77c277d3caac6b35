"""An engine that runs, how it is called, and the file that says which one is up.

A process id is reused after a crash or a reboot, so it counts only together with the time at
which the process started. The file is named after the host, because a home folder may be shared.
"""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from promptlift.errors import ConfigEngineError, TransientEngineError
from promptlift.files import write_atomic

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "HOST",
    "EngineState",
    "EngineStatus",
    "clear_state",
    "log_folder",
    "process_start",
    "read_state",
    "state_path",
    "write_state",
]

HOST = "127.0.0.1"
EngineStatus = Literal["starting", "ready", "sleeping"]

_QUICK = 5.0
_SLOW = 600.0  # tens of gigabytes are moved, after the requests under way are answered
_REMEDY = "read `promptlift engine logs`, or take the engine down and up again"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """An engine that runs, or is starting.

    Attributes:
        status: What it is doing.
        pid: Process id of its owner.
        pid_start: When the owner started, as `process_start` gives it.
        engine_pid: Process id of the engine, which is its process group's too; 0 before a start.
        port: Where it listens.
        key: Its key; the file is readable by its user only.
        model: The name that it serves.
        source: The folder or hub name that it was started with.
        revision: The model's revision, where it is known.
        family: Image-token family, where it is known.
        images: The most images in one request.
        context: Tokens of prompt and answer; None where vLLM chose.
        version: Version of vLLM.
        note: How its memory was planned.
        log: Where the engine writes; empty before a start.
        since: Unix time of the start.
        can_sleep: Whether it was started with sleep mode.
        restarts: How often it died and was started again.
        control_port: Where its owner takes requests to sleep and wake it, with the same key; 0
            for an owner that takes none.
    """

    status: EngineStatus = "starting"
    pid: int
    pid_start: float | None
    engine_pid: int = 0
    port: int
    key: str = field(repr=False)
    model: str
    source: str
    revision: str
    family: str | None
    images: int
    context: int | None
    version: str
    note: str
    log: str = ""
    since: float = field(default_factory=time.time)
    can_sleep: bool = True
    restarts: int = 0
    control_port: int = 0

    @property
    def base_url(self) -> str:
        """The address of its OpenAI API."""
        return f"http://{HOST}:{self.port}/v1"

    def call(self, method: str, path: str, timeout: float = _QUICK) -> httpx2.Response | None:
        """Send one request; None where nobody answers."""
        import httpx2

        try:
            return httpx2.request(
                method,
                f"http://{HOST}:{self.port}{path}",
                headers={"Authorization": f"Bearer {self.key}"},
                timeout=timeout,
                trust_env=False,  # never through a proxy
                verify=False,  # plain HTTP: certificates would only be loaded for nothing
            )
        except httpx2.HTTPError:
            return None

    def is_healthy(self) -> bool:
        """Whether the engine behind the server works."""
        response = self.call("GET", "/health")
        return response is not None and response.status_code == 200

    def activity(self) -> tuple[int, float] | None:
        """How busy it is, by its metrics; None where it does not answer.

        Returns:
            The requests that run or wait, and a number that grows with every request: where it
            is the same twice, nothing happened in between.
        """
        from promptlift.engines.openai.client import sum_metrics

        response = self.call("GET", "/metrics")
        if response is None or not response.is_success:
            return None
        busy = sum_metrics(response.text, "num_requests_running", "num_requests_waiting")
        done = sum_metrics(response.text, "prompt_tokens_total", "request_success_total")
        return int(busy or 0), done or 0

    def sleep(self) -> None:
        """Have it release its GPU memory once its requests are answered.

        Level 1, which keeps the weights in main memory.

        Raises:
            TransientEngineError: It does not answer, or cannot sleep.
        """
        self._post("/sleep?level=1&mode=wait")

    def wake(self) -> None:
        """Wake it.

        Versions as old as 0.9.2 keep trusting the prefix cache, whose contents the sleep dropped;
        so it is reset in any case.

        Raises:
            TransientEngineError: It does not answer.
        """
        self._post("/wake_up")
        self._post("/reset_prefix_cache")

    def _post(self, path: str) -> None:
        response = self.call("POST", path, timeout=_SLOW)
        what = path.partition("?")[0]
        if response is None:
            raise TransientEngineError(f"the engine does not answer {what}", remedy=_REMEDY)
        if not response.is_success:
            raise TransientEngineError(
                f"the engine answers {what} with status {response.status_code}", remedy=_REMEDY
            )


def read_state() -> EngineState | None:
    """The engine that is up; None where there is none. A file left by a crash is removed.

    Creates no folder; a home that cannot be read has no engine.
    """
    with suppress(OSError):
        with suppress(ValueError, TypeError):
            state = EngineState(**json.loads(_path().read_bytes()))
            if process_start(state.pid) == state.pid_start:
                return state
        clear_state()
    return None


def write_state(state: EngineState) -> None:
    """Replace the file atomically; only its user can read it.

    Raises:
        ConfigEngineError: The state folder cannot be written.
    """
    path = state_path()
    # The folder is private, so the file is out of reach before its own mode is set.
    write_atomic(path, json.dumps(dataclasses.asdict(state), indent=1).encode())
    path.chmod(0o600)


def clear_state() -> None:
    """Remove the file: its owner is gone, or going."""
    with suppress(OSError):
        _path().unlink()


def process_start(pid: int) -> float | None:
    """When a process started, in seconds since boot; None where it is gone or a zombie.

    Since boot, because the time of day that the kernel derives for it moves with the clock.
    """
    import psutil

    try:
        process, boot = psutil.Process(pid), psutil.boot_time()
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return round(process.create_time() - boot, 2)
    except psutil.Error:
        return None


def state_path() -> Path:
    """The state file's path, in a folder that is created where it is missing, and private.

    Raises:
        ConfigEngineError: The folder cannot be written.
    """
    path = _path()
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigEngineError(
            f"the engine's state folder {str(folder)!r} cannot be used: {error.strerror}",
            remedy="set XDG_STATE_HOME to a folder that you can write to",
        ) from error
    return path


def log_folder() -> Path:
    """Where engines write their logs."""
    folder = state_path().parent / "logs"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def _path() -> Path:
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())
    return platformdirs.user_state_path("promptlift") / "vllm" / f"engine-{host}.json"
