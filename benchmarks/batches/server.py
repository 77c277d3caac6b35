"""An engine that takes a fixed time for each chat, and remembers when it was asked for what.

``python benchmarks/batches/server.py SECONDS`` prints its address, and ends with its standard
input. It answers with a paragraph that is true of the clips of `batches.job` and with the short
prompt, so that a review lets it pass. ``GET /asked`` gives what was asked so far.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from slow_server import Connection, length_of

MODEL = "Cosmos-UpsamplePrompt1-12B-Transfer"
CONTEXT = 9216
OPENING = b"a hot-air balloon drifts over the "
"""How every short prompt of the job begins."""
PROBE = "(a probe)"
"""What stands for the prompt of a request that is no row's."""

_PARAGRAPH = (
    "A striped hot-air balloon drifts slowly over rolling green hills in the soft light of an "
    "early morning. The colourful envelope glows against a pale sky while long shadows stretch "
    "across the meadows below, and a faint mist lingers in the valley. The camera pans slowly to "
    "the right and follows the balloon across the frame, its wicker basket swaying gently beneath "
    "it. Distant trees line the ridge, their leaves touched with gold, and the whole scene feels "
    "calm, spacious and quiet, rendered in natural colours with a gentle gradient from warm near "
    "the horizon to cool blue above."
)
_LONGEST_PROMPT = 100


class Book:
    """What was asked: for each request its prompt, when it came, and when it was answered."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []

    def begin(self, prompt: str) -> list[Any]:
        """Note a request; the third entry is None until it is answered."""
        entry: list[Any] = [prompt, monotonic(), None]
        self.asked.append(entry)
        return entry


class Counted(Connection):
    """One client, who asks one thing after the other."""

    def __init__(self, seconds: float, book: Book) -> None:
        super().__init__(seconds)
        self.book = book
        self.last = False

    def data_received(self, data: bytes) -> None:
        """Answer when all of a request is there."""
        self.came += data
        end = self.came.find(b"\r\n\r\n")
        head = bytes(self.came[:end]).lower()
        if end < 0 or len(self.came) < end + 4 + length_of(head):
            return
        line = head.partition(b"\r\n")[0]
        self.last = b"connection: close" in head
        if b"/chat/" in line:
            entry = self.book.begin(_prompt(self.came))
            asyncio.get_running_loop().call_later(self.seconds, self._answer, entry)
        elif b"/asked" in line:
            self._say(self.book.asked)
        elif line.split()[1].endswith(b"/models"):
            self._say({"object": "list", "data": [_MODEL_CARD]})
        else:
            self._say({"error": {"message": "there is no such page"}}, b"404 Not Found")
        self.came.clear()

    def _answer(self, entry: list[Any]) -> None:
        if self.transport.is_closing():
            return  # whoever asked is gone
        entry[2] = monotonic()
        self._say(_chat(f"{_PARAGRAPH} {entry[0]}."))

    def _say(self, what: Any, status: bytes = b"200 OK") -> None:
        body = json.dumps(what).encode()
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)
        if self.last:
            self.transport.close()


_MODEL_CARD = {"id": MODEL, "object": "model", "owned_by": "vllm", "max_model_len": CONTEXT}


def _prompt(body: bytearray) -> str:
    start = body.rfind(OPENING)
    if start < 0:
        return PROBE
    return body[start : start + _LONGEST_PROMPT].partition(b"hills")[0].decode() + "hills"


def _chat(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1200, "completion_tokens": 130, "total_tokens": 1330}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


async def serve(seconds: float) -> None:
    """Listen on a free port of the loopback."""
    book = Book()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Counted(seconds, book), "127.0.0.1", backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
