"""Run in place of ``python -m vllm.entrypoints.cli.main``: the paths of vLLM's server, no model.

How it behaves is in ``behaviour.json`` of the model's folder: ``fail`` is printed before it ends;
``slow`` seconds pass before it listens, and ``thinks`` before it answers; of the requests
``deaths`` end it; falling asleep takes ``drowsy`` seconds,
and ``deaf`` times it does not wake. Asked while it sleeps, it fails, as vLLM does at the least.
Each call is written to ``calls`` in that folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ANSWER = "A red balloon drifts over golden dunes."


class Folder:
    """The model's folder, with the behaviour and the calls."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def behaviour(self) -> dict[str, Any]:
        """What it shall do."""
        try:
            found: dict[str, Any] = json.loads((self.path / "behaviour.json").read_text())
        except OSError:
            return {}
        return found

    def one_less(self, name: str) -> bool:
        """Count a behaviour down; whether it applied."""
        behaviour = self.behaviour()
        if behaviour.get(name, 0) <= 0:
            return False
        behaviour[name] -= 1
        (self.path / "behaviour.json").write_text(json.dumps(behaviour))
        return True

    def note(self, call: str) -> None:
        """Write a call down."""
        with (self.path / "calls").open("a") as file:
            file.write(f"{call}\n")


class Handler(BaseHTTPRequestHandler):
    """Answers as vLLM does."""

    protocol_version = "HTTP/1.1"
    folder: Folder
    name: str
    asked = 0
    sleeps = False

    def do_GET(self) -> None:
        """The paths that tell something."""
        answers: dict[str, Any] = {
            "/health": "",
            "/version": {"version": "0.32.0"},
            "/v1/models": {"data": [{"id": self.name, "owned_by": "vllm", "max_model_len": 9216}]},
            "/metrics": (
                'vllm:num_requests_running{engine="0"} 0.0\n'
                'vllm:num_requests_waiting{engine="0"} 0.0\n'
                'vllm:num_requests_waiting_by_reason{reason="capacity"} 7.0\n'
                f'vllm:prompt_tokens_total{{engine="0"}} {float(Handler.asked)}\n'
            ),
        }
        self._answer(answers.get(self.path))

    def do_POST(self) -> None:
        """The paths that do something."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.folder.note(self.path)
        if self.path != "/v1/chat/completions":
            self._tend(self.path.partition("?")[0])
            return
        Handler.asked += 1
        time.sleep(self.folder.behaviour().get("thinks", 0))
        if Handler.sleeps:
            self._answer({"error": {"message": "asked while it sleeps"}}, 400)
            return
        if self.folder.one_less("deaths"):
            os._exit(9)
        message = {"role": "assistant", "content": ANSWER}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(body), "completion_tokens": 7, "total_tokens": 0}
        self._answer({"choices": [choice], "usage": usage, "model": self.name})

    def _tend(self, path: str) -> None:
        """Sleep, wake, and what else is no question."""
        if path == "/sleep":
            Handler.sleeps = True
            time.sleep(self.folder.behaviour().get("drowsy", 0))
        if path == "/wake_up":
            if self.folder.one_less("deaf"):
                self._answer({"error": {"message": "out of memory"}}, 500)
                return
            Handler.sleeps = False
        self._answer({"status": "done"})

    def _answer(self, answer: object, status: int = 200) -> None:
        if answer is None:
            status = 404
        if self.headers.get("Authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
            status, answer = 401, {}
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        kind = "text/plain" if isinstance(answer, str) else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def main(arguments: list[str]) -> None:
    """Serve until ended."""
    model = arguments[arguments.index("serve") + 1]
    Handler.folder = Folder(model)
    Handler.name = arguments[arguments.index("--served-model-name") + 1]
    Handler.folder.note("start")
    behaviour = Handler.folder.behaviour()
    if "fail" in behaviour:
        sys.exit(behaviour["fail"])
    print("INFO 11-21 21:22:30 [loader.py:5] Loading", model, flush=True)
    time.sleep(behaviour.get("slow", 0))
    port = int(arguments[arguments.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
