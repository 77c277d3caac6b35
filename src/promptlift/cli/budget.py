"""``promptlift budget``: the arithmetic, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli import types
from promptlift.planning import DEFAULT_CONTEXT, DEFAULT_RESERVE
from promptlift.types import Size

if TYPE_CHECKING:
    from promptlift.planning import Cost, Plan

__all__ = ["budget"]


@click.command()
@click.argument("video", metavar="VIDEO|WxH")
@click.option("--frames", "-n", default=2, show_default=True, help="How many frames are shown.")
@click.option("--prompt", "-p", default="", help="The text that goes with the frames.")
@click.option(
    "--context",
    default=DEFAULT_CONTEXT,
    show_default=True,
    help="Tokens that prompt and answer may take together.",
)
@click.option(
    "--reserve", default=DEFAULT_RESERVE, show_default=True, help="Tokens kept for the answer."
)
@click.option(
    "--size",
    type=types.size,
    metavar="WxH",
    help="Fit each frame into this box instead of the largest.",
)
@click.option("--max-side", type=int, help="Longest side of a frame in pixels.")
@click.option("--model", default="pixtral", show_default=True, help="The family that counts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def budget(
    video: str,
    frames: int,
    prompt: str,
    context: int,
    reserve: int,
    size: Size | None,
    max_side: int | None,
    model: str,
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
        family=model,
        size=size,
        max_side=max_side,
    )
    if as_json:
        import json

        click.echo(json.dumps(_as_json(made), indent=2))
    else:
        click.echo(_as_table(made))


def _as_json(made: Plan) -> dict[str, Any]:
    source, chosen = _cost_json(made.source), _cost_json(made.chosen)
    source.pop("frames")
    return {
        "source": source,
        "plan": chosen,
        "context": made.context,
        "reserve": made.reserve,
        "text_tokens": made.text_tokens,
        "model": made.family,
    }


def _cost_json(cost: Cost) -> dict[str, Any]:
    return {
        "width": cost.width,
        "height": cost.height,
        "frames": cost.frames,
        "tokens_per_frame": cost.tokens_per_frame,
        "prompt_tokens": cost.prompt_tokens,
        "fits": cost.fits,
    }


def _as_table(made: Plan) -> str:
    """Two columns, the source beside the plan, and where the context goes."""
    source, chosen, spent = made.source, made.chosen, made
    rows = [
        ("", "source", "plan"),
        ("frame", str(source.size), str(chosen.size)),
        ("tokens a frame", f"{source.tokens_per_frame:,}", f"{chosen.tokens_per_frame:,}"),
        (f"images ({chosen.frames})", _images(source), _images(chosen)),
        ("text", f"{spent.text_tokens:,}", f"{spent.text_tokens:,}"),
        ("prompt", f"{source.prompt_tokens:,}", f"{chosen.prompt_tokens:,}"),
        ("reserved answer", f"{spent.reserve:,}", f"{spent.reserve:,}"),
        ("context", f"{spent.context:,}", f"{spent.context:,}"),
        ("left over", _left(source, made), _left(chosen, made)),
        ("fits", "yes" if source.fits else "NO", "yes" if chosen.fits else "NO"),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        f"{name:<{widths[0]}}   {left:>{widths[1]}}   {right:>{widths[2]}}"
        for name, left, right in rows
    ]
    return "\n".join([*lines, "", _shares(made)])


def _images(cost: Cost) -> str:
    return f"{cost.frames * cost.tokens_per_frame:,}"


def _left(cost: Cost, made: Plan) -> str:
    return f"{made.context - made.reserve - cost.prompt_tokens:,}"


def _shares(made: Plan) -> str:
    """One bar of forty cells: images, text, answer, free."""
    spent, cells = made, 40
    images = made.chosen.frames * made.chosen.tokens_per_frame
    parts = [("image", images), ("text", spent.text_tokens), ("answer", spent.reserve)]
    free = spent.context - sum(tokens for _, tokens in parts)
    parts.append(("free", free))
    bar, done = "", 0
    for mark, (_, tokens) in zip("█▓▒·", parts, strict=True):
        done += tokens
        bar += mark * (round(cells * done / spent.context) - len(bar))
    named = ", ".join(f"{name} {tokens / spent.context:.1%}" for name, tokens in parts)
    return f"{bar}  {named}"
