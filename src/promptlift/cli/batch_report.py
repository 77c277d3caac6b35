"""``promptlift report``: one page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptlift.cli import types

if TYPE_CHECKING:
    from promptlift.batch.mirror import Place

__all__ = ["report"]


@click.command()
@click.argument("run_dir", type=types.place)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Where to; replaced where it is there.",
)
@click.option("--no-frames", is_flag=True, help="Do not open the videos of the sample again.")
def report(run_dir: Place, output: Path, no_frames: bool) -> None:
    """Write one page about the run in RUN_DIR.

    What failed and why and what to do, speed, times and tokens, and a sample of results with
    their frames. The page needs nothing but itself; it holds pictures of a few of the videos.
    """
    from promptlift.batch.mirror import local_copy
    from promptlift.batch.report import write_report
    from promptlift.cli.live import Live

    with Live("reading the records"):
        write_report(local_copy(run_dir), output, frames=not no_frames, named=run_dir)
    click.echo(str(output))
