"""``promptlift export``: the results of a run, in the form that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from promptlift.cli import types

if TYPE_CHECKING:
    from collections.abc import Iterable

    from promptlift.batch.export import Exported
    from promptlift.batch.export.export import Form, Found
    from promptlift.batch.mirror import Place
    from promptlift.batch.outcomes import Status

__all__ = ["export"]

_STATUSES = ("ok", "repaired", "rejected", "failed", "missing")
_REFUSED = 1


def _statuses(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in _STATUSES:
            raise click.BadParameter(f"{name!r} is none of {', '.join(_STATUSES)}")
    return names


@click.command()
@click.argument("run_dir", type=types.place)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="A name that ends in .jsonl, .parquet or .csv, or a folder.",
)
@click.option(
    "--form",
    type=click.Choice(["jsonl", "parquet", "csv", "sidecars", "cosmos"]),
    help="Where the name does not tell. sidecars: a folder with a .txt and a .json for each row; "
    "cosmos: the spec files that the rows came from.",
)
@click.option(
    "--only",
    type=_statuses,
    metavar="STATUS,...",
    help="Rows of these only: ok, repaired, rejected, failed, missing.",
)
@click.option("--all", "every", is_flag=True, help="Also the rows that have no result yet.")
@click.option("--input", "source", metavar="NAME", help="The rows of one input only.")
@click.option("--no-record", is_flag=True, help="Leave out the column with the whole record.")
@click.option("--in-place", is_flag=True, help="cosmos: replace the spec files.")
@click.option("--quiet", "-q", is_flag=True, help="No notes on stderr; errors only.")
def export(
    run_dir: Place,
    output: Path | None,
    form: str | None,
    only: tuple[Status, ...] | None,
    every: bool,
    source: str | None,
    no_record: bool,
    in_place: bool,
    quiet: bool,
) -> int:
    """Write what the run in RUN_DIR has made, in the order of its input.

    Every row that has a result is there, failed ones with their reason; all forms have the same
    columns from the first row. The file is replaced as a whole, and its path goes to
    stdout.
    """
    from promptlift.batch.export import export
    from promptlift.batch.mirror import local_copy
    from promptlift.batch.outcomes import FINISHED, STATUSES

    if only is not None and every:
        raise click.UsageError("--only and --all exclude each other")
    if form == "cosmos":
        return _to_cosmos(local_copy(run_dir), output, source, in_place=in_place, quiet=quiet)
    if in_place:
        raise click.UsageError("--in-place is for --form cosmos")
    if output is None:
        raise click.UsageError("say where to with --output")
    made = export(
        local_copy(run_dir),
        output,
        form=cast("Form | None", form),
        only=only or (STATUSES if every else FINISHED),
        source=source,
        record=False if no_record else None,
    )
    click.echo(str(output))
    if not quiet:
        _note(made)
    return 0


def _to_cosmos(
    run_dir: Path, output: Path | None, source: str | None, *, in_place: bool, quiet: bool
) -> int:
    """Write results back into the spec files; each that cannot be written is told of."""
    from promptlift.batch.export import export
    from promptlift.batch.outcomes import STATUSES
    from promptlift.cosmos.returning import Refused, write_back

    if in_place and output is not None:
        raise click.UsageError("--in-place and --output exclude each other")
    refused: list[Any] = []

    def write(rows: Iterable[Found], folder: Path) -> None:
        del folder
        for done in write_back(rows, output, in_place=in_place):
            if isinstance(done, Refused):
                refused.append(done)
                _say(f"promptlift: error: {done.spec}: {done.error}")
                continue
            for change in done.changes:
                click.echo(str(change.path))

    made = export(run_dir, output or Path(), only=STATUSES, source=source, write=write)
    if not quiet:
        _note(made)
    return _REFUSED if refused else 0


def _note(made: Exported) -> None:
    from promptlift.core.text import counted

    total = counted(made.written.total(), "row")
    parts = ", ".join(f"{count:,} {name}" for name, count in made.written.most_common())
    _say(f"promptlift: {total}{': ' if parts else ''}{parts}")
    if made.left_out["missing"]:
        rows = counted(made.left_out["missing"], "row")
        _say(f"promptlift: {rows} without a result left out; --all has them too")
    if not made.complete:
        _say("promptlift: the input was not read to its end; more rows may come")


def _say(line: str) -> None:
    click.echo(line.encode("utf-8", "replace").decode(), err=True)
