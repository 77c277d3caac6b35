"""A server with an OpenAI-compatible API, over real HTTP, that does as it is told.

In a test::

    with StubServer("vllm-0.32", faults=["503", "429:0"]) as server:
        engine = OpenAIEngine(server.base_url)

As a process of its own, with `tests` on the path; the base URL is its first line of output, and
it ends with its standard input::

    python -m stubs.openai_server --style llama-server --fault reset
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from stubs.openai_checks import Asked, Malformed, check_chat, check_messages
from stubs.openai_styles import STYLES

from promptlift.core.tokens import PIXTRAL, CountText

__all__ = ["ANSWER", "Fault", "Received", "StubServer"]

ANSWER = "A robot arm lifts a cup from the table. The camera stays fixed."
MODEL = "Cosmos-UpsamplePrompt1-12B-Transfer"
CHAT = "/v1/chat/completions"
_TICK = 0.02


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong instead of an answer.

    Attributes:
        kind: ``status``, ``hang`` (no answer at all), ``drip`` (a byte at a time, for ever),
            ``reset`` (the connection breaks), ``short`` (it breaks within the body), ``garbage``
            (bytes that are no JSON), ``html`` (a proxy's page), ``json`` (another API's JSON),
            ``no-choices``, or ``redirect``.
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
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None
    asked: Asked | None = None


def count_words(text: str) -> int:
    """Count words, where no tokenizer is wanted."""
    return len(text.split())


class StubServer:
    """The server; listens on a free port of the loopback from `start` to `stop`.

    Args:
        style: A key of `STYLES`.
        models: Names of the models that are served.
        context: Tokens of prompt and answer together.
        key: The key that is wanted; None for none.
        reply: The answer, or a function that makes it.
        faults: What goes wrong with the first chat requests, one each; texts as `Fault.parse`
            reads them, and None for nothing.
        max_images: The most images of a request.
        sees: Whether the model takes images at all.
        new_limit_only: The answer's limit must be called ``max_completion_tokens``.
        count_text: Counts the tokens of a text.

    Attributes:
        received: Every request, in the order in which they came.
        violations: What was wrong with requests that promptlift should not have made.
        hung_up: How many clients went away while they were kept waiting.
        most_at_once: The most chat requests that were under way together.
        faults: What is still to go wrong; may be added to at any time.
        patches: Fields to put into each answer, over those that are there.
    """

    def __init__(
        self,
        style: str = "vllm-0.32",
        *,
        models: Iterable[str] = (MODEL,),
        context: int = 4096,
        key: str | None = None,
        reply: str | Callable[[Asked], str] = ANSWER,
        faults: Iterable[str | Fault | None] = (),
        max_images: int = 16,
        sees: bool = True,
        new_limit_only: bool = False,
        count_text: CountText = count_words,
    ) -> None:
        self.style = STYLES[style]
        self.models = list(models)
        self.context = context
        self.key = key
        self.reply = reply
        self.faults = deque(Fault.parse(one) if isinstance(one, str) else one for one in faults)
        self.max_images = max_images
        self.sees = sees
        self.new_limit_only = new_limit_only
        self.count_text = count_text
        self.patches: dict[str, Any] = {}
        self.received: list[Received] = []
        self.violations: list[str] = []
        self.hung_up = 0
        self.most_at_once = 0
        self.stopping = threading.Event()
        self.hanging = threading.Event()
        self.lock = threading.Lock()
        self._at_once = 0
        self._http: _Http | None = None
        self._thread: threading.Thread | None = None

    def start(self, port: int = 0) -> StubServer:
        """Listen, on a free port unless one is given."""
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.stub = self
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

    def __enter__(self) -> StubServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def root(self) -> str:
        """URL of the server."""
        assert self._http is not None, "not started"
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def base_url(self) -> str:
        """URL of the API."""
        return f"{self.root}/v1"

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
            self._at_once += change
            self.most_at_once = max(self.most_at_once, self._at_once)

    def page(self, path: str) -> dict[str, Any] | None:
        """What a GET gives; None for 404."""
        if path == "/v1/models":
            cards = [self.style.card(name, self.context) for name in self.models]
            return {"object": "list", "data": cards}
        return self.style.pages(self.context, self.sees).get(path)

    def count(self, asked: Asked) -> int:
        """Tokens of a whole prompt, as Pixtral counts."""
        images = sum(map(PIXTRAL.image, asked.sizes))
        return images + PIXTRAL.chat(asked.system, asked.text, len(asked.sizes), self.count_text)

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Status and body for a chat request that is well formed."""
        if asked.model not in self.models and not self.style.any_name:
            return 404, _error(404, f"The model `{asked.model}` does not exist.")
        if self.new_limit_only and asked.limit_name == "max_tokens":
            extra = {"code": "unsupported_parameter", "param": "max_tokens"}
            return 400, _error(400, "Unsupported parameter.", **extra)
        if asked.sizes and (not self.sees or len(asked.sizes) > self.max_images):
            return 400, _error(400, "Too many images in one prompt.")
        prompt, limit = self.count(asked), asked.max_tokens or self.context
        room = self.context - prompt
        if room < 1 or (room < limit and not self.style.clamps):
            return 400, _error(400, f"{prompt} + {limit} tokens, {self.context} in the context.")
        return 200, self._completion(asked, prompt, min(limit, room))

    def _completion(self, asked: Asked, prompt: int, limit: int) -> dict[str, Any]:
        words = (self.reply if isinstance(self.reply, str) else self.reply(asked)).split(" ")
        cut = len(words) > limit
        text = " ".join(words[:limit])
        message = {"role": "assistant", "content": text, "reasoning_content": None}
        used = min(len(words), limit)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": asked.model,
            "choices": [
                {"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}
            ],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": used,
                "total_tokens": prompt + used,
            },
            **self.patches,
        }


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    stub: StubServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def stub(self) -> StubServer:
        return cast("_Http", self.server).stub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._note(None)
        if not self._let_in():
            return
        page = self.stub.page(self.path)
        self._send(404, _error(404, "Not Found")) if page is None else self._send(200, page)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            body = json.loads(raw)
            asked = check_chat(body) if self.path == CHAT else None
        except (ValueError, Malformed) as error:
            self.stub.violations.append(str(error))
            self._send(400, _error(400, str(error)))
            return
        self._note(body, asked)
        if not self._let_in():
            return
        if self.path == "/tokenize":
            self._tokenize(body)
        elif asked is not None:
            self._chat(asked)
        else:
            self._send(404, _error(404, "Not Found"))

    def _note(self, body: Any, asked: Asked | None = None) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        strange = [name for name in headers if name.startswith(("x-", "openai-"))]
        if strange:
            self.stub.violations.append(f"headers {strange}")
        with self.stub.lock:
            self.stub.received.append(Received(self.command, self.path, headers, body, asked))

    def _let_in(self) -> bool:
        guarded = self.stub.style.guards_all or self.path.startswith("/v1")
        given = self.headers.get("Authorization", "")
        if self.stub.key is None or not guarded or given == f"Bearer {self.stub.key}":
            return True
        # As some servers do, this one repeats the key.
        self._send(401, _error(401, f"Incorrect API key provided: {given}"))
        return False

    def _tokenize(self, body: Any) -> None:
        if not self.stub.style.counts:
            self._send(404, _error(404, "Not Found"))
            return
        try:
            count = self.stub.count(check_messages(body))
        except Malformed as error:
            self.stub.violations.append(str(error))
            self._send(400, _error(400, str(error)))
            return
        tokens = list(range(count))
        page = {"count": count, "max_model_len": self.stub.context, "tokens": tokens}
        self._send(200, page)

    def _chat(self, asked: Asked) -> None:
        self.stub.enter(1)
        try:
            fault = self.stub.next_fault()
            if fault is None:
                self._send(*self.stub.answer(asked))
            else:
                self._fail(fault)
        finally:
            self.stub.enter(-1)

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "status":
            error = _error(fault.status, "Told to fail.", **fault.error)
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
        self, status: int, value: dict[str, Any], *, headers: dict[str, str] | None = None
    ) -> None:
        self._send_raw(status, "application/json", json.dumps(value).encode(), headers)

    def _send_raw(
        self, status: int, media: str, raw: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self._head(status, media, len(raw), headers or {})
        self.wfile.write(raw)

    def _head(self, status: int, media: str, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": media,
            "Content-Length": str(length),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()


_BODIES = {
    "garbage": ("application/json", b"\x00\xff not JSON {"),
    "html": ("text/html", b"<html><body>502 Bad Gateway</body></html>"),
    "json": ("application/json", b'{"status": "ok"}'),
    "no-choices": ("application/json", b'{"object": "chat.completion", "choices": []}'),
}


def _error(status: int, message: str, **extra: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "Error", "param": None, "code": status, **extra}}


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="A stub with an OpenAI-compatible API.")
    parser.add_argument("--style", choices=STYLES, default="vllm-0.32")
    parser.add_argument("--model", action="append", dest="models")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--reply", default=ANSWER)
    parser.add_argument("--fault", action="append", default=[], dest="faults")
    parser.add_argument("--port", type=int, default=0)
    given = vars(parser.parse_args())
    port = given.pop("port")
    given["models"] = given["models"] or [MODEL]
    server = StubServer(given.pop("style"), **given).start(port)
    print(server.base_url, flush=True)  # noqa: T201
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
