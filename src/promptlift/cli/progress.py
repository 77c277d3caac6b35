"""Progress and notes on stderr; progress is shown on a terminal only."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import click

from promptlift.targets import TARGET_NAMES, target
from promptlift.text import counted

if TYPE_CHECKING:
    from rich.status import Status

    from promptlift.pipeline import Outcome, Prepared, Stage
    from promptlift.record import Record

__all__ = ["RunNotes", "StatusLine"]


class StatusLine:
    """A line on a terminal that shows what is being done; a context manager around the work.

    Args:
        first: The first text.
        quiet: Show nothing, even on a terminal.
    """

    def __init__(self, first: str, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.shown = not quiet and sys.stderr.isatty()
        self._first = first
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console

            self._status = Console(stderr=True).status(self._first)
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the line, before something is printed; safe to call twice."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def update(self, text: str) -> None:
        """Change the text."""
        if self._status is not None:
            self._status.update(text)


_DOING: dict[Stage, str] = {
    "prepare": "reading the video",
    "ask": "asking the engine",
}


class RunNotes(StatusLine):
    """Progress, the plan and warnings of one item.

    Args:
        quiet: Print errors only.
    """

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("starting", quiet=quiet)

    def progress(self, stage: Stage, prepared: Prepared | None) -> None:
        """Show a stage of the pipeline."""
        del prepared
        self.update(_DOING[stage])

    def served(self, event: str, data: Mapping[str, Any]) -> None:
        """Show an event of a server."""
        if event == "queued" and data["waiting"]:
            self.update(f"waiting: {counted(data['waiting'], 'request')} in the queue")
        if event == "stage":
            self.update(_DOING[data["stage"]])

    def starting(self, stage: str, seconds: float) -> None:
        """Show the latest line of an engine's log while it starts."""
        self.update(f"starting vLLM, {seconds:.0f} s: {stage}")

    def about(self, outcome: Outcome, *, dry_run: bool) -> None:
        """Print the plan, and what a person should know of the result."""
        self.close()
        record, plan = outcome.record, outcome.record.plan
        if self.quiet:
            for line in _review_lines(record, errors_only=True):
                click.echo(f"promptlift: {line}", err=True)
            return
        if (self.shown or dry_run) and plan is not None:
            times = ", ".join(f"{frame.seconds:.2f} s" for frame in record.frames)
            shown = f"{counted(len(record.frames), 'frame')} of {plan.size} at {times}"
            click.echo(
                f"{shown if plan.chosen.frames else 'words alone'}: "
                f"{record.tokens.predicted:,} of {plan.context:,} tokens, {plan.reserve:,} "
                "reserved for the answer",
                err=True,
            )
        if outcome.request is not None and record.engine and record.engine.reads_text:
            request = outcome.request
            images = f"[{counted(len(request.frames), 'image')}]" if request.frames else ""
            for role, words in (("system", request.system), (f"user {images}", request.text)):
                if words:
                    click.echo(f"{role.rstrip()}:\n{textwrap.indent(words, '  ')}", err=True)
        for line in _notes(record):
            click.echo(f"promptlift: {line}", err=True)
        if record.verification is not None:
            click.echo(f"promptlift: {record.verification.summary}", err=True)


def _notes(record: Record) -> Iterator[str]:
    no_model = record.engine is not None and record.engine.name == "embedded"
    if no_model:
        from promptlift.engines.no_model import HOW_TO_GET_A_MODEL, NO_MODEL_NOTICE

        if record.status == "unchanged":
            what = (
                "the document has only your words" if record.document else "the prompt is unchanged"
            )
            yield f"{what}: {record.note}; {HOW_TO_GET_A_MODEL}"
        elif record.attempts:
            yield NO_MODEL_NOTICE
    elif record.template is not None:
        yield f"template {record.template}: {record.template_reason}"
    elif record.rendered_from is not None and record.note:
        yield record.note
    is_new = record.prompt is not None and record.status != "unchanged"
    if is_new and record.target in TARGET_NAMES and (extender := target(record.target).extender):
        yield f"{record.target}: {extender}"
    if any(frame.corrupt for frame in record.frames):
        yield "warning: the video is damaged; a frame may be garbled"
    yield from _review_lines(record)
    if record.status == "rejected" and record.engine is None:
        yield "the rendered prompt did not pass the review; name a model with --engine"
    elif record.status == "rejected" and record.prompt is None:
        yield (
            "no answer passed the review; see every attempt with --json, allow more with "
            "--attempts, or keep your own words with --on-reject original"
        )


def _review_lines(record: Record, *, errors_only: bool = False) -> Iterator[str]:
    """What the review found, a line each: errors, warnings and what was removed."""
    review = record.review
    if review is None:
        return
    for finding in review.findings:
        if finding.severity == "error" and record.status == "rejected":
            yield f"rejected ({finding.name}): {finding.message}"
    if errors_only:
        return
    for finding in review.findings:
        if finding.severity == "warning":
            yield f"warning: {finding.message}"
    for check in review.checks:
        if check.repaired and record.status == "repaired":
            yield f"repaired ({check.name}): {check.detail}"
