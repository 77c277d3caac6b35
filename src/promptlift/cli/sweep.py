"""``promptlift sweep``: which sizes a model takes, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli import types
from promptlift.cli.engines import connection_options, settings_of
from promptlift.config import parse_fraction
from promptlift.core.budget import DEFAULT_CONTEXT, DEFAULT_RESERVE
from promptlift.core.text import check_short_prompt
from promptlift.core.tokens import FAMILIES, PIXTRAL, Family, family, family_for_model
from promptlift.core.video import Size
from promptlift.errors import OptionError, OutputError

if TYPE_CHECKING:
    from promptlift.engines.base import Engine, EngineInfo
    from promptlift.sweep import Row

__all__ = ["sweep"]


def _aspect(text: str) -> Fraction:
    try:
        made = parse_fraction(text.replace(":", "/"))
    except ValueError:
        made = Fraction(0)
    if made <= 0:
        raise click.BadParameter(f"{text[:80]!r} is not a shape such as 16:9")
    return made


def _sizes(text: str) -> tuple[Size, ...]:
    return tuple(types.size(part.strip()) for part in text.split(","))


@click.command()
@click.argument("video", required=False, type=click.Path(path_type=Path, readable=False))
@click.option("--aspect", type=_aspect, metavar="W:H", help="Try sizes of this shape.")
@click.option("--sizes", type=_sizes, metavar="WxH,...", help="Try these sizes.")
@click.option(
    "--frames",
    "-n",
    multiple=True,
    type=click.IntRange(1, 64),
    show_default="2",
    help="How many frames are shown; may be given again.",
)
@click.option(
    "--model",
    multiple=True,
    metavar="NAME",
    show_default="the engine's, or pixtral",
    help="Model or family that counts; may be given again.",
)
@click.option(
    "--prompt", "-p", default="Test prompt", show_default=True, help="The text with the frames."
)
@click.option(
    "--context",
    type=int,
    show_default=f"the engine's, or {DEFAULT_CONTEXT}",
    help="Tokens that prompt and answer may take together.",
)
@click.option(
    "--reserve", default=DEFAULT_RESERVE, show_default=True, help="Tokens kept for the answer."
)
@click.option("--engine", help="Send the requests as well: auto, openai, vllm or llamacpp.")
@click.option("--engine-model", metavar="NAME", help="The engine's model, where it has several.")
@connection_options
@click.option("--answers", is_flag=True, help="Keep what the engine answers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write sweep.json, .csv, .png and .svg here.",
)
def sweep(
    video: Path | None,
    aspect: Fraction | None,
    sizes: tuple[Size, ...] | None,
    frames: tuple[int, ...],
    model: tuple[str, ...],
    prompt: str,
    context: int | None,
    reserve: int,
    engine: str | None,
    engine_model: str | None,
    answers: bool,
    as_json: bool,
    output: Path | None,
    **options: Any,
) -> None:
    """Show which sizes of frames a model takes, and why.

    For each size: the tokens of a request that resizes nothing, the room that it leaves for the
    answer, whether it passes, and what promptlift would send instead. With --engine each is sent
    as well; a refusal is a result. VIDEO's own frames are sent, brought to each size, or else a
    scene drawn on the spot.
    """
    from promptlift.sweep.output import as_json as json_of
    from promptlift.sweep.output import as_table

    made = _engine(engine, engine_model, settings_of(options))
    sizes, prompt = _chosen(video, aspect, sizes), check_short_prompt(prompt)
    work = _rows(made, model, frames or (2,), sizes, prompt, context, reserve, video, answers)
    rows = asyncio.run(work)
    click.echo(json_of(rows, prompt) if as_json else as_table(rows))
    if output is not None:
        _write(rows, prompt, output)


def _chosen(
    video: Path | None, aspect: Fraction | None, sizes: tuple[Size, ...] | None
) -> tuple[Size, ...]:
    """The sizes, the video's own among them."""
    from promptlift.sweep import LADDER, ladder

    if aspect is not None and sizes is not None:
        raise OptionError("both --aspect and --sizes are given", remedy="give one")
    steps = sizes or (LADDER if aspect is None else ladder(aspect))
    if video is not None and sizes is None:
        from promptlift.frames import probe

        steps = (*steps, probe(video).size)
    return tuple(sorted(set(steps), key=lambda size: (size.pixels, size)))


def _engine(name: str | None, model: str | None, settings: dict[str, Any]) -> Engine | None:
    if name is None:
        return None
    from promptlift.engines.registry import make_engine

    return make_engine(name, **(settings if model is None else settings | {"model": model}))


async def _rows(
    engine: Engine | None,
    models: Sequence[str],
    frames: Sequence[int],
    sizes: Sequence[Size],
    prompt: str,
    context: int | None,
    reserve: int,
    video: Path | None,
    answers: bool,
) -> list[Row]:
    """Predicted rows; those of the engine's own family are measured too."""
    from promptlift.sweep import predict

    try:
        who = None if engine is None else await engine.describe()
        own = None if engine is None or who is None else await _own_family(engine, who)
        families = [_family(name) for name in models] or [own or PIXTRAL]
        if context is None:
            context = (who.context if who is not None else None) or DEFAULT_CONTEXT
        rows = predict(families, frames, sizes, prompt=prompt, context=context, reserve=reserve)
        if engine is None or own is None:
            return list(rows)
        return await _measured(engine, own, rows, prompt, video, answers=answers)
    finally:
        if engine is not None:
            await engine.close()


async def _own_family(engine: Engine, who: EngineInfo) -> Family:
    from promptlift.pipeline.families import family_of

    if who.family is None:
        raise OptionError(
            f"the engine {who.name!r} takes no tokens",
            remedy="name one with a model: openai, vllm or llamacpp",
        )
    return await family_of(engine, who)


def _family(name: str) -> Family:
    """A family by its own name, or by that of a model of it."""
    return family(name if name in FAMILIES else family_for_model(name) or name)


async def _measured(
    engine: Engine,
    own: Family,
    rows: Sequence[Row],
    prompt: str,
    video: Path | None,
    *,
    answers: bool,
) -> list[Row]:
    from promptlift.sweep import measure
    from promptlift.sweep.pictures import drawn, of_video

    pictures = drawn if video is None else partial(of_video, video)
    mine = [row for row in rows if row.model == own.name]
    seen = measure(engine, mine, pictures, prompt=prompt, keep_answers=answers)
    done = {(row.frames, row.size): row async for row in seen}
    return [done[row.frames, row.size] if row.model == own.name else row for row in rows]


def _write(rows: Sequence[Row], prompt: str, folder: Path) -> None:
    from promptlift.files import write_atomic
    from promptlift.sweep.output import as_csv, as_json
    from promptlift.sweep.plot import draw

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {str(folder)!r}: {error.strerror}",
            remedy="choose another place",
        ) from error
    write_atomic(folder / "sweep.json", f"{as_json(rows, prompt)}\n".encode())
    write_atomic(folder / "sweep.csv", as_csv(rows).encode())
    try:
        draw(rows, [folder / "sweep.png", folder / "sweep.svg"])
    except OptionError as missing:
        click.echo(f"promptlift: {missing}", err=True)
