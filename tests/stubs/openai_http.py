"""The HTTP of the stub server: what comes in, what goes out, and what goes wrong on the way."""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from stubs.openai_checks import Asked, Malformed, check_chat, check_messages

if TYPE_CHECKING:
    from stubs.openai_server import StubServer

__all__ = ["CHAT", "TICK", "Fault", "Handler", "Listener", "Received", "error_body"]

CHAT = "/v1/chat/completions"
TICK = 0.02
"""Seconds between two looks at whether somebody still waits."""

STREAM_BREAKS = frozenset({"cut", "error", "no-json", "slow"})
STREAM_FAULTS = STREAM_BREAKS | {"no-end", "no-usage", "no-done"}

_BODIES = {
    "garbage": ("application/json", b"\x00\xff not JSON {"),
    "html": ("text/html", b"<html><body>502 Bad Gateway</body></html>"),
    "json": ("application/json", b'{"status": "ok"}'),
    "no-choices": ("application/json", b'{"object": "chat.completion", "choices": []}'),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong instead of an answer.

    Attributes:
        kind: ``status``, ``hang`` (no answer at all), ``drip`` (a byte at a time, for ever),
            ``reset`` (the connection breaks), ``short`` (it breaks within the body), ``garbage``
            (bytes that are no JSON), ``html`` (a proxy's page), ``json`` (another API's JSON),
            ``no-choices``, or ``redirect``; within a stream, after a few pieces, also ``cut`` (the
            connection breaks), ``error`` (an error as an event), ``no-json``, ``no-end`` (no
            finish reason), ``no-usage`` and ``no-done`` (nothing else is missing), ``slow`` (no
            more comes, and the line stays open).
        status: HTTP status, for ``status``.
        headers: Headers besides.
        error: Fields of the error object.
    """

    kind: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``503``, ``429:2`` (with ``Retry-After: 2``) or the name of a kind."""
        status, _, wait = text.partition(":")
        if status.isdigit():
            return cls("status", int(status), {"Retry-After": wait} if wait else {})
        return cls(text)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came.

    Attributes:
        method: GET or POST.
        path: Path and query.
        headers: By small name.
        body: JSON value; None for a GET.
        asked: What was asked, for a chat request that is well formed.
        port: The client's end of the connection.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None
    asked: Asked | None = None
    port: int = 0


class Listener(ThreadingHTTPServer):
    """Answers each connection in a thread of its own."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    stub: StubServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Take it lightly that clients go away; other errors are ours, and are told."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.stub.violations.append(f"the stub failed: {error!r}")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def stub(self) -> StubServer:
        """Whose connection it is."""
        return cast("Listener", self.server).stub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        """Give a page."""
        self._note(None)
        if not self._let_in():
            return
        if self.stub.page_faults:
            self._fail(self.stub.page_faults.popleft())
            return
        page = self.stub.page(self.path)
        self._send(404, error_body(404, "Not Found")) if page is None else self._send(200, page)

    def do_POST(self) -> None:
        """Answer a chat, or count one."""
        length = int(self.headers.get("Content-Length", 0))
        raw = self.rfile.read(length)
        if len(raw) < length:
            self.close_connection = True  # the client went away in the middle
            return
        try:
            body = json.loads(raw)
            asked = check_chat(body) if self.path == CHAT else None
        except (ValueError, Malformed) as error:
            self.stub.violations.append(str(error))
            self._send(400, error_body(400, str(error)))
            return
        self._note(body, asked)
        if not self._let_in():
            return
        if self.path == "/tokenize":
            self._tokenize(body)
        elif asked is not None:
            self._chat(asked)
        else:
            self._send(404, error_body(404, "Not Found"))

    def _note(self, body: Any, asked: Asked | None = None) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        strange = [name for name in headers if name.startswith(("x-", "openai-", "cookie"))]
        if strange:
            self.stub.violations.append(f"headers {strange}")
        with self.stub.lock:
            port: int = self.client_address[1]
            self.stub.received.append(Received(self.command, self.path, headers, body, asked, port))

    def _let_in(self) -> bool:
        guarded = self.stub.style.guards_all or self.path.startswith("/v1")
        given = self.headers.get("Authorization", "")
        if self.stub.key is None or not guarded or given == f"Bearer {self.stub.key}":
            return True
        # As some servers do, this one repeats the key.
        self._send(401, error_body(401, f"Incorrect API key provided: {given}"))
        return False

    def _tokenize(self, body: Any) -> None:
        if not self.stub.style.counts:
            self._send(404, error_body(404, "Not Found"))
            return
        try:
            count = self.stub.count(check_messages(body))
        except Malformed as error:
            self.stub.violations.append(str(error))
            self._send(400, error_body(400, str(error)))
            return
        tokens = list(range(count))
        page = {"count": count, "max_model_len": self.stub.context, "tokens": tokens}
        self._send(200, page)

    def _chat(self, asked: Asked) -> None:
        self.stub.enter(1)
        try:
            fault = self.stub.next_fault()
            if fault is None or fault.kind in STREAM_FAULTS:
                status, value = self.stub.answer(asked)
                if asked.stream and status == 200 and self.stub.streams == "yes":
                    self._stream(value, fault.kind if fault else "")
                else:
                    self._send(status, value)
            else:
                self._fail(fault)
        finally:
            self.stub.enter(-1)

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "status":
            error = error_body(fault.status, "Told to fail.", **fault.error)
            self._send(fault.status, error, headers=fault.headers)
        elif fault.kind in _BODIES:
            media, raw = _BODIES[fault.kind]
            self._send_raw(200, media, raw)
        elif fault.kind == "redirect":
            self._send(307, {}, headers={"Location": f"{self.stub.base_url}/elsewhere"})
        elif fault.kind in ("hang", "drip"):
            self._keep_waiting(drip=fault.kind == "drip")
        else:
            assert fault.kind in ("reset", "short"), fault
            self._break_off(within_body=fault.kind == "short")

    def _stream(self, value: dict[str, Any], fault: str) -> None:
        """Send a whole answer in pieces, a word each, as these servers do."""
        [choice] = value["choices"]
        words = choice["message"]["content"].split(" ")
        pieces = [words[0], *(f" {word}" for word in words[1:])]
        self._head(200, "text/event-stream; charset=utf-8", None, {"Connection": "close"})
        self.close_connection = True
        self._chunk({"role": "assistant", "content": ""})
        for at, piece in enumerate(pieces):
            if at == 3 and fault in STREAM_BREAKS:
                self._break_stream(fault)
                return
            if self.stub.piece_seconds and self.stub.stopping.wait(self.stub.piece_seconds):
                return
            self._chunk({"content": piece})
        self._chunk({}, None if fault == "no-end" else choice["finish_reason"])
        if fault != "no-usage":
            self._event(json.dumps({"choices": [], "usage": value["usage"]}))
        if fault != "no-done":
            self._event("[DONE]")

    def _break_stream(self, fault: str) -> None:
        if fault == "cut":
            self._break_off(within_body=False)
        elif fault == "slow":
            self._keep_waiting(drip=False)
        else:
            said = "{ no JSON" if fault == "no-json" else json.dumps(error_body(500, "It died."))
            self._event(said)
            self._event("[DONE]")

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self._event(json.dumps({"object": "chat.completion.chunk", "choices": [choice]}))

    def _event(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def _keep_waiting(self, *, drip: bool) -> None:
        if drip:
            self._head(200, "application/json", 1_000_000, {})
        self.stub.hanging.set()
        self.close_connection = True
        while not self.stub.stopping.wait(TICK):
            readable, _, _ = select.select([self.connection], [], [], 0)
            try:
                if readable and not self.connection.recv(1, socket.MSG_PEEK):
                    break
                if drip:
                    self.connection.sendall(b" ")
            except OSError:
                break
        else:
            return
        with self.stub.lock:
            self.stub.hung_up += 1

    def _break_off(self, *, within_body: bool) -> None:
        if within_body:
            self._head(200, "application/json", 1000, {})
            self.connection.sendall(b'{"choices": [')
        else:
            # Closing with a linger time of zero sends a reset instead of a goodbye.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def _send(
        self, status: int, value: dict[str, Any], *, headers: dict[str, str] | None = None
    ) -> None:
        self._send_raw(status, "application/json", json.dumps(value).encode(), headers)

    def _send_raw(
        self, status: int, media: str, raw: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self._head(status, media, len(raw), headers or {})
        self.wfile.write(raw)

    def _head(self, status: int, media: str, length: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        sized = {} if length is None else {"Content-Length": str(length)}
        for name, value in {
            "Content-Type": media,
            **sized,
            "Set-Cookie": "visitor=7; Path=/",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()


def error_body(status: int, message: str, /, **fields: Any) -> dict[str, Any]:
    """An error as these APIs word it, with other fields over those."""
    error = {"message": message, "type": "Error", "param": None, "code": status}
    return {"error": {**error, **fields}}
