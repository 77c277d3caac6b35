"""The job that all do: 64 clips, thousands of short prompts, and the pictures of each clip."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, permutations
from pathlib import Path
from typing import Any

from batches.server import CONTEXT, MODEL, OPENING
from clips import folder
from promptlift import upsample
from promptlift.engines.wire.pictures import data_urls
from promptlift.testing import FakeEngine, synthetic_video

CLIPS = 64
STAND_IN = "a hot-air balloon drifts over the hills"
_SIZE, _SECONDS = (640, 360), 4
_WORDS = (
    *("calm", "quiet", "soft", "warm", "bright", "gentle", "rolling", "distant", "golden"),
    *("hazy", "open", "wide", "low", "high"),
)


@dataclass(frozen=True)
class Ask:
    """One row: a clip by its number, and a short prompt that no other row has."""

    clip: int
    prompt: str


def clips() -> list[Path]:
    """The clips, 640x360 and four seconds each; made once, which takes some minutes."""
    kept = folder() / "batch"
    kept.mkdir(exist_ok=True)
    paths = [kept / f"{number:02}.mp4" for number in range(CLIPS)]
    missing = [path for path in paths if not path.exists()]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_make, missing))
    return paths


def _make(path: Path) -> None:
    part = path.with_suffix(".part.mp4")
    synthetic_video(part, seconds=_SECONDS, size=_SIZE, motion="pan", seed=int(path.stem))
    part.replace(path)


def asks(count: int, *, in_turn: bool = False) -> list[Ask]:
    """Rows with the clips spread evenly over them.

    Args:
        count: How many.
        in_turn: Each row has another clip than the row before it, instead of all the rows of a
            clip coming together.
    """
    prompts = islice(_prompts(), count)
    return [
        Ask(number % CLIPS if in_turn else number * CLIPS // count, prompt)
        for number, prompt in enumerate(prompts)
    ]


def _prompts() -> Iterator[str]:
    for words in chain(permutations(_WORDS, 3), permutations(_WORDS, 5)):
        yield f"{OPENING.decode()}{' '.join(words)} hills"


def write_rows(path: Path, rows: list[Ask]) -> Path:
    """The rows as JSON lines, as `promptlift batch` and the others read them."""
    videos = clips()
    lines = ({"video": str(videos[row.clip]), "prompt": row.prompt} for row in rows)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_shown(path: Path, rows: list[Ask]) -> Path:
    """The rows as JSON lines with what promptlift shows of each: its text, and picture files.

    This is all that remains to be done by those who cannot open a video.
    """
    shown = [_kept(video) for video in clips()]
    lines = (
        {
            "prompt": row.prompt,
            "text": shown[row.clip][0].replace(STAND_IN, row.prompt),
            "images": shown[row.clip][1],
        }
        for row in rows
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _kept(video: Path) -> tuple[str, list[str]]:
    """What is shown of a clip; kept beside it."""
    kept = video.with_suffix(".shown.json")
    if not kept.exists():
        kept.write_text(json.dumps(show_files(video, video, CONTEXT)))
    text, images = json.loads(kept.read_text())
    return text, images


def show_files(video: Path, beside: Path, context: int, **options: Any) -> tuple[str, list[str]]:
    """Text of a clip's request with `STAND_IN` as its prompt, and its pictures as files.

    Args:
        video: The clip.
        beside: Names the files, but for their suffix.
        context: What the engine takes.
        options: As of `promptlift.upsample`.
    """
    engine = FakeEngine(context=context, model=MODEL)
    upsample(video, STAND_IN, engine=engine, **options)
    request = engine.requests[0]
    files = []
    for number, url in enumerate(data_urls(request)):
        kind, _, data = url.partition(";base64,")
        file = beside.with_suffix(f".{number}.{kind.partition('/')[2]}")
        file.write_bytes(base64.b64decode(data))
        files.append(str(file))
    return request.text, files
