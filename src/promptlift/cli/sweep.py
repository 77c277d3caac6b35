"""``promptlift sweep``: which frame sizes fit into a model's context."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli import types
from promptlift.cli.engines import engine_options, given_settings
from promptlift.cli.items import item_option
from promptlift.errors import OptionError, OutputError
from promptlift.planning import DEFAULT_CONTEXT, answer_reserve
from promptlift.targets import target
from promptlift.text import check_short_prompt
from promptlift.tokens import FAMILIES, PIXTRAL, family, family_for_model, is_reasoning_model
from promptlift.types import Size

if TYPE_CHECKING:
    from promptlift.sweep import SweepRow

__all__ = ["sweep"]


def _sizes(text: str) -> tuple[Size, ...]:
    return tuple(types.size(part.strip()) for part in text.split(","))


@click.command()
@click.argument("video", required=False, type=click.Path(path_type=Path, readable=False))
@click.option(
    "--sizes", type=_sizes, metavar="WxH,...", help="Sizes to try.  [default: 17 common ones]"
)
@click.option(
    "--frames",
    "-n",
    multiple=True,
    type=click.IntRange(1, 64),
    show_default="2",
    help="Number of frames; can be repeated.",
)
@click.option(
    "--family",
    "names",
    multiple=True,
    metavar="NAME",
    show_default="the engine's, or pixtral",
    help="Token-counting family, or a model of one; can be repeated.",
)
@click.option(
    "--prompt", "-p", default="Test prompt", show_default=True, help="Text sent with the frames."
)
@item_option("context")
@item_option("reserve")
@click.option("--engine", help="Also send the requests: auto, openai, vllm or llamacpp.")
@engine_options(without=("engine", "family"))
@click.option("--answers", is_flag=True, help="Keep the engine's answers.")
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write sweep.json, .csv, .png and .svg into this directory.",
)
def sweep(
    video: Path | None,
    sizes: tuple[Size, ...] | None,
    frames: tuple[int, ...],
    names: tuple[str, ...],
    prompt: str,
    context: int | None,
    reserve: int | None,
    engine: str | None,
    answers: bool,
    json_output: bool,
    output: Path | None,
    **options: Any,
) -> None:
    """Show which frame sizes fit into a model's context, and why.

    For each size: the tokens of a request that resizes nothing, the room that it leaves for the
    answer, whether it passes, and what promptlift would send instead. With --engine the requests
    are sent as well; a refusal is a result. The frames are those of VIDEO, stretched to each size,
    or else a drawn scene.
    """
    from promptlift.sweep import LADDER, as_json, as_table

    if sizes is None:
        sizes = LADDER
        if video is not None:
            from promptlift.video.source import probe

            sizes = (*sizes, probe(video).size)
    sizes = tuple(sorted(set(sizes), key=lambda size: (size.pixels, size)))
    prompt = check_short_prompt(prompt)
    settings = given_settings(options)

    async def work() -> list[SweepRow]:
        from promptlift.engines.registry import make_engine
        from promptlift.pipeline import profile_of
        from promptlift.sweep import measure, predict

        asked = None if engine is None else make_engine(engine, **settings)
        try:
            profile = None if asked is None else await profile_of(asked)
            if profile is not None and profile.info.family is None:
                raise OptionError(
                    f"the engine {profile.info.name!r} counts no tokens",
                    remedy="pass --engine openai, vllm or llamacpp",
                )
            limit = context or (profile and profile.info.context) or DEFAULT_CONTEXT
            known = [name if name in FAMILIES else family_for_model(name) or name for name in names]
            families = [family(name) for name in known] or [profile.family if profile else PIXTRAL]
            models = [*names, profile.info.model if profile else ""]
            kept = reserve or answer_reserve(
                target(), reasons=is_reasoning_model(*models), context=limit
            )
            rows = predict(
                families, frames or (2,), sizes, prompt=prompt, context=limit, reserve=kept
            )
            if asked is None or profile is None:
                return rows
            mine = [row for row in rows if row.model == profile.family.name]
            measured = iter(await measure(asked, mine, video, prompt=prompt, keep_answers=answers))
            return [next(measured) if row in mine else row for row in rows]
        finally:
            if asked is not None:
                await asked.close()

    rows = asyncio.run(work())
    click.echo(as_json(rows, prompt) if json_output else as_table(rows))
    if output is not None:
        _write(rows, prompt, output)


def _write(rows: list[SweepRow], prompt: str, folder: Path) -> None:
    from promptlift.files import write_atomic
    from promptlift.sweep import as_csv, as_json, plot

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot create the directory {str(folder)!r}: {error.strerror}",
            remedy="choose another directory for -o",
        ) from error
    write_atomic(folder / "sweep.json", f"{as_json(rows, prompt)}\n".encode())
    write_atomic(folder / "sweep.csv", as_csv(rows).encode())
    try:
        plot(rows, [folder / "sweep.png", folder / "sweep.svg"])
    except OptionError as missing:
        click.echo(f"promptlift: {missing}", err=True)
