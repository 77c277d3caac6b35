"""``promptlift run``: one video, one prompt, or either alone; one result on stdout."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli.engines import engine_options, given_settings, judge_option, key_from
from promptlift.cli.items import item_option, item_options
from promptlift.errors import OptionError, VideoNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from promptlift.client import Client
    from promptlift.pipeline import Outcome
    from promptlift.record import Record
    from promptlift.video.source import Pictures, Source

__all__ = ["run"]

REJECTED = 1


@click.command()
@click.argument("given", metavar="[VIDEO] [PROMPT]", nargs=-1)
@click.option(
    "--image", type=click.Path(path_type=Path), help="The first frame, for a video to be made."
)
@click.option("--last-image", type=click.Path(path_type=Path), help="Its last frame.")
@click.option(
    "--reference",
    "references",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A picture of what the prompt names; may be repeated.",
)
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
@click.option(
    "--variations",
    type=click.IntRange(1, 10),
    default=1,
    help="Number of prompts; they differ where your prompt leaves it open.  [default: 1]",
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
    given: tuple[str, ...],
    image: Path | None,
    last_image: Path | None,
    references: tuple[Path, ...],
    engine: str,
    as_json: bool,
    output: Path | None,
    save_hints: Path | None,
    variations: int,
    dry_run: bool,
    judge: str | None,
    server: str | None,
    server_key_env: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Turn VIDEO and a short PROMPT into a long prompt.

    Only the long prompt goes to stdout, and with --negative a line that begins with "Negative
    prompt: "; between variations is a blank line. Use - as PROMPT to read it from stdin. Without
    PROMPT the video itself is described; without VIDEO the model goes by the words alone.

    \b
    Examples:
      promptlift run clip.mp4 "a robot pours coffee"
      promptlift run "a cat on a sofa" --target ltx-2
      promptlift run clip.mp4 "a robot pours coffee" --engine openai \\
          --base-url http://localhost:8000/v1
    """  # noqa: D301 - click reads the \b
    from promptlift.cli.progress import RunNotes
    from promptlift.files import check_folder
    from promptlift.video.source import Pictures

    video, prompt = _video_and_prompt(given, image or references)
    source = Pictures.of(video, image, last_image, references)
    if prompt == "-":
        prompt = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").strip()
    check_folder(output)
    settings = given_settings(options)
    with ExitStack() as stack:
        notes = stack.enter_context(RunNotes(quiet=quiet))
        asked: Iterator[Outcome]
        if server is not None:
            from promptlift.client import Client

            if settings or save_hints is not None or dry_run or judge is not None:
                raise OptionError(
                    "--server does not work with --dry-run, --save-hints, --judge or options of "
                    "an engine",
                    remedy="remove those options, or --server",
                )
            key = key_from(server_key_env) if server_key_env else None
            client = stack.enter_context(Client(server, key))
            options["engine"] = None if engine == "auto" else engine
            asked = _served(client, source, prompt, variations, notes.served, options)
        else:
            from promptlift.api import Upsampler

            made = Upsampler(
                engine=engine,
                engine_settings=settings,
                starting=notes.starting,
                judge=judge,
                **options,
            )
            asked = stack.enter_context(closing(made)).variations(
                source,
                prompt,
                variations,
                progress=notes.progress,
                plan_only=dry_run,
                with_frames=save_hints is not None,
            )
        outcomes: list[Outcome] = []
        for outcome in asked:
            outcomes.append(outcome)
            notes.about(outcome, dry_run=dry_run)
            if outcome.error is not None:
                break
        if save_hints is not None and outcomes[0].frames:
            from promptlift.video.export import write_pngs

            write_pngs(outcomes[0].frames, save_hints)

    records = [outcome.record for outcome in outcomes]
    as_json = as_json or (output is not None and output.suffix.lower() == ".json")
    _write(records, output, as_json=as_json, as_list=variations > 1)
    if outcomes[-1].error is not None:
        raise outcomes[-1].error
    return REJECTED if not dry_run and any(record.prompt is None for record in records) else 0


def _video_and_prompt(given: tuple[str, ...], pictures: object) -> tuple[Path | None, str]:
    """Which of the arguments is what: one alone is a video where there is such a file.

    Raises:
        click.UsageError: There is none, or there are too many.
        VideoNotFound: One alone is the name of a file that is not there.
    """
    if not given and pictures:
        return None, ""
    if not given:
        raise click.UsageError("Missing argument: give a VIDEO, a PROMPT, or both.")
    if len(given) > 2:
        raise click.UsageError(
            f"Got {len(given)} arguments, and takes VIDEO and PROMPT; put the words in quotes."
        )
    first = given[0]
    if len(given) == 2:
        return Path(first), given[1]
    from promptlift.video.source import looks_like_path

    if first == "-" or not looks_like_path(first):
        return None, first
    if not os.path.lexists(first):
        raise VideoNotFound(
            f"{first}: no such file",
            remedy="check the name and the folder; words that look like a path are read from "
            "stdin with -",
        )
    return Path(first), ""


def _served(
    client: Client,
    source: Source | Pictures | None,
    prompt: str,
    variations: int,
    progress: Callable[[str, Mapping[str, Any]], None],
    options: dict[str, Any],
) -> Iterator[Outcome]:
    """What a server makes of it, one variation after the other."""
    from promptlift.pipeline import Outcome

    for number in range(1, variations + 1):
        own = {"variation": number} if number > 1 else {}
        record, error = client.attempt(source, prompt, progress=progress, **options, **own)
        if record is None:
            assert error is not None
            raise error
        yield Outcome(record, error, ())


def _write(records: list[Record], output: Path | None, *, as_json: bool, as_list: bool) -> None:
    """Write the results to a file or to stdout; nothing where there is none."""
    if as_json:
        texts = [record.model_dump_json(indent=2) for record in records]
        text = f"[{', '.join(texts)}]" if as_list else texts[0]
    else:
        negative = "\nNegative prompt: "
        text = "\n\n".join(
            f"{record.prompt}{negative if record.negative_prompt else ''}{record.negative_prompt}"
            for record in records
            if record.prompt is not None and record.error is None
        )
    if output is None and text:
        click.echo(text)
    elif output is not None and text:
        from promptlift.files import write_atomic

        write_atomic(output, f"{text}{os.linesep}".encode())
