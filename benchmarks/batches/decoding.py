"""Clips a second: what the decoding processes do with a clip, beside the bare decode.

A clip is measured, at eight pictures a second, and its two hint frames are kept in passing. The
bare decode does the same packets with PyAV in one process and one thread, and nothing with the
pictures. A core's second is a second of processor time.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from batches import job
from batches.tables import show
from clips import clips
from promptlift.config import Options
from promptlift.core.budget import Budget
from promptlift.core.video import Size
from promptlift.frames.crew import Crew
from promptlift.pipeline.foresight import Foresight
from promptlift.pipeline.seeing import survey
from promptlift.testing import FakeEngine

_PRELOAD = ("promptlift.pipeline.seeing",)
_OPTIONS = Options()
_RATE = 8
_REPEATS = 4
"""How often the one larger clip is looked at."""


def measure(*, rounds: int) -> None:
    """Print the table."""
    kinds = {"640x360, 4 s": (job.clips(), Size(640, 360))}
    larger = clips(large=False)[1]
    kinds[f"{larger.name}"] = [larger.path] * _REPEATS, Size(1024, 576)
    cores = os.cpu_count() or 1
    head = ["clips", "bare, clips per core and s", "one worker, clips per core and s", "÷"]
    lines = []
    for name, (paths, size) in kinds.items():
        bare, crew, all_of_them = list[float](), list[float](), list[float]()
        for _ in range(rounds):
            bare.append(len(paths) / _bare(paths))
            crew.append(len(paths) / asyncio.run(_one_worker(paths, size)))
            all_of_them.append(len(paths) / asyncio.run(_workers(paths, size, cores)))
        middles = [statistics.median(some) for some in (bare, crew, all_of_them)]
        ratio = middles[0] / middles[1]
        lines.append(
            [name, *(f"{m:.1f}" for m in middles[:2]), f"{ratio:.2f}", f"{middles[2]:.1f}"]
        )
    show([*head, f"{cores} workers, clips a second"], lines)


def _bare(paths: list[Path]) -> float:
    """Seconds of processor for the packets."""
    start = time.process_time()
    for path in paths:
        _decode(path)
    return time.process_time() - start


def _decode(path: Path) -> None:
    """Decode until the last wanted instant is there."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        last = Fraction(int(_seconds(path) * _RATE) - 1, _RATE)
        assert stream.time_base is not None
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts * stream.time_base >= last:
                return


def _seconds(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        return stream.duration * stream.time_base


async def _one_worker(paths: list[Path], size: Size) -> float:
    """Seconds of processor that a single worker takes."""
    async with Crew(1, preload=_PRELOAD) as crew:
        await crew.warm()
        start = await crew.call(time.process_time)
        for path in paths:
            await _see(crew, path, size)
        return await crew.call(time.process_time) - start


async def _workers(paths: list[Path], size: Size, workers: int) -> float:
    """Seconds from start to end with so many workers, started and warm."""
    async with Crew(workers, preload=_PRELOAD) as crew:
        await crew.warm()
        start = time.perf_counter()
        await asyncio.gather(*(_see(crew, path, size) for path in paths))
        return time.perf_counter() - start


async def _see(crew: Crew, path: Path, size: Size) -> None:
    options = replace(_OPTIONS, size=size)
    who = await FakeEngine().describe()
    _, glimpse = await survey(crew.call, str(path), Foresight(options, who, Budget(context=8192)))
    assert glimpse is not None
    assert len(glimpse.frames) == options.frames
