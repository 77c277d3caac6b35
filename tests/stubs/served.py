"""A real ``promptlift serve`` in a process of its own, with whatever settings a test wants."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Self

import httpx2
import psutil

from promptlift.cli.main import main
from promptlift.client import Client

__all__ = ["Served", "alive", "children_of", "command", "events", "eventually"]

_MARK = "PROMPTLIFT_TEST_SERVED"
_MAIN = """
import json, sys
from pathlib import Path
from promptlift.cli.main import _say
from promptlift.engines.registry import parse_engine
from promptlift.errors import PromptliftError
from promptlift.server.run import log_to_stderr, run_server
from promptlift.server.config import ServerConfig
said = json.loads(sys.argv[1])
said["data"] = Path(said["data"])
said["allow_paths"] = tuple(map(Path, said.get("allow_paths", ())))
said["keys"] = tuple(said.get("keys", ()))
said["also"] = tuple(map(parse_engine, said.get("also", ())))
log_to_stderr(quiet=False)
try:
    run_server(ServerConfig(**said), lambda url: print(url, flush=True))
except PromptliftError as error:
    _say(f"promptlift: error: {error}")
    sys.exit(error.exit_code)
"""


def events(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    """Names and JSON values of a streamed answer's events."""
    return ((event.event, json.loads(event.data)) for event in httpx2.EventSource(answer))


class Served:
    """A server; a context manager that ends it.

    Args:
        data: Its folder.
        **settings: See `promptlift.server.config.ServerConfig`; JSON values.

    Attributes:
        url: Where it is.
        http: Connections to it.
        log: Its stderr, a file.
    """

    def __init__(self, data: Path, **settings: Any) -> None:
        self.data = data
        quick = {"port": 0, "engine": "embedded", "decoders": 1}
        self.settings: dict[str, Any] = {"data": str(data), **quick, **settings}
        self.log = data.parent / f"{data.name}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, json.dumps(self.settings)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, _MARK: str(data)},
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.process.wait(30)
            self.process.stdout.close()
            raise RuntimeError(self.log.read_text())
        keys = self.settings.get("keys") or [None]
        headers = {"authorization": f"Bearer {keys[0]}"} if keys[0] else {}
        self.http = httpx2.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def client(self, **arguments: Any) -> Client:
        """Our client of it."""
        keys = self.settings.get("keys") or [None]
        return Client(self.url, keys[0], **arguments)

    def upload(self, video: Path) -> str:
        """Send a file; its id."""
        name = {"name": video.name}
        answer = self.http.post("/v1/uploads", params=name, content=video.read_bytes())
        assert answer.status_code == 201, answer.text
        upload_id: str = answer.json()["id"]
        return upload_id

    def stop(self) -> int:
        """End it as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait(30)

    def processes(self) -> list[int]:
        """Processes that came of it or of another server with this folder, whosever they are now.

        They inherit a mark in their environment.
        """
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == str(self.data) and alive(process.pid):
                    found.append(process.pid)
        return found

    def memory(self, field: str = "VmRSS") -> int:
        """MiB of main memory that it holds; ``VmHWM`` for the most that it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) // 1024

    def uploads(self) -> list[str]:
        """Names in its folder of uploads."""
        return sorted(path.name for path in (self.data / "uploads").iterdir())


def command(*arguments: str) -> tuple[int, str, str]:
    """Run ``promptlift`` in this process: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("the command ends the process")


def children_of(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    return [child.pid for child in psutil.Process(pid).children()]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(holds: Any, seconds: float = 100.0) -> None:
    """Wait until something holds; fails if it never does."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.05)
