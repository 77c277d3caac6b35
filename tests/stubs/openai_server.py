"""A server with an OpenAI-compatible API, over real HTTP, that does as it is told.

In a test::

    with StubServer("vllm-0.32", faults=["503", "429:0"]) as server:
        engine = OpenAIEngine(server.base_url)
"""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from promptlift.tokens import PIXTRAL, CountText
from stubs.openai_checks import Asked
from stubs.openai_http import CHAT, TICK, Fault, Handler, Listener, Received, error_body
from stubs.openai_styles import STYLES

__all__ = ["ANSWER", "Fault", "Received", "StubServer"]

ANSWER = "A robot arm lifts a cup from the table. The camera stays fixed."
MODEL = "Cosmos-UpsamplePrompt1-12B-Transfer"


def count_words(text: str) -> int:
    """Count words, where no tokenizer is wanted."""
    return len(text.split())


@dataclass(eq=False, repr=False)
class StubServer:
    """The server; listens on a free port of the loopback from `start` to `stop`.

    Attributes:
        style: A key of `STYLES`, and afterwards the style itself.
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
        count_text: Counts the tokens of a text.
        streams: What is done where pieces are wanted: ``yes``, ``whole`` (the answer comes whole
            all the same), or ``refused``.
        piece_seconds: Seconds before each piece.
        received: Every request, in the order in which they came.
        violations: What was wrong with requests that promptlift should not have made.
        hung_up: How many clients went away while they were kept waiting.
        most_at_once: The most chat requests that were under way together.
        patches: Fields to put into each answer, over those that are there.
    """

    handler: ClassVar[type[Handler]] = Handler

    style: Any = "vllm-0.32"
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
    count_text: CountText = count_words
    streams: str = "yes"
    piece_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.style = STYLES[self.style]
        self.faults, self.page_faults = (
            deque(Fault.parse(one) if isinstance(one, str) else one for one in given)
            for given in (self.faults, self.page_faults)
        )
        self.patches: dict[str, Any] = {}
        self.received: list[Received] = []
        self.violations: list[str] = []
        self.hung_up = self.at_once = self.most_at_once = 0
        self.stopping = threading.Event()
        self.hanging = threading.Event()
        self.lock = threading.Lock()
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
        pages: dict[str, dict[str, Any]] = self.style.pages(self.context, self.sees)
        return pages.get(path)

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
