"""``promptlift batch`` and ``promptlift retry``: many items, none lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from promptlift.cli import types
from promptlift.cli.engines import settings_of, shared_engine_options
from promptlift.cli.items import item_options
from promptlift.config import Options
from promptlift.errors import OptionError

if TYPE_CHECKING:
    from promptlift.batch.inputs import Input
    from promptlift.batch.invocation import Invocation
    from promptlift.batch.mirror import Place
    from promptlift.scale.settings import ScaleSettings

__all__ = ["batch", "retry"]

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS = Options()
_LISTS = ("videos", "jsonl", "csv", "tsv", "parquet")
_RUN = (
    click.option(
        "--concurrency",
        type=click.IntRange(1, 10_000),
        help="The most requests in flight; found out by the engine's answers without it.",
    ),
    click.option("--workers", type=click.IntRange(1, 256), help="Processes that decode."),
    click.option("--limit", type=click.IntRange(1), help="Begin at most so many items."),
    click.option(
        "--stop-after", type=types.duration, metavar="TIME", help="Begin nothing after 30m, 2h."
    ),
    click.option(
        "--patience",
        type=types.duration,
        metavar="TIME",
        default="10m",
        show_default=True,
        help="How long an engine may be away before the run gives up.",
    ),
    click.option(
        "--decode-timeout",
        type=types.duration,
        metavar="TIME",
        default="60s",
        show_default=True,
        help="How long one look at one video may take.",
    ),
    click.option(
        "--memory",
        type=types.byte_count,
        metavar="SIZE",
        default="1GiB",
        show_default=True,
        help="The most pictures in memory.",
    ),
    click.option(
        "--shard", type=types.shard, metavar="I/N", help="Do the I-th of N parts of the rows only."
    ),
    click.option(
        "--upload-every",
        type=types.duration,
        metavar="TIME",
        help="Upload what was written, where RUN_DIR is a URL (10s).",
    ),
    click.option(
        "--ray",
        is_flag=False,
        flag_value="auto",
        metavar="[ADDRESS]",
        help="Run on a Ray cluster: HOST:PORT, local, or the one that this machine is part of.",
    ),
    click.option(
        "--engines",
        type=types.span,
        metavar="MIN:MAX",
        help="ray: the fewest and the most engines at a time.",
    ),
    click.option("--decode-cpus", type=click.FloatRange(0.1, 64), help="ray: CPUs of a decoder."),
    click.option(
        "--engine-cpus", type=click.FloatRange(0.1, 256), help="ray: CPUs beside an engine."
    ),
    click.option("--quiet", "-q", is_flag=True, help="No progress on stderr; errors only."),
)


def _run_options(command: F) -> F:
    for option in reversed(_RUN):
        command = option(command)
    return command


@click.command()
@click.argument("source", metavar="INPUT")
@click.option(
    "--output",
    "-o",
    "run_dir",
    required=True,
    type=types.place,
    metavar="RUN_DIR",
    help="The run's folder, or a URL such as s3://bucket/run: journal, rows, settings.",
)
@click.option(
    "--prompt",
    help="The short prompt of rows that have none, in the list or in a .txt beside the video.",
)
@click.option(
    "--format",
    "form",
    help="videos, jsonl, csv, tsv or parquet, where not clear; cosmos, or one of the formats of "
    "`promptlift cosmos upsample`, for spec files.",
)
@click.option(
    "--controlnet-specs",
    "base",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="transfer1-batch: the spec that the batch runs with.",
)
@click.option(
    "--look-at",
    default="rgb",
    show_default=True,
    type=click.Choice(["rgb", "control"]),
    help="cosmos: what is shown where a spec has both.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="cosmos: the folder that the generator is started in, for relative paths.",
)
@shared_engine_options
@click.option(
    "--timeout", type=types.duration, metavar="TIME", help="openai: for one answer (5 minutes)."
)
@click.option(
    "--target", default=_DEFAULTS.target, show_default=True, help="The generator it is for."
)
@item_options
@click.option("--control", help="What kind of picture the videos are: rgb, edge, depth, ...")
@click.option(
    "--retry",
    type=click.Choice(["failed", "rejected", "all"]),
    help="Do these again as well.",
)
@click.option("--accept-changes", is_flag=True, help="Go on in a folder begun with other settings.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page at the end.",
)
@_run_options
def batch(source: str, run_dir: Place, report: Path | None, **options: Any) -> int:
    """Do every row of INPUT; the same command again does what is left.

    INPUT is a folder or pattern of videos, JSON lines, CSV, TSV or Parquet with the columns video
    and prompt, or - for JSON lines on stdin. Nothing that is finished is ever done again, or
    lost: stop it, kill it, add rows, and run it again.
    """
    from promptlift.batch.invocation import Invocation

    run, quiet = _run_settings(options)
    rows = _rows(source, options)
    engine = options.pop("engine")
    addresses = options.pop("base_urls")
    options["base_url"] = addresses[0] if addresses else None
    settings = settings_of(options)
    timeout = options.pop("timeout")
    if timeout is not None:
        settings["timeout"] = timeout
    options.pop("isolated")  # in a batch every video is decoded in a process that can be killed
    invocation = Invocation.of(engine, settings, Options.of(**options), addresses=addresses)
    code = _through(invocation, rows, run_dir, run, quiet=quiet)
    if report is not None:
        from promptlift.batch.mirror import local_copy
        from promptlift.batch.report import write_report

        write_report(local_copy(run_dir), report, named=run_dir)
    return code


def _rows(source: str, options: dict[str, Any]) -> Input:
    """The input, and what only says how to read it taken out of a command's options."""
    prompt, form = options.pop("prompt"), options.pop("form")
    base, look_at, root = options.pop("base"), options.pop("look_at"), options.pop("root")
    if form is None or form in _LISTS:
        from promptlift.batch.inputs import open_input

        return open_input(source, prompt=prompt, format=form)
    from promptlift.cosmos.rows import SpecRows

    return SpecRows(
        Path(source),
        form="auto" if form == "cosmos" else form,
        base=base,
        look_at=look_at,
        root=root,
        told=lambda line: click.echo(f"promptlift: {line}", err=True),
    )


@click.command()
@click.argument("run_dir", type=types.place)
@click.option(
    "--what",
    "retry",
    type=click.Choice(["failed", "rejected", "all"]),
    default="failed",
    show_default=True,
    help="What is done again, besides what is left.",
)
@_run_options
def retry(run_dir: Place, **options: Any) -> int:
    """Do what failed in RUN_DIR again, as it was begun."""
    from promptlift.batch.invocation import Invocation
    from promptlift.batch.mirror import local_copy

    run, quiet = _run_settings({**options, "accept_changes": False})
    return _through(Invocation.read(local_copy(run_dir)), None, run_dir, run, quiet=quiet)


def _run_settings(options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Take what is the run's out of a command's options."""
    names = {"decode_timeout": "decode_seconds"}
    taken = (
        "retry",
        "accept_changes",
        "concurrency",
        "workers",
        "limit",
        "stop_after",
        "patience",
        "decode_timeout",
        "memory",
        "shard",
        "upload_every",
        "ray",
        "engines",
        "decode_cpus",
        "engine_cpus",
    )
    said = {names.get(name, name): options.pop(name) for name in taken}
    quiet = options.pop("quiet")
    return {name: value for name, value in said.items() if value is not None}, quiet


def _through(
    invocation: Invocation,
    rows: Input | None,
    run_dir: Place,
    run: dict[str, Any],
    *,
    quiet: bool,
) -> int:
    import asyncio

    from promptlift.batch.mirror import EVERY_S
    from promptlift.batch.runner import RunSettings

    every_s = run.pop("upload_every", None)
    if every_s is not None and isinstance(run_dir, Path):
        raise OptionError("--upload-every is for a run at a URL", remedy="leave it out")
    every_s = every_s or EVERY_S
    scale = _scale_settings(run, invocation, every_s)
    settings = RunSettings(**run)
    with _kept_up(run_dir, every_s) as folder:
        if scale is None:
            from promptlift.cli.batch_run import conduct

            work = conduct(invocation, rows, folder, settings, quiet=quiet, named=run_dir)
        else:
            from promptlift.cli.batch_ray import conduct_on_cluster

            work = conduct_on_cluster(
                invocation, rows, folder, settings, scale, quiet=quiet, named=run_dir
            )
        return asyncio.run(work)


@contextmanager
def _kept_up(place: Place, every_s: float) -> Iterator[Path]:
    """The folder to work in, and what it holds uploaded where the run is in an object store."""
    from promptlift.batch.mirror import Mirror

    if isinstance(place, Path):
        yield place
        return
    mirror = Mirror(place, every_s=every_s)
    with mirror.kept_up(lambda line: click.echo(line, err=True)) as folder:
        yield folder


def _scale_settings(
    run: dict[str, Any], invocation: Invocation, every_s: float
) -> ScaleSettings | None:
    """Take what is the cluster's out of a run's settings; None for a run on this machine."""
    from promptlift.scale.settings import ScaleSettings

    address = run.pop("ray", None)
    names = ("engines", "decode_cpus", "engine_cpus")
    said = {name: run.pop(name) for name in names if name in run}
    if address is not None:
        return ScaleSettings(
            address=address, addresses=invocation.addresses, upload_every=every_s, **said
        )
    if said or len(invocation.addresses) > 1:
        what = next((f"--{name.replace('_', '-')}" for name in said), "a second --base-url")
        raise OptionError(f"{what} is for a cluster", remedy="give --ray, or leave it out")
    return None
