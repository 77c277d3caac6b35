"""What promptlift costs around an engine, which is a stub here that answers at once.

``python benchmarks/engines.py [--rounds 30]`` prints Markdown. The bare request is the same body
sent with the standard library; the rest is promptlift's. With 64 items in flight the stub takes
half a second for each, and the table says how many it had at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from clips import clips
from promptlift import Upsampler
from promptlift.engines.openai import OpenAIEngine
from promptlift.pipeline.sights import Sights
from promptlift.tokenizers.tekken import load_counter
from stubs.openai_server import StubServer

PROMPT = "a red hot-air balloon drifts over the hills"
ANSWER = (
    "A red hot-air balloon drifts over the hills. The sky glows orange behind dark ridges, and "
    "soft light falls on the balloon as it moves slowly to the right while the camera pans."
)
FLIGHT, LATENCY = 64, 0.5


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    clip = clips()[0].path
    with StubServer(reply=ANSWER, count_text=load_counter()) as server:
        bare, warm, cold = [], [], []
        with Upsampler(engine=OpenAIEngine(server.base_url)) as kept:
            kept.upsample(clip, PROMPT)
            body = json.dumps(server.chats[-1].body).encode()
            for number in range(rounds):
                bare.append(_bare(f"{server.base_url}/chat/completions", body))
                warm.append(_timed(kept, clip, f"{PROMPT} {number}"))
                kept._sights = Sights()  # forgets the video
                cold.append(_timed(kept, clip, f"{PROMPT} {number}"))
    print("| one item, 640x480 clip of 4 s | median ms | beyond the bare request |")
    print("|---|--:|--:|")
    floor = statistics.median(bare)
    for name, took in (("bare request", bare), ("video seen before", warm), ("video new", cold)):
        middle = statistics.median(took)
        print(f"| {name} | {1000 * middle:.1f} | {1000 * (middle - floor):.1f} |")
    print()
    asyncio.run(_flight(clip))


def _bare(url: str, body: bytes) -> float:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    start = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        answer.read()
    return time.perf_counter() - start


def _timed(upsampler: Upsampler, clip: Path, prompt: str) -> float:
    start = time.perf_counter()
    upsampler.upsample(clip, prompt)
    return time.perf_counter() - start


async def _flight(clip: Path) -> None:
    def slowly(_: object) -> str:
        time.sleep(LATENCY)
        return ANSWER

    items = 4 * FLIGHT
    with StubServer(reply=slowly, count_text=load_counter()) as server:
        gate = asyncio.Semaphore(FLIGHT)
        async with Upsampler(engine=OpenAIEngine(server.base_url)) as upsampler:

            async def one(number: int) -> None:
                async with gate:
                    await upsampler.upsample_async(clip, f"{PROMPT} {number}")

            await one(-1)
            start = time.perf_counter()
            await asyncio.gather(*(one(number) for number in range(items)))
            spent = time.perf_counter() - start
        least = items * LATENCY / FLIGHT
        print(f"{items} items, {FLIGHT} in flight, {LATENCY} s each: {spent:.2f} s, of which ")
        print(
            f"{least / spent:.0%} is the engine's own time; at most {server.most_at_once} at once"
        )


if __name__ == "__main__":
    main()
