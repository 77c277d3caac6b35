"""The engine's process: started behind its guardian, watched, and ended with all its kin."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promptlift.errors import ConfigEngineError

__all__ = ["EngineProcess"]

_GUARDIAN = Path(__file__).parent / "guardian.py"
_FIRST_WORD = 30.0
_LAST_WORD = 20.0


@dataclass(slots=True)
class EngineProcess:
    """An engine and the guardian that ends it with us.

    Attributes:
        pid: The engine's process id, which is its process group's and its session's too.
        log: Where it writes.
    """

    pid: int
    log: Path
    _guardian: subprocess.Popen[bytes]

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
        # -I -S: the guardian needs nothing but the standard library, and starts at once.
        starter = [sys.executable, "-I", "-S", str(_GUARDIAN), str(os.getpid()), str(log), "--"]
        guardian = subprocess.Popen(  # noqa: S603
            [*starter, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        pid = _first_word(guardian)
        if pid is None:
            guardian.kill()
            _, complaint = guardian.communicate()
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["no reason"]
            raise ConfigEngineError(
                f"vLLM cannot be run: {last[0]}", remedy="check the Python that has vLLM"
            )
        return cls(pid, log, guardian)

    def alive(self) -> bool:
        """Whether the engine is there; what is left of it is ended where its guardian is not."""
        if self._guardian.poll() is None:
            return True
        _kill_group(self.pid)
        return False

    def ended(self) -> str:
        """How it ended, for a sentence that begins with its name."""
        try:
            said, _ = self._guardian.communicate(timeout=_LAST_WORD)
            status = int(said.split()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            return "was ended together with its guardian"
        if status < 0:
            with suppress(ValueError):
                return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def stop(self) -> None:
        """End the engine's whole group, and return when nothing of it is left."""
        if self._guardian.stdin is not None:
            with suppress(OSError):
                self._guardian.stdin.close()
        try:
            self._guardian.wait(_LAST_WORD)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        _kill_group(self.pid)
        for stream in (self._guardian.stdout, self._guardian.stderr):
            if stream is not None:
                stream.close()


def _first_word(guardian: subprocess.Popen[bytes]) -> int | None:
    """The engine's process id, which the guardian writes first."""
    assert guardian.stdout is not None
    descriptor, said = guardian.stdout.fileno(), b""
    deadline = time.monotonic() + _FIRST_WORD
    while not said.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        # One byte at a time: an engine that is gone at once has its last word behind the first.
        chunk = os.read(descriptor, 1)
        if not chunk:
            return None
        said += chunk
    return int(said)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
