"""The options of one item, each described once.

The command line, the columns of a table, the fields of a request and the page's form are made from
the fields of `Options`, so that a value means the same everywhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, get_args

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from promptlift.errors import OptionError
from promptlift.instants import Strategy
from promptlift.language import language_name
from promptlift.targets import DEFAULT_TARGET, TARGET_NAMES, Target, read_target, written_in
from promptlift.targets import target as find_target
from promptlift.targets.documents import VideoParameters, video_format
from promptlift.targets.templates import Template
from promptlift.targets.templates import template as find_template
from promptlift.template_file import read_template
from promptlift.text import (
    FRACTION_PATTERN,
    SIZE_PATTERN,
    TIMES_PATTERN,
    check_short_prompt,
    parse_box,
    parse_fraction,
    parse_size,
    parse_times,
)
from promptlift.types import COSMOS_CONTROLS, Box, Control, Creativity, Kind, Size

__all__ = ["ITEM_OPTIONS", "OnReject", "Options", "Strategy", "parse_names"]

OnReject = Literal["fail", "best", "original"]

_SHARE = r"(?:0|1|0?\.\d{1,17})"  # part of a side
_PLAIN = re.compile(r"[\w.:/-]+")
_LONGEST_SHOWN = 80  # characters of a value that a message shows


def parse_names(value: object) -> object:
    """A form or a cell has one text where JSON has a list."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


_NEAREST_KINDS = {"keypoint": "lines", "lidar": "depth"}
"""What skeletons and point clouds look like, where it is not left to the measurement."""


def _kind_of_control(value: object) -> object:
    """Cosmos's name of a control as the kind of picture that its video shows."""
    if not isinstance(value, str) or value in get_args(Kind) or value not in COSMOS_CONTROLS:
        return value
    return COSMOS_CONTROLS[value][1] or _NEAREST_KINDS[value]


def _parse_controls(value: object) -> object:
    names = parse_names(value)
    if not isinstance(names, list | tuple):
        return names
    known = {name: control for name, (control, _) in COSMOS_CONTROLS.items()}
    return tuple(known.get(name, name) if isinstance(name, str) else name for name in names)


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("give a number")
    return value


_Number = BeforeValidator(_no_boolean)
_PictureSize: TypeAlias = Annotated[
    Size,
    BeforeValidator(parse_size),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{SIZE_PATTERN}$"}),
]


def _known_template(value: object) -> object:
    """Only a path is read: a row or a request, which has texts, opens no file."""
    if isinstance(value, str):
        find_template(value)
    return read_template(value) if isinstance(value, Path) else value


def _known_target(value: object) -> object:
    """As for templates, only a path is read. A name gets its own spelling: one target, one key."""
    if isinstance(value, str):
        return find_target(value).name
    return read_target(value) if isinstance(value, Path) else value


class Options(BaseModel):
    """How one video and one short prompt are treated.

    Raises:
        OptionError: An option is unknown, or has a value that makes no sense.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frames: Annotated[int, _Number] = Field(
        2, ge=1, le=64, description="Number of frames to show the model."
    )
    strategy: Strategy = Field(
        "spread",
        description="How frames are chosen: spread over the clip, the first ones, at --fps from "
        "the start, or at scene changes.",
    )
    fps: Annotated[
        Fraction,
        BeforeValidator(parse_fraction),
        PlainSerializer(str, when_used="json"),
        WithJsonSchema({"type": "string", "pattern": f"^(?:{FRACTION_PATTERN})$"}),
    ] = Field(
        Fraction(2),
        ge=Fraction(1, 3600),
        le=1000,
        description="Frames per second for the strategy fps, such as 2, 0.5 or 30000/1001.",
    )
    at: Annotated[
        tuple[Fraction, ...],
        BeforeValidator(parse_times),
        PlainSerializer(lambda times: ",".join(map(str, times)), when_used="json"),
        WithJsonSchema({"type": "string", "pattern": f"^(?:{TIMES_PATTERN})?$"}),
    ] = Field(
        (),
        max_length=64,
        description="Show the frames at these times, such as 1.2s,3s or 0:03, instead of those "
        "that a strategy chooses.",
    )
    exact: bool = Field(
        False, description="Decode the exact frame instead of the nearest keyframe (slower)."
    )
    size: _PictureSize | None = Field(
        None, description="Fit each frame into this box, such as 640x360."
    )
    max_side: Annotated[int, _Number] | None = Field(
        None, ge=1, le=100_000, description="Longest side of a frame in pixels."
    )
    context: Annotated[int, _Number] | None = Field(
        None,
        ge=1,
        le=100_000_000,
        description="Context length in tokens, prompt and answer together; by default the "
        "engine's, or 4096 if unknown.",
    )
    reserve: Annotated[int, _Number] | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Tokens reserved for the answer; by default what the target's prompts take, "
        "at least 300, and more if the model thinks first.",
    )
    template: (
        Annotated[
            str | InstanceOf[Template],
            BeforeValidator(_known_template),
            PlainSerializer(lambda made: getattr(made, "name", made)),
            WithJsonSchema({"type": "string", "maxLength": 100}),
        ]
        | None
    ) = Field(
        None,
        description="Prompt template: verbatim/1 (your prompt only; default for the Cosmos "
        "upsampler), instruct/2 (with instructions; default for other models), predict1-text/1, "
        "predict1-video/1, or on the command line a Jinja2 file.",
    )
    instruction: Annotated[str, AfterValidator(check_short_prompt)] = Field(
        "",
        max_length=2000,
        description="Instruction to the model, added to those of the template.",
    )
    language: Annotated[str, AfterValidator(lambda text: text and language_name(text))] = Field(
        "",
        max_length=40,
        description="Language of the result, as an English name or an ISO code such as zh; by "
        "default the target's, or that of your prompt if the target reads it.",
    )
    style: Annotated[str, AfterValidator(check_short_prompt)] = Field(
        "",
        max_length=200,
        description="Style of the result, such as watercolor animation; put where the target "
        "wants it.",
    )
    creativity: Creativity = Field(
        "medium",
        description="How much may be added: low for nothing but what is asked for and shown, and "
        "a shorter result; high for rich detail of setting, light and side action.",
    )
    variation: Annotated[int, _Number] = Field(
        1,
        ge=1,
        le=10,
        description="Which variation of the same request to write: each has another seed, and "
        "other light and detail where you leave them open.",
    )
    negative: bool = Field(
        False,
        description="Make a negative prompt as well: the target's own, less what your prompt or "
        "the result asks for.",
    )
    control: Annotated[Kind | None, BeforeValidator(_kind_of_control)] = Field(
        None,
        description="Kind of the video, if the detection is wrong: rgb, edge, depth, seg, blur, "
        "lines or mask; or Cosmos's name of a control, such as vis or hdmap.",
    )
    controls: Annotated[tuple[Control, ...], BeforeValidator(_parse_controls)] = Field(
        (),
        max_length=len(get_args(Control)),
        description="Control signals that the generator also receives; by default detected from "
        "the video.",
    )
    camera_apart: bool = Field(
        False,
        description="Say nothing of the camera beyond your words: the generator is given its "
        "movement apart from the prompt.",
    )
    nouns: Annotated[tuple[str, ...], BeforeValidator(parse_names)] = Field(
        (),
        max_length=32,
        description="What is in view, such as a robot arm, a cup.",
    )
    region: (
        Annotated[
            Box,
            BeforeValidator(parse_box),
            WithJsonSchema({"type": "string", "pattern": f"^{_SHARE}(,{_SHARE}){{3}}$"}),
        ]
        | None
    ) = Field(
        None,
        description="Show only this part of the frame: left,top,right,bottom from 0 to 1.",
    )
    mask: Path | None = Field(
        None,
        description="Show only the part of the frame where this mask video is white.",
    )
    target: Annotated[
        str | InstanceOf[Target],
        BeforeValidator(_known_target),
        PlainSerializer(lambda goal: find_target(goal).label),
        WithJsonSchema({"type": "string", "maxLength": 100}),
    ] = Field(
        DEFAULT_TARGET,
        description=f"Generator that the prompt is for: {', '.join(TARGET_NAMES)}, or on the "
        "command line a TOML file.",
    )
    video_size: _PictureSize | None = Field(
        None,
        description="Size of the video to be generated, for targets whose prompts tell it; by "
        "default as the input video, or as is usual.",
    )
    video_seconds: Annotated[float, _Number] | None = Field(
        None, gt=0, le=3600, description="Length in seconds of the video to be generated; likewise."
    )
    video_fps: Annotated[float, _Number] | None = Field(
        None,
        ge=1,
        le=1000,
        description="Frames per second of the video to be generated; likewise.",
    )
    target_tokenizer: Path | None = Field(
        None,
        description="tokenizer.json or spiece.model of the target, for exact token counts.",
    )
    temperature: Annotated[float, _Number] = Field(
        0.6, ge=0, le=2, description="Sampling temperature; 0 always takes the most likely token."
    )
    seed: Annotated[int, _Number] = Field(
        0,
        ge=-(2**63),
        lt=2**63,
        description="Sampling seed; makes answers repeatable if the engine supports it.",
    )
    attempts: Annotated[int, _Number] = Field(
        3, ge=1, le=10, description="Maximum number of attempts until an answer passes the review."
    )
    on_reject: OnReject = Field(
        "fail",
        description="Result if no answer passes: fail without one, the best answer, or your own "
        "prompt.",
    )
    verify: bool = Field(
        False,
        description="Ask the model afterwards whether the prompt keeps each thing that you asked "
        "for; its answers are only added to the record.",
    )
    isolated: bool = Field(False, description="Decode in a separate process, for untrusted videos.")

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _option_error(error.errors(include_url=False)[0]) from None

    @model_validator(mode="before")
    @classmethod
    def _read_cosmos_name(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Cosmos's own name of a control says what the video shows and what is followed."""
        name = values.get("control")
        kind = _kind_of_control(name)
        if kind == name:
            return values
        return {"controls": (name,), **values, "control": kind}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size is not None and self.max_side is not None:
            raise OptionError(
                f"both a size ({self.size}) and a longest side ({self.max_side}) are given",
                remedy="remove --size or --max-side",
            )
        if self.at and self.strategy != "spread":
            raise OptionError(
                f"both times ({_times_text(self.at)}) and the strategy {self.strategy} are given",
                remedy="remove --at or --strategy",
            )
        if self.at and self.frames not in (len(self.at), 2):
            raise OptionError(
                f"{self.frames} frames are asked for, and --at names {len(self.at)}",
                remedy="remove --frames or --at",
            )
        if self.region is not None and self.mask is not None:
            raise OptionError("both a region and a mask are given", remedy="remove one of them")
        goal = self.goal  # which refuses a language that it does not read
        if goal.document:
            # Which refuses what the generator does not make.
            video_format(goal, self.video_parameters)
        if self.negative and not goal.negative:
            raise OptionError(
                f"a negative prompt is asked for, and {goal.label} takes none",
                remedy="remove --negative, or choose another target",
            )
        return self

    @property
    def goal(self) -> Target:
        """The target, as the other options would have its prompts."""
        goal = find_target(self.target)
        if self.language:
            goal = written_in(goal, self.language)
        low, high = goal.min_words, goal.max_words
        middle = (low + high) // 2
        if self.creativity == "low":
            goal = msgspec.structs.replace(goal, min_words=max(1, low // 2), max_words=middle)
        if self.creativity == "high":
            goal = msgspec.structs.replace(goal, min_words=min(middle, high - 1))
        return goal

    @property
    def video_parameters(self) -> VideoParameters:
        """What is said of the video to be generated."""
        return VideoParameters(self.video_size, self.video_fps, self.video_seconds)

    @property
    def frame_count(self) -> int:
        """How many frames are shown, where the video has as many."""
        return len(self.at) or self.frames

    def merged(self, values: Mapping[str, Any]) -> Options:
        """These options with the values that a row or a request sets for itself.

        Raises:
            OptionError: One is unknown, belongs to the whole run, or makes no sense.
        """
        if not values:
            return self
        for name in values:
            if name not in ITEM_OPTIONS and name not in _ROW_OPTIONS:
                raise _unknown(name)
        # Frames are chosen in one way: what a row says of them stands for what the run does.
        others = {"at"} if {"strategy", "frames"} & set(values) else set()
        others |= {"strategy", "frames"} if "at" in values else set()
        changed = {field: getattr(self, field) for field in self.model_fields_set - others}
        return Options(**{**changed, **values})


_RUN_OPTIONS = frozenset({"isolated", "target_tokenizer"})
"""What belongs to a whole run: how videos are decoded, and files of the machine."""

_ROW_OPTIONS = frozenset({"camera_apart", "mask", "nouns"})
"""What only a row sets: a file like its video, and what its spec names."""

ITEM_OPTIONS: Final = tuple(
    name for name in Options.model_fields if name not in _RUN_OPTIONS | _ROW_OPTIONS
)
"""The names that a row or a request may set."""


def _option_error(error: ErrorDetails) -> OptionError:
    name, kind, context = str(error["loc"][0]), error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(name)
    remedy = error["msg"]
    if kind == "value_error":
        remedy = str(context["error"])
    elif kind == "literal_error":
        remedy = f"use {context['expected']}"
    elif kind.startswith(("greater_than", "less_than")):
        bounds = {
            bound: getattr(limit, bound)
            for limit in Options.model_fields[name].metadata
            for bound in ("ge", "le", "lt")
            if hasattr(limit, bound)
        }
        remedy = f"give a value from {bounds['ge']} to {bounds.get('le', bounds.get('lt'))}"
    return OptionError(f"{name} is {_shown(error['input'])}", remedy=remedy)


def _times_text(times: tuple[Fraction, ...]) -> str:
    return ", ".join(f"{float(time):g} s" for time in times)


def _unknown(name: str) -> OptionError:
    if name in _RUN_OPTIONS:
        return OptionError(
            f"a row cannot set the option {name!r}",
            remedy=f"give --{name.replace('_', '-')} for the whole run",
        )
    close = difflib.get_close_matches(name, Options.model_fields, n=1)
    remedy = f"did you mean {close[0]!r}" if close else f"use {', '.join(Options.model_fields)}"
    return OptionError(f"there is no option {name[:_LONGEST_SHOWN]!r}", remedy=remedy)


def _shown(value: object) -> str:
    try:
        plain = isinstance(value, str) and _PLAIN.fullmatch(value)
        text = str(value) if plain or not isinstance(value, str) else repr(value)
    except ValueError:  # Python does not write integers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
