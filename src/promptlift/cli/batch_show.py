"""``promptlift show``: one item of a run, with everything that is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from promptlift.cli import types

if TYPE_CHECKING:
    from promptlift.batch.mirror import Place
    from promptlift.batch.outcomes import Outcome
    from promptlift.core.record import Record

__all__ = ["show"]

_KEY_DIGITS = 12


@click.command()
@click.argument("run_dir", type=types.place)
@click.argument("item", metavar="KEY|ID")
@click.option("--json", "as_json", is_flag=True, help="Print the row as an export has it.")
def show(run_dir: Place, item: str, as_json: bool) -> None:
    """Show one item of the run in RUN_DIR, by its row's id or its key.

    What was asked, what was shown, every answer and what the review said of it, tokens and times.
    The first digits of a key are enough.
    """
    from promptlift.batch.export import Columns
    from promptlift.batch.export.text import json_line
    from promptlift.batch.find import find
    from promptlift.batch.mirror import local_copy
    from promptlift.batch.outcomes import with_raw_record
    from promptlift.batch.run_dir import open_run

    with open_run(local_copy(run_dir)) as run:
        found = find(run, item)
        outcome, record = with_raw_record(run.index, found[0])
    if as_json:
        import json

        line = Columns([one.row for one in found]).line(outcome, record)
        click.echo(json.dumps(json.loads(json_line(line)), indent=2, ensure_ascii=False))
        return
    from promptlift.core.record import Record

    told = None if record is None else Record.model_validate_json(record)
    click.echo("\n".join(_told(found, outcome, told)))


def _told(found: Sequence[Outcome], outcome: Outcome, record: Record | None) -> Iterator[str]:
    from promptlift.batch.plain import compact

    key = outcome.key or "not asked yet"
    yield f"{outcome.row.id}: {outcome.status}"
    yield from _fields("key", key)
    places = [f"row {one.row.number + 1} of {one.source}" for one in found]
    yield from _fields("input", *places)
    yield from _fields("video", _video(outcome, record))
    yield from _fields("asked", outcome.row.prompt or "(nothing: describe what is there)")
    for name, value in {**outcome.row.options, **outcome.row.extra}.items():
        yield from _fields(name, value if isinstance(value, str) else compact(value))
    if record is None:
        trouble = outcome.row.trouble
        if trouble is not None:
            yield from _fields("error", f"{trouble[0]}: {trouble[1]}", f"-> {trouble[2]}")
        return
    yield from _work(record)
    yield from _answers(record)


def _video(outcome: Outcome, record: Record | None) -> str:
    path = outcome.row.video or "(none)"
    probe = record.video.probe if record else None
    if probe is None:
        return path
    seconds = "" if probe.duration is None else f", {_seconds(probe.duration)}"
    return f"{path} ({probe.width}x{probe.height}{seconds}, {probe.codec})"


def _seconds(fraction: str) -> str:
    from fractions import Fraction

    return f"{float(Fraction(fraction)):.2f} s"


def _work(record: Record) -> Iterator[str]:
    tokens, engine = record.tokens, record.engine
    if record.frames:
        first = record.frames[0]
        times = ", ".join(f"{frame.seconds:.2f} s" for frame in record.frames)
        yield from _fields(
            "shown", f"{len(record.frames)} of {first.width}x{first.height}: {times}"
        )
    used = tokens.actual or tokens.counted or tokens.predicted
    if used is not None and record.plan is not None:
        plan = record.plan
        answer = "" if tokens.completion is None else f", {tokens.completion:,} in the answer"
        yield from _fields("tokens", f"{used:,} of {plan.context:,} in the prompt{answer}")
    if tokens.target is not None and tokens.target_limit is not None:
        about = "about " if tokens.target_estimated else ""
        target = f"{record.target}: {about}{tokens.target:,} of {tokens.target_limit:,} tokens"
        yield from _fields("target", target)
    if engine is not None:
        who = [engine.name, engine.model, f"revision {engine.revision}" if engine.revision else ""]
        yield from _fields("engine", ", ".join(filter(None, who)))
    if record.timings:
        spent = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in record.timings.items())
        yield from _fields("times", spent)


def _answers(record: Record) -> Iterator[str]:
    error = record.error
    if error is not None:
        again = " (a rerun asks again)" if error.retryable else ""
        yield from _fields("error", f"{error.code}: {error.message}{again}", f"-> {error.remedy}")
    if record.review is not None:
        checks = record.review.checks
        passed = sum(check.passed for check in checks)
        yield from _fields("review", f"{passed} of {len(checks)} checks passed")
        for check in checks:
            if not check.passed or check.repaired:
                what = "repaired" if check.passed else "failed"
                yield from _fields("", f"{what}: {check.name}: {check.detail}")
    if record.prompt is not None:
        yield f"\n{record.prompt}"
        return
    for number, attempt in enumerate(record.attempts, 1):
        failed = ", ".join(attempt.failed)
        yield f"\nanswer {number}, seed {attempt.sampling.seed}, failed: {failed}\n{attempt.text}"


def _fields(name: str, *values: str) -> Iterator[str]:
    for value in values:
        yield f"  {name:<8} {value}"
        name = ""
