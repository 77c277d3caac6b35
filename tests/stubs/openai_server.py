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
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from promptlift.core.tokens import PIXTRAL, CountText
from stubs.openai_checks import Asked
from stubs.openai_http import CHAT, TICK, Fault, Handler, Listener, Received, error_body
from stubs.openai_styles import STYLES

__all__ = ["ANSWER", "Fault", "Received", "StubServer"]

ANSWER = "A robot arm lifts a cup from the table. The camera stays fixed."
MODEL = "Cosmos-UpsamplePrompt1-12B-Transfer"


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
        page_faults: The same for the first pages.
        max_images: The most images of a request.
        sees: Whether the model takes images at all.
        lists: Whether there is a list of models.
        tls: File with a certificate and its key, for https.
        new_limit_only: The answer's limit must be called ``max_completion_tokens``.
        count_text: Counts the tokens of a text.
        streams: What is done where pieces are wanted: ``yes``, ``whole`` (the answer comes whole
            all the same), or ``refused``.
        piece_seconds: Seconds before each piece.

    Attributes:
        received: Every request, in the order in which they came.
        violations: What was wrong with requests that promptlift should not have made.
        hung_up: How many clients went away while they were kept waiting.
        at_once: How many chat requests are under way.
        most_at_once: The most chat requests that were under way together.
        faults: What is still to go wrong with chats; may be added to at any time.
        page_faults: The same for pages.
        tokenize_faults: The same for counts.
        patches: Fields to put into each answer, over those that are there.
        queues: Requests that wait, for each of the engines behind the server.
    """

    handler: ClassVar[type[Handler]] = Handler
    """Serves one connection."""

    def __init__(
        self,
        style: str = "vllm-0.32",
        *,
        models: Iterable[str] = (MODEL,),
        context: int = 4096,
        key: str | None = None,
        reply: str | Callable[[Asked], str] = ANSWER,
        faults: Iterable[str | Fault | None] = (),
        page_faults: Iterable[str | Fault] = (),
        max_images: int = 16,
        sees: bool = True,
        lists: bool = True,
        tls: Path | None = None,
        new_limit_only: bool = False,
        count_text: CountText = count_words,
        streams: str = "yes",
        piece_seconds: float = 0.0,
    ) -> None:
        self.style = STYLES[style]
        self.models = list(models)
        self.context = context
        self.key = key
        self.reply = reply
        self.faults = deque(Fault.parse(one) if isinstance(one, str) else one for one in faults)
        self.page_faults = deque(
            Fault.parse(one) if isinstance(one, str) else one for one in page_faults
        )
        self.max_images = max_images
        self.sees = sees
        self.lists = lists
        self.tls = tls
        self.new_limit_only = new_limit_only
        self.count_text = count_text
        self.streams = streams
        self.piece_seconds = piece_seconds
        self.tokenize_faults: deque[Fault] = deque()
        self.patches: dict[str, Any] = {}
        self.queues = [0]
        self.received: list[Received] = []
        self.violations: list[str] = []
        self.hung_up = 0
        self.most_at_once = 0
        self.stopping = threading.Event()
        self.hanging = threading.Event()
        self.lock = threading.Lock()
        self.at_once = 0
        self._http: Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self, port: int = 0) -> Self:
        """Listen, on a free port unless one is given."""
        self._http = Listener(("127.0.0.1", port), self.handler)
        self._http.stub = self
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(TICK,), daemon=True)
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
    def root(self) -> str:
        """URL of the server."""
        assert self._http is not None, "not started"
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._http.server_port}"

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
            self.at_once += change
            self.most_at_once = max(self.most_at_once, self.at_once)

    def page(self, path: str) -> dict[str, Any] | None:
        """What a GET gives; None for 404."""
        if path == "/v1/models" and self.lists:
            cards = [self.style.card(name, self.context) for name in self.models]
            return {"object": "list", "data": cards}
        pages = self.style.pages(self.context, self.sees)
        return pages.get(path)

    def metrics(self) -> str:
        """What vLLM tells Prometheus, in small."""
        head = "# HELP vllm:num_requests_waiting Number of requests waiting to be processed.\n"
        lines = [
            f'vllm:num_requests_waiting{{engine="{engine}",model_name="a{{b}}"}} {float(waiting)}\n'
            for engine, waiting in enumerate(self.queues)
        ]
        other = 'vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0\n'
        return "".join([head, *lines, other])

    def count(self, asked: Asked) -> int:
        """Tokens of a whole prompt, as Pixtral counts."""
        images = sum(map(PIXTRAL.image, asked.sizes))
        return images + PIXTRAL.chat(asked.system, asked.text, len(asked.sizes), self.count_text)

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Status and body for a chat request that is well formed."""
        if asked.model not in self.models and not self.style.any_name:
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
        if room < 1 or (room < limit and not self.style.clamps):
            return 400, error_body(
                400, f"{prompt} + {limit} tokens, {self.context} in the context."
            )
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


def _late(delay: float, reply: str, _: object) -> str:
    time.sleep(delay)
    return reply


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="A stub with an OpenAI-compatible API.")
    parser.add_argument("--style", choices=STYLES, default="vllm-0.32")
    parser.add_argument("--model", action="append", dest="models")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--reply", default=ANSWER)
    parser.add_argument("--fault", action="append", default=[], dest="faults")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="Seconds for each answer.")
    given = vars(parser.parse_args())
    port, delay, reply = given.pop("port"), given.pop("delay"), given.pop("reply")
    given["reply"] = partial(_late, delay, reply) if delay else reply
    given["models"] = given["models"] or [MODEL]
    server = StubServer(given.pop("style"), **given).start(port)
    print(server.base_url, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
