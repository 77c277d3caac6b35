"""``promptlift render``: a finished prompt in the form of another target."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from click.core import ParameterSource

from promptlift.cli.engines import engine_options, given_settings
from promptlift.cli.items import item_option
from promptlift.text import counted, plain_text

if TYPE_CHECKING:
    from promptlift.record import Record

__all__ = ["render"]

REJECTED = 1

_OPTIONS = "target language video_size video_fps video_seconds instruction attempts"


def _item_options(command: Any) -> Any:
    for name in reversed([*_OPTIONS.split(), "temperature", "seed", "target_tokenizer"]):
        command = item_option(name)(command)
    return command


@click.command("render")
@click.argument("given", metavar="RECORD|-", type=click.File("rb"))
@engine_options()
@_item_options
@click.option("--json", "as_json", is_flag=True, help="Print the full record as JSON.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Write to this file instead of stdout; .json and .jsonl get full records.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def _render_records(
    given: BinaryIO,
    engine: str,
    as_json: bool,
    output: Path | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Say the prompt of RECORD again in the form of another target.

    RECORD is what `promptlift run --json` printed, or an export of a batch as JSON lines: then each
    row is rendered, and records come out as JSON lines. Use - to read stdin. Without --engine no
    model is asked: a document becomes a paragraph, a paragraph a document of what it says. The
    review compares each result with the short prompt anew.

    \b
    Examples:
      promptlift run clip.mp4 "a robot pours coffee" --json -o coffee.json
      promptlift render coffee.json --target minimax-h3
      promptlift render coffee.json --target ltx-2.5 --engine openai \\
          --base-url http://localhost:8000/v1
    """  # noqa: D301 - click reads the \b
    from promptlift.cli.progress import RunNotes
    from promptlift.files import check_folder, write_atomic
    from promptlift.pipeline import Outcome
    from promptlift.rendering import Renderer, read_records

    check_folder(output)
    records = read_records(given.read(), name=getattr(given, "name", "stdin"))
    settings = given_settings(options)
    chosen = click.get_current_context().get_parameter_source("engine")
    is_chosen = settings or chosen is ParameterSource.COMMANDLINE
    done: list[Record] = []
    options["engine"] = engine if is_chosen else None
    notes = RunNotes(quiet=quiet)
    with notes, Renderer(engine_settings=settings, starting=notes.starting, **options) as renderer:
        for record in records:
            notes.update(f"rendering {len(done) + 1} of {len(records)}")
            done.append(renderer.attempt(record) if records[1:] else renderer.render(record))
        if not records[1:]:
            notes.about(Outcome(done[0], None, ()), dry_run=False)
    if records[1:]:
        _tell_of_rows(done, quiet=quiet)
    to_records = output is not None and output.suffix.lower() in (".json", ".jsonl")
    as_json = as_json or to_records or bool(records[1:])
    indent = None if records[1:] else 2
    texts = [one.model_dump_json(indent=indent) if as_json else one.prompt for one in done]
    text = os.linesep.join(filter(None, texts))
    if output is None or not text:
        click.echo(text, nl=bool(text))
    else:
        write_atomic(output, f"{text}{os.linesep}".encode())
    return REJECTED if any(one.prompt is None for one in done) else 0


render = _render_records  # the library's function has this name too


def _tell_of_rows(done: list[Record], *, quiet: bool) -> None:
    """Why rows have no prompt, a line each, and how many there are of each status."""
    for number, one in enumerate(done, start=1):
        why = one.error.message if one.error else ""
        if one.status == "rejected" and one.review is not None:
            errors = [f.message for f in one.review.findings if f.severity == "error"]
            why = f"rejected: {'; '.join(errors)}"
        if why:
            click.echo(plain_text(f"promptlift: row {number}: {why}"), err=True)
    if not quiet:
        counts = Counter(one.status for one in done)
        told = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        click.echo(f"promptlift: {counted(len(done), 'row')}: {told}", err=True)
