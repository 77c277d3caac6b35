"""From a video and a short prompt to all that is needed to ask an engine."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from promptlift.engines.base import Request
from promptlift.errors import ConfigEngineError, OptionError, PromptliftError
from promptlift.options import Options
from promptlift.pipeline.video_cache import VideoCache
from promptlift.planning import (
    DEFAULT_CONTEXT,
    DEFAULT_RESERVE,
    Budget,
    Cost,
    Plan,
    answer_reserve,
    make_plan,
)
from promptlift.review.request import understand
from promptlift.targets import prompt_language, target
from promptlift.targets.templates import Template, TemplateInput, Turn, template
from promptlift.text import check_short_prompt, counted
from promptlift.tokens import Family, counter_for, is_reasoning_model, load_target_counter
from promptlift.types import Control, EngineInfo, Frame, Kind, Sampling, Size
from promptlift.video.reader import AnalysedError, FrameChoice, VideoAnalysis, frame_count
from promptlift.video.source import Source, VideoRegion

__all__ = [
    "PRELOAD",
    "Adjustment",
    "EngineProfile",
    "Prepared",
    "Progress",
    "Stage",
    "choose_template",
    "options_as_json",
    "prepare",
    "settings_of",
    "source_name",
    "work_key",
]

PRELOAD: Final = ("promptlift.video.movie", "promptlift.pipeline.prepare")
"""Modules that a worker process may import before its first call."""

UPSAMPLER_IMAGES: Final = 2
"""The most images of a request in Cosmos-Transfer1: auxiliary/upsampler/model/upsampler.py."""

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
        analysis: What is known of the video; None if it could not be read.
        plan: Which frames at which size.
        frames: The frames as they are shown.
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
    """

    short_prompt: str
    options: Options
    profile: EngineProfile
    adjustment: Adjustment

    def __call__(self, analysis: VideoAnalysis) -> tuple[int, Size]:
        """See `promptlift.video.reader.FramePlan`."""
        plan = self.plan(analysis)
        return plan.chosen.frames, plan.size

    @property
    def template(self) -> Template:
        """How the engine is asked."""
        return choose_template(self.options, self.profile.info)[0]

    @property
    def frames(self) -> int:
        """How many frames are read; a model without images is planned for as if it had one."""
        wanted, most = self.options.frames, self.template.max_images
        return wanted if most is None else min(wanted, max(1, most))

    def turn(
        self, analysis: VideoAnalysis, times: tuple[Fraction, ...]
    ) -> tuple[Turn, Kind | None]:
        """What is said besides the images, and the kind of control video that they show."""
        options = self.options
        kind = options.control or (analysis.facts.kind.value if analysis.facts.kind else None)
        kind = None if kind == "rgb" else kind
        controls: tuple[Control, ...] = options.controls
        if not controls and kind is not None:
            controls = (kind,)
        given = TemplateInput(
            request=understand(self.short_prompt),
            target=target(options.target),
            shown=kind,
            controls=controls,
            facts=analysis.facts,
            times=times,
            duration=None if analysis.info.is_still else analysis.info.duration,
            is_region=options.region is not None or options.mask is not None,
            instruction=options.instruction,
        )
        return self.template.render(given), kind

    def reserve(self, context: int) -> int:
        """Tokens kept for the answer."""
        goal, info = target(self.options.target), self.profile.info
        return (
            self.options.reserve
            or self.template.reserve
            or answer_reserve(
                goal,
                language=prompt_language(goal, understand(self.short_prompt).language),
                reasons=is_reasoning_model(info.model, info.family or "", info.origin),
                context=context,
            )
        )

    def plan(self, analysis: VideoAnalysis) -> Plan:
        """How the frames of the video are shown to the engine.

        Raises:
            ConfigEngineError: The engine takes fewer images, or has less context.
            BudgetError: Nothing fits, or the size that the user insists on does not.
        """
        info, options, family = self.profile.info, self.options, self.profile.family
        adjustment = self.adjustment
        frames = frame_count(analysis.info, self.frames)
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
        times = (analysis.info.duration or Fraction(0),) * frames
        budget = Budget(
            family,
            context,
            self.reserve(context),
            self._chat_tokens(analysis, times) + adjustment.extra_tokens,
        )
        plan = make_plan(
            analysis.info.size, frames, budget, size=options.size, max_side=options.max_side
        )
        return replace(
            plan, strategy=options.strategy, exact=options.exact, shrinks=adjustment.shrinks
        )

    def exact_plan(self, plan: Plan, analysis: VideoAnalysis, times: tuple[Fraction, ...]) -> Plan:
        """The same plan with the tokens of the text that tells the true times of the frames."""
        text = self._chat_tokens(analysis, times) + self.adjustment.extra_tokens
        more = text - plan.text_tokens

        def cost(before: Cost) -> Cost:
            total = before.prompt_tokens + more
            return replace(before, prompt_tokens=total, fits=total + plan.reserve <= plan.context)

        return replace(plan, text_tokens=text, source=cost(plan.source), chosen=cost(plan.chosen))

    def request(
        self, analysis: VideoAnalysis, plan: Plan | None, frames: tuple[Frame, ...]
    ) -> Request:
        """What the engine is asked."""
        options = self.options
        turn, kind = self.turn(analysis, _times(frames))
        reserve = plan.reserve if plan else options.reserve or DEFAULT_RESERVE
        settings = settings_of(options, self.profile.info)
        return Request(
            text=turn.text,
            system=turn.system,
            frames=frames,
            sampling=Sampling(reserve, options.temperature, options.seed),
            short_prompt=self.short_prompt,
            facts=analysis.facts,
            source_kind=kind,
            controls=options.controls,
            nouns=options.nouns,
            is_region=options.region is not None or options.mask is not None,
            key=work_key(settings, content=analysis.content, short_prompt=self.short_prompt),
        )

    def _chat_tokens(self, analysis: VideoAnalysis, times: tuple[Fraction, ...]) -> int:
        turn, _ = self.turn(analysis, times)
        family = self.profile.family
        return family.chat(turn.system, turn.text, len(times), counter_for(family))


async def prepare(
    source: Source,
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
        source: The video.
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
    key = chosen = reason = request = None
    try:
        short_prompt = check_short_prompt(short_prompt)
        if options.target_tokenizer is not None:
            load_target_counter(options.target_tokenizer)  # a wrong file costs no decoding
        item = _ItemPlan(short_prompt, options, profile, adjustment)
        choice = FrameChoice(options.strategy, item.frames, options.fps, options.exact)
        region = options.region if options.mask is None else str(options.mask)
        video = source
        if region is not None:
            if not isinstance(source, str | bytes | os.PathLike):
                raise OptionError(
                    "a region is given, and the video is a list of pictures",
                    remedy="cut the pictures",
                )
            video = VideoRegion(source, region, choice)
        if info.reads_text or with_frames or options.verify:
            # The vocabulary is read from disk once; after that it costs less than a thread.
            await asyncio.to_thread(counter_for, profile.family)
            analysis, frames = await videos.read(
                video,
                choice,
                item,
                detail="low" if info.reads_text else "full",
                isolated=options.isolated,
            )
            frames = frames[: item.template.max_images]
            plan = item.exact_plan(item.plan(analysis), analysis, _times(frames))
        else:
            analysis = await videos.analyse(video, detail="full", isolated=options.isolated)
        request = item.request(analysis, plan, frames)
    except AnalysedError as failure:
        analysis, error = failure.analysis, failure.error
    except PromptliftError as failure:
        error = failure
    if analysis is not None:
        used, reason = choose_template(options, info)
        chosen = used.name
        settings = settings_of(options, info)
        key = work_key(settings, content=analysis.content, short_prompt=short_prompt)
    return Prepared(
        name=source_name(source),
        short_prompt=short_prompt,
        options=options,
        profile=profile,
        key=key,
        template=chosen,
        template_reason=reason,
        analysis=analysis,
        plan=plan,
        frames=frames,
        request=request,
        adjustment=adjustment,
        error=error,
        seconds=round(time.perf_counter() - start, 6),
    )


def choose_template(options: Options, info: EngineInfo) -> tuple[Template, str]:
    """The template, with the limits of the model that it is for, and why it is that one."""
    # By name or path; GGUF files, Ollama and the hub's cache each write it their own way.
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in (info.model, info.origin)]
    name = next((name for name in names if "cosmosupsampl" in name), None)
    if options.template is not None:
        used, reason = options.template, "chosen with --template"
    elif not info.reads_text:
        used, reason = "verbatim/1", f"the {info.name} engine reads no instruction"
    elif name is None:
        used, reason = "instruct/2", "a general model needs an instruction"
    else:
        kinds = {"text2world": "predict1-text/1", "video2world": "predict1-video/1"}
        used = next((kinds[kind] for kind in kinds if kind in name), "verbatim/1")
        reason = "the Cosmos upsampler was trained without an instruction"
    made = template(used) if isinstance(used, str) else used
    if made.name == "verbatim/1" and name is not None and info.reads_text:
        made = replace(made, max_images=UPSAMPLER_IMAGES, reserve=DEFAULT_RESERVE)
    if made.max_images is not None and options.frames > made.max_images:
        reason += f", and with at most {counted(made.max_images, 'image')}, not {options.frames}"
    if options.instruction and not made.takes_instruction:
        reason += "; it takes no --instruction"
    return made, reason


def options_as_json(options: Options) -> dict[str, Any]:
    """The options that an answer depends on, as JSON values; what was left open is null.

    These are the options as the user gave them. The plan follows from these and from how much the
    engine takes today; an engine that comes back with a larger context does not make finished
    work another.
    """
    values = options.model_dump(
        mode="json",
        exclude={"template", "target_tokenizer", "attempts", "on_reject", "isolated"},
    )
    return values if options.strategy == "fps" else {**values, "fps": None}


@lru_cache(maxsize=256)
def settings_of(options: Options, info: EngineInfo) -> str:
    """Digest of all that an answer depends on besides the video and the short prompt.

    Returns:
        64 hexadecimal digits: SHA-256 of JSON with sorted keys.
    """
    parts = {
        "options": options_as_json(options),
        "engine": [info.name, info.model, info.revision],
        "template": choose_template(options, info)[0].name,
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def work_key(settings: str, *, content: str, short_prompt: str) -> str:
    """Identity by content: the same for the same work, whatever the file is called.

    Known before the video is decoded.

    Args:
        settings: See `settings_of`.
        content: The video's, as `promptlift.files.content_id` gives it.
        short_prompt: The user's words, checked.

    Returns:
        64 hexadecimal digits: SHA-256 of the three as a JSON list.
    """
    # By hand, since a resume names each item of a million anew.
    text = f"[{_quoted(settings)},{_quoted(content)},{_quoted(short_prompt)}]"
    return hashlib.sha256(text.encode()).hexdigest()


def _times(frames: tuple[Frame, ...]) -> tuple[Fraction, ...]:
    return tuple(frame.time for frame in frames)


def source_name(source: Source) -> str:
    """The file's name without its folder; empty for bytes and lists of images."""
    if isinstance(source, str | os.PathLike):
        return os.fsencode(Path(source).name).decode("utf-8", "replace")
    return ""
