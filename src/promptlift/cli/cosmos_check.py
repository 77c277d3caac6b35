"""``promptlift cosmos check``: what NVIDIA's own command would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from promptlift.cosmos.check import Checked

__all__ = ["check"]

UNFIT = 1
_SHORT_SOURCE = "cosmos_transfer1/"


@click.command()
@click.argument(
    "specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path(path_type=Path)
)
@click.option(
    "--batch",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Items that each spec is run with: NVIDIA's --batch_input_path.",
)
@click.option("--prompt", metavar="TEXT", help="As on NVIDIA's command line.")
@click.option("--input-video", metavar="FILE", help="As NVIDIA's --input_video_path.")
@click.option("--sigma-max", type=float, metavar="NUMBER", help="As NVIDIA's --sigma_max.")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that the command is run in, for relative paths.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(
    specs: tuple[Path, ...],
    batch: Path | None,
    prompt: str | None,
    input_video: str | None,
    sigma_max: float | None,
    root: Path | None,
    as_json: bool,
) -> int:
    """Say what Cosmos-Transfer1's --upsample_prompt would do with each SPEC.

    Which video its model would be shown, at which size and for how many tokens, and where it
    would fail, be cut short, or silently do nothing. Nothing is loaded. The exit code is 0 only
    if it works for all.
    """
    from promptlift.cosmos.check import Command, check

    command = Command(prompt=prompt, input_video=input_video, sigma_max=sigma_max, root=root)
    found = [one for spec in specs for one in check(spec, batch=batch, command=command)]
    if as_json:
        import json

        click.echo(json.dumps([_values(one) for one in found], indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join(_told(one) for one in found))
    return 0 if all(one.outcome == "works" for one in found) else UNFIT


def _told(one: Checked) -> str:
    where = "" if one.line is None else f", line {one.line} of the batch"
    outcome = one.outcome if one.outcome == "works" else one.outcome.upper()
    lines = [f"{one.spec}{where}: {outcome}"]
    for said in one.said:
        source = said.source.replace(_SHORT_SOURCE, "")
        lines.append(f"  {said.text}" + (f" [{source}]" if source else ""))
    return "\n".join(lines)


def _values(one: Checked) -> dict[str, Any]:
    better = one.better
    return {
        "spec": str(one.spec),
        "line": one.line,
        "outcome": one.outcome,
        "control": one.control,
        "video": one.video,
        "made": one.made,
        "width": None if one.size is None else one.size.width,
        "height": None if one.size is None else one.size.height,
        "frames": one.frames,
        "tokens": one.tokens,
        "room": one.room,
        "promptlift": None
        if better is None
        else {
            "width": better.size.width,
            "height": better.size.height,
            "tokens": better.prompt_tokens,
        },
        "said": [{"text": said.text, "source": said.source} for said in one.said],
    }
