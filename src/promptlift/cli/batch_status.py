"""``promptlift status``: how a run stands, and what to do next."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from promptlift.cli import types

if TYPE_CHECKING:
    from promptlift.batch.mirror import Place
    from promptlift.batch.summary import Group, Summary

__all__ = ["status"]

_STATES = {
    "running": "running",
    "finished": "finished",
    "unfinished": "not running; work is left",
}
_WRITERS_SHOWN = 8


@click.command()
@click.argument("run_dir", type=types.place)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--examples",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="Show so many rows of each kind of failure.",
)
def status(run_dir: Place, as_json: bool, examples: int) -> None:
    """Say how the run in RUN_DIR stands, what failed, and what to do.

    Works while the run goes on, when it is over, after a kill, and from another machine. Nothing
    is written, and nobody is disturbed.
    """
    from promptlift.batch.mirror import local_copy
    from promptlift.batch.summary import summarise

    found = summarise(local_copy(run_dir), examples=examples)
    summary = replace(found, run_dir=run_dir)
    if as_json:
        import json

        click.echo(json.dumps(_values(summary), indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join(_told(summary)))


def _told(summary: Summary) -> Iterator[str]:
    yield "\n".join(_head(summary))
    for group in summary.groups:
        yield "\n".join(_group(group))
    if lines := list(_writers(summary)):
        yield "\n".join(["writers", *lines])
    if lines := list(_damage(summary)):
        yield "\n".join(lines)
    if steps := list(_next(summary)):
        yield "\n".join(["next", *(f"  {step}" for step in steps)])


def _head(summary: Summary) -> Iterator[str]:
    from promptlift.batch.words import rate, span
    from promptlift.core.text import counted

    yield f"{summary.run_dir}: {_STATES[summary.state]}"
    known = "" if summary.complete else " so far; the input was not read to its end"
    inputs = f" of {len(summary.inputs)} inputs" if len(summary.inputs) > 1 else ""
    yield f"  {counted(summary.total, 'row')}{inputs}{known}"
    for name, count in _counts(summary):
        note = "  no result yet" if name == "missing" else ""
        yield f"  {count:>10,}  {name:<10}{count / summary.total:7.1%}{note}"
    if summary.live:
        eta = summary.eta_s
        left = "" if eta is None else f", about {span(eta)} left"
        yield f"  now {rate(summary.rate, 'rows')}{left}"
    elif summary.active_s >= 1:
        yield f"  worked on for {span(summary.active_s)}"


def _counts(summary: Summary) -> list[tuple[str, int]]:
    from promptlift.batch.outcomes import STATUSES

    return [(name, summary.rows[name]) for name in STATUSES if summary.rows[name]]


def _group(group: Group) -> Iterator[str]:
    from promptlift.core.text import counted

    again = "; a rerun asks again" if group.retryable else ""
    yield f"{group.status}: {group.code}: {counted(group.rows, 'row')}{again}"
    remedies = {example.remedy for example in group.examples}
    for example in group.examples:
        yield f"  {example.id}: {example.message}"
    for remedy in sorted(filter(None, remedies)):
        yield f"  -> {remedy}"


def _writers(summary: Summary) -> Iterator[str]:
    from promptlift.batch.words import writer_told

    now = time.time()
    shown = [*(w for w in summary.writers if w.life != "ended"), *_ended(summary)]
    for writer in shown[:_WRITERS_SHOWN]:
        yield f"  {writer.name}: {writer.life}: {writer_told(writer, now=now)}"
    if len(shown) > _WRITERS_SHOWN:
        yield f"  and {len(shown) - _WRITERS_SHOWN} more"


def _ended(summary: Summary) -> list[Any]:
    return [writer for writer in reversed(summary.writers) if writer.life == "ended"]


def _damage(summary: Summary) -> Iterator[str]:
    from promptlift.core.text import counted

    if summary.torn:
        where = counted(summary.torn, "segment")
        yield f"torn by a kill: the last line of {where}; what it told of is done again"
    if summary.corrupt:
        lines = counted(summary.corrupt, "damaged line")
        yield f"{lines} in the journal left out; what they told of is done again"
    for damage in summary.damage:
        if damage.trouble:
            yield f"{damage.segment}: {damage.trouble}"


def _next(summary: Summary) -> Iterator[str]:
    folder = shlex.quote(str(summary.run_dir))
    if summary.live:
        return
    if summary.left or not summary.complete:
        yield "the same `promptlift batch` command goes on from here"
    if summary.rows["failed"] > summary.retryable:
        yield f"promptlift retry {folder}    # what failed, once it is mended"
    if summary.rows["rejected"]:
        yield f"promptlift retry {folder} --what rejected"
    if summary.fit:
        yield f"promptlift export {folder} -o prompts.jsonl"


def _values(summary: Summary) -> dict[str, Any]:
    import dataclasses

    values = dataclasses.asdict(summary)
    derived = ("state", "total", "fit", "left", "complete", "rate", "eta_s", "torn", "corrupt")
    return {
        **{name: getattr(summary, name) for name in derived},
        **values,
        "rows": dict(_counts(summary)),
        "run_dir": str(summary.run_dir),
    }
