"""A server with an OpenAI-compatible API, over real HTTP, that does as it is told.

In a test::

    with StubServer("vllm-0.32", faults=["503", "429:0"]) as server:
        engine = OpenAIEngine(OpenAISettings(base_url=server.base_url))
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from promptlift.tokens import PIXTRAL, CountText
from stubs.openai_checks import Asked, Malformed, check_chat, check_messages

__all__ = ["ANSWER", "CHAT", "STYLES", "Fault", "Handler", "StubServer", "error_body"]

ANSWER = "A robot arm lifts a cup from the table. The camera stays fixed."
MODEL = "Cosmos-UpsamplePrompt1-12B-Transfer"
STYLES = {
    "vllm-0.32": "vllm",
    "sglang": "sglang",
    "llama-server": "llamacpp",
    "hosted": "system",
}
"""Kinds of servers, and what each says owns its models."""

CHAT = "/v1/chat/completions"
_TICK = 0.02  # seconds between two looks at whether somebody still waits
_STREAM_BREAKS = {"cut", "error", "no-json", "slow"}
_STREAM_FAULTS = _STREAM_BREAKS | {"no-end", "no-usage", "no-done"}
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
    """A request as it came; `asked` is set for a chat request that is well formed."""

    path: str
    headers: dict[str, str]
    body: Any = None
    asked: Asked | None = None


class _Listener(ThreadingHTTPServer):
    """Answers each connection in a thread of its own."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    stub: StubServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may go away; other errors are the stub's own."""
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
        return cast("_Listener", self.server).stub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        """Give a page."""
        self._note(None)
        if not self._is_authorized():
            return
        page = self.stub.page(self.path)
        if self.stub.page_faults:
            self._fail(self.stub.page_faults.popleft())
        elif page is None:
            self._send(404, error_body(404, "Not Found"))
        else:
            self._send(200, page)

    def do_POST(self) -> None:
        """Answer a chat, or count one."""
        length = int(self.headers.get("Content-Length", 0))
        raw = self.rfile.read(length)
        if len(raw) < length:
            self.close_connection = True  # the client went away in the middle
            return
        counts = self.path == "/tokenize" and self.stub.owner == "vllm"
        asked = None
        try:
            body = json.loads(raw)
            if counts or self.path == CHAT:
                asked = check_messages(body) if counts else check_chat(body, self.stub.refusals)
        except (ValueError, Malformed) as error:
            self.stub.violations.append(str(error))
            self._send(400, error_body(400, str(error)))
            return
        self._note(body, None if counts else asked)
        if not self._is_authorized():
            return
        if asked is None:
            self._send(404, error_body(404, "Not Found"))
        elif refused := [name for name in self.stub.refusals if name in body]:
            said = self.stub.refusals[refused[0]]
            body = error_body(400, said) if isinstance(said, str) else said
            self._send(body.get("status", 400), body)
        elif counts:
            count = self.stub.count(asked)
            page = {"count": count, "max_model_len": self.stub.context, "tokens": [*range(count)]}
            self._send(200, page)
        else:
            self._chat(asked)

    def _note(self, body: Any, asked: Asked | None = None) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        strange = [name for name in headers if name.startswith(("x-", "openai-", "cookie"))]
        if strange:
            self.stub.violations.append(f"headers {strange}")
        self.stub.received.append(Received(self.path, headers, body, asked))

    def _is_authorized(self) -> bool:
        guarded = self.stub.owner != "vllm" or self.path.startswith("/v1")
        given = self.headers.get("Authorization", "")
        if self.stub.key is None or not guarded or given == f"Bearer {self.stub.key}":
            return True
        # As some servers do, this one repeats the key.
        self._send(401, error_body(401, f"Incorrect API key provided: {given}"))
        return False

    def _chat(self, asked: Asked) -> None:
        self.stub.enter(1)
        try:
            fault = self.stub.next_fault()
            if fault is not None and fault.kind not in _STREAM_FAULTS:
                self._fail(fault)
                return
            status, value = self.stub.answer(asked)
            if asked.stream and status == 200 and self.stub.streams == "yes":
                self._stream(value, fault.kind if fault else "")
            else:
                self._send(status, value)
        finally:
            self.stub.enter(-1)

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "status":
            error = error_body(fault.status, "Told to fail.", **fault.error)
            self._send(fault.status, error, headers=fault.headers)
        elif fault.kind in _BODIES:
            media, raw = _BODIES[fault.kind]
            self._send(200, raw, media)
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
        first, *more = choice["message"]["content"].split(" ")
        self._head(200, "text/event-stream; charset=utf-8", None, {"Connection": "close"})
        self.close_connection = True
        self._chunk({"role": "assistant", "content": ""})
        for at, piece in enumerate([first, *(f" {word}" for word in more)]):
            if at == 3 and fault in _STREAM_BREAKS:
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
            self._event("{ no" if fault == "no-json" else json.dumps(error_body(500, "It died.")))
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
        while not self.stub.stopping.wait(_TICK):
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
        self,
        status: int,
        value: dict[str, Any] | bytes,
        media: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._head(status, media, len(raw), headers or {})
        self.wfile.write(raw)

    def _head(self, status: int, media: str, length: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        sized = {} if length is None else {"Content-Length": str(length)}
        own = {"Content-Type": media, "Set-Cookie": "visitor=7; Path=/"}
        for name, value in (own | sized | headers).items():
            self.send_header(name, value)
        self.end_headers()


def error_body(status: int, message: str, /, **fields: Any) -> dict[str, Any]:
    """An error as these APIs word it, with other fields over those."""
    error = {"message": message, "type": "Error", "param": None, "code": status}
    return {"error": {**error, **fields}}


@dataclass(eq=False, repr=False)
class StubServer:
    """The server; listens on a free port of the loopback from `start` to `stop`.

    Attributes:
        style: A key of `STYLES`.
        models: Names of the models that are served.
        context: Tokens of prompt and answer together.
        key: The key that is wanted; None for none.
        reply: The answer, or a function that makes it.
        faults: What goes wrong with the next chat requests, one each; texts as `Fault.parse`
            reads them, and None for nothing.
        page_faults: The same for pages.
        max_images: The most images of a request.
        sees: Whether the model takes images at all.
        lists: Whether there is a list of models.
        tls: File with a certificate and its key, for https.
        new_limit_only: The answer's limit must be called ``max_completion_tokens``.
        thought: What the model thinks before it answers, and all that it gives; empty for a model
            that does not think.
        switch: The field that switches its thinking off; empty for none.
        refusals: What the server says of each field that it refuses: the body of a 400, or its
            message.
        count_text: Counts the tokens of a text.
        streams: What is done where pieces are wanted: ``yes``, ``whole`` (the answer comes whole
            all the same), or ``refused``.
        piece_seconds: Seconds before each piece.
        cards: Fields of models in the list by name, over those that are there.
        patches: Fields to put into each answer, likewise.
        received: Every request, in the order in which they came.
        violations: What was wrong with requests that promptlift should not have made.
        hung_up: How many clients went away while they were kept waiting.
        most_at_once: The most chat requests that were under way together.
    """

    handler: ClassVar[type[Handler]] = Handler

    style: str = "vllm-0.32"
    _: KW_ONLY
    models: Iterable[str] = (MODEL,)
    context: int = 4096
    key: str | None = None
    reply: str | Callable[[Asked], str] = ANSWER
    faults: Any = ()
    page_faults: Any = ()
    max_images: int = 16
    sees: bool = True
    lists: bool = True
    tls: Path | None = None
    new_limit_only: bool = False
    thought: str = ""
    switch: str = ""
    refusals: dict[str, Any] = field(default_factory=dict)
    count_text: CountText = lambda text: len(text.split())
    streams: str = "yes"
    piece_seconds: float = 0.0
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    patches: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.owner = STYLES[self.style]
        self.faults, self.page_faults = (
            deque(Fault.parse(one) if isinstance(one, str) else one for one in given)
            for given in (self.faults, self.page_faults)
        )
        self.received: list[Received] = []
        self.violations: list[str] = []
        self.hung_up = self.at_once = self.most_at_once = 0
        self.stopping = threading.Event()
        self.hanging = threading.Event()
        self.lock = threading.Lock()
        self._http: _Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self, port: int = 0) -> Self:
        """Listen, on a free port unless one is given."""
        self._http = _Listener(("127.0.0.1", port), self.handler)
        self._http.stub = self
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(_TICK,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Listen no more, and let go of everyone who waits."""
        self.stopping.set()
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        """URL of the API."""
        assert self._http is not None, "not started"
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._http.server_port}/v1"

    @property
    def chats(self) -> list[Received]:
        """The chat requests among those that came."""
        return [one for one in self.received if one.path == CHAT]

    def next_fault(self) -> Fault | None:
        """What goes wrong with this chat request."""
        with self.lock:
            return self.faults.popleft() if self.faults else None

    def enter(self, change: int) -> None:
        """Count the chat requests that are under way."""
        with self.lock:
            self.at_once += change
            self.most_at_once = max(self.most_at_once, self.at_once)

    def page(self, path: str) -> dict[str, Any] | None:
        """What a GET gives; None for 404."""
        if path == "/v1/models" and self.lists:
            return {"object": "list", "data": [self._card(name) for name in self.models]}
        props = {
            "default_generation_settings": {"id": 0, "n_ctx": self.context, "params": {}},
            "total_slots": 1,
            "model_path": "/models/model.gguf",
            "build_info": "b7000-abcdef0",
            "modalities": {"vision": self.sees, "audio": False},
        }
        pages: dict[tuple[str, str], dict[str, Any]] = {
            ("vllm", "/version"): {"version": "0.32.0"},
            ("sglang", "/server_info"): {"version": "0.5.9", "tp_size": 1},
            ("llamacpp", "/props"): props,
        }
        return pages.get((self.owner, path))

    def _card(self, name: str) -> dict[str, Any]:
        card: dict[str, Any] = {"id": name, "object": "model", "owned_by": self.owner}
        if self.owner == "llamacpp":
            # The context that the model was trained with is not the one that the server gives it.
            card["meta"] = {"n_ctx_train": 8 * self.context, "n_params": 12_000_000_000}
        elif self.owner != "system":
            card |= {"root": name, "parent": None, "max_model_len": self.context}
        return card | self.cards.get(name, {})

    def count(self, asked: Asked) -> int:
        """Tokens of a whole prompt, as Pixtral counts."""
        images = sum(map(PIXTRAL.image, asked.sizes))
        chat = PIXTRAL.chat(asked.system, asked.text, len(asked.sizes), self.count_text)
        later = (PIXTRAL.follow_up(*turn, self.count_text) for turn in asked.follow_ups)
        return images + chat + sum(later)

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Status and body for a chat request that is well formed."""
        if asked.model not in self.models and self.owner != "llamacpp":
            return 404, error_body(404, f"The model `{asked.model}` does not exist.")
        if self.new_limit_only and asked.limit_name == "max_tokens":
            extra = {"code": "unsupported_parameter", "param": "max_tokens"}
            return 400, error_body(400, "Unsupported parameter.", **extra)
        if asked.stream and self.streams == "refused":
            return 400, error_body(400, "Unrecognized request argument supplied: stream_options.")
        if asked.sizes and (not self.sees or len(asked.sizes) > self.max_images):
            return 400, error_body(400, "Too many images in one prompt.")
        prompt, limit = self.count(asked), asked.max_tokens or self.context
        room = self.context - prompt
        # vLLM and llama.cpp lower a limit that does not fit, others refuse the request.
        if room < 1 or (room < limit and self.owner not in ("vllm", "llamacpp")):
            said = f"{prompt} + {limit} tokens, {self.context} in the context."
            return 400, error_body(400, said)
        words = (self.reply if isinstance(self.reply, str) else self.reply(asked)).split(" ")
        shown = words[: min(limit, room)]
        message = {"role": "assistant", "content": " ".join(shown), "reasoning_content": None}
        reason = "stop" if shown == words else "length"
        if self.thought and self.switch not in asked.switches:
            message, reason = {"content": None, "reasoning": self.thought}, "length"
        return 200, {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": asked.model,
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": len(shown),
                "total_tokens": prompt + len(shown),
            },
            **self.patches,
        }
