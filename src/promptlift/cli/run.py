"""``promptlift run``: one video, one prompt, one result on stdout."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import click

from promptlift.cli.engines import engine_options, given_settings, judge_option, key_from
from promptlift.cli.items import item_option, item_options
from promptlift.errors import OptionError, OutputError

__all__ = ["run"]

REJECTED = 1


@click.command()
@click.argument("video", type=click.Path(path_type=Path, readable=False))
@click.argument("prompt", default="")
@engine_options()
@item_option("target")
@item_options
@item_option("control")
@judge_option
@click.option("--json", "as_json", is_flag=True, help="Print the full record as JSON.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Write to this file instead of stdout; .json writes the full record.",
)
@click.option(
    "--save-hints",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the frames that the model is shown into this directory, as PNG.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop before the model is called.")
@click.option(
    "--server",
    metavar="URL",
    help="Use a `promptlift serve` at this URL; --engine is then one of its engines.",
)
@click.option(
    "--server-key-env", metavar="NAME", help="Environment variable with that server's API key."
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def run(
    video: Path,
    prompt: str,
    engine: str,
    as_json: bool,
    output: Path | None,
    save_hints: Path | None,
    dry_run: bool,
    judge: str | None,
    server: str | None,
    server_key_env: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Turn VIDEO and a short PROMPT into a long prompt.

    Only the long prompt goes to stdout. Use - as PROMPT to read it from stdin; without PROMPT the
    video itself is described.

    \b
    Examples:
      promptlift run clip.mp4 "a robot pours coffee"
      promptlift run clip.mp4 "a robot pours coffee" --engine openai \\
          --base-url http://localhost:8000/v1
    """  # noqa: D301 - click reads the \b
    from promptlift.cli.progress import RunNotes

    if prompt == "-":
        prompt = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").strip()
    if output is not None and not output.parent.is_dir():  # before anything is spent on it
        folder = str(output.parent)
        raise OutputError(
            f"there is no directory {folder!r}",
            remedy=f"run `mkdir -p {shlex.quote(folder)}` first",
        )
    settings = given_settings(options)
    with ExitStack() as stack:
        notes = stack.enter_context(RunNotes(quiet=quiet))
        if server is not None:
            from promptlift.client import Client
            from promptlift.pipeline import Outcome

            if settings or save_hints is not None or dry_run or judge is not None:
                raise OptionError(
                    "--server does not work with --dry-run, --save-hints, --judge or options of "
                    "an engine",
                    remedy="remove those options, or --server",
                )
            key = key_from(server_key_env) if server_key_env else None
            client = stack.enter_context(Client(server, key))
            options["engine"] = None if engine == "auto" else engine
            served, error = client.attempt(video, prompt, progress=notes.served, **options)
            if served is None:
                assert error is not None
                raise error
            outcome = Outcome(served, error, ())
        else:
            from promptlift.api import Upsampler

            made = Upsampler(
                engine=engine,
                engine_settings=settings,
                starting=notes.starting,
                judge=judge,
                **options,
            )
            outcome = stack.enter_context(closing(made)).attempt(
                video,
                prompt,
                progress=notes.progress,
                plan_only=dry_run,
                with_frames=save_hints is not None,
            )
            if save_hints is not None and outcome.frames:
                from promptlift.video.export import write_pngs

                write_pngs(outcome.frames, save_hints)
        notes.about(outcome, dry_run=dry_run)

    record = outcome.record
    as_json = as_json or (output is not None and output.suffix.lower() == ".json")
    text = record.model_dump_json(indent=2) if as_json else record.prompt
    if text is not None and (outcome.error is None or as_json):
        if output is None:
            click.echo(text)
        else:
            from promptlift.files import write_atomic

            write_atomic(output, f"{text}{os.linesep}".encode())
    if outcome.error is not None:
        raise outcome.error
    return REJECTED if record.prompt is None and not dry_run else 0
