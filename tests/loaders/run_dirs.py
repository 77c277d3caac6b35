"""The folder of a run as a run leaves it: real rows, real records, real lines of a journal."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loaders.desk import long
from promptlift import __version__
from promptlift.batch.journal import Index, Writer, lines, open_folder
from promptlift.batch.manifest import Manifest, ManifestEngine
from promptlift.batch.readings import Spool
from promptlift.batch.rows import Row
from promptlift.batch.runner.items import Item, Meanings
from promptlift.config import Options
from promptlift.core.record import Failure, Record, Video
from promptlift.engines.base import Engine, EngineInfo, Request
from promptlift.errors import ItemEngineError, SpecError, TransientEngineError, VideoError
from promptlift.frames.source import content_of
from promptlift.pipeline.identity import as_asked, template_name
from promptlift.pipeline.item import upsample_item
from promptlift.pipeline.sights import Sights
from promptlift.testing import FakeEngine, synthetic_video

OPTIONS = Options(attempts=2)
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
    made = long(short or PROMPTS[0])
    return f"Here is the upsampled prompt:\n\n{made}" if "chatty" in short else made


def make_videos(folder: Path, count: int = 2) -> list[Path]:
    """Small clips, and one file that is no video."""
    made = [folder / f"clip{number}.mp4" for number in range(count)]
    for number, path in enumerate(made):
        synthetic_video(path, seconds=0.5, size=(160, 96), fps=8, seed=number)
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
class Given:
    """Rows as an input."""

    content: Sequence[Row]
    description: str = "rows.jsonl"
    stamp: Any = None

    def rows(self) -> Iterator[Row]:
        """The rows."""
        yield from self.content


@dataclass
class Maker:
    """Makes the folder of a run, one writer after the other.

    Attributes:
        run_dir: The folder.
        engine: Who answers.
        options: Of every item.
        alter: Changes a record before it is written, such as its times.
    """

    run_dir: Path
    engine: Engine = field(default_factory=lambda: FakeEngine(answer, context=4096))
    options: Options = OPTIONS
    alter: Callable[[Record], Record] = lambda record: record

    def __post_init__(self) -> None:
        open_folder(self.run_dir)
        self._sights = Sights()

    def describe(self) -> None:
        """Write the manifest, in the place of another."""
        who = asyncio.run(self.engine.describe())
        engine = ManifestEngine(name=who.name, model=who.model, revision=who.revision)
        template = template_name(self.options, who)
        Manifest(settings=as_asked(self.options), engine=engine, template=template).write(
            self.run_dir
        )

    def write(
        self,
        rows: Sequence[Row],
        *,
        source: str = "rows.jsonl",
        do: Callable[[Row], bool] = lambda row: True,
        end: str | None = "done",
        torn: bool = False,
        counts: dict[str, Any] | None = None,
    ) -> str:
        """One writer's run: read the rows, do them, say so; gives the writer's name.

        Args:
            rows: The input's.
            source: What the input calls itself.
            do: Which of them are begun.
            end: Why it ends; None for a writer that is killed.
            torn: Whether the kill came in the middle of a line.
            counts: What its beat says.
        """
        self.describe()
        turn = Index.load(self.run_dir).highest_turn + 1
        with Writer(self.run_dir, turn=turn) as writer:
            spool = Spool(self.run_dir, writer.name, Given(rows, source), turn=turn)
            with spool:
                for _ in spool.chunks():
                    pass
            asyncio.run(self._do([row for row in rows if do(row)], writer))
            writer.beat(counts or {"in_flight": 0, "seconds": 12.5})
            if end is not None:
                writer.end(end)
        if torn:
            with writer.path.open("ab") as file:
                file.write(b'{"sum":"00000000","kind":"resu')
        return writer.name

    async def _do(self, rows: Sequence[Row], writer: Writer) -> None:
        who = await self.engine.describe()
        meanings, done = Meanings(self.options, who), set[str]()
        for row in rows:
            item = Item(row, meanings.of(row.options))
            content = _content(row)
            if content.startswith("sha256:"):
                status = Path(row.video).stat()
                writer.video(row.video, status.st_size, status.st_mtime_ns, content)
            key = item.keyed(content)
            if key not in done:
                record = self.alter(await self._record(item, key, who))
                writer.append(_result(record, key))
                done.add(key)
            writer.row(row.digest, key)

    async def _record(self, item: Item, key: str, who: EngineInfo) -> Record:
        row = item.row
        if row.trouble is not None:
            code, message, remedy = row.trouble
            failure = Failure(code=code, message=message, remedy=remedy, retryable=False)
            return Record(
                key=key,
                status="failed",
                video=Video(name=Path(row.video).name),
                short_prompt=row.prompt,
                target=self.options.target,
                error=failure,
                promptlift=__version__,
            )
        made = await upsample_item(
            row.video, row.prompt, self.engine, item.meaning.options, sights=self._sights
        )
        return made.record if made.record.key else made.record.model_copy(update={"key": key})


def make_run(folder: Path) -> Path:
    """The folder of a finished run over `mixed_rows`, by two writers, the first of them killed."""
    make_videos(folder)
    rows = mixed_rows(folder)
    maker = Maker(folder / "run")
    maker.write(rows, do=lambda row: row.number < 3, end=None, torn=True)
    maker.write(rows, do=lambda row: row.number >= 3)
    return maker.run_dir


def many_rows(videos: Sequence[Path], count: int, seed: int = 0) -> list[Row]:
    """Rows as a data set has them, a few in a hundred of them with trouble ahead."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        prompt = f"{draw.choice(PROMPTS)}, take {number}"
        kind = draw.random()
        prompt = f"refuse {prompt}" if kind < 0.04 else prompt
        prompt = f"too much of {prompt}" if 0.04 < kind < 0.06 else prompt
        prompt = f"chatty {prompt}" if 0.1 < kind < 0.2 else prompt
        video = draw.choice(videos)
        if 0.06 < kind < 0.08:
            video = video.with_name("damaged.mp4")
        rows.append(Row.of(number, str(video), prompt, id=f"take-{number:05}"))
    return rows


def _content(row: Row) -> str:
    if row.trouble is not None:
        return f"trouble:{row.digest}"
    try:
        return content_of(row.video)
    except VideoError:
        return f"unread:{row.video}"


def _result(record: Record, key: str) -> bytes:
    error, code = record.error, None
    if error is None and record.status == "rejected" and record.review is not None:
        code = next(check.name for check in record.review.checks if not check.passed)
    state = record.status
    assert state != "planned"
    return lines.result_line(
        record.key or key,
        state,
        error.code if error else code,
        bool(error and error.retryable),
        record.model_dump_json(),
        at=1.0,
    )
