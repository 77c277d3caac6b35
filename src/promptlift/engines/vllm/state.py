"""Who owns the engine that is up: a file in the user's state folder, and how to trust it.

A process id is used again after a crash or a restart of the machine, so it counts only together
with the time at which the process began. The file is named after the host, because a home folder
may be shared by many.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from promptlift.engines.vllm.control import Endpoint
from promptlift.errors import ConfigEngineError
from promptlift.files import write_atomic

__all__ = [
    "State",
    "Status",
    "clear_state",
    "exclusive",
    "log_folder",
    "process_identity",
    "read_state",
    "write_state",
]

Status = Literal["starting", "ready", "sleeping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An engine that is up, or coming up.

    Attributes:
        status: What it is doing.
        pid: Process id of the supervisor.
        identity: What tells that process from a later one with the same id.
        engine_pid: Process id of the engine, which is its group's too.
        port: Where it listens.
        key: Its key; the file is for the user's eyes only.
        model: The name that it serves.
        source: The folder or name that it was given.
        revision: The model's revision, where it is known.
        family: Image-token family, where it is known.
        images: The most images in one request.
        context: Tokens of prompt and answer; None where vLLM chose.
        version: Version of vLLM.
        note: What was decided about memory.
        log: Where the engine writes.
        since: Unix time of the start.
        level: How deep it sleeps; 0 awake.
        restarts: How often it died and was started again.
    """

    status: Status
    pid: int
    identity: str
    engine_pid: int
    port: int
    key: str = dataclasses.field(repr=False)
    model: str
    source: str
    revision: str
    family: str | None
    images: int
    context: int | None
    version: str
    note: str
    log: str
    since: float
    level: int = 0
    restarts: int = 0

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers."""
        return Endpoint(self.port, self.key)


def read_state() -> State | None:
    """The engine that is up; None where there is none. A file left by a crash is removed.

    Makes no folder, and a home that cannot be read has no engine.
    """
    try:
        content = _path().read_bytes()
    except OSError:
        return None
    try:
        state = State(**json.loads(content))
    except (ValueError, TypeError):
        _remove()
        return None
    if process_identity(state.pid) != state.identity:
        clear_state(state)
        return None
    return state


def write_state(state: State) -> None:
    """Replace the file, whole or not at all; nobody else may read it."""
    path = _own_folder() / _path().name
    # The folder is the user's alone, so the file is out of reach before its own mode is set.
    write_atomic(path, json.dumps(dataclasses.asdict(state), indent=1).encode())
    path.chmod(0o600)


def clear_state(state: State) -> None:
    """Remove the file of an owner that is gone, and what its guardian may have left."""
    if process_identity(state.pid) != state.identity and _is_engine(state):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(state.engine_pid, signal.SIGKILL)
    _remove()


def _remove() -> None:
    with suppress(OSError):
        _path().unlink()


@contextmanager
def exclusive(purpose: str, *, wait: bool) -> Iterator[bool]:
    """Keep others of this user on this host from the same purpose meanwhile.

    Yields:
        Whether it was had; always true with `wait`.
    """
    import fcntl  # not on Windows, where promptlift may still be asked what is up

    with (_own_folder() / f"{purpose}-{_host()}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def log_folder() -> Path:
    """Where engines write."""
    folder = _own_folder() / "logs"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def process_identity(pid: int) -> str | None:
    """When that process began, in a form that no later process shares; None if it is gone."""
    if Path("/proc/self/stat").exists():
        return _identity_from_proc(pid)
    ps = ["ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(ps, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None


def _identity_from_proc(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The name in brackets may hold anything; the state and the 22nd field come after it.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"


def _is_engine(state: State) -> bool:
    """Whether the group's leader is still the engine, and not a stranger with its number."""
    with suppress(OSError):
        command = Path(f"/proc/{state.engine_pid}/cmdline").read_bytes().decode(errors="replace")
        return "vllm" in command and str(state.port) in command.split("\0")
    return False


def _path() -> Path:
    return _folder() / f"engine-{_host()}.json"


def _host() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname())


def _folder() -> Path:
    return platformdirs.user_state_path("promptlift") / "vllm"


def _own_folder() -> Path:
    """The folder, made unless it is there, and closed to others."""
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigEngineError(
            f"the engine's state cannot be kept in {str(folder)!r}: {error.strerror}",
            remedy="set XDG_STATE_HOME to a folder that you may write to",
        ) from error
    return folder
