"""What a person is told on stderr while an item is worked on; a pipe hears no progress."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from promptlift.text import counted

if TYPE_CHECKING:
    from rich.status import Status

    from promptlift.pipeline import Outcome, Prepared, Stage
    from promptlift.record import Record

__all__ = ["RunNotes", "StatusLine"]


class StatusLine:
    """A context manager around some work.

    Args:
        first: What is being done at first.
        quiet: Show nothing, on a terminal either.
    """

    def __init__(self, first: str, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.shown = not quiet and sys.stderr.isatty()
        self._first = first
        self._exit = ExitStack()
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console

            status = Console(stderr=True).status(self._first)
            self._status = self._exit.enter_context(status)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def close(self) -> None:
        """Take the line away, before something is printed; safe to call twice."""
        self._exit.close()
        self._status = None

    def update(self, text: str) -> None:
        """Say what is being done now."""
        if self._status is not None:
            self._status.update(text)


_DOING: dict[Stage, str] = {
    "prepare": "reading the video",
    "ask": "asking the engine",
}


class RunNotes(StatusLine):
    """Progress, the plan and warnings, on stderr.

    Args:
        quiet: Say nothing at all.
    """

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("opening the video", quiet=quiet)

    def progress(self, stage: Stage, prepared: Prepared | None) -> None:
        """Show the stage that begins."""
        del prepared
        self.update(_DOING[stage])

    def served(self, event: str, said: Mapping[str, Any]) -> None:
        """Show the stage that begins on a server."""
        if event == "queued" and said["waiting"]:
            self.update(f"waiting: {said['waiting']} are in the queue")
        if event == "stage":
            self.update(_DOING[said["stage"]])

    def starting(self, stage: str, seconds: float) -> None:
        """Show how far an engine is that is being started for this call."""
        self.update(f"starting vLLM: {stage}, {seconds:.0f} s")

    def about(self, outcome: Outcome, *, dry_run: bool) -> None:
        """Say what was planned, and everything that a person should know of the result."""
        self.close()
        if self.quiet:
            return
        record = outcome.record
        if (self.shown or dry_run) and record.plan is not None:
            _say(_plan_line(record))
        if record.template is not None and not _is_embedded(record):
            _say(f"promptlift: template {record.template}: {record.template_reason}")
        for line in _warnings(record):
            _say(f"promptlift: {line}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _plan_line(record: Record) -> str:
    plan, tokens = record.plan, record.tokens
    assert plan is not None
    times = ", ".join(f"{frame.seconds:.2f} s" for frame in record.frames)
    size = f"{plan.chosen.width}x{plan.chosen.height}"
    return (
        f"{counted(len(record.frames), 'frame')} of {size} at {times}: {tokens.predicted:,} of "
        f"{plan.context:,} tokens, {plan.reserve:,} kept for the answer"
    )


def _is_embedded(record: Record) -> bool:
    return record.engine is not None and record.engine.name == "embedded"


def _warnings(record: Record) -> list[str]:
    lines = []
    if _is_embedded(record) and record.attempts:
        from promptlift.engines.no_model import NO_MODEL_NOTICE

        lines.append(NO_MODEL_NOTICE)
    if any(frame.corrupt for frame in record.frames):
        lines.append("warning: the video is damaged; a frame that was shown may be garbled")
    if record.review is not None and record.status in ("rejected", "repaired"):
        lines += [
            f"{record.status}: {check.name}: {check.detail}"
            for check in record.review.checks
            if not check.passed or check.repaired
        ]
    if record.status == "rejected" and record.prompt is None:
        lines.append("no answer was fit to use; --json shows every attempt")
    return lines
