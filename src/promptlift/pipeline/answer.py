"""Ask an engine until an answer passes the review, and make the record of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from promptlift import __version__
from promptlift.engines.base import Completion, Engine, Request, StreamsText
from promptlift.errors import BudgetError, ItemEngineError, PromptliftError, TransientEngineError
from promptlift.options import Options
from promptlift.pipeline.context_fit import Adjustment, ContextFit, profile_of
from promptlift.pipeline.prepare import Prepared, Progress, prepare, source_name
from promptlift.pipeline.video_cache import VideoCache
from promptlift.record import (
    Attempt,
    Failure,
    FrameInfo,
    Record,
    Reviewed,
    Status,
    Tokens,
    Video,
)
from promptlift.review import Review, review
from promptlift.targets import Target, estimate_tokens, target
from promptlift.text import check_short_prompt
from promptlift.tokens import CountText
from promptlift.tokens.text import load_target_counter
from promptlift.types import Frame, Sampling, again
from promptlift.video.source import Source

__all__ = ["OnText", "Outcome", "PrepareSmaller", "answer", "upsample_item"]

OnText: TypeAlias = Callable[[str | None], None]
"""Called with each piece of an answer as it is written; None begins anew: what came is void."""


class PrepareSmaller(Protocol):
    """Prepares an item again with what the engine taught about its size, as `prepare` does."""

    def __call__(self, *, adjustment: Adjustment) -> Awaitable[Prepared]:
        """Prepare it."""
        ...


class Outcome(NamedTuple):
    """What became of an item.

    Attributes:
        record: Always there.
        error: Why there is no answer; None where there is one, good or bad.
        frames: The frames as they were shown; empty where they were not read.
    """

    record: Record
    error: PromptliftError | None
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer and what was made of it."""

    completion: Completion
    review: Review
    target_tokens: int
    sampling: Sampling
    seconds: float


@dataclass(slots=True)
class _RecordBuilder:
    """What is known of an item so far, and the record that can be made of it."""

    prepared: Prepared
    counted: int | None = None
    answers: list[_Answer] = field(default_factory=list)
    prepare_seconds: float = 0.0
    ask_seconds: float = 0.0
    asked: bool = False

    def outcome(self, error: PromptliftError | None = None) -> Outcome:
        return Outcome(self.record(error), error, self.prepared.frames)

    def record(self, error: PromptliftError | None) -> Record:
        prepared, options = self.prepared, self.prepared.options
        best = _best_of(self.answers) if self.answers else None
        analysis = prepared.analysis
        info = prepared.profile.info if prepared.profile else None
        timings = {"prepare": round(self.prepare_seconds + prepared.seconds, 6)}
        if self.asked:
            timings["ask"] = round(self.ask_seconds, 6)
        return Record(
            key=prepared.key,
            status=_status(best, error),
            video=Video(
                name=prepared.name,
                content=analysis.content if analysis else None,
                probe=analysis.info if analysis else None,
                warnings=analysis.warnings if analysis else (),
            ),
            short_prompt=prepared.short_prompt,
            prompt=None if error else _result(best, prepared),
            target=options.target,
            # Where the model was loaded from is the machine's business.
            engine=replace(info, origin="") if info else None,
            plan=prepared.plan,
            frames=tuple(map(FrameInfo.of, prepared.frames)),
            tokens=Tokens(
                predicted=prepared.predicted_tokens,
                counted=self.counted,
                actual=best.completion.prompt_tokens if best else None,
                completion=best.completion.completion_tokens if best else None,
                target=best.target_tokens if best else None,
                target_limit=target(options.target).limit,
                target_estimated=options.target_tokenizer is None,
            ),
            facts=analysis.facts if analysis else None,
            review=Reviewed(verdict=best.review.verdict, checks=best.review.checks)
            if best
            else None,
            attempts=tuple(map(_attempt, self.answers)),
            sampling=best.sampling if best else None,
            template=prepared.template,
            template_reason=prepared.template_reason,
            timings=timings,
            error=Failure.of(error) if error else None,
            promptlift=__version__,
        )


async def upsample_item(
    source: Source,
    short_prompt: str,
    engine: Engine,
    options: Options,
    *,
    progress: Progress | None = None,
    on_text: OnText | None = None,
    plan_only: bool = False,
    with_frames: bool = False,
    videos: VideoCache | None = None,
) -> Outcome:
    """Turn one video and one short prompt into a record: `prepare`, then `answer`.

    What can go wrong with an item does not raise: it is in the outcome, with a record of how far
    the item came.

    Args:
        source: The video.
        short_prompt: The user's words; empty for "describe what is there".
        engine: Who is asked.
        options: How.
        progress: Called when a stage begins.
        on_text: Called with each answer as it is written, before any review, where the engine can
            do so. What comes out is the same as without.
        plan_only: Stop before the engine is asked.
        with_frames: Plan and read the frames for an engine that does not look at them, too.
        videos: Reads videos and remembers them; None to remember nothing.
    """
    videos = videos or VideoCache(0)
    try:
        check_short_prompt(short_prompt)  # a slip of the keyboard should not start an engine
        profile = await profile_of(engine)
    except PromptliftError as error:
        prepared = Prepared(source_name(source), short_prompt, options, error=error)
        return _RecordBuilder(prepared).outcome(error)
    again_smaller = partial(
        prepare,
        source,
        short_prompt,
        options,
        profile,
        videos,
        with_frames=with_frames or plan_only,
    )
    prepared = await again_smaller(progress=progress)
    if plan_only or prepared.error is not None:
        return _RecordBuilder(prepared).outcome(prepared.error)
    return await answer(
        prepared, engine, prepare_smaller=again_smaller, progress=progress, on_text=on_text
    )


async def answer(
    prepared: Prepared,
    engine: Engine,
    *,
    prepare_smaller: PrepareSmaller | None = None,
    progress: Progress | None = None,
    on_text: OnText | None = None,
) -> Outcome:
    """Ask an engine about a prepared item, review what it answers, and ask again where it must.

    Args:
        prepared: The item. One that could not be prepared gives the record of its failure.
        engine: Who is asked.
        prepare_smaller: Prepares the item again, where its prompt does not fit; None where that
            cannot be done, so that what the engine refuses fails.
        progress: Called when the stage begins.
        on_text: See `upsample_item`.

    Raises:
        Exception: Whatever the engine raises that is not a `PromptliftError`.
    """
    building = _RecordBuilder(prepared)
    if prepared.error is not None:
        return building.outcome(prepared.error)
    try:
        await _ask_until_it_fits(building, engine, prepare_smaller, progress, on_text)
    except PromptliftError as error:
        return building.outcome(error)
    return building.outcome()


async def _ask_until_it_fits(
    building: _RecordBuilder,
    engine: Engine,
    prepare_smaller: PrepareSmaller | None,
    progress: Progress | None,
    on_text: OnText | None,
) -> None:
    refused: ItemEngineError | None = None
    while True:
        prepared = building.prepared
        if progress is not None:
            progress("ask", prepared)
        start = time.perf_counter()
        building.asked = True
        fit = ContextFit(prepared.adjustment)
        try:
            if await _send(building, fit, engine, prepare_smaller is None, on_text):
                return
        except ItemEngineError as error:
            takes_tokens = prepared.profile is not None and prepared.profile.info.family is not None
            cost = (prepared.predicted_tokens or 0) + prepared.options.reserve
            can_shrink = prepare_smaller is not None and takes_tokens and not building.answers
            if not can_shrink or not fit.shrink_refused(cost):
                raise
            refused = error
        finally:
            building.ask_seconds += time.perf_counter() - start
        assert prepare_smaller is not None, "otherwise it was sent or raised"
        smaller = await prepare_smaller(adjustment=fit.adjustment)
        if smaller.error is not None:
            # Where there is no plan smaller than what was refused, the refusal stands.
            no_smaller = isinstance(smaller.error, BudgetError) and refused is not None
            raise refused if no_smaller and refused is not None else smaller.error
        building.prepare_seconds += prepared.seconds
        building.prepared = smaller


async def _send(
    building: _RecordBuilder,
    fit: ContextFit,
    engine: Engine,
    send_anyway: bool,
    on_text: OnText | None,
) -> bool:
    """Ask; False where the frames must be planned smaller first."""
    prepared = building.prepared
    assert prepared.request is not None, "it was prepared"
    assert prepared.profile is not None, "it was prepared for an engine"
    plan, predicted = prepared.plan, prepared.predicted_tokens or 0
    if plan is None:  # an engine that takes no tokens
        await _ask(building, engine, prepared.request, prepared.options.reserve, on_text)
        return True
    fits = await fit.fits(
        engine,
        prepared.request,
        predicted=predicted,
        reserve=plan.reserve,
        context=plan.context,
        family=prepared.profile.family,
    )
    building.counted = fit.counted
    if not fits and not send_anyway:
        return False
    await _ask(
        building, engine, prepared.request, plan.context - (fit.counted or predicted), on_text
    )
    return True


async def _ask(
    building: _RecordBuilder, engine: Engine, request: Request, room: int, on_text: OnText | None
) -> None:
    """Ask until an answer passes, at most as often as the options say."""
    options, answers = building.prepared.options, building.answers
    path, goal = options.target_tokenizer, target(options.target)
    count_tokens = None if path is None else load_target_counter(path)
    first = request.sampling
    while True:
        start = time.perf_counter()
        completion = await _complete(engine, request, on_text)
        seconds = round(time.perf_counter() - start, 6)
        verdict, tokens = _review(completion, request, goal, count_tokens)
        answers.append(_Answer(completion, verdict, tokens, request.sampling, seconds))
        if verdict.verdict != "rejected" or len(answers) >= options.attempts:
            return
        sampling = again(first, len(answers), failed=verdict.failed, room=room)
        request = replace(request, sampling=sampling)


async def _complete(engine: Engine, request: Request, on_text: OnText | None) -> Completion:
    """An answer; one that broke off while it was streamed is asked for again, as a whole."""
    if on_text is None or not isinstance(engine, StreamsText):
        return await engine.complete(request)
    on_text(None)
    try:
        return await engine.stream(request, on_text)
    except TransientEngineError:
        on_text(None)
    return await engine.complete(request)


def _review(
    completion: Completion, request: Request, goal: Target, count_tokens: CountText | None
) -> tuple[Review, int]:
    """The review, and the tokens of the cleaned text for the target."""
    verdict = review(
        completion.text,
        finish_reason=completion.finish_reason,
        short_prompt=request.short_prompt,
        target=goal,
        count_tokens=count_tokens,
        facts=request.facts,
        control=request.source_kind,
    )
    count = count_tokens(verdict.text) if count_tokens else estimate_tokens(verdict.text, goal)
    return verdict, count


def _best_of(answers: Sequence[_Answer]) -> _Answer:
    """The answer with the best verdict; of equals the one with fewest failed checks, then first."""
    order = {"ok": 0, "repaired": 1, "rejected": 2}
    return min(answers, key=lambda one: (order[one.review.verdict], len(one.review.failed)))


def _result(best: _Answer | None, prepared: Prepared) -> str | None:
    if best is None:
        return None
    if best.review.verdict != "rejected" or prepared.options.on_reject == "best":
        return best.review.text
    return prepared.short_prompt if prepared.options.on_reject == "original" else None


def _status(best: _Answer | None, error: PromptliftError | None) -> Status:
    if error is not None:
        return "failed"
    return "planned" if best is None else best.review.verdict


def _attempt(one: _Answer) -> Attempt:
    return Attempt(
        text=one.completion.text,
        finish_reason=one.completion.finish_reason,
        verdict=one.review.verdict,
        failed=one.review.failed,
        sampling=one.sampling,
        completion_tokens=one.completion.completion_tokens,
        seconds=one.seconds,
    )
