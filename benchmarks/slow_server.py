"""A server that answers every chat after a fixed time, at hardly any cost of its own.

``python benchmarks/slow_server.py SECONDS`` prints its address, and ends with its standard input.
The stub of the tests looks at each picture, which takes a core of its own at a hundred requests a
second; this one reads past them.
"""

from __future__ import annotations

import asyncio
import json
import sys

ANSWER = (
    "A red hot-air balloon drifts over the hills. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right while the camera pans."
)
MODELS = {"data": [{"id": "Cosmos-UpsamplePrompt1-12B-Transfer", "max_model_len": 9216}]}
CHAT = {
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240},
}


def main() -> None:
    """Serve until standard input ends."""
    asyncio.run(serve(float(sys.argv[1])))


async def serve(seconds: float) -> None:
    """Listen on a free port of the loopback."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(seconds), "127.0.0.1", backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


class Connection(asyncio.Protocol):
    """One client, who asks one thing after the other."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.came = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when all of a request is there."""
        self.came += data
        end = self.came.find(b"\r\n\r\n")
        head = bytes(self.came[:end]).lower()
        if end < 0 or len(self.came) < end + 4 + length_of(head):
            return
        self.came.clear()
        chats = b"/chat/" in head.partition(b"\r\n")[0]
        body = json.dumps(CHAT if chats else MODELS).encode()
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        answer = kind + b"Content-Length: %d\r\n\r\n" % len(body) + body
        loop = asyncio.get_running_loop()
        loop.call_later(self.seconds if chats else 0, self.transport.write, answer)


def length_of(head: bytes) -> int:
    """Bytes of a request's body."""
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    return next((int(value) for name, _, value in lines if name == b"content-length"), 0)


if __name__ == "__main__":
    main()
