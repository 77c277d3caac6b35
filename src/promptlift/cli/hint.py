"""``promptlift hint``: the few frames that a model would be shown, as files to look at."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptlift.cli.types import rate
from promptlift.core.hints import DEFAULT_COUNT, DEFAULT_RATE, DEFAULT_WIDTH, STRATEGIES, clip_size

if TYPE_CHECKING:
    from promptlift.core.video import Frame

__all__ = ["hint"]


@click.command()
@click.argument("video", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="A clip (.mp4), a contact sheet (.png), or a folder for one PNG each.",
)
@click.option("--frames", "-n", default=DEFAULT_COUNT, show_default=True, help="How many frames.")
@click.option(
    "--strategy",
    default=STRATEGIES[0],
    show_default=True,
    type=click.Choice(STRATEGIES),
    help="Which frames; fps gives the classic hint clip.",
)
@click.option(
    "--fps",
    type=rate,
    metavar="RATE",
    default=str(DEFAULT_RATE),
    show_default=True,
    help="Frames a second for --strategy fps, and of the clip that is written.",
)
@click.option(
    "--width", default=DEFAULT_WIDTH, show_default=True, help="Width in pixels, an even number."
)
@click.option("--exact", is_flag=True, help="Never take a nearby keyframe in a long clip.")
def hint(
    video: Path, output: Path, frames: int, strategy: str, fps: Fraction, width: int, exact: bool
) -> None:
    """Write the few frames of VIDEO that a model would be shown.

    With --strategy fps and a name that ends in .mp4 the result is that of
    ffmpeg -vf "scale=320:-2:flags=lanczos,fps=2" -vframes 2 -c:v libx264 -crf 18 -preset medium.
    """
    from promptlift.frames import open_video
    from promptlift.frames.encode import check_target, write_hints
    from promptlift.frames.look import hint_frames

    check_target(output)
    with open_video(video) as reader:
        shown = hint_frames(
            reader,
            box=clip_size(reader.info.size, width),
            strategy=strategy,
            count=frames,
            fps=fps,
            exact=exact,
            exactly=True,
            native=True,
        )
    write_hints(shown, output, fps=fps)
    for frame in shown:
        click.echo(_line(frame), err=True)


def _line(frame: Frame) -> str:
    notes = [
        *(["nearest keyframe"] if frame.snapped else []),
        *(["damaged"] if frame.corrupt else []),
    ]
    return f"{float(frame.time):.3f} s  {frame.size}" + (f"  ({', '.join(notes)})" if notes else "")
