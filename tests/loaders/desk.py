"""A folder with clips and specs to work on, and a run over it with a scripted engine."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlift.api import Upsampler
from promptlift.cosmos.jobs import Settings
from promptlift.cosmos.lift import lift
from promptlift.cosmos.outputs import Outputs, write
from promptlift.cosmos.results import Finished
from promptlift.cosmos.spec import read_spec
from promptlift.engines.base import Engine, Request
from promptlift.testing import FakeEngine, synthetic_video

MORE = (
    "Soft light falls from the left over a wide counter, and the camera stays where it is while "
    "everything in front of it moves slowly."
)


def long(short: str) -> str:
    """What the engine makes of a short prompt."""
    return f"{short[:1].upper()}{short[1:]}. {MORE}"


def answer(request: Request) -> str:
    """Keep the user's words and add to them."""
    return long(request.short_prompt or "A balloon hangs over the hills")


@dataclass
class Desk:
    """A folder to work in.

    Attributes:
        folder: The folder; ``assets/rgb.mp4`` and ``assets/depth.mp4`` are in it.
        engine: Who is asked unless a run names another.
        options: Options of the upsampler.
    """

    folder: Path
    engine: FakeEngine = field(default_factory=lambda: FakeEngine(answer, context=None))
    options: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, content: Any) -> Path:
        """Write a spec: a text as it is, else JSON, one item on each line for .jsonl."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_bytes(content.encode())
        elif name.endswith(".jsonl"):
            path.write_bytes("".join(f"{json.dumps(item)}\n" for item in content).encode())
        else:
            path.write_bytes((json.dumps(content, indent=4) + "\n").encode())
        return path

    def run(
        self,
        *specs: Path,
        folder: Path | None = None,
        in_place: bool = False,
        form: str = "auto",
        base: Path | None = None,
        engine: Engine | None = None,
        pictures: bool = False,
        dry: bool = False,
        **settings: Any,
    ) -> list[Finished]:
        """Upsample specs and write what came of them."""
        with_spec = None if base is None else read_spec(base)
        places = Outputs(folder, in_place=in_place)
        outputs = [places.place(read_spec(spec, form=form, base=with_spec)) for spec in specs]
        done: list[Finished] = []

        def save(spec: Finished) -> None:
            if not dry:
                write(spec.changes)

        def finish(spec: Finished) -> None:
            save(spec)
            done.append(spec)

        async def work() -> None:
            async with Upsampler(engine=engine or self.engine, **self.options) as upsampler:
                how = Settings(**settings)
                await lift(outputs, upsampler, how, finished=finish, saved=save, pictures=pictures)

        asyncio.run(work())
        return done


def make_clips(folder: Path) -> Path:
    """Two small clips: a camera picture, and another that stands for a depth control."""
    synthetic_video(folder / "rgb.mp4", seconds=0.5, size=(160, 96), fps=8)
    synthetic_video(folder / "depth.mp4", seconds=0.5, size=(128, 96), fps=8, seed=7)
    return folder


def lay(clips: Path, folder: Path) -> Desk:
    """A desk with the clips under ``assets``."""
    shutil.copytree(clips, folder / "assets")
    return Desk(folder)
