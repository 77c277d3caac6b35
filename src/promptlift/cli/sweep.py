"""``promptlift sweep``: which sizes a model takes, and why."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli import types
from promptlift.cli.engines import engine_options, given_settings
from promptlift.errors import OptionError, OutputError
from promptlift.planning import DEFAULT_CONTEXT, DEFAULT_RESERVE
from promptlift.text import check_short_prompt, parse_fraction
from promptlift.tokens import FAMILIES, PIXTRAL, family, family_for_model
from promptlift.types import Size

if TYPE_CHECKING:
    from promptlift.engines.base import Engine
    from promptlift.sweep import SweepRow

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
@engine_options(without=("engine", "model", "family"))
@click.option("--answers", is_flag=True, help="Keep what the engine answers.")
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
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
    json_output: bool,
    output: Path | None,
    **options: Any,
) -> None:
    """Show which sizes of frames a model takes, and why.

    For each size: the tokens of a request that resizes nothing, the room that it leaves for the
    answer, whether it passes, and what promptlift would send instead. With --engine each is sent
    as well; a refusal is a result. VIDEO's own frames are sent, brought to each size, or else a
    scene drawn on the spot.
    """
    from promptlift.sweep import LADDER, as_json, as_table, ladder

    if aspect is not None and sizes is not None:
        raise OptionError("both --aspect and --sizes are given", remedy="give one")
    prompt = check_short_prompt(prompt)
    settings = given_settings(options)
    asked: Engine | None = None
    if engine is not None:
        from promptlift.engines.registry import make_engine

        if engine_model is not None:
            settings["model"] = engine_model
        asked = make_engine(engine, **settings)
    if sizes is None:
        sizes = LADDER if aspect is None else ladder(aspect)
        if video is not None:
            from promptlift.video.source import probe

            sizes = (*sizes, probe(video).size)
    sizes = tuple(sorted(set(sizes), key=lambda size: (size.pixels, size)))

    async def work() -> list[SweepRow]:
        try:
            return await _sweep(
                asked,
                video,
                model,
                frames or (2,),
                sizes,
                prompt,
                context,
                reserve,
                answers=answers,
            )
        finally:
            if asked is not None:
                await asked.close()

    rows = asyncio.run(work())
    click.echo(as_json(rows, prompt) if json_output else as_table(rows))
    if output is not None:
        _write(rows, prompt, output)


async def _sweep(
    engine: Engine | None,
    video: Path | None,
    models: tuple[str, ...],
    frames: tuple[int, ...],
    sizes: tuple[Size, ...],
    prompt: str,
    context: int | None,
    reserve: int,
    *,
    answers: bool,
) -> list[SweepRow]:
    """Predicted rows; those of the engine's own family are measured too."""
    from promptlift.pipeline import profile_of
    from promptlift.sweep import drawn, measure, of_video, predict

    profile = None if engine is None else await profile_of(engine)
    if profile is not None and profile.info.family is None:
        raise OptionError(
            f"the engine {profile.info.name!r} takes no tokens",
            remedy="name one with a model: openai, vllm or llamacpp",
        )
    if context is None:
        context = (profile.info.context if profile else None) or DEFAULT_CONTEXT
    # A family may be named by itself, or by a model of it.
    names = [name if name in FAMILIES else family_for_model(name) or name for name in models]
    families = [family(name) for name in names] or [profile.family if profile else PIXTRAL]
    rows = list(predict(families, frames, sizes, prompt=prompt, context=context, reserve=reserve))
    if engine is None or profile is None:
        return rows
    pictures = drawn if video is None else partial(of_video, video)
    mine = [row for row in rows if row.model == profile.family.name]
    seen = measure(engine, mine, pictures, prompt=prompt, keep_answers=answers)
    measured = {(row.frames, row.size): row async for row in seen}
    return [
        measured[row.frames, row.size] if row.model == profile.family.name else row for row in rows
    ]


def _write(rows: list[SweepRow], prompt: str, folder: Path) -> None:
    from promptlift.files import write_atomic
    from promptlift.sweep import as_csv, as_json
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
