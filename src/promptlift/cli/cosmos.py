"""``promptlift cosmos``: the spec files of Cosmos generators."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli.engines import engine_options, settings_of
from promptlift.cli.items import item_options

if TYPE_CHECKING:
    from promptlift.cli.cosmos_notes import CosmosNotes
    from promptlift.cosmos.jobs import Settings
    from promptlift.cosmos.outputs import Output

__all__ = ["cosmos", "upsample"]

UNFINISHED = 1
UNUSABLE = 2

FORMATS = ("transfer1", "transfer1-batch", "transfer2.5", "predict1", "predict2", "predict2.5")


class _Cosmos(click.Group):
    """A group one of whose commands lies in a module of its own, loaded when it is called."""

    # ruff: noqa: ARG002 - click sets these signatures

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["check", "upsample"] if _has_check() else ["upsample"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "check" and _has_check():
            made: click.Command = importlib.import_module("promptlift.cli.cosmos_check").check
            return made
        return super().get_command(ctx, cmd_name)


def _has_check() -> bool:
    return importlib.util.find_spec("promptlift.cli.cosmos_check") is not None


@click.group(cls=_Cosmos)
def cosmos() -> None:
    """Upsample and check the spec files of NVIDIA's Cosmos generators."""


@cosmos.command()
@click.argument(
    "specs",
    nargs=-1,
    required=True,
    metavar="SPEC...",
    type=click.Path(path_type=Path, readable=False),
)
@click.option(
    "--output-dir",
    "-o",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the results here under their own names; else beside, as NAME.upsampled.json.",
)
@click.option("--in-place", is_flag=True, help="Replace the specs; the sidecar keeps the prompts.")
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", *FORMATS]),
    help="What the specs are, where their keys do not tell.",
)
@click.option(
    "--look-at",
    default="rgb",
    show_default=True,
    type=click.Choice(["rgb", "control"]),
    help="What is shown where a spec has both.",
)
@click.option("--regions", is_flag=True, help="Upsample regional prompts too, each in its region.")
@click.option("--again", is_flag=True, help="Also what is upsampled already, or long.")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that the generator is started in, for relative paths.",
)
@click.option(
    "--controlnet-specs",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="transfer1-batch: the spec that the batch runs with.",
)
@click.option("--dry-run", is_flag=True, help="Ask the engine, write nothing, show the changes.")
@click.option(
    "--review-sheet",
    metavar="OUT.html",
    type=click.Path(path_type=Path),
    help="Write a page with frames, prompts and reviews to read before generating.",
)
@engine_options
@item_options
@click.option("--quiet", "-q", is_flag=True, help="No notes on stderr; errors only.")
def upsample(
    specs: tuple[Path, ...],
    output_dir: Path | None,
    in_place: bool,
    form: str,
    look_at: str,
    regions: bool,
    again: bool,
    root: Path | None,
    controlnet_specs: Path | None,
    dry_run: bool,
    review_sheet: Path | None,
    engine: str,
    quiet: bool,
    **options: Any,
) -> int:
    """Put long prompts into Cosmos spec files.

    The result is the same file with the long prompt in place of the short one and nothing else
    changed, for the generator to be run without --upsample_prompt. NAME.promptlift.json beside it
    keeps the short prompt and how the long one came about. The paths of the files written go to
    stdout; with --dry-run, the changes.
    """
    from promptlift.cli.cosmos_notes import CosmosNotes
    from promptlift.cosmos.jobs import Settings
    from promptlift.cosmos.outputs import Outputs

    if in_place and output_dir is not None:
        raise click.UsageError("--in-place and --output-dir exclude each other")
    settings = settings_of(options)
    options = {name: value for name, value in options.items() if value is not None}
    how = Settings(look_at=look_at, regions=regions, again=again, root=root)  # type: ignore[arg-type]
    with CosmosNotes(quiet=quiet, dry_run=dry_run) as notes:
        outputs = _read(
            specs, form, controlnet_specs, Outputs(output_dir, in_place=in_place), notes
        )
        asyncio.run(
            _work(
                outputs,
                how,
                notes,
                review_sheet,
                engine=engine,
                engine_settings=settings,
                **options,
            )
        )
        notes.summary()
    if notes.unusable:
        return UNUSABLE
    return UNFINISHED if notes.unfinished else 0


def _read(
    specs: tuple[Path, ...],
    form: str,
    base_path: Path | None,
    places: Any,
    notes: CosmosNotes,
) -> list[Output]:
    """The specs that can be used, each with its place; the others are told of."""
    from promptlift.cosmos.spec import read_spec
    from promptlift.errors import InputError

    base = read_spec(base_path, form="transfer1") if base_path is not None else None
    outputs = []
    for path in specs:
        try:
            spec = read_spec(path, form=form, base=base)
            output = places.place(spec)
        except InputError as error:
            notes.refuse(path, error)
            continue
        notes.about_spec(spec)
        outputs.append(output)
    return outputs


async def _work(
    outputs: list[Output],
    how: Settings,
    notes: CosmosNotes,
    review_sheet: Path | None,
    **options: Any,
) -> None:
    from promptlift.api import Upsampler
    from promptlift.cosmos.lift import lift
    from promptlift.cosmos.outputs import write
    from promptlift.cosmos.results import Finished

    done: list[Finished] = []

    def save(spec: Finished) -> None:
        if not notes.dry_run:
            write(spec.changes)

    def finish(spec: Finished) -> None:
        save(spec)
        notes.about(spec)
        done.append(spec)

    async with Upsampler(**options) as upsampler:
        notes.count(sum(len(output.spec.items) for output in outputs))
        await lift(
            outputs,
            upsampler,
            how,
            finished=finish,
            saved=save,
            began=notes.began,
            pictures=review_sheet is not None,
        )
    if review_sheet is not None:
        from promptlift.cosmos.sheet import render_sheet
        from promptlift.files import write_atomic

        write_atomic(review_sheet, render_sheet(done, written=not notes.dry_run).encode())
        notes.wrote(review_sheet)
