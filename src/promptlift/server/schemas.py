"""What goes in and comes out, with examples: the OpenAPI document is made of these."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    model_validator,
)

from promptlift.options import ITEM_OPTIONS, Options, parse_names
from promptlift.record import Failure, Record
from promptlift.text import parse_size
from promptlift.types import Role, Size, VideoInfo

__all__ = [
    "UPLOAD_ID",
    "BudgetRequest",
    "EngineResponse",
    "EnginesResponse",
    "FactsRequest",
    "HintsRequest",
    "JobResponse",
    "JobState",
    "JobsResponse",
    "Problem",
    "UploadResponse",
    "UpsampleRequest",
    "VideoFields",
]

R = TypeVar("R", bound="VideoFields")

_LONGEST_PROMPT = 20_000
_ID = "4f0c5d1e9a7b4c3f8e2d6a1b0c9f8e7d"
_PROMPT = "a robot arm hands a cup to a woman"
_BUDGET_OPTIONS = ("frames", "size", "max_side", "context", "reserve", "target")
_HINTS_OPTIONS = (*_BUDGET_OPTIONS, "strategy", "fps", "exact", "region")
_Prompt = Annotated[
    str, Field(max_length=_LONGEST_PROMPT, description="The short prompt; empty to describe.")
]
_EngineLabel = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=100,
        description="As `GET /v1/engines` calls it; the first where none is named.",
    ),
]


_PictureName = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=4096,
        description="A picture of the first or the last frame: the id of an upload, or a path as "
        "for `path`.",
    ),
]
UPLOAD_ID = re.compile("[0-9a-f]{32}")


class VideoFields(BaseModel):
    """Which video: one that was uploaded, or a file of the server below ``--allow-path``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
    def _one_video(self) -> Self:
        if self.upload_id is not None and self.path is not None:
            raise ValueError("give upload_id or path, not both")
        return self

    @property
    def other_pictures(self) -> tuple[tuple[Role, str], ...]:
        """Roles and names of the pictures beside the video."""
        return ()

    @property
    def has_pictures(self) -> bool:
        """Whether there is more than words."""
        return bool(self.upload_id or self.path or self.other_pictures)

    @property
    def upload_ids(self) -> tuple[str, ...]:
        """The uploads that it names."""
        names = [self.upload_id or "", *(name for _, name in self.other_pictures)]
        return tuple(name for name in names if UPLOAD_ID.fullmatch(name))

    def options(self) -> Options:
        """The options of the request; what it leaves out has the default.

        Raises:
            OptionError: Some of them exclude each other, or name nothing.
        """
        names = self.model_fields_set.intersection(ITEM_OPTIONS)
        return Options(**{name: getattr(self, name) for name in names}, isolated=True)


def _with_options(*names: str) -> Callable[[type[R]], type[R]]:
    """Add fields for these options to a request, as `Options` describes them."""

    def extend(model: type[R]) -> type[R]:
        known = Options.model_fields
        fields: dict[str, Any] = {name: (known[name].annotation, known[name]) for name in names}
        return create_model(
            model.__name__, __base__=model, __doc__=model.__doc__, __module__=__name__, **fields
        )

    return extend


class FactsRequest(VideoFields):
    """Measure a video."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"upload_id": _ID}]})


@_with_options(*_HINTS_OPTIONS)
class HintsRequest(VideoFields):
    """The frames that a model would be shown."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"upload_id": _ID, "frames": 4}]})

    prompt: _Prompt = ""
    engine: _EngineLabel = None


@_with_options(*ITEM_OPTIONS)
class UpsampleRequest(VideoFields):
    """Turn a video and a short prompt, or either alone, into the long prompt.

    As JSON, or as a form with the same fields and the files in the fields ``video``, ``image``,
    ``last_image`` and ``references``.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"upload_id": _ID, "prompt": _PROMPT, "frames": 3},
                {"upload_id": _ID, "prompt": _PROMPT, "engine": "embedded"},
                {"prompt": _PROMPT, "target": "ltx-2"},
            ]
        }
    )

    prompt: _Prompt = ""
    image: _PictureName = None
    last_image: _PictureName = None
    references: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
        BeforeValidator(parse_names),
        Field(max_length=8, description="Pictures of what the prompt names, named likewise."),
    ] = ()
    engine: _EngineLabel = None
    fresh: Annotated[
        bool, Field(description="Ask the engine although the same was answered before.")
    ] = False
    deadline: Annotated[
        float | None, Field(gt=0, le=86_400, description="Seconds; the server may allow fewer.")
    ] = None

    @model_validator(mode="after")
    def _check_pictures(self) -> Self:
        has_video = self.upload_id is not None or self.path is not None
        if has_video and self.image is not None:
            raise ValueError("give a video or image, not both")
        if self.last_image is not None and not has_video and self.image is None:
            raise ValueError("give image or a video with last_image")
        return self

    @property
    def other_pictures(self) -> tuple[tuple[Role, str], ...]:
        """See `VideoFields.other_pictures`."""
        named: list[tuple[Role, str | None]] = [("first", self.image), ("last", self.last_image)]
        named += [("reference", one) for one in self.references]
        return tuple((role, name) for role, name in named if name)


@_with_options(*_BUDGET_OPTIONS)
class BudgetRequest(VideoFields):
    """What frames cost; of a video, or of a size alone."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "1280x720", "prompt": _PROMPT}]}
    )

    prompt: _Prompt = ""
    source: Annotated[
        Annotated[
            Size,
            BeforeValidator(parse_size),
            WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$"}),
        ]
        | None,
        Field(description="Size of the video, where it is not sent."),
    ] = None
    model: Annotated[str, Field(max_length=100, description="The family that counts.")] = "pixtral"


class Problem(Failure):
    """What is wrong and what to do."""

    title: str
    status: int
    record: Record | None = None


class UploadResponse(BaseModel):
    """A video that the server keeps for a while."""

    id: str
    name: str
    bytes: int
    content: str
    expires: Annotated[float, Field(description="Seconds since 1970.")]
    probe: VideoInfo


JobState = Literal["queued", "running", "finished", "failed", "cancelled"]


class JobResponse(BaseModel):
    """A job and how far it is."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    state: JobState
    created: Annotated[float, Field(description="Seconds since 1970.")]
    ended: float | None = None
    video: Annotated[
        str, Field(validation_alias="name", description="What the client calls the video.")
    ]
    prompt: Annotated[str, Field(validation_alias=AliasPath("fields", "prompt"))]
    key: Annotated[str | None, Field(description="For `GET /v1/records/{key}`.")] = None
    error: Failure | None = None
    record: Annotated[Record | None, Field(description="Once it is finished, alone.")] = None


class JobsResponse(BaseModel):
    """Jobs of this key, the newest first."""

    jobs: list[JobResponse]


class EngineResponse(BaseModel):
    """One of the engines, who it is and how it is doing."""

    label: Annotated[str, Field(description="What a request's `engine` calls it.")]
    waiting: Annotated[int, Field(description="Requests that wait for it.")]
    running: Annotated[int, Field(description="Requests that it works on.")]
    trouble: Annotated[Failure | None, Field(description="Why it does not answer.")] = None
    state: Literal["unknown", "ready", "asleep"]
    can_sleep: bool
    name: str | None = None
    model: str | None = None
    revision: str | None = None
    version: str | None = None
    context: int | None = None
    family: str | None = None
    max_images: int | None = None


class EnginesResponse(BaseModel):
    """All engines; the first answers where a request names none."""

    engines: list[EngineResponse]
