"""What the server adds to an engine, which is a stub of fixed latency in a process of its own.

``python benchmarks/serve.py [--rounds 3]`` prints Markdown. The same requests go to the stub
directly, in turns with the server's, by the same number of clients: what lies between the two is
the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import httpx2

from clips import clips
from stub_engine import stub_engine
from stubs.served import Served

CLIP = clips()["640x360 4 s"]
PROMPT = "a red hot-air balloon drifts over the hills"
CLIENTS, EACH, LATENCY = 32, 20, 0.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    latency(rounds)


def latency(rounds: int) -> None:
    """Time requests through the server and past it."""
    past: list[float] = []
    through: list[float] = []
    known: list[float] = []
    with served() as (server, url):
        job = {"upload_id": server.upload(CLIP), "prompt": PROMPT, "attempts": 1}
        upsample = f"{server.url}/v1/upsample"
        asyncio.run(ask(upsample, range(-CLIENTS, 0), **job))  # the video is seen now
        for number in range(rounds):
            seeds = range(number * 10_000, number * 10_000 + CLIENTS * EACH)
            past += asyncio.run(ask(f"{url}/chat/completions", seeds, model="any"))
            through += asyncio.run(ask(upsample, seeds, **job))
            known += asyncio.run(ask(upsample, seeds, **job))
    floor = statistics.median(past)
    print(f"| {CLIENTS} clients, engine of {LATENCY:g} s | p50 ms | p99 ms | beyond: p50 | p99 |")
    print("|---|--:|--:|--:|--:|")
    for name, took, base in (
        ("the engine alone", past, floor),
        ("through the server, video uploaded before", through, floor),
        ("answered with the stored result", known, 0.0),
    ):
        low, high = statistics.median(took), statistics.quantiles(took, n=100)[98]
        beyond = f"{1e3 * (low - base):.0f} | {1e3 * (high - base):.0f}"
        print(f"| {name} | {1e3 * low:.0f} | {1e3 * high:.0f} | {beyond} |")
    print()


@contextmanager
def served() -> Iterator[tuple[Served, str]]:
    """A server with a folder of its own on a stub, and the stub's address."""
    with stub_engine(LATENCY) as url, tempfile.TemporaryDirectory() as folder:
        settings = {"engine": "openai", "engine_settings": {"base_url": url}}
        with Served(Path(folder) / "data", parallel=64, rate=1e6, **settings) as server:
            yield server, url


async def ask(url: str, seeds: range, **body: object) -> list[float]:
    """Seconds of a request for each seed, by so many clients at once."""
    took: list[float] = []
    waiting = [{**body, "seed": seed + CLIENTS} for seed in seeds]

    async def client(http: httpx2.AsyncClient) -> None:
        while waiting:
            begun = time.perf_counter()
            answer = await http.post(url, json=waiting.pop())
            assert answer.status_code == 200, answer.text
            took.append(time.perf_counter() - begun)

    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
    return took


if __name__ == "__main__":
    main()
