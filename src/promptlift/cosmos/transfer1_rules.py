"""What Cosmos-Transfer1's own command does with a spec, step by step, without running it.

Read from cosmos-transfer1 at commit 5005e82; each rule names its file and lines there. `walk`
goes the way of ``torchrun transfer.py --controlnet_specs SPEC --upsample_prompt`` and stops where
that would stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias

from promptlift.core.video import Size

__all__ = [
    "BOX",
    "COMMIT",
    "CONTEXT",
    "RESERVE",
    "End",
    "Outcome",
    "Said",
    "Shown",
    "Spoken",
    "choose",
    "fails",
    "made_size",
    "preprocessed",
    "split",
    "validate",
]

COMMIT = "5005e82"
CONTEXT = 4096
RESERVE = 300
_SIGMA_MAX = 70.0
_SIGMA_ALONE = 80

_DIFFUSION = "cosmos_transfer1/diffusion/inference"
PIPELINE = f"{_DIFFUSION}/world_generation_pipeline.py"
UTILS = f"{_DIFFUSION}/inference_utils.py"
TRANSFER = f"{_DIFFUSION}/transfer.py"
PREPROCESSORS = f"{_DIFFUSION}/preprocessors.py"
UPSAMPLER = "cosmos_transfer1/auxiliary/upsampler/model/upsampler.py"
MISC = "cosmos_transfer1/utils/misc.py"
READER = "cosmos_transfer1/utils/io.py"
AUGMENTORS = "cosmos_transfer1/diffusion/datasets/augmentors/control_input.py"
WRITER = "cosmos_transfer1/auxiliary/guardrail/common/io_utils.py"

_HINTS = ("vis", "seg", "edge", "depth", "keypoint", "upscale", "hdmap", "lidar")
_PREPROCESSED = ("depth", "seg", "keypoint", "vis", "edge")
BOX = Size(1280, 704)
"""VIDEO_RES_SIZE_INFO["720"]["16,9"], whatever the video's own shape."""

Outcome: TypeAlias = Literal["works", "cut", "fails", "ignored", "blind"]
"""What comes of ``--upsample_prompt``.

``works``: the model is shown two frames and has room to answer. ``cut``: there is less room than
the answer may take. ``fails``: an exception. ``ignored``: the flag silently does nothing.
``blind``: the model is asked without any picture, silently.
"""

Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence about what happens.

    Attributes:
        text: The sentence.
        source: File and lines of the rule in cosmos-transfer1; empty for promptlift's own.
    """

    text: str
    source: str = ""


@dataclass(slots=True)
class Spoken:
    """What was said on the way."""

    said: list[Said] = field(default_factory=list)

    def add(self, text: str, *sources: str) -> None:
        """Say a sentence."""
        self.said.append(Said(text, _joined(sources)))


class End(Exception):
    """The way ends here.

    Args:
        outcome: How.
        text: The sentence that says so.
        sources: Files and lines.
    """

    def __init__(self, outcome: Outcome, text: str, *sources: str) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.said = Said(text, _joined(sources))


@dataclass(frozen=True, slots=True)
class Shown:
    """The video whose frames the model is shown.

    Attributes:
        control: The control that it belongs to.
        video: The file, as it is named.
        made: Whether that is the input video, from which the control is made first.
    """

    control: str
    video: str
    made: bool


def _joined(sources: tuple[str, ...]) -> str:
    """``file:lines,lines; file:lines``, each file once."""
    lines: dict[str, list[str]] = {}
    for source in sources:
        file, _, where = source.rpartition(":")
        lines.setdefault(file, []).append(where)
    return "; ".join(f"{file}:{','.join(wheres)}" for file, wheres in lines.items())


def fails(text: str, *sources: str) -> NoReturn:
    """End with an exception of Cosmos's."""
    raise End("fails", text, *sources)


def split(content: object) -> tuple[dict[str, Json], dict[str, Any]]:
    """The controls and the other arguments of a spec.

    Raises:
        End: The loader raises.
    """
    if not isinstance(content, Mapping):
        fails("The spec is not one JSON object: AttributeError.", f"{UTILS}:1204")
    controls: dict[str, Json] = {}
    arguments: dict[str, Any] = {}
    for key, value in content.items():
        if key in _HINTS:
            if not isinstance(value, Mapping):
                fails(f'"{key}" is not a JSON object: an exception.', f"{UTILS}:1239-1244")
            controls[key] = value
        elif isinstance(value, Mapping):
            fails(f'"{key}" is no control: ValueError: Invalid hint_key.', f"{UTILS}:1207-1209")
        else:
            arguments[key] = value
    return controls, arguments


def validate(controls: Mapping[str, Json], video: str, sigma_max: object) -> None:
    """Cosmos's own checks of the controls, in their order.

    Raises:
        End: One of them raises.
    """
    sigma = _SIGMA_MAX if sigma_max is None else sigma_max
    for key, config in controls.items():
        if not video and (not isinstance(sigma, int | float) or sigma < _SIGMA_ALONE):
            fails(
                f"There is no input_video_path and sigma_max is {sigma}: ValueError. With "
                f"--sigma_max {_SIGMA_ALONE} it would go on.",
                f"{UTILS}:1236-1237",
            )
        if not video and "input_control" not in config:
            fails(
                f'"{key}" has no input_control and there is no input_video_path: ValueError.',
                f"{UTILS}:1239-1242",
            )
        _check_weight(key, config.get("control_weight", "0.5"))


def _check_weight(key: str, weight: object) -> None:
    if isinstance(weight, str) and weight.endswith(".pt"):
        return
    try:
        usable = float(weight) >= 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        usable = False
    if not usable:
        fails(f'The control_weight of "{key}" is {weight!r}: ValueError.', f"{UTILS}:1264-1275")


def choose(controls: Mapping[str, Json], video: str | None, overrides: Json, said: Spoken) -> Shown:
    """The video that is shown.

    Args:
        controls: Of the spec.
        video: The input video of this item; None or empty for none.
        overrides: The ``control_overrides`` of a batch's item.
        said: Hears what is worth knowing on the way.

    Raises:
        End: There is none.
    """
    key = _chosen_key(controls)
    given = controls[key].get("input_control")
    if key in overrides:
        said.add(
            f'The override of "{key}" is not looked at: the upsampler reads the controls of the '
            "spec and not those of the item.",
            f"{PIPELINE}:302-315",
            f"{TRANSFER}:313-333",
        )
    if isinstance(given, str):
        said.add(
            f'The model is shown the control "{key}", {given}, and not the video itself.',
            f"{PIPELINE}:264-269",
            f"{PIPELINE}:302-317",
        )
        return Shown(key, given, made=False)
    if given is not None:
        fails(f'The input_control of "{key}" is no path.', f"{UPSAMPLER}:97-105")
    if key in ("seg", "depth"):
        fails(
            f'"{key}" has no input_control in the spec, and what the preprocessor makes is not '
            "passed on: TypeError, 'NoneType' object is not iterable.",
            f"{PIPELINE}:315",
            f"{UPSAMPLER}:96-105",
        )
    if not video:
        fails("There is no video to make the control from.", f"{UTILS}:680")
    said.add(
        f'The model is shown the control "{key}", made from {video}, and not the video itself.',
        f"{PIPELINE}:264-266",
        f"{PIPELINE}:305-312",
    )
    return Shown(key, video, made=True)


def _chosen_key(controls: Mapping[str, Json]) -> str:
    """vis, else edge, else the first of seg and depth; nothing else is ever shown."""
    for key in ("vis", "edge"):
        if key in controls:
            return key
    for key in controls:
        if key in ("seg", "depth"):
            return key
    has = f"only {', '.join(controls)}" if controls else "no control"
    raise End(
        "ignored",
        f"The spec has {has}: without vis, edge, seg or depth no upsampler is made, and the flag "
        "silently does nothing.",
        f"{PIPELINE}:264-277",
        f"{PIPELINE}:713",
    )


def preprocessed(controls: Mapping[str, Json], overrides: Json) -> list[str]:
    """The controls that are made from the input video before anything is upsampled."""
    merged = {key: {**config, **(overrides.get(key) or {})} for key, config in controls.items()}
    return [key for key in merged if key in _PREPROCESSED and not merged[key].get("input_control")]


def made_size(source: Size, said: Spoken) -> Size:
    """The size of a control that is made: inside 1280x704, whatever the shape.

    Args:
        source: Of the input video.
        said: Hears where it is shrunk.

    Raises:
        End: It cannot be written.
    """
    ratio = min(BOX.width / source.width, BOX.height / source.height)
    if ratio < 1:
        made = Size(int(ratio * source.width + 0.5), int(ratio * source.height + 0.5))
    else:
        made = source
    if made.width % 2 or made.height % 2:
        fails(
            f"The control that is made from {source} is {made}, and H.264 in yuv420p takes no odd "
            "side: ValueError from save_video.",
            f"{AUGMENTORS}:104-125",
            f"{WRITER}:69-78",
        )
    if made != source:
        said.add(f"It is shrunk from {source} to fit {BOX}.", f"{AUGMENTORS}:104-125")
    return made
