"""The result of one upsampling with everything about how it came to be.

One schema serves success and failure, so that a file of records has one shape from its first
line. `SCHEMA_VERSION` grows with every change that a reader must know of.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from promptlift.errors import PromptliftError
from promptlift.facts import Facts
from promptlift.planning import Plan
from promptlift.review.result import Check, Claim, Finding, Review, Verdict
from promptlift.review.verify import Verification
from promptlift.types import EngineInfo, Frame, Role, Sampling, VideoInfo

__all__ = [
    "SCHEMA_VERSION",
    "Attempt",
    "Failure",
    "FrameInfo",
    "Picture",
    "Record",
    "RenderedFrom",
    "Reviewed",
    "Status",
    "Tokens",
    "Video",
]

SCHEMA_VERSION: Literal[1] = 1


Status = Literal["ok", "repaired", "unchanged", "rejected", "failed", "planned"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Video(_Model):
    """Which video.

    Attributes:
        name: The file's name without its folder; empty for bytes, lists of images and words
            alone.
        content: Hash of the content, with its kind before the colon; None if there is none, or it
            was never read.
        probe: What the probe said; None if it failed.
        warnings: What a person should know of how it was read.
    """

    name: str
    content: str | None = None
    probe: VideoInfo | None = None
    warnings: tuple[str, ...] = ()


class Picture(_Model):
    """A picture that was given beside the video or the first frame.

    Attributes:
        role: What it is.
        name: The file's name without its folder; empty for bytes.
        content: Hash of its content.
    """

    role: Role
    name: str
    content: str


class FrameInfo(_Model):
    """One frame as it was shown.

    Attributes:
        seconds: Its true time from the start of the video.
        exact_seconds: The same as a fraction, such as ``"7/30"``.
        width: Pixels across.
        height: Pixels down.
        snapped: Whether a nearby keyframe stood in.
        corrupt: Whether the decoder called the picture damaged.
        role: What it is: a frame of the video, the first or last one of the video to be made, or
            a reference.
    """

    seconds: float
    exact_seconds: str
    width: int
    height: int
    snapped: bool
    corrupt: bool
    role: Role = "frame"

    @classmethod
    def of(cls, frame: Frame) -> FrameInfo:
        """The same, as it goes into a record."""
        return cls(
            seconds=round(float(frame.time), 6),
            exact_seconds=str(frame.time),
            width=frame.size.width,
            height=frame.size.height,
            snapped=frame.snapped,
            corrupt=frame.corrupt,
            role=frame.role,
        )


class Tokens(_Model):
    """Counted and foretold.

    Attributes:
        predicted: Tokens of the prompt as the formula has it; None before the plan.
        counted: Tokens of the prompt as the engine counted before it was asked; None if it cannot.
        actual: Tokens of the prompt as the engine counted with its answer; None if it does not.
        completion: Tokens of the answer as the engine counted; None if it does not.
        target: Tokens of the result for the target's text encoder; None without a result.
        target_limit: The most that the target takes.
        target_estimated: Whether `target` is an estimate from above.
    """

    predicted: int | None = None
    counted: int | None = None
    actual: int | None = None
    completion: int | None = None
    target: int | None = None
    target_limit: int | None = None
    target_estimated: bool = True


class Reviewed(_Model):
    """What the review said of the best answer; see `promptlift.review.result.Review`."""

    verdict: Verdict
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...] = ()
    claims: tuple[Claim, ...] = ()

    @classmethod
    def of(cls, review: Review) -> Reviewed:
        """The same, as it goes into a record."""
        return cls(
            verdict=review.verdict,
            checks=review.checks,
            findings=review.findings,
            claims=review.claims,
        )


class RenderedFrom(_Model):
    """The record whose prompt was said again in another form.

    Attributes:
        key: Its item's identity; None if it had none.
        target: The generator that it was for.
    """

    key: str | None
    target: str


class Attempt(_Model):
    """One time that the engine was asked.

    Attributes:
        text: The answer as it came.
        finish_reason: Why it ended.
        verdict: What the review made of it.
        failed: Names of the checks that it failed.
        sampling: How it was drawn.
        completion_tokens: As the engine counted; None if it does not.
        seconds: How long the engine took.
        feedback: What the engine was told to be wrong with an earlier answer; empty where it was
            asked afresh.
    """

    text: str
    finish_reason: str
    verdict: Verdict
    failed: tuple[str, ...]
    sampling: Sampling
    completion_tokens: int | None
    seconds: float
    feedback: str = ""


class Failure(_Model):
    """Why there is no result; see `promptlift.errors`."""

    code: str
    message: str
    remedy: str
    retryable: bool

    @classmethod
    def of(cls, error: PromptliftError) -> Failure:
        """The same, as it goes into a record."""
        return cls(
            code=error.code, message=error.message, remedy=error.remedy, retryable=error.retryable
        )


class Record(_Model):
    """The result of one upsampling.

    Attributes:
        schema_version: The version of this schema.
        key: The item's identity by content; None if it failed before there was one.
        status: ``ok``, ``repaired`` or ``rejected`` by the review, ``unchanged`` where an engine
            without a model has nothing to add to the user's words, ``failed`` with an `error`, or
            ``planned`` where the engine was not to be asked.
        video: Which video, or which picture of the first frame, if there is one.
        pictures: The pictures beside it.
        short_prompt: The user's words.
        prompt: The result; None where there is none fit to use.
        document: The result as data, where the target's prompts are JSON; None for prose.
        negative_prompt: What is not wanted; empty where it was not asked for.
        note: Why the result is ``unchanged``, or what one that was rendered without a model lacks;
            else empty.
        target: The generator that the prompt is for.
        engine: Who answered.
        plan: Which frames at which size, and what they cost.
        frames: The frames as they were shown.
        tokens: Foretold and counted.
        facts: What was measured.
        review: The verdict on the best attempt; None without an answer, and for the user's own
            words with what was measured.
        verification: What a model said of the result, claim by claim; None unless asked for.
        attempts: Every time that the engine was asked.
        sampling: How the best attempt was drawn.
        template: Name and version of the words around the user's.
        template_reason: Why it is that template.
        instruction: What the user added to them; empty for nothing.
        style: The style that was asked for besides; empty for none.
        variation: Which one of several for the same request, from 1.
        timings: Seconds of each stage.
        rendered_from: The record that ``promptlift render`` was given; None for any other work.
        error: Why there is no result.
        promptlift: Version of this package.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    key: str | None = None
    status: Status
    video: Video
    pictures: tuple[Picture, ...] = ()
    short_prompt: str
    prompt: str | None = None
    document: dict[str, Any] | None = None
    negative_prompt: str = ""
    note: str = ""
    target: str
    engine: EngineInfo | None = None
    plan: Plan | None = None
    frames: tuple[FrameInfo, ...] = ()
    tokens: Tokens = Tokens()
    facts: Facts | None = None
    review: Reviewed | None = None
    verification: Verification | None = None
    attempts: tuple[Attempt, ...] = ()
    sampling: Sampling | None = None
    template: str | None = None
    template_reason: str | None = None
    instruction: str = ""
    style: str = ""
    variation: int = 1
    timings: dict[str, float] = {}
    rendered_from: RenderedFrom | None = None
    error: Failure | None = None
    promptlift: str

    @property
    def best_text(self) -> str | None:
        """The result, or the attempt that was reviewed where none was fit to use."""
        texts = (one.text for one in self.attempts if one.sampling == self.sampling)
        return self.prompt if self.prompt is not None else next(texts, None)
