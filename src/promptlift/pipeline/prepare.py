"""From a video and a short prompt to all that is needed to ask an engine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, TypeAlias

from promptlift import review
from promptlift.engines.base import Request
from promptlift.errors import ConfigEngineError, OptionError, PromptError, PromptliftError
from promptlift.facts import Confident, Facts
from promptlift.instants import named
from promptlift.options import Options
from promptlift.pipeline.keys import NO_VIDEO, choose_template, settings_of, work_key
from promptlift.pipeline.video_cache import VideoCache
from promptlift.planning import (
    DEFAULT_CONTEXT,
    DEFAULT_RESERVE,
    Budget,
    Cost,
    Plan,
    answer_reserve,
    make_plan,
    plan_text,
)
from promptlift.record import Picture
from promptlift.targets import prompt_language
from promptlift.targets.documents import VideoFormat, document_form, video_format
from promptlift.targets.templates import Template, TemplateInput, Turn
from promptlift.text import check_short_prompt, counted
from promptlift.tokens import Family, counter_for, is_reasoning_model, load_target_counter
from promptlift.types import Control, EngineInfo, Frame, Kind, Role, Sampling, Size
from promptlift.video.reader import AnalysedError, Detail, FrameChoice, VideoAnalysis, frame_count
from promptlift.video.source import (
    ImageSource,
    Pictures,
    Source,
    VideoRegion,
    combined_content,
)

__all__ = [
    "PRELOAD",
    "Adjustment",
    "EngineProfile",
    "Prepared",
    "Progress",
    "Stage",
    "prepare",
    "source_name",
]

PRELOAD: Final = ("promptlift.video.movie", "promptlift.pipeline.prepare")
"""Modules that a worker process may import before its first call."""

Stage: TypeAlias = Literal["prepare", "ask"]
Progress: TypeAlias = Callable[[Stage, "Prepared | None"], None]
"""Called when a stage begins, with what is known by then."""


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """Who answers, and how it counts images. Picklable.

    Attributes:
        info: As `Engine.describe` gives it.
        family: The token formula; an engine that takes no tokens is planned for as Pixtral is.
    """

    info: EngineInfo
    family: Family


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What an engine taught about the size of a prompt, for planning it again.

    Attributes:
        extra_tokens: Tokens by which the engine's count exceeds the prediction.
        context: Tokens to plan for instead of the engine's context; None for that context.
        shrinks: How often the frames were planned smaller.
    """

    extra_tokens: int = 0
    context: int | None = None
    shrinks: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is needed to ask an engine about one item, or why it cannot be asked. Picklable.

    Attributes:
        name: The file's name without its folder; empty for bytes and lists of images.
        short_prompt: The user's words.
        options: How the item is treated.
        profile: Who is asked.
        key: The item's identity by content; None if preparing failed before there was one.
        template: Name of the template; None if preparing failed before it was chosen.
        template_reason: Why it is that template.
        analysis: What is known of the video; None if there is none, or it could not be read.
        plan: Which frames at which size.
        frames: The frames as they are shown, then the other pictures.
        pictures: The pictures beside the video.
        request: What the engine is asked; None where there is an error.
        adjustment: What the engine taught about the size of the prompt.
        error: Why it cannot be asked.
        seconds: How long preparing took.
    """

    name: str
    short_prompt: str
    options: Options
    profile: EngineProfile | None = None
    key: str | None = None
    template: str | None = None
    template_reason: str | None = None
    analysis: VideoAnalysis | None = None
    plan: Plan | None = None
    frames: tuple[Frame, ...] = ()
    pictures: tuple[Picture, ...] = ()
    request: Request | None = None
    adjustment: Adjustment = field(default_factory=Adjustment)
    error: PromptliftError | None = None
    seconds: float = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of the frames."""
        return sum(frame.image.nbytes for frame in self.frames)

    @property
    def predicted_tokens(self) -> int | None:
        """Tokens of what is sent, by the formula; a clip may give fewer frames than planned."""
        if self.plan is None:
            return None
        assert self.profile is not None, "it was planned for an engine"
        images = sum(self.profile.family.image(frame.size) for frame in self.frames)
        return images + self.plan.text_tokens - self.adjustment.extra_tokens


@dataclass(frozen=True, slots=True)
class _ItemPlan:
    """Plans the frames of an item once its video is analysed; picklable, for another process.

    Attributes:
        short_prompt: The user's words, checked.
        options: How the item is treated.
        profile: Who is asked.
        adjustment: What the engine taught about the size of the prompt.
        others: Roles of the pictures beside the video.
    """

    short_prompt: str
    options: Options
    profile: EngineProfile
    adjustment: Adjustment
    others: tuple[Role, ...] = ()

    def facts(self, analysis: VideoAnalysis) -> Facts:
        """What was measured and may be told."""
        facts = analysis.facts
        return facts.model_copy(update={"camera": None}) if self.options.camera_apart else facts

    def __call__(self, analysis: VideoAnalysis) -> tuple[int, Size]:
        """See `promptlift.video.reader.FramePlan`."""
        plan = self.plan(analysis)
        return plan.chosen.frames - len(self.others), plan.size

    @property
    def template(self) -> Template:
        """How the engine is asked."""
        return choose_template(self.options, self.profile.info)[0]

    @property
    def frames(self) -> int:
        """How many frames are read; a model without images is planned for as if it had one."""
        wanted, most = len(self.options.at) or self.options.frames, self.template.max_images
        return wanted if most is None else min(wanted, max(1, most - len(self.others)))

    def turn(
        self, analysis: VideoAnalysis | None, roles: tuple[Role, ...], times: tuple[Fraction, ...]
    ) -> tuple[Turn, Kind | None]:
        """What is said besides the images, and the kind of control video that they show."""
        options, facts, duration = self.options, None, None
        if analysis is not None:
            facts = self.facts(analysis)
            duration = None if analysis.info.is_still else analysis.info.duration
        kind = options.control or (facts.kind.value if facts and facts.kind else None)
        kind = None if kind == "rgb" else kind
        controls: tuple[Control, ...] = options.controls
        if not controls and kind is not None:
            controls = (kind,)
        given = TemplateInput(
            request=review.understand(self.short_prompt),
            target=options.goal,
            shown=kind,
            controls=controls,
            facts=facts,
            times=times,
            duration=duration,
            roles=roles,
            is_region=options.region is not None or options.mask is not None,
            nouns=options.nouns,
            instruction=options.instruction,
            creativity=options.creativity,
            video=self.video(analysis),
            style=options.style,
            variation=options.variation,
        )
        return self.template.render(given), kind

    def video(self, analysis: VideoAnalysis | None) -> VideoFormat | None:
        """The video to be generated; None for a target whose prompts do not tell of it."""
        goal = self.options.goal
        if not goal.document:
            return None
        source = analysis.info if analysis else None
        return replace(
            video_format(goal, self.options.video_parameters, source),
            first_frame=source is not None and source.is_still,
            last_frame="last" in self.others,
        )

    def reserve(self, context: int) -> int:
        """Tokens kept for the answer."""
        goal, info = self.options.goal, self.profile.info
        return (
            self.options.reserve
            or self.template.reserve
            or answer_reserve(
                goal,
                language=prompt_language(goal, review.understand(self.short_prompt).language),
                reasons=is_reasoning_model(info.model, info.family or "", info.origin),
                context=context,
            )
        )

    def plan(self, analysis: VideoAnalysis | None, size: Size | None = None) -> Plan:
        """How the frames of the video, if there is one, are shown to the engine.

        Args:
            analysis: The video.
            size: Of a picture beside it, to plan that one among all that are shown.

        Raises:
            ConfigEngineError: The engine takes fewer images, or has less context.
            BudgetError: Nothing fits, or the size that the user insists on does not.
        """
        info, options, family = self.profile.info, self.options, self.profile.family
        adjustment = self.adjustment
        own = 0 if analysis is None else frame_count(analysis.info, self.frames)
        frames = own + len(self.others)
        most = self.template.max_images
        if most and frames > most:
            raise OptionError(
                f"{counted(frames, 'picture')} are given, and the model takes {most}",
                remedy="give fewer",
            )
        if frames > info.max_images:
            raise ConfigEngineError(
                f"{counted(frames, 'frame')} are to be shown, and {info.name} takes "
                f"{info.max_images}",
                remedy=f"show at most {info.max_images}, or raise the engine's limit",
            )
        context = options.context or info.context or DEFAULT_CONTEXT
        if info.context is not None and context > info.context:
            raise ConfigEngineError(
                f"a context of {context:,} tokens is asked for, and {info.name} has "
                f"{info.context:,}",
                remedy="ask for less, or start the engine with more",
            )
        if adjustment.context is not None:
            context = adjustment.context
        # No frame is later than the end, so that no time is longer to write. `exact_plan` counts
        # the text anew once the frames are read.
        end = (analysis and analysis.info.duration) or Fraction(0)
        times = (end,) * own
        main: Role = "first" if analysis is not None and analysis.info.is_still else "frame"
        roles = (main,) * own + self.others
        budget = Budget(
            family,
            context,
            self.reserve(context),
            self._chat_tokens(analysis, roles, times) + adjustment.extra_tokens,
        )
        shape = size or (analysis.info.size if analysis else None)
        if shape is None:
            return replace(plan_text(budget), shrinks=adjustment.shrinks)
        plan = make_plan(shape, frames, budget, size=options.size, max_side=options.max_side)
        return replace(
            plan,
            strategy="at" if options.at else options.strategy,
            exact=options.exact,
            shrinks=adjustment.shrinks,
        )

    def exact_plan(
        self, plan: Plan, analysis: VideoAnalysis | None, frames: tuple[Frame, ...]
    ) -> Plan:
        """The same plan with the tokens of the text that tells the true times of the frames."""
        text = self._chat_tokens(analysis, *_parts(frames)) + self.adjustment.extra_tokens
        more = text - plan.text_tokens

        def cost(before: Cost) -> Cost:
            total = before.prompt_tokens + more
            return replace(before, prompt_tokens=total, fits=total + plan.reserve <= plan.context)

        return replace(plan, text_tokens=text, source=cost(plan.source), chosen=cost(plan.chosen))

    def request(
        self,
        analysis: VideoAnalysis | None,
        plan: Plan | None,
        frames: tuple[Frame, ...],
        content: str,
    ) -> Request:
        """What the engine is asked."""
        options = self.options
        turn, kind = self.turn(analysis, *_parts(frames))
        reserve = plan.reserve if plan else options.reserve or DEFAULT_RESERVE
        settings = settings_of(options, self.profile.info)
        # What is measured of the first frame alone need not hold until the last.
        is_whole = analysis is not None and "last" not in self.others
        video = self.video(analysis)
        form = document_form(options.goal) if video else None
        seed = options.seed + _SEEDS_A_VARIATION * (options.variation - 1)
        return Request(
            text=turn.text,
            system=turn.system,
            frames=frames,
            sampling=Sampling(reserve, options.temperature, seed),
            short_prompt=self.short_prompt,
            facts=self.facts(analysis) if analysis and is_whole else None,
            source_kind=kind,
            controls=options.controls,
            nouns=options.nouns,
            is_region=options.region is not None or options.mask is not None,
            key=work_key(settings, content=content, short_prompt=self.short_prompt),
            schema=form.schema(video, reserve) if form and video else None,
            video=video,
        )

    def _chat_tokens(
        self, analysis: VideoAnalysis | None, roles: tuple[Role, ...], times: tuple[Fraction, ...]
    ) -> int:
        turn, _ = self.turn(analysis, roles, times)
        family = self.profile.family
        return family.chat(turn.system, turn.text, len(roles), counter_for(family))


@dataclass(frozen=True, slots=True)
class _OtherPlan:
    """Plans a picture beside the video; see `promptlift.video.reader.FramePlan`."""

    item: _ItemPlan
    analysis: VideoAnalysis | None

    def __call__(self, picture: VideoAnalysis) -> tuple[int, Size]:
        return 1, self.item.plan(self.analysis, picture.info.size).size


async def prepare(
    source: Source | Pictures | None,
    short_prompt: str,
    options: Options,
    profile: EngineProfile,
    videos: VideoCache,
    *,
    progress: Progress | None = None,
    adjustment: Adjustment | None = None,
    with_frames: bool = False,
) -> Prepared:
    """Analyse a video, plan its frames, read them, and write the request.

    For an engine that reads neither text nor frames nothing is planned and no frames are read.

    What can go wrong with an item does not raise: it is in the result, with how far the item came.

    Args:
        source: The video, or pictures; None for words alone.
        short_prompt: The user's words; empty for "describe what is there".
        options: How.
        profile: Who will be asked.
        videos: Reads videos and remembers them.
        progress: Called when the stage begins.
        adjustment: What the engine taught about the size of the prompt, when an item is prepared
            again.
        with_frames: Plan and read the frames for an engine that does not look at them, too.
    """
    start = time.perf_counter()
    if progress is not None:
        progress("prepare", None)
    info, adjustment = profile.info, adjustment or Adjustment()
    analysis: VideoAnalysis | None = None
    error: PromptliftError | None = None
    plan: Plan | None = None
    frames: tuple[Frame, ...] = ()
    main, rest = _split(source)
    others: list[VideoAnalysis] = []
    content: str | None = None if main is not None or rest else NO_VIDEO
    key = chosen = reason = request = None
    try:
        short_prompt = check_short_prompt(short_prompt)
        if options.target_tokenizer is not None:
            load_target_counter(options.target_tokenizer)  # a wrong file costs no decoding
        roles = tuple(role for role, _ in rest)
        item = _ItemPlan(short_prompt, options, profile, adjustment, roles)
        is_planned = info.reads_text or with_frames or options.verify
        if is_planned:
            # The vocabulary is read from disk once; after that it costs less than a thread.
            await asyncio.to_thread(counter_for, profile.family)
        _check_request(source, item)
        if source is not None:
            analysis, frames, others, content = await _read_all(
                source, item, videos, plan=is_planned
            )
        if is_planned:
            size = others[0].info.size if others and analysis is None else None
            plan = item.exact_plan(item.plan(analysis, size), analysis, frames)
        request = item.request(analysis, plan, frames, content or NO_VIDEO)
    except AnalysedError as failure:
        analysis, error = failure.analysis, failure.error
        content = None if rest else analysis.content
    except PromptliftError as failure:
        error = failure
    if content is not None:
        used, reason = choose_template(options, info)
        chosen = used.name
        settings = settings_of(options, info)
        key = work_key(settings, content=content, short_prompt=short_prompt)
    return Prepared(
        name=source_name(main),
        short_prompt=short_prompt,
        options=options,
        profile=profile,
        key=key,
        template=chosen,
        template_reason=reason,
        analysis=analysis,
        plan=plan,
        frames=frames,
        pictures=tuple(
            Picture(role=role, name=source_name(source), content=one.content)
            for (role, source), one in zip(rest, others, strict=False)
        )
        if others
        else (),
        request=request,
        adjustment=adjustment,
        error=error,
        seconds=round(time.perf_counter() - start, 6),
    )


_SEEDS_A_VARIATION = 1000  # each attempt has a seed of its own
_LANGUAGE_OF_SCRIPT = {"han": "Chinese", "kana": "Japanese", "hangul": "Korean"}


def _check_request(source: Source | Pictures | None, item: _ItemPlan) -> None:
    """Refuse what the engine, the template or the pictures do not go with."""
    options, info = item.options, item.profile.info
    if not info.reads_text and (options.language or options.variation > 1):
        _check_without_model(item.short_prompt, options, info)
    if source is None or isinstance(source, Pictures):
        _check_pictures(source, item)


def _check_without_model(short_prompt: str, options: Options, info: EngineInfo) -> None:
    """Refuse what an engine that adds to the user's own words cannot do.

    Raises:
        OptionError: One of the options needs a model.
    """
    language = review.understand(short_prompt).language or (
        "" if short_prompt.strip() else "English"
    )
    language = _LANGUAGE_OF_SCRIPT.get(language, language)
    problem = ""
    if options.variation > 1:
        number = options.variation
        problem = f"variation {number} is asked for, and the {info.name} engine has only one"
    elif options.language and language.istitle() and options.language != language:
        problem = f"the language {options.language} is asked for, and the {info.name} engine "
        problem += f"cannot translate from {language}"
    if problem:
        remedy = "remove the option, or set up a vision-language model: see `promptlift doctor`"
        raise OptionError(problem, remedy=remedy)


def _split(
    source: Source | Pictures | None,
) -> tuple[Source | None, tuple[tuple[Role, ImageSource], ...]]:
    """The video or the first frame, and the other pictures."""
    return (source.main, source.rest) if isinstance(source, Pictures) else (source, ())


async def _read_all(
    given: Source | Pictures, item: _ItemPlan, videos: VideoCache, *, plan: bool
) -> tuple[VideoAnalysis | None, tuple[Frame, ...], list[VideoAnalysis], str]:
    """Read the video and the pictures beside it; the content is that of all together."""
    analysis: VideoAnalysis | None = None
    frames: tuple[Frame, ...] = ()
    others: list[VideoAnalysis] = []
    main, rest = _split(given)
    if main is not None:
        analysis, frames = await _read(main, item, videos, plan=plan)
        if isinstance(given, Pictures) and given.image is not None:
            _check_still("image", given.image, analysis)
    for one in rest:
        picture, shown = await _read_other(one, item, analysis, videos, plan=plan)
        others.append(picture)
        frames += shown
    content = analysis.content if analysis else NO_VIDEO
    if others:
        contents = [(role, one.content) for role, one in zip(item.others, others, strict=True)]
        content = combined_content(content, contents)
    return analysis, frames[: item.template.max_images], others, content


async def _read(
    source: Source, item: _ItemPlan, videos: VideoCache, *, plan: bool
) -> tuple[VideoAnalysis, tuple[Frame, ...]]:
    """Analyse the video or the first frame, and read its frames where they are planned."""
    options, info = item.options, item.profile.info
    choice = FrameChoice(options.strategy, item.frames, options.fps, options.exact, options.at)
    region = options.region if options.mask is None else str(options.mask)
    if region is not None:
        if not isinstance(source, str | bytes | os.PathLike):
            raise OptionError(
                "a region is given, and the video is a list of pictures", remedy="cut the pictures"
            )
        source = VideoRegion(source, region, choice)
    frames: tuple[Frame, ...] = ()
    if plan:
        detail: Detail = "low" if info.reads_text else "full"
        analysis, frames = await videos.read(
            source, choice, item, detail=detail, isolated=options.isolated
        )
    else:
        analysis = await videos.analyse(source, detail="full", isolated=options.isolated)
        if options.at and not analysis.info.is_still:
            named(analysis.info.duration, options.at)  # which refuses what is beyond the end
    analysis = _with_given_kind(analysis, options.control)
    if analysis.info.is_still:  # a picture is taken for the first frame of what is to be made
        frames = tuple(replace(frame, role="first") for frame in frames)
    return analysis, frames


def _with_given_kind(analysis: VideoAnalysis, given: Kind | None) -> VideoAnalysis:
    """The facts with the kind of the video that a spec's key or the user names."""
    if given is None:
        return analysis
    kind = Confident[Kind](value=given, confidence=1, evidence=f"it is given as {given}")
    return replace(analysis, facts=analysis.facts.model_copy(update={"kind": kind}))


async def _read_other(
    one: tuple[Role, ImageSource],
    item: _ItemPlan,
    analysis: VideoAnalysis | None,
    videos: VideoCache,
    *,
    plan: bool,
) -> tuple[VideoAnalysis, tuple[Frame, ...]]:
    """Read a picture beside the video."""
    (role, source), isolated = one, item.options.isolated
    frames: tuple[Frame, ...] = ()
    if plan:
        planned, choice = _OtherPlan(item, analysis), FrameChoice(count=1)
        try:
            picture, frames = await videos.read(
                source, choice, planned, detail="low", isolated=isolated
            )
        except AnalysedError as failure:
            raise failure.error from None
    else:
        picture = await videos.analyse(source, detail="low", isolated=isolated)
    _check_still("last-image" if role == "last" else role, source, picture)
    return picture, tuple(replace(frame, role=role) for frame in frames)


def _check_still(name: str, source: ImageSource, picture: VideoAnalysis) -> None:
    if not picture.info.is_still:
        raise OptionError(
            f"--{name} is a video ({source_name(source) or 'bytes'})", remedy="give a picture"
        )


def _check_pictures(given: Pictures | None, item: _ItemPlan) -> None:
    """Refuse what does not go with the pictures, or without any.

    Raises:
        PromptError: There are no words either.
        OptionError: The model or an option needs others.
    """
    options, info = item.options, item.profile.info
    name = next((one for one in ("region", "mask", "at") if getattr(options, one)), None)
    if given is not None and (given.others or given.main is not None):
        if given.others and name is not None:
            role = {"first": "image", "last": "last-image"}.get(given.others[0][0], "reference")
            raise OptionError(f"both --{name} and --{role} are given", remedy="remove one of them")
    elif not item.short_prompt:
        raise PromptError(
            "there is neither a video nor a prompt", remedy="give a short prompt, a video, or both"
        )
    elif item.template.needs_images:
        raise OptionError(
            f"the model {info.model} writes from pictures, and there are none",
            remedy="give a video or a picture, or use a general model",
        )
    elif name is not None:
        raise OptionError(
            f"--{name} is given, and there is no video", remedy="give a video, or remove it"
        )


def _parts(frames: tuple[Frame, ...]) -> tuple[tuple[Role, ...], tuple[Fraction, ...]]:
    """The roles of the frames, and the times of those of the video."""
    roles, times = [], []
    for frame in frames:
        roles.append(frame.role)
        if frame.role in ("frame", "first"):
            times.append(frame.time)
    return tuple(roles), tuple(times)


def source_name(source: Source | None) -> str:
    """The file's name without its folder; empty for bytes, lists of images and words alone."""
    if isinstance(source, str | os.PathLike):
        return os.fsencode(Path(source).name).decode("utf-8", "replace")
    return ""
