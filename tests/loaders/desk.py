"""A folder with clips and specs to work on, and a run over it with a scripted engine."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from promptlift.cosmos.plan import SpecOptions
from promptlift.cosmos.upsample import Outputs, SpecResult, SpecRows, upsample_specs
from promptlift.engines.base import Engine, Request
from promptlift.options import Options
from promptlift.testing import FakeEngine, synthetic_video

SHORT = "a robot arm hands a cup to a woman"
RGB, DEPTH = "assets/rgb.mp4", "assets/depth.mp4"
SPEC: dict[str, Any] = {"prompt": SHORT, "input_video_path": RGB, "edge": {"control_weight": 1.0}}
STRICT = {"name": "a", "prompt": SHORT, "video_path": RGB, "edge": {"control_weight": 1.0}}
"""A spec of Cosmos-Transfer1, and one of Cosmos-Transfer2.5."""

MORE = (
    "Soft light falls from the left over a wide counter, and the coffee stays where it is while "
    "everything in front of it moves slowly."
)


def long(short: str) -> str:
    """What the engine makes of a short prompt."""
    return f"{short[:1].upper()}{short[1:]}. {MORE}"


def answer(request: Request) -> str:
    """Keep the user's words and add to them."""
    return long(request.short_prompt)


class ThreadPool:
    """Decodes in threads, since starting a worker process takes longer than a small clip."""

    seconds_busy = 0.0

    def __init__(self, *_: object, **__: object) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return await asyncio.to_thread(function, *args, **kwargs)


@dataclass
class Desk:
    """A folder to work in, an engine that is asked unless a run names another, and what the latest
    run noted. ``assets/rgb.mp4`` and ``assets/depth.mp4`` are there.
    """

    folder: Path
    engine: FakeEngine = field(default_factory=lambda: FakeEngine(answer, context=None))
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, name: str, content: Any) -> Path:
        """Write a spec: a text as it is, else JSON, one item on each line for .jsonl."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".jsonl") and isinstance(content, list):
            content = "".join(f"{json.dumps(item)}\n" for item in content)
        text = content if isinstance(content, str) else json.dumps(content, indent=4) + "\n"
        path.write_bytes(text.encode())
        return path

    def try_specs(
        self,
        *specs: Path,
        folder: Path | None = None,
        in_place: bool = False,
        engine: Engine | None = None,
        dry_run: bool = False,
        base: Path | None = None,
        run_dir: Path | None = None,
        **options: Any,
    ) -> list[SpecResult]:
        """Upsample specs; those that cannot be used are among the results."""
        self.notes.clear()
        how = SpecOptions(base=None if base is None else str(base), **options)
        rows = SpecRows(specs, how, Outputs(folder, in_place=in_place), self.notes.append)
        asked, settings = engine or self.engine, Options(**self.options)
        work = upsample_specs(rows, asked, settings, run_dir=run_dir, dry_run=dry_run)
        return asyncio.run(work)

    def run(self, *specs: Path, **how: Any) -> list[SpecResult]:
        """The same, where all of them can be used."""
        results = self.try_specs(*specs, **how)
        assert [result.error for result in results if result.error] == []
        return results


def statuses(results: list[SpecResult]) -> list[str]:
    """What became of each item."""
    return [item.status for result in results for item in result.items]


def reasons(results: list[SpecResult]) -> list[str]:
    """Why, for each item."""
    return [item.reason for result in results for item in result.items]


def entries(sidecar: Path) -> list[dict[str, Any]]:
    """The entries of a sidecar."""
    loaded: list[dict[str, Any]] = json.loads(sidecar.read_text(encoding="utf-8"))["items"]
    return loaded


def make_clips(folder: Path) -> Path:
    """Two small clips: a camera picture, and another that stands for a depth control."""
    synthetic_video(folder / "rgb.mp4", seconds=1.5, size=(160, 96), fps=8)
    synthetic_video(folder / "depth.mp4", seconds=1.5, size=(128, 96), fps=8, seed=7)
    return folder


def lay(clips: Path, folder: Path) -> Desk:
    """A desk with the clips under ``assets``."""
    shutil.copytree(clips, folder / "assets")
    return Desk(folder)
