"""``promptlift budget``: the token arithmetic, before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptlift.cli import types
from promptlift.planning import DEFAULT_CONTEXT
from promptlift.targets import DEFAULT_TARGET
from promptlift.types import Size

if TYPE_CHECKING:
    from promptlift.planning import Cost, Plan

__all__ = ["budget"]


@click.command()
@click.argument("video", metavar="VIDEO|WxH")
@click.option("--frames", "-n", default=2, show_default=True, help="Number of frames.")
@click.option("--prompt", "-p", default="", help="Text sent with the frames.")
@click.option(
    "--context",
    default=DEFAULT_CONTEXT,
    show_default=True,
    help="Context length in tokens, prompt and answer together.",
)
@click.option(
    "--reserve",
    type=int,
    show_default="what the target's prompts take",
    help="Tokens reserved for the answer.",
)
@click.option(
    "--target",
    default=DEFAULT_TARGET,
    show_default=True,
    metavar="NAME",
    help="Generator that the prompt is for.",
)
@click.option(
    "--size", type=types.size, metavar="WxH", help="Fit each frame into this box instead."
)
@click.option("--max-side", type=int, help="Longest side of a frame in pixels.")
@click.option("--family", default="pixtral", show_default=True, help="Token-counting family.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def budget(
    video: str,
    frames: int,
    prompt: str,
    context: int,
    reserve: int | None,
    target: str,
    size: Size | None,
    max_side: int | None,
    family: str,
    as_json: bool,
) -> None:
    """Show what frames of VIDEO or WxH cost, and the size that fits.

    Nothing is decoded and no model is loaded: image tokens follow from the size by the model's
    own rule, and the text is counted with its own vocabulary.
    """
    from promptlift.planning import plan

    source = None if Path(video).exists() else types.size_or_none(video)
    made = plan(
        source or Path(video),
        prompt,
        frames=frames,
        context=context,
        reserve=reserve,
        target=target,
        family=family,
        size=size,
        max_side=max_side,
    )
    click.echo(json.dumps(dataclasses.asdict(made), indent=2) if as_json else _as_table(made))


def _as_table(made: Plan) -> str:
    """Two columns, the source beside the plan."""

    def column(title: str, cost: Cost) -> tuple[str, ...]:
        numbers = (
            cost.tokens_per_frame,
            cost.frames * cost.tokens_per_frame,
            made.text_tokens,
            cost.prompt_tokens,
            made.reserve,
            made.context,
            made.context - made.reserve - cost.prompt_tokens,
        )
        fits = "yes" if cost.fits else "NO"
        return (title, str(cost.size), *(f"{number:,}" for number in numbers), fits)

    images = f"images ({made.chosen.frames})"
    names = ("", "frame", "tokens a frame", images, "text", "prompt", "reserved answer", "context")
    columns = [
        (*names, "left over", "fits"),
        column("source", made.source),
        column("plan", made.chosen),
    ]
    widths = [max(map(len, cells)) for cells in columns]
    return "\n".join(
        f"{name:<{widths[0]}}   {source:>{widths[1]}}   {chosen:>{widths[2]}}"
        for name, source, chosen in zip(*columns, strict=True)
    )
