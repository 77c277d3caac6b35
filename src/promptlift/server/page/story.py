"""What the page tells of one job, from its record or from as much as is known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from promptlift.core.record import Failure, FrameSeen, Record, Reviewed
from promptlift.core.review import Check, Verdict
from promptlift.server.jobs import Job
from promptlift.server.page.cost import Cost, cost_of
from promptlift.server.page.marks import Pair, pair
from promptlift.server.page.words import Fact, check_words, facts_in_words, strategy_words

__all__ = ["Answer", "Judged", "Seen", "Shown", "Story", "judged", "seen", "shown", "story_of"]

NO_MODEL = "embedded"
_HEADLINES: dict[Verdict, tuple[str, str]] = {
    "ok": ("Fit to use", "All {all} checks passed."),
    "repaired": (
        "Fit to use, after cleaning",
        "What is no part of a prompt was taken off; what is left passed all {all} checks.",
    ),
    "rejected": ("Not fit to use", "{failed} of {all} checks failed."),
}


class Shown(NamedTuple):
    """One frame: its address, and where it lies in the clip, in percent; None if not known."""

    src: str | None
    frame: FrameSeen
    place: float | None


class Seen(NamedTuple):
    """The frames that were shown."""

    frames: list[Shown]
    how: str
    seconds: float | None


class Judged(NamedTuple):
    """A verdict in words, and each check with its statement, those that failed first."""

    verdict: Verdict
    headline: str
    summary: str
    checks: list[tuple[Check, str]]


class Answer(NamedTuple):
    """The text, beside the short prompt.

    Attributes:
        text: The long prompt; the best attempt where none was fit to use.
        both: Both prompts with the kept words.
        tokens: What the text takes of the target's limit; None where it is not counted.
        limit: That limit.
        estimated: Whether the count is an estimate from above.
    """

    text: str
    both: Pair
    tokens: int | None
    limit: int | None
    estimated: bool


@dataclass(frozen=True, slots=True)
class Story:
    """Everything for the template of one job; what is not known yet is None.

    Attributes:
        job: The job.
        record: Its record.
        failure: Why there is no answer.
        seen: The frames.
        cost: The budget.
        facts: What was measured.
        answer: The text.
        judged: The verdict.
        kept: Whether the server still has the video.
    """

    job: Job
    record: Record | None
    failure: Failure | None
    seen: Seen | None
    cost: Cost | None
    facts: list[Fact] | None
    answer: Answer | None
    judged: Judged | None
    kept: bool

    @property
    def no_model(self) -> bool:
        """Whether the text was made without a model."""
        engine = self.record.engine if self.record else None
        return engine is not None and engine.name == NO_MODEL


def story_of(job: Job, record: Record | None, *, kept: bool) -> Story:
    """What can be told of a job now."""
    failure = job.error or (record.error if record else None)
    plan = record.plan if record else None
    return Story(
        job=job,
        record=record,
        failure=failure,
        seen=seen(job, record.frames, _seconds(record), kept=kept, plan=plan)
        if record and record.frames
        else None,
        cost=cost_of(plan, record.tokens) if record and plan else None,
        facts=facts_in_words(record.facts) if record and record.facts else None,
        answer=_answer(record) if record else None,
        judged=judged(record.review) if record and record.review else None,
        kept=kept,
    )


def seen(
    job: Job, frames: Sequence[FrameSeen], seconds: float | None, *, kept: bool, plan: Any = None
) -> Seen:
    """The frames with the addresses of their pictures, where the video is still there."""
    asked = job.wish.asked
    planned = plan.plan.frames if plan is not None else len(frames)
    found = [
        shown(job, number, frame, planned, seconds, kept=kept)
        for number, frame in enumerate(frames)
    ]
    return Seen(found, strategy_words(asked.strategy), seconds)


def shown(
    job: Job, number: int, frame: FrameSeen, planned: int, seconds: float | None, *, kept: bool
) -> Shown:
    """One frame."""
    src = (
        f"/page/jobs/{job.id}/frames/{number}?count={planned}&size={frame.width}x{frame.height}"
        if kept
        else None
    )
    place = round(min(100.0, frame.seconds / seconds * 100), 2) if seconds else None
    return Shown(src, frame, place)


def judged(review: Reviewed) -> Judged:
    """A review in words."""
    headline, summary = _HEADLINES[review.verdict]
    failed = sum(not check.passed for check in review.checks)
    checks = sorted(review.checks, key=lambda one: (one.passed, not one.repaired))
    return Judged(
        review.verdict,
        headline,
        summary.format(all=len(review.checks), failed=failed),
        [(check, check_words(check)) for check in checks],
    )


def _answer(record: Record) -> Answer | None:
    text = record.prompt if record.prompt is not None else _best_attempt(record)
    if text is None:
        return None
    tokens = record.tokens
    both = pair(record.short_prompt, text)
    return Answer(text, both, tokens.target, tokens.target_limit, tokens.target_estimated)


def _best_attempt(record: Record) -> str | None:
    """The attempt that the review is of."""
    drawn = (one.text for one in record.attempts if one.sampling == record.sampling)
    return next(drawn, None)


def _seconds(record: Record) -> float | None:
    probe = record.video.probe
    return float(Fraction(probe.duration)) if probe and probe.duration else None
