"""The options of one item, for every command that upsamples; defaults are those of `Options`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from promptlift.cli import types
from promptlift.config import Options

__all__ = ["item_options"]

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS = Options()
_OPTIONS = (
    click.option(
        "--frames",
        "-n",
        default=_DEFAULTS.frames,
        show_default=True,
        help="How many frames to show.",
    ),
    click.option(
        "--strategy",
        default=_DEFAULTS.strategy,
        show_default=True,
        type=click.Choice(["spread", "first", "fps", "scenes"]),
        help="Which frames.",
    ),
    click.option(
        "--fps",
        type=types.rate,
        metavar="RATE",
        default=str(_DEFAULTS.fps),
        show_default=True,
        help="Frames a second for --strategy fps.",
    ),
    click.option("--exact", is_flag=True, help="Never take a nearby keyframe in a long clip."),
    click.option(
        "--size",
        type=types.size,
        metavar="WxH",
        help="Fit each frame into this box instead of the largest.",
    ),
    click.option("--max-side", type=int, help="Longest side of a frame in pixels."),
    click.option("--context", type=int, help="Tokens of prompt and answer together."),
    click.option(
        "--reserve",
        default=_DEFAULTS.reserve,
        show_default=True,
        help="Tokens kept for the answer.",
    ),
    click.option(
        "--template",
        help="The words around yours: instruct/1, or verbatim/1 for none. Left out, the Cosmos "
        "upsampler gets none, as it was trained, and every other model an instruction.",
    ),
    click.option(
        "--target-tokenizer",
        type=click.Path(path_type=Path),
        help="tokenizer.json or spiece.model of the target, to count its tokens exactly.",
    ),
    click.option(
        "--temperature",
        default=_DEFAULTS.temperature,
        show_default=True,
        help="0 for the likeliest answer.",
    ),
    click.option(
        "--seed",
        default=_DEFAULTS.seed,
        show_default=True,
        help="Makes an answer repeatable where the engine can.",
    ),
    click.option(
        "--attempts",
        default=_DEFAULTS.attempts,
        show_default=True,
        help="How often to ask until an answer passes the review.",
    ),
    click.option(
        "--on-reject",
        default=_DEFAULTS.on_reject,
        show_default=True,
        type=click.Choice(["fail", "best", "original"]),
        help="What the result is when no answer passes: none, the best, or your own words.",
    ),
    click.option("--isolated", is_flag=True, help="Decode in a process that can be killed."),
)


def item_options(command: F) -> F:
    """Add the options of one item to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
