"""``promptlift run``: one video, one prompt, one result on stdout."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli.engines import engine_options, given_settings
from promptlift.cli.items import item_options
from promptlift.cli.main import loading
from promptlift.errors import OptionError, PromptError
from promptlift.options import Options

if TYPE_CHECKING:
    from promptlift.cli.progress import RunNotes
    from promptlift.pipeline import Outcome

__all__ = ["run"]

_DEFAULTS = Options()
REJECTED = 1


@click.command()
@click.argument("video", type=click.Path(path_type=Path, readable=False))
@click.argument("prompt", default="")
@engine_options()
@click.option(
    "--target", default=_DEFAULTS.target, show_default=True, help="The generator it is for."
)
@item_options
@click.option("--control", help="What kind of picture VIDEO is: rgb, edge, depth, seg, blur, ...")
@click.option("--json", "as_json", is_flag=True, help="Print the record instead of the text.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Write to this file instead of stdout; the record where it ends in .json.",
)
@click.option(
    "--save-hints",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the frames as the model sees them into this folder.",
)
@click.option("--dry-run", is_flag=True, help="Stop before the engine is asked; show the plan.")
@click.option(
    "--server",
    metavar="URL",
    help="Have a `promptlift serve` do it; --engine is then one of its engines.",
)
@click.option("--server-key-env", metavar="NAME", help="The variable with that server's key.")
@click.option("--quiet", "-q", is_flag=True, help="No notes on stderr; errors only.")
def run(
    video: Path,
    prompt: str,
    engine: str,
    as_json: bool,
    output: Path | None,
    save_hints: Path | None,
    dry_run: bool,
    server: str | None,
    server_key_env: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Turn VIDEO and a short PROMPT into the long prompt.

    The long prompt goes to stdout and nothing else does. PROMPT may be - to read it from stdin;
    without one, what is there is described.
    """
    from promptlift.cli.progress import RunNotes

    if prompt == "-":
        prompt = _stdin()
    settings = given_settings(options)
    if server is not None:
        _refuse_local(settings, save_hints=save_hints, dry_run=dry_run)
        with RunNotes(quiet=quiet) as notes:
            options["engine"] = None if engine == "auto" else engine
            outcome = _served(server, server_key_env, video, prompt, options, notes)
            notes.about(outcome, dry_run=False)
        return _deliver(outcome, output, as_json=as_json, dry_run=False)
    with loading():
        from promptlift.api import Upsampler

    with (
        RunNotes(quiet=quiet) as notes,
        closing(
            Upsampler(
                engine=engine,
                engine_settings=settings,
                starting=notes.starting,
                **options,
            )
        ) as upsampler,
    ):
        outcome = upsampler.attempt(
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
    return _deliver(outcome, output, as_json=as_json, dry_run=dry_run)


def _refuse_local(settings: dict[str, Any], *, save_hints: Path | None, dry_run: bool) -> None:
    """Refuse what a server decides, or does not send."""
    given = {
        "an engine's options": bool(settings),
        "--save-hints": save_hints is not None,
        "--dry-run": dry_run,
    }
    for name, is_given in given.items():
        if is_given:
            raise OptionError(f"{name} cannot go with --server", remedy="leave one of them out")


def _served(
    server: str,
    key_env: str | None,
    video: Path,
    prompt: str,
    options: dict[str, Any],
    notes: RunNotes,
) -> Outcome:
    from promptlift.client import Client
    from promptlift.pipeline import Outcome

    key = os.environ.get(key_env) if key_env else None
    if key_env and not key:
        raise OptionError(f"the variable {key_env} holds no key", remedy=f"set {key_env}")
    with Client(server, key) as client:
        record, error = client.attempt(video, prompt, progress=notes.served, **options)
    if record is None:
        assert error is not None
        raise error
    return Outcome(record, error, ())


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise PromptError(
            f"the prompt on stdin is not UTF-8 (byte {error.start + 1})",
            remedy="convert it to UTF-8",
        ) from None


def _deliver(outcome: Outcome, output: Path | None, *, as_json: bool, dry_run: bool) -> int:
    record = outcome.record
    wants_record = as_json or (output is not None and output.suffix.lower() == ".json")
    text = record.model_dump_json(indent=2) if wants_record else record.prompt
    if text is not None and (outcome.error is None or wants_record):
        _write(text, output)
    if outcome.error is not None:
        raise outcome.error
    if dry_run:
        return 0
    return REJECTED if record.prompt is None else 0


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text)
        return
    from promptlift.files import write_atomic

    write_atomic(output, f"{text}{os.linesep}".encode())
