"""What is said to a model: versioned templates.

A template turns the user's short prompt, the kind of picture that is shown and the target into
a system text and a user text. Its name carries a version; changed words are a new version, so
that a record always tells which words were used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promptlift.errors import OptionError
from promptlift.targets import Target
from promptlift.types import Control, Kind

__all__ = ["TEMPLATES", "Template", "Turn", "fixed_by", "free_under", "template"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What is said besides the images.

    Attributes:
        system: The system text; empty for none.
        text: The user text, which follows the images.
    """

    system: str
    text: str


@dataclass(frozen=True, slots=True)
class Template:
    """A way to ask.

    Attributes:
        name: Name and version, such as ``verbatim/1``.
        render: Makes the turn from the short prompt, the kind of picture shown (None for an
            ordinary one), the controls that the result must obey and the target.
    """

    name: str
    render: Callable[[str, Kind | None, tuple[Control, ...], Target], Turn]


def _verbatim(
    short: str, shown: Kind | None, controls: tuple[Control, ...], target: Target
) -> Turn:
    """Say the user's words and nothing else, as the Cosmos upsampler was trained to be asked.

    Source of both: auxiliary/upsampler/model/upsampler.py in Cosmos-Transfer1.
    """
    del shown, controls, target
    return Turn("", short or "describe the following images")


_SYSTEM = """\
You write prompts for a video generator. You are shown frames of a video in order of time and a \
short request. Write one paragraph of plain English in the present tense, {low} to {high} words, \
that describes the video that is wanted: who or what is there and what it does, the setting, \
the light, the colours and materials, what moves, and what the camera does.
Keep everything that the request says: its subjects, numbers, colours, directions and negations. \
Where the request and the frames differ, the request wins. Take everything else from the frames, \
and do not invent people, objects or events that are in neither.
Write about the scene itself, never about "the video", "the image" or "the frame". No title, no \
list, no quotation marks, no remarks before or after the paragraph."""

# What a control video settles for the generator; the words have the rest to themselves.
_MOTION = "all motion"
_COLOURS = "the rough colours"
_EVERYTHING = "the whole picture"
_FREE = "materials, colours, light and weather"
_FIXES: dict[Control, tuple[str, ...]] = {
    "edge": ("the outlines", "the layout", "the number of things", _MOTION),
    "lines": ("the layout of the road", "the position of everything on it", _MOTION),
    "depth": ("the geometry", "the layout", "the number of things", _MOTION),
    "seg": ("the layout", "the regions", "the number of things", _MOTION),
    "blur": ("the layout", _COLOURS, _MOTION),
    "mask": ("which region is changed",),
    "keypoint": ("the poses of the people", "their number", _MOTION),
    "lidar": ("the geometry", "the position of everything", _MOTION),
    "upscale": (_EVERYTHING,),
}
_SHOWN: dict[Kind, str] = {
    "edge": "an edge map of the scene",
    "lines": "a drawing of the road layout as lines",
    "depth": "a depth map of the scene, where brightness stands for distance",
    "seg": "a segmentation of the scene, where each flat colour stands for a region",
    "blur": "a blurred copy of the scene",
    "mask": "a mask of one region of the scene",
}


def fixed_by(controls: tuple[Control, ...]) -> str:
    """What the controls settle together, in words; empty where there are none."""
    named = dict.fromkeys(thing for control in controls for thing in _FIXES[control])
    if _EVERYTHING in named:
        return _EVERYTHING
    things = [thing for thing in named if thing != _MOTION]
    things += [_MOTION] if _MOTION in named else []
    return " and ".join([", ".join(things[:-1]), things[-1]] if things[1:] else things)


def free_under(controls: tuple[Control, ...]) -> str:
    """What the controls leave to the prompt, in words; empty where they leave nothing."""
    named = {thing for control in controls for thing in _FIXES[control]}
    if _EVERYTHING in named:
        return ""
    return "materials and fine detail" if _COLOURS in named else _FREE


def _instruct(
    short: str, shown: Kind | None, controls: tuple[Control, ...], target: Target
) -> Turn:
    """Give a general model the task, the limits and what the control leaves free."""
    low, high = target.min_words, target.max_words
    lines = []
    if shown in _SHOWN:
        lines.append(
            f"The frames are {_SHOWN[shown]}, not a camera picture. Describe the real scene "
            "behind it. Do not describe lines, flat colours, blur or a black background."
        )
    if controls:
        what = "a control that fixes" if len(controls) == 1 else "controls that fix"
        told = f"The generator also follows {what} {fixed_by(controls)}: agree with the frames"
        free = free_under(controls).capitalize()
        lines.append(
            f"{told} in these. {free} are free: follow the request, and choose fitting ones "
            "where it says nothing."
            if free
            else f"{told}."
        )
    lines.append(f"Request: {short}" if short else "Request: describe what is there.")
    return Turn(_SYSTEM.format(low=low, high=high), "\n".join(lines))


TEMPLATES: dict[str, Template] = {
    made.name: made
    for made in (Template("verbatim/1", _verbatim), Template("instruct/1", _instruct))
}


def template(name: str) -> Template:
    """The template of that name.

    Raises:
        OptionError: There is none.
    """
    try:
        return TEMPLATES[name]
    except KeyError:
        raise OptionError(
            f"there is no template {name!r}", remedy=f"use one of: {', '.join(TEMPLATES)}"
        ) from None
