"""What promptlift costs around an engine, which is a stub here, in a process of its own.

``python benchmarks/engines.py [--rounds 30]`` prints Markdown. The bare request is the same body
sent with the standard library; what lies beyond it is promptlift's. With 64 items in flight a
server that does nothing else takes half a second for each; what is counted there is the middle of
the run, when neither the first items are on their way nor the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from clips import clips
from promptlift import Upsampler, upsample
from promptlift.engines.openai import OpenAIEngine
from promptlift.pipeline.sights import Sights
from slow_server import ANSWER
from stubs.openai_server import StubServer

PROMPT = "a red hot-air balloon drifts over the hills"
TESTS = Path(__file__).parents[1] / "tests"
FLIGHT, LATENCY, WAVES = 64, 0.5, 20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    clip = clips(large=False)[0].path
    body = sent_body(clip)
    took: dict[str, list[float]] = {"bare request": [], "video seen before": [], "video new": []}
    with (
        stub("-m", "stubs.openai_server", "--reply", ANSWER) as url,
        Upsampler(engine=OpenAIEngine(url)) as upsampler,
    ):
        upsampler.upsample(clip, PROMPT)
        for _ in range(rounds):
            took["bare request"].append(bare(f"{url}/chat/completions", body))
            took["video seen before"].append(timed(upsampler, clip))
            upsampler._sights = Sights()  # forgets the video
            took["video new"].append(timed(upsampler, clip))
    print("| one item, 640x480 clip of 4 s | median ms | beyond the bare request |")
    print("|---|--:|--:|")
    floor = statistics.median(took["bare request"])
    for name, seconds in took.items():
        middle = statistics.median(seconds)
        print(f"| {name} | {1000 * middle:.1f} | {1000 * (middle - floor):.1f} |")
    print()
    asyncio.run(flight(clip))


@contextmanager
def stub(*script: str) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    command = [sys.executable, *script]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def sent_body(clip: Path) -> bytes:
    """The body that promptlift sends for the clip."""
    with StubServer(reply=ANSWER) as server:
        upsample(clip, PROMPT, engine=OpenAIEngine(server.base_url))
        return json.dumps(server.chats[-1].body).encode()


def bare(url: str, body: bytes) -> float:
    """Seconds of one request with the standard library."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    start = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        answer.read()
    return time.perf_counter() - start


def timed(upsampler: Upsampler, clip: Path) -> float:
    """Seconds of one item."""
    start = time.perf_counter()
    upsampler.upsample(clip, PROMPT)
    return time.perf_counter() - start


async def flight(clip: Path) -> None:
    """Keep 64 items in flight, and say how much of the time was the engine's."""
    items, ends = FLIGHT * WAVES, list[float]()
    with stub(str(Path(__file__).with_name("slow_server.py")), str(LATENCY)) as url:
        gate = asyncio.Semaphore(FLIGHT)
        async with Upsampler(engine=OpenAIEngine(url)) as upsampler:

            async def one() -> None:
                async with gate:
                    await upsampler.upsample_async(clip, PROMPT)
                ends.append(time.perf_counter())

            await one()
            ends.clear()
            busy = time.process_time()
            await asyncio.gather(*(one() for _ in range(items)))
            busy = time.process_time() - busy
    # One wave fills the flight, and after the last has begun it empties.
    middle = ends[-FLIGHT] - ends[FLIGHT]
    least = (items - 2 * FLIGHT) * LATENCY / FLIGHT
    print(f"{items} items, {FLIGHT} in flight, {LATENCY} s each: {least / middle:.0%} of the time")
    print(f"is the engine's own; {1000 * busy / items:.1f} ms of processor an item.")


if __name__ == "__main__":
    main()
