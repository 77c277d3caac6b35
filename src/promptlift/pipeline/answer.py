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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from promptlift import __version__, review
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
from promptlift.pipeline.repair import repair_request, resample, takes_follow_ups
from promptlift.pipeline.video_cache import VideoCache
from promptlift.planning import DEFAULT_CONTEXT
from promptlift.record import Attempt, Failure, FrameInfo, Record, Reviewed, Status, Tokens, Video
from promptlift.review import Review
from promptlift.review.verify import (
    SYSTEM,
    Verification,
    agreement,
    answer_schema,
    parse_answers,
    questions_about,
    verification_text,
)
from promptlift.targets import Target, estimate_tokens, target
from promptlift.targets.documents import ParsedDocument, document_form
from promptlift.text import check_short_prompt
from promptlift.tokens import (
    FAMILIES,
    PIXTRAL,
    UNKNOWN,
    Family,
    calibrate,
    counter_for,
    family,
    load_target_counter,
)
from promptlift.types import EngineInfo, Frame, Sampling, Size
from promptlift.video.source import Pictures, Source

__all__ = ["OnText", "Outcome", "answer", "profile_of", "upsample_item"]

OnText: TypeAlias = Callable[[str | None], None]
"""Called with each piece of an answer as it is written; None begins anew: what came is void."""


class Outcome(NamedTuple):
    """What became of an item.

    Attributes:
        record: Always there.
        error: Why there is no answer; None where there is one, good or bad.
        frames: The frames as they were shown; empty where they were not read.
        request: What the engine would be asked, where only a plan was wanted.
    """

    record: Record
    error: PromptliftError | None
    frames: tuple[Frame, ...]
    request: Request | None = None


async def upsample_item(
    source: Source | Pictures | None,
    short_prompt: str,
    engine: Engine,
    options: Options,
    *,
    progress: Progress | None = None,
    on_text: OnText | None = None,
    plan_only: bool = False,
    with_frames: bool = False,
    videos: VideoCache | None = None,
    judge: Engine | None = None,
    original: str | None = None,
    others: Mapping[int, str] | None = None,
) -> Outcome:
    """Turn one video and one short prompt into a record: `prepare`, then `answer`.

    What can go wrong with an item does not raise: it is in the outcome, with a record of how far
    the item came.

    Args:
        source: The video, or pictures; None for words alone.
        short_prompt: The user's words; empty for "describe what is there".
        engine: Who is asked.
        options: How.
        progress: Called when a stage begins.
        on_text: Called with each answer as it is written, before any review, where the engine can
            do so. What comes out is the same as without.
        plan_only: Stop before the engine is asked.
        with_frames: Plan and read the frames for an engine that does not look at them, too.
        videos: Reads videos and remembers them; None to remember nothing.
        judge: Who verifies the result where the options ask for that; None for the engine itself.
        original: See `promptlift.review.answers.review`.
        others: The prompts of other variations by their numbers; no answer may be nearly equal.
    """
    try:
        check_short_prompt(short_prompt)  # a slip of the keyboard should not start an engine
        profile = await profile_of(engine, images=source is not None)
    except PromptliftError as error:
        main = source.main if isinstance(source, Pictures) else source
        prepared = Prepared(source_name(main), short_prompt, options, error=error)
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
        return _outcome(_Item(prepared), prepared.error)._replace(request=prepared.request)
    return await answer(
        prepared,
        engine,
        prepare_smaller=again_smaller,
        progress=progress,
        on_text=on_text,
        judge=judge,
        original=original,
        others=others,
    )


async def answer(
    prepared: Prepared,
    engine: Engine,
    *,
    prepare_smaller: Callable[..., Awaitable[Prepared]] | None = None,
    progress: Progress | None = None,
    on_text: OnText | None = None,
    judge: Engine | None = None,
    original: str | None = None,
    others: Mapping[int, str] | None = None,
) -> Outcome:
    """Ask an engine about a prepared item, review what it answers, and ask again where it must.

    Args:
        prepared: The item. One that could not be prepared gives the record of its failure.
        engine: Who is asked.
        prepare_smaller: Prepares the item again with an ``adjustment``, where its prompt does not
            fit; None where that cannot be done, so that what the engine refuses fails.
        progress: Called when the stage begins.
        on_text: See `upsample_item`.
        judge: See `upsample_item`.
        original: See `upsample_item`.
        others: See `upsample_item`; what is added meanwhile counts.

    Raises:
        Exception: Whatever the engine raises that is not a `PromptliftError`.
    """
    item = _Item(prepared, others or {}, original)
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
                if item.prepared.options.verify:
                    item.verification = await _verify(item, engine, judge)
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
    document: Mapping[str, Any] | None = None


@dataclass(slots=True)
class _Item:
    """What is known of an item so far."""

    prepared: Prepared
    others: Mapping[int, str] = field(default_factory=dict)
    original: str | None = None
    answers: list[_Answer] = field(default_factory=list)
    counted: int | None = None
    refused: ItemEngineError | None = None
    unchanged: str = ""
    unchanged_text: str = ""
    unchanged_document: Mapping[str, Any] | None = None
    unchanged_tokens: int | None = None
    asked: bool = False
    prepare_seconds: float = 0.0
    ask_seconds: float = 0.0
    verification: Verification | None = None
    verify_seconds: float = 0.0

    @property
    def best(self) -> _Answer | None:
        """The best verdict; of equals the one with fewest failed checks, then the first.

        An answer without the document that was asked for comes last.
        """
        order = {"ok": 0, "repaired": 1, "rejected": 2}
        return min(
            self.answers,
            key=lambda one: (
                order[one.review.verdict],
                one.document == {},
                len(one.review.failed),
            ),
            default=None,
        )


async def _ask_if_it_fits(
    item: _Item, engine: Engine, on_text: OnText | None, *, can_shrink: bool
) -> Adjustment | None:
    """Ask, or say how the frames are to be planned smaller first."""
    prepared = item.prepared
    request, plan, profile = prepared.request, prepared.plan, prepared.profile
    assert request is not None, "it was prepared"
    assert profile is not None, "it was prepared for an engine"
    known, reserve = prepared.adjustment, request.sampling.max_tokens
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
    if not profile.info.reads_text:
        await _compose(item, engine, request)
        return None
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


async def _compose(item: _Item, engine: Engine, request: Request) -> None:
    """Have sentences added to the user's words, which are not reviewed: they are his own.

    Where more than the target takes would come of it, his words stay as they are.
    """
    options = item.prepared.options
    goal, path = options.goal, options.target_tokenizer
    count_tokens = load_target_counter(path) if path else partial(estimate_tokens, target=goal)
    start = time.perf_counter()
    completion = await engine.complete(request)
    text, item.unchanged = completion.text, completion.unchanged
    if options.style and options.style.casefold() not in text.casefold():
        style = f"{options.style[:1].upper()}{options.style[1:].rstrip('.')}."
        if text.strip()[-1:] not in tuple(".!?"):
            text = f"{text.rstrip()}."
        text = f"{style} {text}" if goal.style == "first" else f"{text} {style}"
        item.unchanged = ""
    document = None
    if request.video is not None:
        document = _document_without_model(goal, request, text)
    if document is not None:
        text = item.unchanged_text = document.text
        item.unchanged_document = document.data
    tokens = count_tokens(text)
    if tokens > goal.limit and not item.unchanged:
        item.unchanged = (
            f"with more it would have {tokens:,} tokens, and {goal.name} takes {goal.limit:,}"
        )
    if item.unchanged:
        item.unchanged_tokens = count_tokens(item.unchanged_text or request.short_prompt)
        return
    verdict = Review(verdict="ok", text=text, checks=())
    attempt = Attempt(
        text=text,
        finish_reason=completion.finish_reason,
        verdict=verdict.verdict,
        failed=(),
        sampling=request.sampling,
        completion_tokens=completion.completion_tokens,
        seconds=round(time.perf_counter() - start, 6),
    )
    data = document.data if document else None
    item.answers.append(_Answer(attempt, verdict, completion.prompt_tokens, tokens, data))


def _document_without_model(goal: Target, request: Request, prose: str) -> ParsedDocument | None:
    """What was said and measured in the target's form; None where it cannot be."""
    form = document_form(goal)
    assert form is not None
    assert request.video is not None, "it was prepared for a document"
    words = request.short_prompt
    added = prose.removeprefix(words)
    return form.without_model(prose, added, review.understand(words), request.video)


async def _ask(
    item: _Item, engine: Engine, request: Request, room: int, on_text: OnText | None
) -> None:
    """Ask until an answer passes, at most as often as the options say.

    A general model is told what is wrong with its answer; see `promptlift.pipeline.repair`.
    """
    prepared, answers = item.prepared, item.answers
    options = prepared.options
    goal, path = options.goal, options.target_tokenizer
    count_tokens = None if path is None else load_target_counter(path)
    form = document_form(goal)
    first, more_turns, can_tell = request, True, takes_follow_ups(prepared)
    while True:
        told = request.follow_ups[-1].text if request.follow_ups else ""
        told = told or request.text[len(first.text) :].strip()
        start = time.perf_counter()
        try:
            completion = await _complete(engine, request, on_text)
        except ItemEngineError:
            if not told:
                raise
            # Some servers and chat templates refuse more than one turn.
            can_tell, more_turns = can_tell and bool(request.follow_ups), False
            request = await _again(item, engine, first, room, can_tell, more_turns)
            continue
        seconds = round(time.perf_counter() - start, 6)
        document = None
        if form is not None and request.video is not None:
            document = form.parse(completion.text, request.video)
        verdict = review.review(
            completion.text,
            finish_reason=completion.finish_reason,
            short_prompt=request.short_prompt,
            target=goal,
            count_tokens=count_tokens,
            facts=request.facts,
            control=request.source_kind,
            creativity=options.creativity,
            document=document,
            original=item.original,
            style=options.style,
            others=[text for n, text in item.others.items() if n != options.variation],
            camera_apart=options.camera_apart,
        )
        attempt = Attempt(
            text=completion.text,
            finish_reason=completion.finish_reason,
            verdict=verdict.verdict,
            failed=verdict.failed,
            sampling=request.sampling,
            completion_tokens=completion.completion_tokens,
            seconds=seconds,
            feedback=told,
        )
        tokens = count_tokens(verdict.text) if count_tokens else estimate_tokens(verdict.text, goal)
        data = document.data if document else None
        answers.append(_Answer(attempt, verdict, completion.prompt_tokens, tokens, data))
        if verdict.verdict != "rejected" or len(answers) >= options.attempts:
            return
        if prepared.plan is not None and completion.prompt_tokens and not told:
            room = min(room, prepared.plan.context - completion.prompt_tokens)
        request = await _again(item, engine, first, room, can_tell, more_turns)


async def _again(
    item: _Item, engine: Engine, first: Request, room: int, can_tell: bool, more_turns: bool
) -> Request:
    """The next request, after answers that were rejected."""
    reviews = [one.review for one in item.answers]
    if can_tell:
        repair = await repair_request(
            engine, item.prepared, first, reviews, room, more_turns=more_turns
        )
        if repair is not None:
            return repair
    failed = reviews[-1].failed
    sampling = resample(first.sampling, len(reviews), failed=failed, room=room)
    return replace(first, sampling=sampling)


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


# Most tokens of a judge's answer: it may think before it answers.
_JUDGE_TOKENS = 1024
_TOKENS_A_LINE = 12


async def _verify(item: _Item, engine: Engine, judge: Engine | None) -> Verification | None:
    """Ask a judge about the result; its failure is a note in what it would have said.

    Returns:
        None where no answer of the engine is the result.
    """
    best, options = item.best, item.prepared.options
    if best is None or (best.review.verdict == "rejected" and options.on_reject != "best"):
        return None
    start, profile = time.perf_counter(), item.prepared.profile
    try:
        if judge is not None:
            profile = await profile_of(judge)
        assert profile is not None, "it was prepared for an engine"
        return await _ask_judge(item.prepared, best.review, judge or engine, profile)
    except PromptliftError as error:
        info = profile.info if profile is not None else None
        return Verification(
            engine=info.name if info else "", model=info.model if info else "", error=str(error)
        )
    finally:
        item.verify_seconds = time.perf_counter() - start


async def _ask_judge(
    prepared: Prepared, reviewed: Review, judge: Engine, profile: EngineProfile
) -> Verification:
    """Show the judge the frames where it takes them, else the words alone."""
    info, counted_as, request = profile.info, profile.family, prepared.request
    assert request is not None, "it was prepared"
    if not info.reads_text:
        raise ConfigEngineError(
            f"the {info.name} engine answers no questions",
            remedy="name a model with --judge, or leave --verify out",
        )
    is_same = profile is prepared.profile and prepared.plan is not None
    context = prepared.plan.context if is_same and prepared.plan else info.context
    extra = prepared.adjustment.extra_tokens if is_same else 0
    most = max(_JUDGE_TOKENS, request.sampling.max_tokens)  # as much as a model that thinks takes
    for frames in (prepared.frames, ()):
        questions = questions_about(reviewed.claims, frames=bool(frames))
        text = verification_text(prepared.short_prompt, reviewed.text, questions)
        tokens = counted_as.chat(SYSTEM, text, len(frames), counter_for(counted_as))
        tokens += extra + sum(counted_as.image(frame.size) for frame in frames)
        room = (context or DEFAULT_CONTEXT) - tokens
        if len(frames) > info.max_images or room < _TOKENS_A_LINE * (len(questions) + 1):
            continue
        asked = Request(
            text=text,
            frames=frames,
            system=SYSTEM,
            sampling=Sampling(min(room, most), 0, prepared.options.seed),
            short_prompt=prepared.short_prompt,
            source_kind=request.source_kind,
            key=request.key,
            schema=answer_schema(questions),
        )
        try:
            completion = await judge.complete(asked)
        except ItemEngineError:
            if not frames:
                raise
            continue
        questions = parse_answers(completion.text, questions)
        return Verification(
            engine=info.name,
            model=info.model,
            saw_frames=bool(frames),
            questions=questions,
            agreed=agreement(questions),
        )
    raise BudgetError(
        f"the prompt and the questions do not fit the context of {info.name}",
        remedy="name a judge with a larger context",
    )


def _outcome(item: _Item, error: PromptliftError | None) -> Outcome:
    """The record of all that is known of an item."""
    prepared = item.prepared
    options, analysis = prepared.options, prepared.analysis
    best = item.best
    status: Status = "failed" if error else best.review.verdict if best else "planned"
    prompt = document = None
    if item.unchanged:
        status, prompt = "unchanged", item.unchanged_text or prepared.short_prompt
        document = item.unchanged_document
    if best is not None and error is None:
        if status != "rejected" or options.on_reject == "best":
            prompt, document = best.review.text, best.document or None
        elif options.on_reject == "original":
            prompt = prepared.short_prompt
    timings = {"prepare": round(item.prepare_seconds + prepared.seconds, 6)}
    if item.asked:
        timings["ask"] = round(item.ask_seconds, 6)
    if item.verification is not None:
        timings["verify"] = round(item.verify_seconds, 6)
    record = Record(
        key=prepared.key,
        status=status,
        video=Video(
            name=prepared.name,
            content=analysis.content if analysis else None,
            probe=analysis.info if analysis else None,
            warnings=analysis.warnings if analysis else (),
        ),
        pictures=prepared.pictures,
        short_prompt=prepared.short_prompt,
        prompt=prompt,
        document=dict(document) if document else None,
        negative_prompt=review.negative_prompt(
            options.goal, prompt, short_prompt=prepared.short_prompt, style=options.style
        )
        if options.negative and prompt is not None
        else "",
        note=item.unchanged,
        target=target(options.target).label,
        # Where the model was loaded from is the machine's business.
        engine=replace(prepared.profile.info, origin="") if prepared.profile else None,
        plan=prepared.plan,
        frames=tuple(map(FrameInfo.of, prepared.frames)),
        tokens=Tokens(
            predicted=prepared.predicted_tokens,
            counted=item.counted,
            actual=best.prompt_tokens if best else None,
            completion=best.attempt.completion_tokens if best else None,
            target=best.target_tokens if best else item.unchanged_tokens,
            target_limit=target(options.target).limit,
            target_estimated=options.target_tokenizer is None,
        ),
        facts=analysis.facts if analysis else None,
        review=Reviewed.of(best.review) if best and best.review.checks else None,
        verification=item.verification,
        attempts=tuple(one.attempt for one in item.answers),
        sampling=best.attempt.sampling if best else None,
        template=prepared.template,
        template_reason=prepared.template_reason,
        instruction=options.instruction,
        style=options.style,
        variation=options.variation,
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

_Shape: TypeAlias = tuple[str, tuple[Size, ...]]
_known_excess: weakref.WeakKeyDictionary[Engine, dict[_Shape, int]] = weakref.WeakKeyDictionary()
_learned: weakref.WeakKeyDictionary[Engine, asyncio.Task[Family]] = weakref.WeakKeyDictionary()


async def profile_of(engine: Engine, *, images: bool = True) -> EngineProfile:
    """Describe an engine; the formula of an unknown model is learned from a few small requests.

    Args:
        engine: The engine.
        images: Whether it will be shown any; else there is no formula to be learned.

    Raises:
        EngineError: Nobody answers, or the settings are wrong.
        ConfigEngineError: No formula is known, and the engine does not say what it counts.
    """
    info = await engine.describe()
    if info.family is None:
        return EngineProfile(info, PIXTRAL)
    if info.family in FAMILIES and info.family != UNKNOWN.name:
        return EngineProfile(info, family(info.family))
    if not images:
        return EngineProfile(info, UNKNOWN)
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
    shape = (counted_as.name, tuple(frame.size for frame in request.frames))
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
