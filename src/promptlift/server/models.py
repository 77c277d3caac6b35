"""What goes in and comes out, with examples: the OpenAPI document is made of these."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from promptlift.config import OnReject, Options, Strategy
from promptlift.core.facts import Kind
from promptlift.core.prompts import Control, template
from promptlift.core.record import Failure, Priced, Probe, Record
from promptlift.core.targets import target
from promptlift.core.video import Size
from promptlift.server.uploads import Upload

__all__ = [
    "BudgetAsked",
    "BudgetOut",
    "EngineOut",
    "EnginesOut",
    "FactsAsked",
    "HealthOut",
    "HintsAsked",
    "JobOut",
    "JobState",
    "JobsOut",
    "LabelledEngineOut",
    "ProblemOut",
    "UploadOut",
    "UpsampleAsked",
    "VideoNamed",
    "parse_size",
]

_DEFAULTS = Options()
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_LONGEST_PROMPT = 20_000
_ID = "4f0c5d1e9a7b4c3f8e2d6a1b0c9f8e7d"
_PROMPT = "a robot arm hands a cup to a woman"


def _split(value: Any) -> Any:
    """A form has one text where JSON has a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if _text(value) else value


def _text(value: Any) -> bool:
    return isinstance(value, str)


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VideoNamed(_In):
    """Which video: one that was uploaded, or a file of the server below ``--allow-path``."""

    upload_id: Annotated[
        str | None, Field(pattern="^[0-9a-f]{32}$", description="As `POST /v1/uploads` gave it.")
    ] = None
    path: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4096,
            description="A file of the server; only where it was started with --allow-path.",
        ),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.upload_id is not None and self.path is not None:
            raise ValueError("give upload_id or path, not both")
        return self


class FactsAsked(VideoNamed):
    """Measure a video."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"upload_id": _ID}]})


class _Shown(VideoNamed):
    frames: Annotated[int, Field(ge=1, le=64, description="How many frames are shown.")] = (
        _DEFAULTS.frames
    )
    size: Annotated[
        str | None,
        Field(pattern=f"^{_SIZE.pattern}$", description="A box to fit each frame into: WxH."),
    ] = None
    max_side: Annotated[int | None, Field(ge=1, le=100_000)] = None
    context: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Tokens of prompt and answer together.")
    ] = None
    reserve: Annotated[int, Field(ge=1, le=100_000, description="Tokens kept for the answer.")] = (
        _DEFAULTS.reserve
    )
    prompt: Annotated[
        str, Field(max_length=_LONGEST_PROMPT, description="The short prompt; empty to describe.")
    ] = ""


class HintsAsked(_Shown):
    """The frames that a model would be shown."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"upload_id": _ID, "frames": 4}]})

    strategy: Annotated[Strategy, Field(description="Which frames.")] = _DEFAULTS.strategy
    fps: Annotated[
        float, Field(ge=0.001, le=1000, description="Frames a second, for the strategy fps.")
    ] = float(_DEFAULTS.fps)
    exact: bool = _DEFAULTS.exact
    engine: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=100,
            description="As `GET /v1/engines` calls it; the first where none is named.",
        ),
    ] = None

    def options(self) -> Options:
        """The same, as the pipeline takes it.

        Raises:
            OptionError: Something makes no sense together.
        """
        known = set(type(self).model_fields) & set(Options.__dataclass_fields__)
        values = {name: getattr(self, name) for name in known}
        values["size"] = parse_size(self.size)
        values["fps"] = str(self.fps)
        return Options.of(**values, isolated=True)


class UpsampleAsked(HintsAsked):
    """Turn a video and a short prompt into the long prompt.

    As JSON, or as a form with the same fields and the file in the field ``video``.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"upload_id": _ID, "prompt": _PROMPT, "frames": 3},
                {"upload_id": _ID, "prompt": _PROMPT, "engine": "embedded"},
            ]
        }
    )

    template: Annotated[str | None, Field(max_length=100)] = None
    control: Annotated[Kind | None, Field(description="What kind of picture the video is.")] = None
    controls: Annotated[
        tuple[Control, ...],
        BeforeValidator(_split),
        Field(max_length=len(get_args(Control)), description="What the generator follows."),
    ] = ()
    target: Annotated[str, Field(max_length=100, description="The generator.")] = _DEFAULTS.target
    temperature: Annotated[float, Field(ge=0, le=2)] = _DEFAULTS.temperature
    seed: Annotated[int, Field(ge=-(2**31), lt=2**32)] = _DEFAULTS.seed
    attempts: Annotated[int, Field(ge=1, le=10)] = _DEFAULTS.attempts
    on_reject: OnReject = _DEFAULTS.on_reject
    fresh: Annotated[
        bool, Field(description="Ask the engine although the journal has an answer.")
    ] = False
    deadline: Annotated[
        float | None, Field(gt=0, le=86_400, description="Seconds; the server may allow fewer.")
    ] = None

    def options(self) -> Options:
        """The same, as the pipeline takes it; a name that nobody knows is refused at once.

        Raises:
            OptionError: Something makes no sense together, or names nothing.
        """
        made = super().options()
        target(made.target)
        if made.template is not None:
            template(made.template)
        return made


class BudgetAsked(_Shown):
    """What frames cost; of a video, or of a size alone."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "1280x720", "prompt": _PROMPT}]}
    )

    source: Annotated[
        str | None,
        Field(pattern=f"^{_SIZE.pattern}$", description="Size of the video, where it is not sent."),
    ] = None
    model: Annotated[str, Field(max_length=100, description="The family that counts.")] = "pixtral"


class ProblemOut(Failure):
    """What is wrong and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Too Many Requests",
                    "status": 429,
                    "code": "queue_full",
                    "message": "1000 requests are waiting, and the server takes no more for now",
                    "remedy": "try again later",
                    "retryable": True,
                }
            ]
        }
    )

    title: str
    status: int
    record: Record | None = None


class UploadOut(BaseModel):
    """A video that the server keeps for a while."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "name": "clip.mp4",
                    "bytes": 1048576,
                    "content": "sha256:" + "0" * 64,
                    "expires": 1795305600.0,
                }
            ]
        }
    )

    id: str
    name: str
    bytes: int
    content: str
    expires: Annotated[float, Field(description="Seconds since 1970.")]
    probe: Probe | None = None

    @classmethod
    def of(cls, upload: Upload, age: float) -> Self:
        """The same, without what is the server's own business."""
        return cls(
            id=upload.id,
            name=upload.name,
            bytes=upload.bytes,
            content=upload.content,
            expires=upload.created + age,
            probe=upload.probe,
        )


JobState = Literal["queued", "running", "finished", "failed", "cancelled"]


class JobOut(BaseModel):
    """A job and how far it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": _ID, "state": "queued", "created": 1795219200.0, "video": "a.mp4"}]
        }
    )

    id: str
    state: JobState
    created: Annotated[float, Field(description="Seconds since 1970.")]
    ended: float | None = None
    video: Annotated[str, Field(description="What the client calls the video.")] = ""
    prompt: str = ""
    key: Annotated[str | None, Field(description="For `GET /v1/records/{key}`.")] = None
    error: Failure | None = None
    record: Annotated[Record | None, Field(description="Once it is finished; not in the list.")] = (
        None
    )


class JobsOut(BaseModel):
    """Jobs of this key, the newest first."""

    jobs: list[JobOut]


class BudgetOut(BaseModel):
    """What the frames would cost unresized, and as planned."""

    source: Priced
    plan: Priced
    context: int
    reserve: int
    text_tokens: int
    model: str


class EngineOut(BaseModel):
    """Who answers."""

    state: Literal["unknown", "ready", "asleep"]
    can_sleep: bool
    name: str | None = None
    model: str | None = None
    revision: str | None = None
    version: str | None = None
    context: int | None = None
    family: str | None = None
    max_images: int | None = None


class LabelledEngineOut(EngineOut):
    """One of the engines, and how it is doing."""

    label: Annotated[str, Field(description="What a request's `engine` calls it.")]
    waiting: Annotated[int, Field(description="Requests that wait for it.")]
    running: Annotated[int, Field(description="Requests that it works on.")]
    trouble: Annotated[Failure | None, Field(description="Why it does not answer.")] = None


class EnginesOut(BaseModel):
    """All engines; the first answers where a request names none."""

    engines: list[LabelledEngineOut]


class HealthOut(BaseModel):
    """Whether the server is well."""

    status: Literal["ok"]


def parse_size(text: str | None) -> Size | None:
    """A size that was checked by its pattern."""
    found = _SIZE.fullmatch(text) if text is not None else None
    return Size(int(found[1]), int(found[2])) if found else None
