"""A stub of the Hugging Face hub: files over HTTP on loopback, with the hub's headers."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["StubHub"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(slots=True)
class StubHub:
    """Serves `files` ("OWNER/REPO/FILE") until it is stopped.

    Attributes:
        files: What there is.
        errors: Status and the hub's error code, for files that are refused.
        asked: The file of each request.
    """

    files: dict[str, bytes]
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def start(self) -> StubHub:
        """Begin to serve, on a free port."""
        handler = type("_BoundHandler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    @property
    def address(self) -> str:
        """For ``HF_ENDPOINT``."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Serve no more."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: StubHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, method: str) -> None:
        name = self.path.partition("?")[0].lstrip("/").replace("/resolve/main/", "/")
        name = name.replace(f"/resolve/{COMMIT}/", "/")
        self.hub.asked.append(name)
        if name in self.hub.errors or name not in self.hub.files:
            status, code = self.hub.errors.get(name, (404, "EntryNotFound"))
            self._head(status, 0, {"X-Error-Code": code, "X-Error-Message": "refused"})
            return
        content = self.hub.files[name]
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._head(200, len(content), {"ETag": etag, "X-Repo-Commit": COMMIT})
        if method == "GET":
            self.wfile.write(content)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
