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

from batches.server import CONTEXT, MODEL, OPENING
from clips import folder
from promptlift import upsample
from promptlift.engines.base import Request
from promptlift.engines.wire.pictures import data_urls
from promptlift.testing import FakeEngine, synthetic_video

CLIPS = 64
_STAND_IN = "a hot-air balloon drifts over the hills"
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
    shown = [_shown(video) for video in clips()]
    lines = (
        {
            "prompt": row.prompt,
            "text": shown[row.clip][0].replace(_STAND_IN, row.prompt),
            "images": shown[row.clip][1],
        }
        for row in rows
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _shown(video: Path) -> tuple[str, list[str]]:
    """Text and picture files of a clip's request; kept beside the clip."""
    kept = video.with_suffix(".shown.json")
    if not kept.exists():
        engine = FakeEngine(context=CONTEXT, model=MODEL)
        upsample(video, _STAND_IN, engine=engine)
        kept.write_text(json.dumps(_written(video, engine.requests[-1])))
    text, images = json.loads(kept.read_text())
    return text, images


def _written(video: Path, request: Request) -> tuple[str, list[str]]:
    files = []
    for number, url in enumerate(data_urls(request)):
        kind, _, data = url.partition(";base64,")
        file = video.with_suffix(f".{number}.{kind.partition('/')[2]}")
        file.write_bytes(base64.b64decode(data))
        files.append(str(file))
    return request.text, files
