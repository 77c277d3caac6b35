"""What the server adds to an engine, which is a stub of fixed latency in a process of its own.

``python benchmarks/serve.py [--rounds 3]`` prints Markdown. The same requests go to the stub
directly, in turns with the server's, by the same number of clients: what lies between the two is
the server's. Memory is the resident set of the server process, without those that decode.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
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
UPLOAD_BYTES = 100 << 20
JOBS = 1000
MIB = 1 << 20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    latency(rounds)
    memory()


def latency(rounds: int) -> None:
    """Time requests through the server and past it."""
    past: list[float] = []
    through: list[float] = []
    known: list[float] = []
    with served() as (server, url):
        upload = server.upload(CLIP)
        asyncio.run(ask(server, upload, seeds=range(-CLIENTS, 0)))  # the video is seen now
        for number in range(rounds):
            seeds = range(number * 10_000, number * 10_000 + CLIENTS * EACH)
            past += asyncio.run(ask_stub(url, len(seeds)))
            through += asyncio.run(ask(server, upload, seeds=seeds))
            known += asyncio.run(ask(server, upload, seeds=seeds))
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


def memory() -> None:
    """Watch the server's memory while it takes a large upload, and many jobs."""
    print("| memory of the server | MiB before | MiB at most | more |")
    print("|---|--:|--:|--:|")
    with served() as (server, _):
        clip = server.upload(CLIP)
        asyncio.run(ask(server, clip, seeds=range(CLIENTS)))
        before = status(server, "VmRSS")
        Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak starts anew
        server.http.post("/v1/uploads", content=pieces(), headers=MULTIPART, timeout=120)
        row("an upload of 100 MiB", before, status(server, "VmHWM"))
        before = status(server, "VmRSS")
        for seed in range(JOBS):
            job = {"upload_id": clip, "prompt": PROMPT, "seed": 10_000 + seed}
            assert server.http.post("/v1/jobs", json=job).status_code == 202
        row(f"{JOBS:,} jobs that wait", before, status(server, "VmRSS"))
    print()


def row(what: str, before: int, most: int) -> None:
    """Print one row of the table of memory."""
    print(f"| {what} | {before / MIB:.0f} | {most / MIB:.0f} | {(most - before) / MIB:.0f} |")


@contextmanager
def served() -> Iterator[tuple[Served, str]]:
    """A server with a folder of its own on a stub, and the stub's address."""
    with stub_engine(LATENCY) as url, tempfile.TemporaryDirectory() as folder:
        settings = {"engine": "openai", "engine_settings": {"base_url": url}}
        with Served(Path(folder) / "data", parallel=64, rate=1e6, **settings) as server:
            yield server, url


async def ask(server: Served, upload: str, *, seeds: range) -> list[float]:
    """Seconds of a request for each seed, by so many clients at once."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as http:

        async def one(seed: int) -> None:
            asked = {"upload_id": upload, "prompt": PROMPT, "seed": seed + CLIENTS, "attempts": 1}
            answer = await http.post("/v1/upsample", json=asked)
            assert answer.status_code == 200, answer.text

        return await timed(one, list(seeds))


async def ask_stub(url: str, count: int) -> list[float]:
    """The same past the server: what the stub and its clients take."""
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:

        async def one(_: int) -> None:
            answer = await http.post(f"{url}/chat/completions", json={"model": "any"})
            assert answer.status_code == 200, answer.text

        return await timed(one, list(range(count)))


async def timed(one: Callable[[int], Awaitable[None]], numbers: list[int]) -> list[float]:
    """Seconds of each call, made by so many clients one after the other."""
    took: list[float] = []

    async def client() -> None:
        while numbers:
            number = numbers.pop()
            begun = time.perf_counter()
            await one(number)
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return took


MULTIPART = {"content-type": "multipart/form-data; boundary=here"}


def pieces() -> Iterator[bytes]:
    """A large file as a form, a piece at a time."""
    yield (
        b'--here\r\ncontent-disposition: form-data; name="video"; filename="v.mp4"\r\n'
        b"content-type: video/mp4\r\n\r\n"
    )
    head = CLIP.read_bytes()
    yield head
    for _ in range((UPLOAD_BYTES - len(head)) // MIB):
        yield bytes(MIB)
    yield b"\r\n--here--\r\n"


def status(server: Served, name: str) -> int:
    """A line of /proc/PID/status, in bytes."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main()
