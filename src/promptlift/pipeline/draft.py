"""What is known of an item while it is worked on, and the record that can be made of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from promptlift import __version__
from promptlift.config import Options
from promptlift.core import record as recorded
from promptlift.core.budget import Plan
from promptlift.core.prompts import Template
from promptlift.core.record import Record
from promptlift.core.targets import Target
from promptlift.core.video import Frame
from promptlift.engines.base import EngineInfo
from promptlift.errors import ItemEngineError, PromptliftError
from promptlift.frames import Source
from promptlift.pipeline.asking import Answer, Telling, best_of
from promptlift.pipeline.fitting import Fit
from promptlift.pipeline.seeing import Survey

__all__ = ["Draft", "Progress", "Stage"]

Stage: TypeAlias = Literal["survey", "plan", "look", "ask"]
Progress: TypeAlias = Callable[[Stage, "Draft"], None]
"""Is told when a stage begins, with what is known by then."""


@dataclass(slots=True)
class Draft:
    """What is known of an item so far; every field may still be missing."""

    source: Source
    options: Options
    short_prompt: str
    progress: Progress | None = None
    telling: Telling | None = None
    target: Target | None = None
    survey: Survey | None = None
    engine: EngineInfo | None = None
    template: Template | None = None
    template_reason: str | None = None
    plan: Plan | None = None
    frames: tuple[Frame, ...] = ()
    key: str | None = None
    fit: Fit = field(default_factory=Fit)
    refused: ItemEngineError | None = None
    answers: list[Answer] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Tell of a stage's beginning, and time it."""
        if self.progress is not None:
            self.progress(name, self)
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.timings[name] = round(self.timings.get(name, 0.0) + spent, 6)

    def record(self, error: PromptliftError | None = None) -> Record:
        """The record of what is known; a failure where there is an error."""
        best = best_of(self.answers) if self.answers else None
        return Record(
            key=self.key,
            status=_status(best, error),
            video=self._video(),
            short_prompt=self.short_prompt,
            prompt=None if error else self._result(best),
            target=self.options.target,
            engine=self._engine(),
            plan=self._planned(),
            frames=tuple(map(recorded.FrameSeen.of, self.frames)),
            tokens=self._tokens(best),
            facts=self.survey.facts if self.survey else None,
            review=_reviewed(best),
            attempts=tuple(map(_attempt, self.answers)),
            sampling=_sampled(best) if best else None,
            template=self.template.name if self.template else None,
            template_reason=self.template_reason,
            timings=dict(self.timings),
            error=_failure(error) if error else None,
            promptlift=__version__,
        )

    def _result(self, best: Answer | None) -> str | None:
        if best is None:
            return None
        if best.review.verdict != "rejected" or self.options.on_reject == "best":
            return best.review.text
        return self.short_prompt if self.options.on_reject == "original" else None

    def _video(self) -> recorded.Video:
        if self.survey is None:
            return recorded.Video(name=_name(self.source))
        probe = recorded.Probe.of(self.survey.info)
        return recorded.Video(name=_name(self.source), content=self.survey.content, probe=probe)

    def _engine(self) -> recorded.Engine | None:
        if self.engine is None:
            return None
        info = self.engine
        return recorded.Engine(
            name=info.name, model=info.model, revision=info.revision, version=info.version
        )

    def _planned(self) -> recorded.Planned | None:
        if self.plan is None:
            return None
        return recorded.Planned.of(
            self.plan,
            strategy=self.options.strategy,
            exact=self.options.exact,
            shrinks=self.fit.shrinks,
        )

    def _tokens(self, best: Answer | None) -> recorded.Tokens:
        return recorded.Tokens(
            predicted=self.predicted,
            counted=self.fit.counted,
            actual=best.completion.prompt_tokens if best else None,
            completion=best.completion.completion_tokens if best else None,
            target=best.target_tokens if best else None,
            target_limit=self.target.limit if self.target else None,
            target_estimated=self.options.target_tokenizer is None,
        )

    @property
    def predicted(self) -> int | None:
        """Tokens of what is sent, by the formula; a clip may give fewer frames than planned."""
        if self.plan is None or not self.frames:
            return None
        budget = self.plan.budget
        images = sum(budget.family.image(frame.size) for frame in self.frames)
        return images + budget.chat_tokens - self.fit.extra


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fsencode(Path(source).name).decode("utf-8", "replace")
    return ""


def _status(
    best: Answer | None, error: PromptliftError | None
) -> Literal["ok", "repaired", "rejected", "failed", "planned"]:
    if error is not None:
        return "failed"
    return "planned" if best is None else best.review.verdict


def _sampled(answer: Answer) -> recorded.Sampled:
    drawn = answer.sampling
    return recorded.Sampled(
        max_tokens=drawn.max_tokens, temperature=drawn.temperature, seed=drawn.seed
    )


def _reviewed(answer: Answer | None) -> recorded.Reviewed | None:
    if answer is None:
        return None
    return recorded.Reviewed(verdict=answer.review.verdict, checks=answer.review.checks)


def _attempt(answer: Answer) -> recorded.Attempt:
    return recorded.Attempt(
        text=answer.completion.text,
        finish_reason=answer.completion.finish_reason,
        verdict=answer.review.verdict,
        failed=answer.failed,
        sampling=_sampled(answer),
        completion_tokens=answer.completion.completion_tokens,
        seconds=answer.seconds,
    )


def _failure(error: PromptliftError) -> recorded.Failure:
    return recorded.Failure(
        code=error.code, message=error.message, remedy=error.remedy, retryable=error.retryable
    )
