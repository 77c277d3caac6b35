"""A folder with something of everything: the input of a run that is to be disturbed.

Short prompts are numbered, ``take 17``, and the number names the item: rows with the same one have
the same video too, under another name perhaps.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptlift.testing import synthetic_video

__all__ = ["CLIPS", "PROMPTS", "make_clips", "plain_rows", "some_rows", "write_rows"]

CLIPS = 5
PROMPTS = (
    "a red kite flies over the dunes",
    "a robot arm lifts a cup",
    "rain falls on a street at night",
    "a van turns into a lane",
)

Said = dict[str, Any]


def make_clips(folder: Path) -> Path:
    """Tiny clips, a copy of one under another name, a damaged one, and one that is no video."""
    folder.mkdir(exist_ok=True)
    for number in range(CLIPS):
        path = folder / f"clip{number}.mp4"
        synthetic_video(path, seconds=0.5, size=(64, 48), fps=8, seed=number)
    shutil.copy(folder / "clip0.mp4", folder / "copy of clip0.mp4")
    whole = (folder / "clip1.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.mp4").write_text("no video at all\n")
    return folder


def plain_rows(clips: Path, count: int, *, first: int = 0) -> list[Said]:
    """Rows with nothing wrong with them; the engine refuses some, see `fault.server`."""
    return [_row(clips, f"clip{take % CLIPS}.mp4", take) for take in range(first, first + count)]


def some_rows(clips: Path, count: int, seed: int = 0) -> list[Said | str]:
    """Rows of all kinds: a good part of them shares an item, or is in trouble of its own."""
    rows: list[Said | str] = list(plain_rows(clips, count))
    fixed = random.Random("which")
    for number, take in enumerate(fixed.sample(range(count), count // 6)):
        twin = _row(clips, f"clip{take % CLIPS}.mp4", take)
        if take % CLIPS == 0:
            twin = _row(clips, "copy of clip0.mp4", take)
        rows.append({**twin, "id": f"twin {number}"})
    rows += [
        _row(clips, "cut.mp4", count),
        _row(clips, "notes.mp4", count + 1),
        _row(clips, "gone.mp4", count + 2),
        _row(clips, "clip0.mp4", count + 3) | {"control": "edge"},
        _row(clips, "clip0.mp4", count + 4) | {"frames": "many"},
        {"id": "nothing"},
        "{ this is no JSON",
    ]
    random.Random(seed).shuffle(rows)
    return rows


def write_rows(path: Path, rows: Sequence[Said | str]) -> Path:
    """Write rows as JSON lines; texts as they stand."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _row(clips: Path, name: str, take: int) -> Said:
    prompt = f"{PROMPTS[take % len(PROMPTS)]}, take {take}"
    return {"id": f"row {take}", "video": str(clips / name), "prompt": prompt, "place": take / 4}
