"""Ask an engine until an answer passes the review, and make the record of it.

Nothing is sent that does not fit the engine's context. The formulas predict; where the engine can
count, it is asked before anything is sent, once for each shape. What it counts beyond the
prediction is added to the budget, and the frames are planned again, smaller. An engine that cannot
count and refuses an item is given less, at most twice, before the item is given up.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import NamedTuple, TypeAlias

from promptlift import __version__
from promptlift.engines.base import (
    Completion,
    CountsTokens,
    Engine,
    Request,
    StreamsText,
    innermost,
)
from promptlift.errors import (
    BudgetError,
    ConfigEngineError,
    EngineError,
    ItemEngineError,
    PromptliftError,
    TransientEngineError,
)
from promptlift.options import Options
from promptlift.pipeline.prepare import (
    Adjustment,
    EngineProfile,
    Prepared,
    Progress,
    prepare,
    source_name,
)
from promptlift.pipeline.video_cache import VideoCache
from promptlift.record import Attempt, Failure, FrameInfo, Record, Reviewed, Status, Tokens, Video
from promptlift.review import Review, review
from promptlift.targets import estimate_tokens, target
from promptlift.text import check_short_prompt
from promptlift.tokens import (
    FAMILIES,
    PIXTRAL,
    UNKNOWN,
    Family,
    calibrate,
    family,
    load_target_counter,
)
from promptlift.types import EngineInfo, Frame, Sampling, Size, again
from promptlift.video.source import Source

__all__ = ["OnText", "Outcome", "answer", "profile_of", "upsample_item"]

OnText: TypeAlias = Callable[[str | None], None]
"""Called with each piece of an answer as it is written; None begins anew: what came is void."""


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
    try:
        check_short_prompt(short_prompt)  # a slip of the keyboard should not start an engine
        profile = await profile_of(engine)
    except PromptliftError as error:
        prepared = Prepared(source_name(source), short_prompt, options, error=error)
        return _outcome(_Item(prepared), error)
    again_smaller = partial(
        prepare,
        source,
        short_prompt,
        options,
        profile,
        videos or VideoCache(0),
        with_frames=with_frames or plan_only,
    )
    prepared = await again_smaller(progress=progress)
    if plan_only:
        return _outcome(_Item(prepared), prepared.error)
    return await answer(
        prepared, engine, prepare_smaller=again_smaller, progress=progress, on_text=on_text
    )


async def answer(
    prepared: Prepared,
    engine: Engine,
    *,
    prepare_smaller: Callable[..., Awaitable[Prepared]] | None = None,
    progress: Progress | None = None,
    on_text: OnText | None = None,
) -> Outcome:
    """Ask an engine about a prepared item, review what it answers, and ask again where it must.

    Args:
        prepared: The item. One that could not be prepared gives the record of its failure.
        engine: Who is asked.
        prepare_smaller: Prepares the item again with an ``adjustment``, where its prompt does not
            fit; None where that cannot be done, so that what the engine refuses fails.
        progress: Called when the stage begins.
        on_text: See `upsample_item`.

    Raises:
        Exception: Whatever the engine raises that is not a `PromptliftError`.
    """
    item = _Item(prepared)
    if prepared.error is not None:
        return _outcome(item, prepared.error)
    try:
        while True:
            if progress is not None:
                progress("ask", item.prepared)
            start, item.asked = time.perf_counter(), True
            can_shrink = prepare_smaller is not None
            try:
                smaller = await _ask_if_it_fits(item, engine, on_text, can_shrink=can_shrink)
            finally:
                item.ask_seconds += time.perf_counter() - start
            if smaller is None:
                return _outcome(item, None)
            assert prepare_smaller is not None, "else it cannot shrink"
            planned = await prepare_smaller(adjustment=smaller)
            if planned.error is not None:
                # Where there is no plan smaller than what was refused, the refusal stands.
                is_smallest = isinstance(planned.error, BudgetError)
                raise (item.refused if is_smallest else None) or planned.error
            item.prepare_seconds += item.prepared.seconds
            item.prepared = planned
    except PromptliftError as error:
        return _outcome(item, error)


class _Answer(NamedTuple):
    """One answer and what was made of it."""

    attempt: Attempt
    review: Review
    prompt_tokens: int | None
    target_tokens: int


@dataclass(slots=True)
class _Item:
    """What is known of an item so far."""

    prepared: Prepared
    answers: list[_Answer] = field(default_factory=list)
    counted: int | None = None
    refused: ItemEngineError | None = None
    asked: bool = False
    prepare_seconds: float = 0.0
    ask_seconds: float = 0.0


async def _ask_if_it_fits(
    item: _Item, engine: Engine, on_text: OnText | None, *, can_shrink: bool
) -> Adjustment | None:
    """Ask, or say how the frames are to be planned smaller first."""
    prepared = item.prepared
    request, plan, profile = prepared.request, prepared.plan, prepared.profile
    assert request is not None, "it was prepared"
    assert profile is not None, "it was prepared for an engine"
    known, reserve = prepared.adjustment, prepared.options.reserve
    can_shrink = can_shrink and known.shrinks < _MOST_SHRINKS
    predicted, room = prepared.predicted_tokens or 0, reserve
    item.counted = None
    if plan is not None:
        excess = await _excess(engine, request, predicted, profile.family)
        if excess is not None:
            item.counted = predicted + excess
        room = plan.context - (item.counted or predicted)
        if excess is not None and room < reserve and can_shrink:
            return Adjustment(max(known.extra_tokens, excess), known.context, known.shrinks + 1)
    try:
        await _ask(item, engine, request, room, on_text)
    except ItemEngineError as error:
        # Where the engine has counted the prompt, its refusal has another reason.
        takes_tokens = profile.info.family is not None and item.counted is None
        if not (can_shrink and takes_tokens) or item.answers:
            raise
        item.refused = error
        context = int((predicted + reserve) * _SHRINK)
        return Adjustment(known.extra_tokens, context, known.shrinks + 1)
    return None


async def _ask(
    item: _Item, engine: Engine, request: Request, room: int, on_text: OnText | None
) -> None:
    """Ask until an answer passes, at most as often as the options say."""
    options, answers = item.prepared.options, item.answers
    goal, path = target(options.target), options.target_tokenizer
    count_tokens = None if path is None else load_target_counter(path)
    first = request.sampling
    while True:
        start = time.perf_counter()
        completion = await _complete(engine, request, on_text)
        seconds = round(time.perf_counter() - start, 6)
        verdict = review(
            completion.text,
            finish_reason=completion.finish_reason,
            short_prompt=request.short_prompt,
            target=goal,
            count_tokens=count_tokens,
            facts=request.facts,
            control=request.source_kind,
        )
        attempt = Attempt(
            text=completion.text,
            finish_reason=completion.finish_reason,
            verdict=verdict.verdict,
            failed=verdict.failed,
            sampling=request.sampling,
            completion_tokens=completion.completion_tokens,
            seconds=seconds,
        )
        tokens = count_tokens(verdict.text) if count_tokens else estimate_tokens(verdict.text, goal)
        answers.append(_Answer(attempt, verdict, completion.prompt_tokens, tokens))
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


def _outcome(item: _Item, error: PromptliftError | None) -> Outcome:
    """The record of all that is known of an item."""
    prepared = item.prepared
    options, analysis = prepared.options, prepared.analysis
    # The best verdict; of equals the one with fewest failed checks, then the first.
    order = {"ok": 0, "repaired": 1, "rejected": 2}
    best = min(
        item.answers,
        key=lambda one: (order[one.review.verdict], len(one.review.failed)),
        default=None,
    )
    status: Status = "failed" if error else best.review.verdict if best else "planned"
    prompt = None
    if best is not None and error is None:
        if status != "rejected" or options.on_reject == "best":
            prompt = best.review.text
        elif options.on_reject == "original":
            prompt = prepared.short_prompt
    timings = {"prepare": round(item.prepare_seconds + prepared.seconds, 6)}
    if item.asked:
        timings["ask"] = round(item.ask_seconds, 6)
    record = Record(
        key=prepared.key,
        status=status,
        video=Video(
            name=prepared.name,
            content=analysis.content if analysis else None,
            probe=analysis.info if analysis else None,
            warnings=analysis.warnings if analysis else (),
        ),
        short_prompt=prepared.short_prompt,
        prompt=prompt,
        target=options.target,
        # Where the model was loaded from is the machine's business.
        engine=replace(prepared.profile.info, origin="") if prepared.profile else None,
        plan=prepared.plan,
        frames=tuple(map(FrameInfo.of, prepared.frames)),
        tokens=Tokens(
            predicted=prepared.predicted_tokens,
            counted=item.counted,
            actual=best.prompt_tokens if best else None,
            completion=best.attempt.completion_tokens if best else None,
            target=best.target_tokens if best else None,
            target_limit=target(options.target).limit,
            target_estimated=options.target_tokenizer is None,
        ),
        facts=analysis.facts if analysis else None,
        review=Reviewed(
            verdict=best.review.verdict,
            checks=best.review.checks,
            findings=best.review.findings,
            claims=best.review.claims,
        )
        if best
        else None,
        attempts=tuple(one.attempt for one in item.answers),
        sampling=best.attempt.sampling if best else None,
        template=prepared.template,
        template_reason=prepared.template_reason,
        timings=timings,
        error=Failure.of(error) if error else None,
        promptlift=__version__,
    )
    return Outcome(record, error, prepared.frames)


# ---- what an engine counts

_MOST_SHRINKS = 2
# What is left of a prompt that the engine refused without saying why.
_SHRINK = 0.75
# A small and a large picture of each shape, as `calibrate` asks for.
_SAMPLES = (Size(64, 64), Size(448, 256), Size(448, 448), Size(896, 504), Size(504, 896))

_Shape: TypeAlias = tuple[str, Size, int]
_known_excess: weakref.WeakKeyDictionary[Engine, dict[_Shape, int]] = weakref.WeakKeyDictionary()
_learned: weakref.WeakKeyDictionary[Engine, asyncio.Task[Family]] = weakref.WeakKeyDictionary()


async def profile_of(engine: Engine) -> EngineProfile:
    """Describe an engine; the formula of an unknown model is learned from a few small requests.

    Raises:
        EngineError: Nobody answers, or the settings are wrong.
        ConfigEngineError: No formula is known, and the engine does not say what it counts.
    """
    info = await engine.describe()
    if info.family is None:
        return EngineProfile(info, PIXTRAL)
    if info.family in FAMILIES and info.family != UNKNOWN.name:
        return EngineProfile(info, family(info.family))
    engine = innermost(engine)
    task = _learned.get(engine)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = _learned[engine] = asyncio.create_task(_learn_family(engine, info))
    return EngineProfile(info, await asyncio.shield(task))  # others may wait for it too


async def _learn_family(engine: Engine, info: EngineInfo) -> Family:
    import numpy as np

    counts: list[int | None] = []
    for size in (None, *_SAMPLES):  # a word alone, and with one picture
        frames: tuple[Frame, ...] = ()
        if size is not None:
            image = np.full((size.height, size.width, 3), 127, dtype=np.uint8)
            frames = (Frame(Fraction(0), image, wanted=Fraction(0)),)
        request = Request("Hello", frames, sampling=Sampling(max_tokens=1, temperature=0))
        try:
            tokens = await engine.count(request) if isinstance(engine, CountsTokens) else None
            if tokens is None:
                tokens = (await engine.complete(request)).prompt_tokens
        except EngineError:
            tokens = None
        counts.append(tokens)
    bare, *others = counts
    samples = [
        (size, tokens - bare)
        for size, tokens in zip(_SAMPLES, others, strict=True)
        if tokens is not None and bare is not None and tokens > bare
    ]
    if len(samples) < len(_SAMPLES):
        raise ConfigEngineError(
            f"nothing is known of how the model {info.model!r} counts images, and the engine does "
            "not tell",
            remedy=f"name its family with --family, one of {', '.join(FAMILIES)}",
        )
    return calibrate(samples)


async def _excess(
    engine: Engine, request: Request, predicted: int, counted_as: Family
) -> int | None:
    """How many tokens the engine counts beyond the prediction; None if it does not count.

    It is asked once for each shape. The text changes from item to item, and the images' share
    does not; where the text is only estimated, from above, an earlier item's difference is a
    lower bound of nothing, and only an excess is remembered.
    """
    if not isinstance(engine, CountsTokens) or not request.frames:
        return None
    known = _known_excess.setdefault(innermost(engine), {})
    shape = (counted_as.name, request.frames[0].size, len(request.frames))
    if shape not in known:
        try:
            counted = await engine.count(request)
        except EngineError:
            return None  # it will say so itself when it is asked for the answer
        if counted is None:
            return None
        excess = counted - predicted
        known[shape] = excess if counted_as.tokenizer == "tekken" else max(0, excess)
        return excess
    return known[shape]
