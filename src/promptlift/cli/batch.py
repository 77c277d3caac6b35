"""``promptlift batch``: thousands of videos in one run, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from promptlift.cli import types
from promptlift.cli.cosmos import cosmos
from promptlift.cli.engines import engine_options, given_settings, judge_option
from promptlift.cli.items import item_option, item_options
from promptlift.errors import OptionError
from promptlift.options import Options

if TYPE_CHECKING:
    from promptlift.batch.export import Exported, ExportForm
    from promptlift.batch.readers import Input
    from promptlift.batch.status import RowStatus
    from promptlift.store.remote import RunPlace

__all__ = ["batch"]

F = TypeVar("F", bound=Callable[..., Any])

_RUN_OPTIONS = (
    click.option(
        "--concurrency",
        type=click.IntRange(1, 10_000),
        help="Maximum number of concurrent requests.  [default: adapts to the server]",
    ),
    click.option("--workers", type=click.IntRange(1, 256), help="Number of decoding processes."),
    click.option("--limit", type=click.IntRange(1), help="Stop after so many items."),
    click.option(
        "--stop-after", type=types.duration, metavar="TIME", help="Stop after a time such as 2h."
    ),
    click.option(
        "--patience",
        type=types.duration,
        metavar="TIME",
        default="10m",
        show_default=True,
        help="Stop the run if the engine is unreachable for this long.",
    ),
    click.option(
        "--decode-timeout",
        "decode_seconds",
        type=types.duration,
        metavar="TIME",
        default="60s",
        show_default=True,
        help="Timeout for decoding one video.",
    ),
    click.option(
        "--memory",
        type=types.byte_count,
        metavar="SIZE",
        default="1GiB",
        show_default=True,
        help="Memory limit for decoded frames.",
    ),
    click.option(
        "--shard", type=types.shard, metavar="I/N", help="Process only part I of N of the rows."
    ),
    click.option(
        "--upload-every",
        type=types.duration,
        metavar="TIME",
        default="10s",
        show_default=True,
        help="Interval of uploads if RUN_DIR is a URL.",
    ),
    click.option(
        "--ray",
        is_flag=False,
        flag_value="auto",
        metavar="[ADDRESS]",
        help="Run on a Ray cluster: HOST:PORT, local, or the cluster of this machine.",
    ),
    click.option(
        "--engines",
        type=types.span,
        metavar="MIN:MAX",
        help="ray: minimum and maximum number of engines.",
    ),
    click.option(
        "--engine-cpus",
        type=click.FloatRange(0.1, 256),
        help="ray: CPUs per engine, including its decoding.  [default: 1]",
    ),
    click.option(
        "--decode-cpus",
        type=click.FloatRange(0.1, 64),
        help="ray: decode in separate tasks, with this many CPUs per task.",
    ),
    click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr."),
)


def _run_options(command: F) -> F:
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


class _InOrder(click.Group):
    """Lists its commands in the order in which they are defined."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(cls=_InOrder)
def batch() -> None:
    """Upsample many videos; run it again to resume.

    RUN_DIR is the directory of a run, or a URL such as s3://bucket/run. status, show, export and
    report are read-only and safe while the run is active.
    """


# ---- run


@batch.command("run")
@click.argument("source", metavar="INPUT")
@click.option(
    "--output",
    "-o",
    "run_dir",
    required=True,
    type=types.place,
    metavar="RUN_DIR",
    help="Directory for the results, or a URL such as s3://bucket/run.",
)
@click.option(
    "--prompt",
    help="Short prompt of rows that have none, in the list or in a .txt beside the video.",
)
@click.option(
    "--format",
    "form",
    help="Format of INPUT: videos, text, jsonl, csv, tsv or parquet; for spec files cosmos, or a "
    "format of `promptlift cosmos upsample`.  [default: detected]",
)
@engine_options(several_addresses=True)
@click.option(
    "--timeout", type=types.duration, metavar="TIME", help="openai: request timeout (5m)."
)
@item_option("target")
@item_options
@judge_option
@click.option(
    "--variations",
    type=click.IntRange(1, 10),
    default=1,
    help="Number of prompts for each row; they differ where its prompt leaves it open.  "
    "[default: 1]",
)
@click.option(
    "--expand",
    is_flag=True,
    help="Read {red|blue} in a prompt, and a list of prompts, as several rows.",
)
@click.option("--control", help="Kind of the videos, if not detected: rgb, edge, depth, ...")
@click.option(
    "--retry",
    type=click.Choice(["failed", "rejected", "unchanged", "all"]),
    help="Also repeat these rows.",
)
@click.option("--accept-changes", is_flag=True, help="Resume with different settings.")
@click.option(
    "--caption",
    is_flag=True,
    help="Write each prompt beside its video, clip.txt for clip.mp4, as trainers read it; such "
    "files are then no short prompts.",
)
@click.option("--overwrite", is_flag=True, help="caption: replace files that have another text.")
@_run_options
def _run_batch(
    source: str, run_dir: RunPlace, *, caption: bool, overwrite: bool, **options: Any
) -> int:
    """Upsample the prompt of every row of INPUT; run it again to resume.

    INPUT is a directory or glob pattern of videos, a JSONL, CSV, TSV or Parquet file with the
    columns video and prompt, or - for JSONL on stdin. Finished rows are never lost or repeated,
    even if the run is killed; new rows are picked up by the next run.
    """
    from promptlift.cli.batch_run import run_batch
    from promptlift.store.run_dir import RunCommand

    if overwrite and not caption:
        raise click.UsageError("--overwrite needs --caption")
    rows = _open_input(source, options, captions=caption)
    engine, addresses, timeout = (options.pop(n) for n in ("engine", "base_urls", "timeout"))
    options["base_url"] = addresses[0] if addresses else None
    engine_settings = given_settings(options)
    if timeout is not None:
        engine_settings["timeout"] = timeout
    item = {name: options.pop(name) for name in Options.model_fields if name in options}
    judge = options.pop("judge")
    item["verify"] |= judge is not None
    item.pop("isolated")  # in a batch every video is decoded in a process that can be killed
    command = RunCommand(
        engine=engine,
        engine_settings=engine_settings,
        options=Options(**item),
        addresses=addresses,
        judge=judge,
    )
    quiet = options["quiet"]
    code = run_batch(command, rows, run_dir, options)
    if caption:
        _write_captions(run_dir, overwrite=overwrite, quiet=quiet)
    return code


def _write_captions(run_dir: RunPlace, *, overwrite: bool, quiet: bool) -> None:
    from promptlift.batch.export import write_captions
    from promptlift.store.remote import local_copy
    from promptlift.text import counted

    done = write_captions(local_copy(run_dir), overwrite=overwrite)
    if quiet:
        return
    without = f", {counted(done.without, 'video')} without" if done.without else ""
    click.echo(
        f"promptlift: {counted(done.written, 'caption')} beside the videos{without}", err=True
    )
    if done.kept:
        click.echo(
            f"promptlift: {counted(len(done.kept), 'file')} with another text kept, such as "
            f"{done.kept[0]}; --overwrite replaces them",
            err=True,
        )


_SPEC_OPTIONS = ("base", "look_at", "regions", "root")
_run_batch.params += [
    option for option in cosmos.commands["upsample"].params if option.name in _SPEC_OPTIONS
]


def _open_input(source: str, options: dict[str, Any], *, captions: bool) -> Input:
    """The input, with what only concerns its reading taken out of a command's options."""
    from promptlift.batch.readers import FORMATS, ExpandedInput, open_input

    prompt, form = options.pop("prompt"), options.pop("form")
    spec_options = {name: options.pop(name) for name in _SPEC_OPTIONS}
    expand, variations = options.pop("expand"), options.pop("variations")
    if form is None or form in FORMATS:
        rows = open_input(source, prompt=prompt, format=form, captions=captions, expand=expand)
        return ExpandedInput(rows, expand, variations) if expand or variations > 1 else rows
    if captions:
        raise click.UsageError("--caption needs videos, not spec files")
    if expand or variations > 1:
        raise OptionError(
            f"{'--expand' if expand else '--variations'} and --format {form} exclude each other: "
            "a spec has a place for one prompt",
            remedy="remove one of them",
        )
    from promptlift.cosmos.plan import SpecOptions
    from promptlift.cosmos.upsample import SpecRows

    return SpecRows(
        [Path(source)],
        SpecOptions(form="auto" if form == "cosmos" else form, **spec_options),
        note=lambda line: click.echo(f"promptlift: {line}", err=True),
    )


# ---- status


@batch.command("status")
@click.argument("run_dir", type=types.place)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def _status(run_dir: RunPlace, as_json: bool) -> None:
    """Show the progress and the failures of the run in RUN_DIR.

    Read-only; safe while the run is active, and works from any machine that sees RUN_DIR.
    """
    import dataclasses

    from promptlift.batch.status import status_text, summarise
    from promptlift.store.remote import local_copy
    from promptlift.store.run_dir import open_run

    with open_run(local_copy(run_dir)) as opened:
        summary = summarise(opened, place=run_dir)
    if as_json:
        derived = ("state", "total", "fit", "left", "rate", "eta_s")
        values = {name: getattr(summary, name) for name in derived}
        values |= dataclasses.asdict(summary)
        values |= {"rows": dict(summary.rows), "run_dir": str(summary.run_dir)}
        click.echo(json.dumps(values, indent=2, ensure_ascii=False))
    else:
        click.echo(status_text(summary))


# ---- show


@batch.command("show")
@click.argument("run_dir", type=types.place)
@click.argument("item", metavar="KEY|ID")
@click.option("--json", "as_json", is_flag=True, help="Print the row as JSON, as in an export.")
def _show(run_dir: RunPlace, item: str, as_json: bool) -> None:
    """Show one item of the run in RUN_DIR, by the id of its row or by its key.

    Prints the prompt, or every answer and what the review found; with --json also frames, tokens
    and times. A unique beginning of the key is enough.
    """
    from promptlift.batch.export import ExportColumns, json_line
    from promptlift.batch.status import find_rows, item_text, raw_record
    from promptlift.store.remote import local_copy
    from promptlift.store.run_dir import open_run

    with open_run(local_copy(run_dir)) as opened:
        found = find_rows(opened, item)
        result, raw = raw_record(opened.index, found[0])
    if as_json:
        line = json.loads(json_line(ExportColumns(one.row for one in found).line(result, raw)))
        click.echo(json.dumps(line, indent=2, ensure_ascii=False))
    else:
        click.echo(item_text(found, result, {} if raw is None else json.loads(raw)))


# ---- retry


@batch.command("retry")
@click.argument("run_dir", type=types.place)
@click.option(
    "--what",
    "retry",
    type=click.Choice(["failed", "rejected", "unchanged", "all"]),
    default="failed",
    show_default=True,
    help="Rows to process again, besides the unfinished ones.",
)
@_run_options
def _retry(run_dir: RunPlace, **options: Any) -> int:
    """Process failed rows of RUN_DIR again, with the settings of the last run."""
    from promptlift.cli.batch_run import run_batch
    from promptlift.store.remote import local_copy
    from promptlift.store.run_dir import RunCommand

    return run_batch(RunCommand.read(local_copy(run_dir)), None, run_dir, options)


# ---- export and report


def _parse_statuses(text: str) -> tuple[str, ...]:
    from promptlift.batch.status import STATUSES

    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in STATUSES:
            raise click.BadParameter(f"{name!r} is none of {', '.join(STATUSES)}")
    return names


@batch.command("export")
@click.argument("run_dir", type=types.place)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="A .jsonl, .parquet, .csv or .tsv file, or a directory.",
)
@click.option(
    "--form",
    type=click.Choice(["jsonl", "parquet", "csv", "tsv", "sidecars", "cosmos"]),
    help="Output format; sidecars writes a .txt and a .json per row, cosmos writes the spec files "
    "that the rows came from.  [default: from the suffix of the output]",
)
@click.option(
    "--only",
    type=_parse_statuses,
    metavar="STATUS,...",
    help="Only rows with these statuses: ok, repaired, unchanged, rejected, failed, missing.  "
    "[default: all but missing]",
)
@click.option("--input", "source", metavar="NAME", help="Only rows of this input.")
@click.option("--no-record", is_flag=True, help="Leave out the record column.")
@click.option("--in-place", is_flag=True, help="cosmos: overwrite the spec files.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def _export(
    run_dir: RunPlace,
    output: Path | None,
    form: str | None,
    only: tuple[RowStatus, ...] | None,
    source: str | None,
    no_record: bool,
    in_place: bool,
    quiet: bool,
) -> int:
    """Write the results of the run in RUN_DIR to a file or a directory.

    Rows are in the order of the input; failed rows have the reason. The output is replaced
    atomically, and its path is printed.
    """
    from promptlift.batch.export import export
    from promptlift.batch.status import FINISHED
    from promptlift.store.remote import local_copy
    from promptlift.text import counted

    if in_place and form != "cosmos":
        raise click.UsageError("--in-place needs --form cosmos")
    if in_place and output is not None:
        raise click.UsageError("use either --in-place or --output")
    code = 0
    if form == "cosmos":
        exported, code = _export_cosmos(local_copy(run_dir), output, source, in_place=in_place)
    elif output is None:
        raise click.UsageError("pass --output FILE or --output DIR")
    else:
        exported = export(
            local_copy(run_dir),
            output,
            form=cast("ExportForm | None", form),
            only=only or FINISHED,
            source=source,
            record=not no_record,
        )
        click.echo(str(output))
    if not quiet:
        total = counted(exported.written.total(), "row")
        parts = ", ".join(f"{count:,} {name}" for name, count in exported.written.most_common())
        click.echo(f"promptlift: {total}{': ' if parts else ''}{parts}", err=True)
        if missing := exported.left_out["missing"]:
            click.echo(f"promptlift: {counted(missing, 'row')} without a result left out", err=True)
    return code


def _export_cosmos(
    run_dir: Path, output: Path | None, source: str | None, *, in_place: bool
) -> tuple[Exported, int]:
    """Write results back into the spec files; one that cannot be written is an error line."""
    from promptlift.batch.export import Exported, results_with_records
    from promptlift.batch.status import STATUSES
    from promptlift.cosmos.upsample import Outputs, write_back
    from promptlift.store.run_dir import open_run

    code, exported = 0, Exported()
    with open_run(run_dir, source=source) as run:
        found = results_with_records(run, STATUSES, exported)
        rows = ((one, None if raw is None else json.loads(raw)) for one, raw in found)
        for done in write_back(rows, Outputs(output, in_place=in_place)):
            if done.error is not None:
                code = 1
                click.echo(f"promptlift: error: {done.spec}: {done.error}", err=True)
                continue
            for change in done.changes:
                click.echo(str(change.path))
    return exported, code


@batch.command("report")
@click.argument("run_dir", type=types.place)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Output file; overwritten if it exists.",
)
@click.option("--no-frames", is_flag=True, help="Leave out the frames of the sample.")
def _report(run_dir: RunPlace, output: Path, no_frames: bool) -> None:
    """Write an HTML report about the run in RUN_DIR.

    A self-contained page: failures and remedies, speed, latencies, tokens, and a sample of results
    with their frames.
    """
    from promptlift.batch.report import write_report
    from promptlift.cli.progress import StatusLine
    from promptlift.store.remote import local_copy

    with StatusLine("reading the records"):
        write_report(local_copy(run_dir), output, frames=not no_frames, place=run_dir)
    click.echo(str(output))
