"""What promptlift costs around an engine, which is a stub here, in a process of its own.

``python benchmarks/engines.py [--rounds 30]`` prints Markdown. The bare request is the same body
sent with the standard library; what lies beyond it is promptlift's. With 64 items in flight the
stub takes half a second for each.
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
from stubs.openai_server import StubServer

PROMPT = "a red hot-air balloon drifts over the hills"
ANSWER = (
    "A red hot-air balloon drifts over the hills. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right while the camera pans."
)
TESTS = Path(__file__).parents[1] / "tests"
FLIGHT, LATENCY = 64, 0.5


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    clip = clips(large=False)[0].path
    body = sent_body(clip)
    took: dict[str, list[float]] = {"bare request": [], "video seen before": [], "video new": []}
    with stub() as url, Upsampler(engine=OpenAIEngine(url)) as upsampler:
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
def stub(*options: str) -> Iterator[str]:
    """The stub server in a process of its own; gives its address."""
    command = [sys.executable, "-m", "stubs.openai_server", "--reply", ANSWER, *options]
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
    items = 4 * FLIGHT
    with stub("--delay", str(LATENCY)) as url:
        gate = asyncio.Semaphore(FLIGHT)
        async with Upsampler(engine=OpenAIEngine(url)) as upsampler:

            async def one() -> None:
                async with gate:
                    await upsampler.upsample_async(clip, PROMPT)

            await one()
            start = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(items)))
            spent = time.perf_counter() - start
    least = items * LATENCY / FLIGHT
    print(f"{items} items, {FLIGHT} in flight, {LATENCY} s each: {spent:.2f} s, of which")
    print(f"{least / spent:.0%} is the engine's own time.")


if __name__ == "__main__":
    main()
