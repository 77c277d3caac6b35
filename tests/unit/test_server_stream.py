"""Events over a connection that goes away: what gives them is ended then, and not some time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message

from promptlift.server.routes.common import EventStream


def test_a_reader_that_is_slow_and_goes_away_ends_the_source() -> None:
    """While an event waits to be sent, the source stands still; it is closed all the same."""
    ended: list[str] = []
    kept: list[AsyncGenerator[bytes, None]] = []

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: 1\n\n"
            yield b"data: 2\n\n"
        finally:
            ended.append("source")

    async def play() -> None:
        full = asyncio.Event()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                full.set()
                await asyncio.Event().wait()  # nobody reads

        async def receive() -> Message:
            await full.wait()
            return {"type": "http.disconnect"}

        kept.append(source())  # so that it is not the garbage collector that closes it
        await EventStream(kept[0])({"type": "http"}, receive, send)
        assert ended == ["source"]

    asyncio.run(play())
