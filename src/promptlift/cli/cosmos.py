"""``promptlift cosmos``: upsample and check the spec files of Cosmos generators."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli.engines import engine_options, given_settings, judge_option
from promptlift.cli.items import item_options
from promptlift.cli.progress import StatusLine
from promptlift.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptlift.cosmos.transfer1_check import CheckResult
    from promptlift.cosmos.upsample import FileChange, SpecResult

__all__ = ["FORMATS", "cosmos"]

FORMATS = (
    *("transfer1", "transfer1-batch", "transfer2.5", "transfer2.5-multiview"),
    *("transfer2.5-agibot", "transfer2.5-plenoptic", "cosmos3"),
    *("predict1", "predict2", "predict2.5", "predict2.5-multiview"),
)
"""Stand here so that help loads no reader."""

_PATH = click.Path(path_type=Path)
_SPEC_OPTIONS = ("form", "base", "look_at", "regions", "again", "root")
_ROOT = click.option(
    "--root",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="Directory that relative paths in specs refer to.",
)


@click.group()
def cosmos() -> None:
    """Upsample and check the spec files of NVIDIA's Cosmos generators."""


@cosmos.command("upsample")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=_PATH)
@click.option(
    "--output-dir",
    "-o",
    metavar="DIR",
    type=_PATH,
    help="Write the results into this directory.  [default: NAME.upsampled.json beside each spec]",
)
@click.option(
    "--in-place", is_flag=True, help="Overwrite the specs; sidecars keep the short prompts."
)
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", *FORMATS]),
    help="Format of the specs.",
)
@click.option(
    "--look-at",
    default="rgb",
    show_default=True,
    type=click.Choice(["rgb", "control"]),
    help="Show the model the RGB video or the control video if a spec has both.",
)
@click.option("--regions", is_flag=True, help="Also upsample the regional prompts.")
@click.option("--again", is_flag=True, help="Upsample again, even if already upsampled or long.")
@_ROOT
@click.option(
    "--controlnet-specs",
    "base",
    metavar="FILE",
    type=click.Path(resolve_path=True),
    help="transfer1-batch: spec file that the batch is used with.",
)
@click.option(
    "--run-dir",
    metavar="DIR",
    type=_PATH,
    help="Keep the run in this directory, as `promptlift batch` does.  [default: temporary]",
)
@click.option(
    "--dry-run", is_flag=True, help="Call the engine and print the changes, but write nothing."
)
@click.option(
    "--review-sheet",
    metavar="OUT.html",
    type=_PATH,
    help="Write an HTML page with frames, prompts and reviews.",
)
@engine_options()
@judge_option
@item_options
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def _upsample(
    specs: tuple[Path, ...],
    output_dir: Path | None,
    in_place: bool,
    run_dir: Path | None,
    dry_run: bool,
    review_sheet: Path | None,
    engine: str,
    judge: str | None,
    quiet: bool,
    **values: Any,
) -> int:
    """Put long prompts into Cosmos spec files.

    SPEC is a file, or a folder of them. The result is the same file with the long prompt in place
    of the short one and nothing else changed, for the generator to be run without
    --upsample_prompt. NAME.promptlift.json beside it has the short prompt and the record of the
    long one. The paths of the files written go to stdout; with --dry-run, the changes.
    """
    from promptlift.cosmos.plan import SpecOptions
    from promptlift.cosmos.upsample import Outputs, SpecRows, upsample_specs
    from promptlift.engines.no_model import NO_MODEL_NOTICE
    from promptlift.engines.registry import close_engines, make_engine, make_judge
    from promptlift.options import Options

    if in_place and output_dir is not None:
        raise click.UsageError("--in-place and --output-dir exclude each other")
    settings = given_settings(values)
    if engine == "openai" or "base_url" in settings:
        settings["retries"] = 0  # the run knows when to try again
    spec_options = SpecOptions(**{name: values.pop(name) for name in _SPEC_OPTIONS})
    values["verify"] |= judge is not None
    values.pop("isolated")  # every video is decoded in a process that can be killed
    options = Options(**{name: value for name, value in values.items() if value is not None})

    def note(text: str) -> None:
        if not quiet:
            click.echo(f"promptlift: {text}", err=True)

    async def work(line: StatusLine) -> list[SpecResult]:
        second = make_judge(judge)
        asked = make_engine(engine, **settings)
        outputs = Outputs(output_dir, in_place=in_place)
        try:
            return await upsample_specs(
                SpecRows(specs, spec_options, outputs, note),
                asked,
                options,
                judge=second,
                run_dir=run_dir,
                dry_run=dry_run,
                progress=lambda done, total: line.update(f"{done} of {total} items"),
            )
        finally:
            await close_engines(asked, second)

    with StatusLine("reading specs", quiet=quiet) as line:
        results = asyncio.run(work(line))
    for result in results:
        _report(result, note, dry_run=dry_run)
    items = [item for result in results for item in result.items]
    records = [item.record for item in items if item.status != "kept" and item.record]
    if any(one.engine and one.engine.name == "embedded" and one.attempts for one in records):
        note(NO_MODEL_NOTICE)
    if review_sheet is not None:
        from promptlift.cosmos.review_sheet import render_review_sheet
        from promptlift.files import write_atomic

        done = [result for result in results if result.error is None]
        page = render_review_sheet(done, options, dry_run=dry_run)
        write_atomic(review_sheet, page.encode())
        click.echo(str(review_sheet))
    counts = Counter([*(item.status for item in items), *("unusable" for r in results if r.error)])
    note(", ".join(f"{counts[name]} {name}" for name in sorted(counts)) or "nothing to do")
    if counts["unusable"]:
        return 2
    return 1 if counts["failed"] or counts["rejected"] else 0


def _report(result: SpecResult, note: Callable[[str], None], *, dry_run: bool) -> None:
    """Say what became of a spec's items, and what was written or would be."""
    name = _shown(result.spec)
    if result.error is not None:
        click.echo(f"promptlift: error: {name}: {result.error}", err=True)
    for item in result.items:
        where = f"{name}: {item.item.where}" if item.item.where else name
        for line in item.warnings:
            note(f"{where}: warning: {line}")
        if item.status in ("failed", "rejected"):
            click.echo(f"promptlift: error: {where}: {item.status}: {item.reason}", err=True)
        if item.status == "done" and item.record is not None:
            before, after = len(item.before.split()), len((item.after or "").split())
            tokens = item.record.tokens
            about = "about " if tokens.target_estimated else ""
            shown = {"rgb": "the video", None: "no video"}.get(item.look_at)
            shown = shown or f"the {item.look_at} control"
            note(
                f"{where}: {before} -> {after} words, {about}{tokens.target} of "
                f"{tokens.target_limit} tokens, looking at {shown}"
            )
            if item.record.verification is not None:
                note(f"{where}: {item.record.verification.summary}")
    # What was kept for what is known beforehand was said before the others were asked.
    unchanged = Counter(one.reason for one in result.items if one.status == "kept" and one.record)
    for reason, times in unchanged.items():
        note(f"{name}: {counted(times, 'item')} kept: {reason}")
    for change in result.changes:
        if dry_run:
            _show_change(change)
        else:
            click.echo(_shown(change.path))


def _show_change(change: FileChange) -> None:
    """A change as a unified diff; of a sidecar only the name, since all of it is new."""
    if change.old is None:
        click.echo(f"# would write {_shown(change.path)}")
        return
    old, new = change.old.splitlines(), change.new.splitlines()
    names = _shown(change.source), _shown(change.path)
    for line in difflib.unified_diff(old, new, *names, n=2, lineterm=""):
        click.echo(line)


def _shown(path: Path) -> str:
    """A path as short as it can be written from the current folder, but never upwards."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@cosmos.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=_PATH)
@click.option(
    "--batch",
    metavar="FILE",
    type=_PATH,
    help="Batch file of the specs: NVIDIA's --batch_input_path.",
)
@click.option("--prompt", metavar="TEXT", help="Prompt of the command line: NVIDIA's --prompt.")
@click.option("--input-video", metavar="FILE", help="Input video: NVIDIA's --input_video_path.")
@click.option("--sigma-max", type=float, metavar="NUMBER", help="NVIDIA's --sigma_max.")
@_ROOT
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def _check(specs: tuple[Path, ...], root: str | None, as_json: bool, **command: Any) -> int:
    """Say what Cosmos-Transfer1's --upsample_prompt would do with each SPEC.

    Which video its model would be shown, at which size and for how many tokens, and where it
    would fail, be cut short, or silently do nothing. Nothing is loaded. The exit code is 0 only
    if it works for all.
    """
    from promptlift.cosmos.transfer1_check import check_spec

    command["root"] = None if root is None else Path(root)
    results = [one for spec in specs for one in check_spec(spec, **command)]
    if as_json:
        values = [asdict(one) for one in results]
        click.echo(json.dumps(values, indent=2, ensure_ascii=False, default=str))
    else:
        click.echo("\n\n".join(_check_text(one) for one in results))
    return 0 if all(one.outcome == "works" for one in results) else 1


def _check_text(result: CheckResult) -> str:
    where = "" if result.line is None else f", line {result.line} of the batch"
    outcome = result.outcome if result.outcome == "works" else result.outcome.upper()
    lines = [f"{result.spec}{where}: {outcome}"]
    for finding in result.findings:
        source = finding.source.replace("cosmos_transfer1/", "")
        lines.append(f"  {finding.text}" + (f" [{source}]" if source else ""))
    return "\n".join(lines)
