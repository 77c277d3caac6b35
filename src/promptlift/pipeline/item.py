"""The steps of one item, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from promptlift.config import Options
from promptlift.core.budget import Budget, Plan
from promptlift.core.facts import Facts, Kind
from promptlift.core.prompts import Control, Turn, template
from promptlift.core.record import Record
from promptlift.core.review import Review, review
from promptlift.core.sampling import Sampling
from promptlift.core.targets import Target, estimate_tokens, target
from promptlift.core.text import check_short_prompt
from promptlift.core.tokens import CountText, Family
from promptlift.core.video import Frame, VideoInfo
from promptlift.engines.base import Completion, Engine, EngineInfo, Request
from promptlift.errors import BudgetError, ItemEngineError, PromptliftError
from promptlift.frames import Source
from promptlift.pipeline.asking import Judge, Telling, ask
from promptlift.pipeline.draft import Draft, Progress
from promptlift.pipeline.families import family_of
from promptlift.pipeline.foresight import Foreseen, Foresight, context_of, frame_count, plan_for
from promptlift.pipeline.identity import choose_template, settings_of, template_name, work_key
from promptlift.pipeline.seeing import See
from promptlift.pipeline.sights import Sights
from promptlift.tokenizers.counting import counter_for, loaded_counter
from promptlift.tokenizers.target import load_target_counter

__all__ = ["Outcome", "upsample_item"]

T = TypeVar("T")
U = TypeVar("U")


class Outcome(NamedTuple):
    """What became of an item.

    Attributes:
        record: Always there.
        error: Why there is no answer; None where there is one, good or bad.
        frames: The hint frames; empty where they were not read.
    """

    record: Record
    error: PromptliftError | None
    frames: tuple[Frame, ...]


class _Known(NamedTuple):
    """Who answers, and how it counts images and text."""

    who: EngineInfo
    family: Family
    text: CountText


async def upsample_item(
    source: Source,
    short_prompt: str,
    engine: Engine,
    options: Options,
    *,
    progress: Progress | None = None,
    telling: Telling | None = None,
    plan_only: bool = False,
    sights: See | None = None,
) -> Outcome:
    """Turn one video and one short prompt into a record.

    What can go wrong with an item does not raise: it is in the outcome, with a record of how
    far the item came.

    Args:
        source: The video.
        short_prompt: The user's words; empty for "describe what is there".
        engine: Who is asked.
        options: How.
        progress: Is told when a stage begins.
        telling: Is told each answer as it is written, before any review, where the engine can do
            so; None begins anew. What comes out is the same as without.
        plan_only: Stop before the engine is asked.
        sights: Who looks at videos and remembers what was seen; None to remember nothing.
    """
    draft = Draft(source, options, short_prompt, progress, telling)
    try:
        await _steps(draft, engine, sights or Sights(0), plan_only=plan_only)
    except PromptliftError as error:
        return Outcome(draft.record(error), error, draft.frames)
    return Outcome(draft.record(), None, draft.frames)


async def _steps(draft: Draft, engine: Engine, sights: See, *, plan_only: bool) -> None:
    options = draft.options
    draft.short_prompt = check_short_prompt(draft.short_prompt)
    draft.target = goal = target(options.target)
    counter = _target_counter(options)
    with draft.stage("survey"):
        foreseen = Foreseen(options)
        seeing = sights.survey(draft.source, isolated=options.isolated, foreseen=foreseen)
        known, seen = await _both(_ready(draft, engine, goal, foreseen), seeing)
    draft.survey = seen
    name, draft.template_reason = choose_template(options, known.who)
    draft.template = template(name)
    settings = settings_of(options, known.who)
    draft.key = work_key(settings, content=seen.content, short_prompt=draft.short_prompt)
    shown = _shown(options, seen.facts)
    turn = _turn(draft.short_prompt, options, known, shown, goal)
    planned = _budget(options, known, turn, frame_count(seen.info, options))
    judge = partial(_judge, draft.short_prompt, goal, counter, seen.facts, shown)
    while True:
        with draft.stage("plan"):
            budget = draft.fit.budget(planned)
            draft.plan = plan = _planned(draft, known.who, seen.info, budget)
        with draft.stage("look"):
            draft.frames = await sights.look(draft.source, options, plan.chosen.frames, plan.size)
        if plan_only:
            return
        request = _request(draft, turn, seen.facts, shown)
        with draft.stage("ask"):
            if await _answered(draft, engine, request, judge, planned):
                return


async def _answered(
    draft: Draft, engine: Engine, request: Request, judge: Judge, budget: Budget
) -> bool:
    """Ask; False where the frames must be planned smaller first."""
    predicted = draft.predicted or 0
    if not await draft.fit.holds(engine, request, predicted, budget):
        return False
    room = budget.context - (draft.fit.counted or predicted)
    attempts = draft.options.attempts
    try:
        await ask(
            engine,
            request,
            judge,
            attempts=attempts,
            room=room,
            answers=draft.answers,
            telling=draft.telling,
        )
    except ItemEngineError as error:
        draft.refused = error
        takes_tokens = draft.engine is not None and draft.engine.family is not None
        cost = predicted + budget.reserve
        if draft.answers or not takes_tokens or not draft.fit.retry_smaller(cost):
            raise
        return False
    return True


def _request(draft: Draft, turn: Turn, facts: Facts, shown: Kind | None) -> Request:
    options = draft.options
    return Request(
        text=turn.text,
        system=turn.system,
        frames=draft.frames,
        sampling=Sampling(options.reserve, options.temperature, options.seed),
        short_prompt=draft.short_prompt,
        facts=facts,
        shown=shown,
        key=draft.key or "",
    )


def _judge(
    short_prompt: str,
    goal: Target,
    counter: CountText | None,
    facts: Facts,
    shown: Kind | None,
    completion: Completion,
) -> tuple[Review, int]:
    verdict = review(
        completion.text,
        finish_reason=completion.finish_reason,
        short_prompt=short_prompt,
        target=goal,
        count_tokens=counter,
        facts=facts,
        control=shown,
    )
    return verdict, counter(verdict.text) if counter else estimate_tokens(verdict.text, goal)


async def _ready(draft: Draft, engine: Engine, goal: Target, foreseen: Foreseen) -> _Known:
    """Who answers; and what will be planned, unless the facts change the text's length."""
    try:
        known = await _known(draft, engine)
        foreseen.settle(partial(_foresight, draft.short_prompt, draft.options, known, goal))
    finally:
        foreseen.settle(lambda: None)
    return known


def _foresight(
    short_prompt: str, options: Options, known: _Known, goal: Target
) -> Foresight | None:
    with suppress(PromptliftError):  # it comes up again, in its turn
        turn = _turn(short_prompt, options, known, _shown(options, Facts()), goal)
        return Foresight(options, known.who, _budget(options, known, turn, options.frames))
    return None


async def _known(draft: Draft, engine: Engine) -> _Known:
    draft.engine = who = await engine.describe()
    family = await family_of(engine, who)
    counter = loaded_counter(family)  # a thread costs more than a counter that is there
    if counter is None:
        counter = await asyncio.to_thread(counter_for, family)
    return _Known(who, family, counter)


async def _both(first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """Wait for two things at once; when the first fails nobody waits for the second."""
    other = asyncio.ensure_future(second)
    try:
        one = await first
    except BaseException:
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        raise
    return one, await other


def _turn(
    short_prompt: str, options: Options, known: _Known, shown: Kind | None, goal: Target
) -> Turn:
    words = template(template_name(options, known.who))
    return words.render(short_prompt, shown, _obeyed(options, shown), goal)


def _budget(options: Options, known: _Known, turn: Turn, frames: int) -> Budget:
    chat_tokens = known.family.chat(turn.system, turn.text, frames, known.text)
    return Budget(known.family, context_of(known.who, options), options.reserve, chat_tokens)


def _planned(draft: Draft, who: EngineInfo, info: VideoInfo, budget: Budget) -> Plan:
    """The plan; where there is none smaller than what was refused, the refusal stands."""
    try:
        return plan_for(who, info, draft.options, budget)
    except BudgetError:
        if draft.refused is None:
            raise
        raise draft.refused from None


def _target_counter(options: Options) -> CountText | None:
    """The target's own tokenizer where its file is given; else its tokens are estimated."""
    path = options.target_tokenizer
    return None if path is None else load_target_counter(path)


def _shown(options: Options, facts: Facts) -> Kind | None:
    """The kind of control video that is shown; None for an ordinary picture."""
    kind = options.control or (facts.kind.value if facts.kind else None)
    return None if kind == "rgb" else kind


def _obeyed(options: Options, shown: Kind | None) -> tuple[Control, ...]:
    """What the generator follows besides the prompt; without a word of it, what it is shown."""
    if options.controls:
        return options.controls
    return () if shown is None or shown == "rgb" else (shown,)
