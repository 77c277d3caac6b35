"""An engine that takes a fixed time for each chat, and remembers when it was asked.

``python benchmarks/stub_engine.py SECONDS`` prints its address, and ends with its standard input.
It answers with a paragraph that is true of the drawn clips and with the short prompt, so that a
review lets it pass. ``GET /asked`` gives when each request came and was answered. It reads past the
pictures: looking at them would take a core of its own at a hundred requests a second.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

OPENING = "a hot-air balloon drifts over the "
"""How every short prompt of the benchmarks begins; ``hills`` ends it."""

_PARAGRAPH = (
    "A striped hot-air balloon drifts slowly over rolling hills in the soft light of a sunset. The "
    "colourful envelope glows against the sky while long shadows stretch across the slopes below. "
    "The camera pans slowly to the right and follows the balloon across the frame."
)
_MODEL = {"id": "Cosmos-UpsamplePrompt1-12B-Transfer", "object": "model", "max_model_len": 9216}


@contextmanager
def stub_engine(seconds: float) -> Iterator[str]:
    """Start one in a process of its own; gives its address."""
    command = [sys.executable, __file__, str(seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def asked(url: str) -> list[tuple[float, float | None]]:
    """When each request came and was answered; None for one whose client was gone by then."""
    with urllib.request.urlopen(f"{url}/asked") as answer:
        return [(came, ended) for came, ended in json.load(answer)]


class _Connection(asyncio.Protocol):
    """One client, who asks one thing after the other."""

    def __init__(self, seconds: float, log: list[list[float | None]]) -> None:
        self._seconds = seconds
        self._log = log
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        head = bytes(self._data[:end]).lower()
        length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
        if end < 0 or len(self._data) < end + 4 + int(length or 0):
            return
        path = head.split()[1]
        if path.endswith(b"/chat/completions"):
            self._log.append([monotonic(), None])
            text = f"{_PARAGRAPH} {_short_prompt(self._data)}."
            loop = asyncio.get_running_loop()
            loop.call_later(self._seconds, self._answer, _chat(text), self._log[-1])
        else:
            known = {b"asked": self._log, b"models": {"object": "list", "data": [_MODEL]}}
            found = known.get(path.rsplit(b"/")[-1])
            self._answer(
                {"error": {"message": "there is no such page"}} if found is None else found
            )
        self._data.clear()

    def _answer(self, value: Any, entry: list[float | None] | None = None) -> None:
        if self._transport.is_closing():
            return
        if entry is not None:
            entry[1] = monotonic()
        body = json.dumps(value).encode()
        status = b"404 Not Found" if "error" in value else b"200 OK"
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)


def _short_prompt(body: bytearray) -> str:
    start = body.rfind(OPENING.encode())
    return "" if start < 0 else body[start : start + 100].partition(b"hills")[0].decode() + "hills"


def _chat(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1200, "completion_tokens": 130, "total_tokens": 1330}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}


async def _serve(seconds: float) -> None:
    log: list[list[float | None]] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(seconds, log), "127.0.0.1", backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
