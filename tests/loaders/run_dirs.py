"""The folder of a run as a run leaves it: real rows, real records, real parts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlift.batch.items import ItemRunner, ResumeFilter
from promptlift.batch.limits import AdaptiveLimit
from promptlift.batch.progress import BatchProgress
from promptlift.batch.retrying import CircuitBreaker, RetryingEngine
from promptlift.batch.rows import OptionsResolver, Row, row_json
from promptlift.engines.base import Engine, Request
from promptlift.errors import ItemEngineError, SpecError, TransientEngineError
from promptlift.options import Options
from promptlift.pipeline import profile_of
from promptlift.store.index import PARTS, Index
from promptlift.store.results import EndLine, Line, PartWriter, ProgressLine, RowLine
from promptlift.store.run_dir import RunConfig, copy_input, create_run_dir
from promptlift.testing import FakeEngine, synthetic_video

OPTIONS = Options(attempts=2)
MORE = (
    "Soft light falls from the left over a wide counter, and the coffee stays where it is while "
    "everything in front of it moves slowly."
)
PROMPTS = (
    "a red hot-air balloon drifts over the hills",
    "a robot arm hands a red cup to a woman",
    "rain on a quiet street at night",
    "a delivery van turns into a narrow lane",
)


def answer(request: Request) -> str:
    """What the engine says: the short prompt decides whether it is any good."""
    short = request.short_prompt
    if "refuse" in short:
        return "I'm sorry, but I cannot help with that."
    if "too much" in short:
        raise ItemEngineError("the prompt has 5,120 tokens, 4,096 fit", remedy="show fewer frames")
    if "away" in short:
        raise TransientEngineError("the engine at port 8000 is gone", remedy="start it again")
    short = short or PROMPTS[0]
    made = f"{short[:1].upper()}{short[1:]}. {MORE}"
    return f"Here is the upsampled prompt:\n\n{made}" if "chatty" in short else made


def make_videos(folder: Path, count: int = 2) -> list[Path]:
    """Small clips, and one file that is no video."""
    made = [folder / f"clip{number}.mp4" for number in range(count)]
    for number, path in enumerate(made):
        synthetic_video(path, seconds=1.5, size=(160, 96), fps=8, seed=number)
    (folder / "damaged.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and no more")
    return made


def mixed_rows(folder: Path) -> list[Row]:
    """One row for each thing that may become of one, over the videos of `make_videos`.

    Four that are fit (one of them cleaned, two of them one item), one refused, one too long, one
    that failed for a reason that passes, a damaged video, a video that is not there, no row.
    """
    clip, other = str(folder / "clip0.mp4"), str(folder / "clip1.mp4")
    cast: list[tuple[str, str, str | None, dict[str, Any]]] = [
        (clip, PROMPTS[0], "first", {"camera": "left", "take": 1}),
        (other, PROMPTS[1], None, {"camera": "right", "take": 2.5}),
        (clip, f"chatty {PROMPTS[2]}", "tidied", {"take": None}),
        (clip, PROMPTS[0], "the same again", {}),
        (clip, "refuse this", "refused", {}),
        (other, "too much of it", "long", {}),
        (other, "the engine is away", "later", {}),
        (str(folder / "damaged.mp4"), PROMPTS[3], "damaged", {}),
        (str(folder / "gone.mp4"), PROMPTS[3], "gone", {}),
    ]
    rows = [
        Row.of(number, video, prompt, id=name, extra=extra)
        for number, (video, prompt, name, extra) in enumerate(cast)
    ]
    trouble = SpecError("line 10 is no JSON object", remedy="mend the line")
    return [*rows, Row.broken(len(rows), "{nonsense", trouble, extra={"camera": None})]


@dataclass
class Maker:
    """Makes the folder of a run, one writer after the other.

    Attributes:
        run_dir: The folder.
        engine: Who answers.
        options: Of every item.
    """

    run_dir: Path
    engine: Engine = field(default_factory=lambda: FakeEngine(answer, context=4096))
    options: Options = OPTIONS

    def __post_init__(self) -> None:
        create_run_dir(self.run_dir)

    def write(
        self,
        rows: Sequence[Row],
        *,
        source: str = "rows.jsonl",
        do: Callable[[Row], bool] = lambda row: True,
        end: str | None = "done",
        torn: bool = False,
        counts: dict[str, Any] | None = None,
    ) -> Path:
        """One writer's run: copy the rows, do them, say so; gives the writer's part.

        Args:
            rows: The input's.
            source: What the input calls itself.
            do: Which of them are begun.
            end: Why it ends; None for a writer that is killed.
            torn: Whether the kill came in the middle of a line.
            counts: What its last progress line has.
        """
        who = asyncio.run(self.engine.describe())
        RunConfig.of(self.options, who).write(self.run_dir)
        copy_input(self.run_dir, source, map(row_json, rows))
        with (
            Index(self.run_dir) as index,
            PartWriter(self.run_dir / PARTS, turn=index.highest_turn + 1) as writer,
        ):
            asyncio.run(self._do([row for row in rows if do(row)], writer, index))
            writer.append(ProgressLine(counts or {"in_flight": 0, "seconds": 12.5}))
            if end is not None:
                writer.append(EndLine(end))
            path = writer.path
        if torn:
            with path.open("ab") as file:
                file.write(b'{"kind":"resu')
        return path

    async def _do(self, rows: Sequence[Row], writer: PartWriter, index: Index) -> None:
        async def write(*lines: Line) -> None:
            writer.append(*lines)

        profile = await profile_of(self.engine)
        limit, breaker = AdaptiveLimit(1), CircuitBreaker(60)
        retrying = RetryingEngine(self.engine, limit, breaker, BatchProgress(), tries=1)
        items = ItemRunner(retrying, profile, asyncio.to_thread, write, memory=1 << 28)
        found = ResumeFilter(index, OptionsResolver(self.options, profile.info)).partition(rows)
        done = set[str]()
        writer.append(*found.new)
        for item in found.todo:
            key = await items.key_of(item)
            if key in done:
                writer.append(RowLine(item.row.digest, key))
            else:
                await items.process(item, key)
                done.add(key)


def make_run(folder: Path) -> Path:
    """The folder of a finished run over `mixed_rows`, by two writers, the first of them killed."""
    make_videos(folder)
    rows = mixed_rows(folder)
    maker = Maker(folder / "run")
    maker.write(rows, do=lambda row: row.number < 3, end=None, torn=True)
    maker.write(rows, do=lambda row: row.number >= 3)
    return maker.run_dir


def make_run_of_ended_process(folder: Path) -> Path:
    """As `make_run`, by a process that has ended since, so that no writer is alive."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    subprocess.run(
        [sys.executable, "-m", "loaders.run_dirs", folder],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    return folder / "run"


if __name__ == "__main__":
    make_run(Path(sys.argv[1]))
