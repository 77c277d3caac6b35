"""Thousands of rows: how busy the engine is kept, what a kill costs, how soon a rerun is done.

``python benchmarks/batch.py [--rows 2000] [--records 200000] [--only PART ...]`` prints Markdown.
The engine is a stub of fixed latency in a process of its own. Peak memory is of all processes
together, looked at five times a second; what they share is counted for each.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice, permutations
from pathlib import Path

import msgspec
import psutil

sys.path.insert(0, str(Path(__file__).parent))

from clips import drawn_clips
from stub_engine import OPENING, asked, stub_engine

CLIPS = 32
_WORDS = (
    *("calm", "quiet", "soft", "warm", "bright", "gentle", "rolling", "distant", "golden"),
    *("hazy", "open", "wide", "low", "high"),
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("busy", "kill", "finished")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--records", type=int, default=200_000, help="rows of the finished run")
    parser.add_argument("--slots", type=int, default=64, help="requests in flight")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of an answer")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "busy" in given.only:
            busy(Path(folder), given.rows, given.slots, given.latency)
        if "kill" in given.only:
            kill(Path(folder), given.rows // 5, given.slots, given.latency)
        if "finished" in given.only:
            finished(Path(folder), given.records)


def busy(folder: Path, rows: int, slots: int, latency: float) -> None:
    """Print the share of the engine's places that held a request.

    ``in the middle`` leaves out the first two waves and what comes after the last request.
    """
    with stub_engine(latency) as url:
        listed = write_rows(folder / "busy.jsonl", rows)
        seconds, cpu, peak = run(batch(listed, folder / "busy", url, slots))
        spans = [(came, ended) for came, ended in asked(url) if ended is not None]
    begins = sorted(came for came, _ in spans)
    whole = share(spans, slots, begins[0], max(ended for _, ended in spans))
    middle = share(spans, slots, begins[min(2 * slots, len(begins) // 2)], begins[-1])
    print(f"| {rows} rows, {slots} in flight, {1000 * latency:.0f} ms | value |\n|---|--:|")
    print(f"| engine busy | {whole:.1%} |\n| in the middle | {middle:.1%} |")
    print(f"| wall s | {seconds:.1f} |\n| CPU s | {cpu:.1f} |\n| peak MB | {peak:.0f} |\n")


def share(spans: list[tuple[float, float]], slots: int, begin: float, end: float) -> float:
    """Share of the places that were busy between two moments."""
    held = sum(max(0.0, min(b, end) - max(a, begin)) for a, b in spans)
    return held / (slots * (end - begin))


def kill(folder: Path, rows: int, slots: int, latency: float) -> None:
    """Kill every process when half of the answers were given, and run the command again."""
    with stub_engine(latency) as url:
        command = batch(write_rows(folder / "kill.jsonl", rows), folder / "kill", url, slots)
        process = subprocess.Popen(command, start_new_session=True)
        while sum(ended is not None for _, ended in asked(url)) < rows // 2:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        run(command)
        sent = len(asked(url))
    out = folder / "kill.out.jsonl"
    run([*PROMPTLIFT, "batch", "export", str(folder / "kill"), "-o", str(out)])
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    print("| rows | sent again | rows in the result | lost | twice |\n|--:|--:|--:|--:|--:|")
    lost, twice = rows - len(set(ids)), len(ids) - len(set(ids))
    print(f"| {rows} | {sent - rows} | {len(ids)} | {lost} | {twice} |\n")


def finished(folder: Path, records: int) -> None:
    """Print what it takes to see that a finished run is finished."""
    with stub_engine(0) as url:
        listed = write_rows(folder / "finished.jsonl", records)
        few = write_rows(folder / "few.jsonl", CLIPS, every=records // CLIPS)
        run(batch(few, folder / "finished", url, 64))
        multiply_results(folder / "finished", listed, few)
        before = len(asked(url))
        seconds, cpu, peak = run(batch(listed, folder / "finished", url, 64))
        sent = len(asked(url)) - before
    print("| finished rows | wall s | CPU s | peak MB | requests |\n|--:|--:|--:|--:|--:|")
    print(f"| {records:,} | {seconds:.1f} | {cpu:.1f} | {peak:.0f} | {sent} |\n")


def multiply_results(run_dir: Path, listed: Path, few: Path) -> None:
    """Write the results that the other rows would have come to, from those of a few."""
    import asyncio

    from promptlift.batch.rows import OptionsResolver, Row
    from promptlift.engines.registry import make_engine
    from promptlift.store.index import PARTS, Index
    from promptlift.store.results import PartWriter, ResultLine, RowLine
    from promptlift.store.run_dir import RunCommand

    command = RunCommand.read(run_dir)
    engine = make_engine(command.engine, **command.engine_settings)
    resolver = OptionsResolver(command.options, asyncio.run(engine.describe()))
    with Index(run_dir) as index:
        known = {}
        for row in map(json.loads, few.read_text().splitlines()):
            key = index.key_of(Row.of(0, row["video"], row["prompt"]).digest)
            assert key is not None, row
            noted = index.video(row["video"])
            assert noted is not None, row
            known[row["video"]] = noted.content, key, row["prompt"], index.raw_record(key).decode()
        with PartWriter(run_dir / PARTS, turn=index.highest_turn + 1) as writer:
            for line in listed.read_text().splitlines():
                row = json.loads(line)
                content, key, prompt, record = known[row["video"]]
                own = resolver.shared.key(str(content), row["prompt"])
                record = record.replace(key, own).replace(prompt, row["prompt"])
                digest = Row.of(0, row["video"], row["prompt"]).digest
                raw = msgspec.Raw(record.encode())
                writer.append(ResultLine(own, "ok", None, False, raw), RowLine(digest, own))


PROMPTLIFT = (sys.executable, "-m", "promptlift")


def batch(listed: Path, run_dir: Path, url: str, slots: int) -> list[str]:
    """The command."""
    command = [*PROMPTLIFT, "batch", "run", str(listed), "-o", str(run_dir), "--quiet"]
    return [*command, "--engine", "openai", "--base-url", url, "--concurrency", str(slots)]


def write_rows(path: Path, count: int, *, every: int = 1) -> Path:
    """Rows over the drawn clips, those of one clip together; no two prompts are the same."""
    videos = drawn_clips(CLIPS)
    rows = islice(_prompts(), 0, count * every, every)
    lines = (
        json.dumps({"video": str(videos[number * CLIPS // count]), "prompt": prompt}) + "\n"
        for number, prompt in enumerate(rows)
    )
    path.write_text("".join(lines))
    return path


def _prompts() -> Iterator[str]:
    for length in (3, 5):
        for words in permutations(_WORDS, length):
            yield f"{OPENING}{' '.join(words)} hills"


def run(command: list[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak MB of a command with all its processes."""
    start, peak, cpu = time.perf_counter(), 0, dict[int, float]()
    process = subprocess.Popen(command)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        resident = 0
        for one in (watched, *watched.children(recursive=True)):
            try:
                resident += one.memory_info().rss
                times = one.cpu_times()
                cpu[one.pid] = times.user + times.system
            except psutil.Error:
                continue
        peak = max(peak, resident)
        time.sleep(0.2)
    assert process.returncode == 0, process.returncode
    return time.perf_counter() - start, sum(cpu.values()), peak / 1e6


if __name__ == "__main__":
    main()
