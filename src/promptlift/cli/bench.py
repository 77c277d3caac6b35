"""``promptlift bench``: score the review, upsamplers and runs, without a model of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli.engines import engine_options, given_settings
from promptlift.errors import OptionError

if TYPE_CHECKING:
    from promptlift.bench import Answer, BenchResult
    from promptlift.video import Source

__all__ = ["bench"]

FELL = 1
_AT_ONCE = 8
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("run_dirs", nargs=-1, metavar="[RUN_DIR]...", type=_FOLDER)
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    type=_FOLDER,
    help="Score these answers as well: .jsonl with run, short, long; or folders of prompts.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Compare with the scores in this output of --json; exit 1 if any fell.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--board", "as_board", is_flag=True, help="Print a Markdown table of the systems.")
@engine_options(without=("engine",))
@click.option("--engine", metavar="NAME", help="Have this engine upsample the short prompts.")
@click.option(
    "--video",
    metavar="CLIP",
    help="Clip for --engine.  [default: a gray picture, which says nothing]",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only so many short prompts.")
def bench(
    run_dirs: tuple[Path, ...],
    data: tuple[Path, ...],
    baseline: Path | None,
    as_json: bool,
    as_board: bool,
    engine: str | None,
    video: str | None,
    limit: int | None,
    **options: Any,
) -> int:
    """Score the review on labelled answers, or upsamplers by their answers.

    Without arguments, the review is scored on the prompts that ship with promptlift. With RUN_DIR,
    folders of `promptlift batch run`, or --engine, their answers are scored instead. Every score is
    a share from 0 to 1, and more is better.

    \b
    Examples:
      promptlift bench --baseline benchmarks/words-baseline.json
      promptlift bench --board run-a run-b
      promptlift bench --board --engine openai --base-url http://localhost:8000/v1
    """  # noqa: D301 - click reads the \b
    from promptlift.bench import (
        BenchResult,
        board,
        fallen_scores,
        measure_answers,
        read_data,
        run_bench,
        score_data,
    )

    settings = given_settings(options)
    if engine is None and (settings or video or limit):
        raise OptionError("these options need --engine", remedy="name an engine")
    systems = {str(run_dir): list(_answers_of(run_dir)) for run_dir in run_dirs}
    if engine is not None:
        name = f"{engine} {settings.get('model', '')}".strip()
        systems[name] = asyncio.run(_upsampled(engine, settings, video or _gray(), limit))
    result = BenchResult() if systems or as_board else run_bench()
    for folder in data:
        found = read_data(folder, result)
        if not as_board:
            score_data(result, found)
        systems |= found
    result.systems = {name: measure_answers(answers) for name, answers in systems.items()}
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=1, ensure_ascii=False))
    elif as_board:
        click.echo(board(result))
    else:
        click.echo("\n".join(_table(result)))
    if baseline is None:
        return 0
    try:
        before = json.loads(baseline.read_bytes())["scores"]
    except (ValueError, LookupError, TypeError):
        raise OptionError(
            f"{str(baseline)!r} is no baseline",
            remedy="give what `promptlift bench --json` printed",
        ) from None
    fallen = fallen_scores(result.scores, before)
    for line in fallen:
        click.echo(f"promptlift: error: {line}", err=True)
    return FELL if fallen else 0


def _table(result: BenchResult) -> Iterable[str]:
    """Scores with their counts, and what was measured of each system, as aligned lines."""
    width = max([len(name) for name in result.scores] or [0])
    for name, score in result.scores.items():
        count = int(result.sums[name][1]) if name in result.sums else ""
        yield f"{name:<{width}}  {score:.4f}  {count}".rstrip()
    for name, found in result.systems.items():
        yield f"{name}: {json.dumps(found)}"


def _answers_of(run_dir: Path) -> Iterable[Answer]:
    """The last answer of each row of a run that has one."""
    from promptlift.batch.export import Exported, results_with_records
    from promptlift.batch.status import FINISHED
    from promptlift.store.run_dir import open_run

    with open_run(run_dir) as run:
        for _, raw in results_with_records(run, FINISHED, Exported()):
            yield from _answer_in(json.loads(raw or "{}"))


def _answer_in(record: dict[str, Any]) -> Iterable[Answer]:
    """The prompt of a record, or its last answer where none passed the review.

    There is none where the engine left the user's words as they were.
    """
    from promptlift.bench import Answer
    from promptlift.facts import Facts

    if record.get("status") == "unchanged":
        return
    attempts = record.get("attempts") or [{}]
    text = record.get("prompt") or attempts[-1].get("text")
    if text:
        measured = record.get("facts")
        facts = Facts.model_validate(measured) if measured else None
        yield Answer(record["short_prompt"], text, record["target"], facts=facts)


async def _upsampled(
    engine: str, settings: dict[str, Any], video: Source, limit: int | None
) -> list[Answer]:
    """What an engine makes of the short prompts that ship."""
    from promptlift.bench import BenchResult, read_shipped
    from promptlift.engines.registry import make_engine
    from promptlift.options import Options
    from promptlift.pipeline import VideoCache, upsample_item

    made, videos = make_engine(engine, **settings), VideoCache()
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(row: dict[str, Any]) -> Iterable[Answer]:
        async with free:
            options = Options(target=row["target"])
            outcome = await upsample_item(video, row["short"], made, options, videos=videos)
        if outcome.error is not None:
            raise outcome.error
        return _answer_in(outcome.record.model_dump(mode="json"))

    try:
        rows = read_shipped("requests", BenchResult())[:limit]
        answers = await asyncio.gather(*map(one, rows))
    finally:
        await made.close()
    return [answer for found in answers for answer in found]


def _gray() -> list[bytes]:
    from PIL import Image

    picture = BytesIO()
    Image.new("RGB", (640, 360), (128, 128, 128)).save(picture, "PNG")
    return [picture.getvalue()] * 2
