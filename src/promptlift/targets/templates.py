"""What is said to a model: versioned templates.

A template turns what is known of an item into a system text and a user text. Its name carries a
version, or a digest for a file: changed words are another name, so that a record always tells
which words were used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from promptlift.errors import OptionError
from promptlift.targets import Target, prompt_language
from promptlift.targets.documents import document_form
from promptlift.types import Control, Creativity, Kind, Role

if TYPE_CHECKING:
    from promptlift.facts import Facts
    from promptlift.review.request import UserRequest
    from promptlift.targets.documents import VideoFormat

__all__ = [
    "TEMPLATES",
    "Template",
    "TemplateInput",
    "Turn",
    "camera_in_words",
    "fixed_by",
    "free_under",
    "template",
]


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
class TemplateInput:
    """What a template may use.

    Attributes:
        request: The short prompt, read once.
        target: The generator that the prompt is for.
        shown: The kind of control video that the frames are of; None for a camera picture.
        controls: What the generator is made to follow.
        facts: What was measured; None if nothing was.
        times: Seconds of each frame.
        duration: Seconds of the video; None for a still, and where it is not known.
        roles: What each picture is, in order; empty for words alone.
        is_region: Whether the frames show one region of a larger picture.
        nouns: What the user says is in view.
        instruction: What the user adds to the template.
        creativity: How much may be added to the request.
        video: The video to be generated; None where the prompt does not tell of it.
        style: The style that the user asks for besides; empty for none.
        variation: Which one of several for the same request, from 1.
    """

    request: UserRequest
    target: Target
    shown: Kind | None = None
    controls: tuple[Control, ...] = ()
    facts: Facts | None = None
    times: tuple[Fraction, ...] = ()
    duration: Fraction | None = None
    roles: tuple[Role, ...] = ("frame",)
    is_region: bool = False
    nouns: tuple[str, ...] = ()
    instruction: str = ""
    creativity: Creativity = "medium"
    video: VideoFormat | None = None
    style: str = ""
    variation: int = 1

    @property
    def language(self) -> str:
        """The language to write in."""
        return prompt_language(self.target, self.request.language)


@dataclass(frozen=True, slots=True)
class Template:
    """A way to ask. Picklable.

    Attributes:
        name: Name and version, such as ``verbatim/1``; for a file its name and a digest.
        render: Makes the turn. Raises `OptionError` where a file's template fails.
        max_images: The most images that the model was trained with; None for any.
        reserve: Tokens that its makers keep for the answer; None to go by the target.
        needs_images: Whether the model was trained with images only.
        takes_instruction: Whether it says what the user adds.
        source: The text of a template from a file; empty for a built-in one.
    """

    name: str
    render: Callable[[TemplateInput], Turn] = field(repr=False, compare=False)
    max_images: int | None = None
    reserve: int | None = None
    needs_images: bool = False
    takes_instruction: bool = False
    source: str = field(default="", repr=False)


# ---- models that were trained on one way of asking


def _verbatim(given: TemplateInput) -> Turn:
    """Say the user's words and nothing else, as the Cosmos upsampler was trained to be asked.

    Source of both: auxiliary/upsampler/model/upsampler.py in Cosmos-Transfer1.
    """
    return Turn("", _one_line(given) or "describe the following images")


def _predict1_text(given: TemplateInput) -> Turn:
    """Ask as text2world_prompt_upsampler_inference.py of Cosmos-Predict1 does."""
    return Turn("", f"Upsample the short caption to a long caption: {_one_line(given)}")


_PREDICT1_TASK = """
Your task is to transform a given prompt into a refined and concise video description, no more \
than 150 words.
Focus only on the content, no filler words or descriptions on the style. Never mention things \
outside the video."""


def _predict1_video(given: TemplateInput) -> Turn:
    """Ask as video2world_prompt_upsampler_inference.py does, which gives no prompt of a user."""
    short = _one_line(given)
    return Turn("", f"{_PREDICT1_TASK}\nPrompt: {short}" if short else _PREDICT1_TASK)


def _one_line(given: TemplateInput) -> str:
    return " ".join(given.request.text.split())


# ---- general models

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
_PARTS: dict[Role, str] = {
    "frame": "a frame of the video that leads up to it",
    "first": "the first frame of the video",
    "last": "the last frame of the video",
    "reference": "a reference, and no frame: what the request names looks like this",
}
_PARTS_MANY: dict[Role, str] = {
    "frame": "frames of the video, in order of time",
    "reference": "references, and no frames: what the request names looks like this",
}
_MOVES = {
    "static": "is static",
    "pan left": "pans left",
    "pan right": "pans right",
    "tilt up": "tilts up",
    "tilt down": "tilts down",
    "forward": "moves forward",
    "backward": "moves backward",
    "shake": "shakes",
}
_SPEEDS = {"slow": " slowly", "fast": " quickly"}
_CREATIVITY: dict[Creativity, str] = {
    "low": "Write nothing that is neither in the request nor in plain sight in the frames: no "
    "further detail of the setting, the light or the action.",
    "high": "Be generous with fitting detail: the setting near and far, materials, light and air, "
    "and small side actions. It must change nothing of the request.",
}
_USUALLY_FREE = "light, weather and details of the setting"
_LIGHTS = (
    "an early morning with low clear sun",
    "an overcast day with soft even light",
    "a night with lamps and their reflections",
    "a late afternoon with long warm shadows",
    "wet surfaces just after rain",
    "mist in which distant things grow pale",
    "midday with hard light and strong colors",
    "dusk with blue light and lit windows",
    "a winter day with pale cold light",
)
_PLACE_OF_STYLE = {
    "first": "begin with it",
    "last tags": "make it the first of the tags at the end",
}
_SURE = 0.75  # confidence below which a model is not told how the camera moves
_MOST_CUTS = 6
_CHARACTERS_A_WORD = 1.6  # of Chinese, for a word of English


def fixed_by(controls: tuple[Control, ...]) -> str:
    """What the controls settle together, in words; empty where there are none."""
    named = dict.fromkeys(thing for control in controls for thing in _FIXES[control])
    if _EVERYTHING in named:
        return _EVERYTHING
    things = [thing for thing in named if thing != _MOTION]
    return _listed([*things, *([_MOTION] if _MOTION in named else [])])


def free_under(controls: tuple[Control, ...]) -> str:
    """What the controls leave to the prompt, in words; empty where they leave nothing."""
    named = {thing for control in controls for thing in _FIXES[control]}
    if _EVERYTHING in named:
        return ""
    return "materials and fine detail" if _COLOURS in named else _FREE


def camera_in_words(facts: Facts | None) -> str:
    """How the camera was measured to move, such as ``moves forward slowly``; empty if not sure."""
    camera = facts.camera if facts is not None else None
    if camera is None or camera.confidence < _SURE:
        return ""
    speed = _SPEEDS.get(camera.value.strength or "", "")
    return " and ".join(_MOVES[move] for move in camera.value.moves) + speed


def _listed(things: list[str]) -> str:
    return " and ".join([", ".join(things[:-1]), things[-1]] if things[1:] else things)


def _instruct(given: TemplateInput) -> Turn:
    """Give a general model the task, what is known of the clip, and what is free.

    All that differs from one item to the next is in the user text, so that the system text of a
    batch is the same and a server computes it once.
    """
    system = " ".join(_system_sentences(given))
    if given.instruction:
        system = f"{system}\n{given.instruction}"
    lines = [*_picture_lines(given), *_clip_lines(given), *_request_lines(given)]
    short = given.request.text or "describe the scene."
    lines.append(f"Request:\n{short}" if "\n" in short else f"Request: {short}")
    return Turn(system, "\n".join(lines))


_FAITHFUL = (
    "Keep the names, numbers, colours and directions of the request as they are. Say what is "
    "there, not what is missing, unless the request itself does."
)


def _system_sentences(given: TemplateInput) -> Iterator[str]:
    """The task and the form, which follow from the target."""
    goal, language = given.target, given.language
    low, high = goal.min_words, goal.max_words
    if given.is_region:
        low, high = low // 2, high // 2
    unit = "words"
    if language == "Chinese":
        low, high = (round(count * _CHARACTERS_A_WORD) for count in (low, high))
        unit = "characters"
    yield "You turn a short request into one prompt for a video generator."
    if not given.roles:
        yield "There is no picture: the request is all that is known."
    elif set(given.roles) == {"frame"}:
        yield "You are shown frames of a video in order of time and told what is known of it."
    else:
        yield "You are shown pictures and told what each of them is to the video."
    if form := document_form(goal):
        yield form.instructions()
        yield f"Write plain {language}, in the present tense."
        yield _FAITHFUL
        yield from _asked_besides(given)
        return
    yield (f"Write one paragraph of plain {language} in the present tense, {low} to {high} {unit}.")
    if goal.style == "first":
        yield "If the request names a style, begin with it."
    then = "then shot size and camera angle; " if goal.shot else ""
    yield (
        "Begin with the main subject and what it does, and tell the action step by step in its "
        "order; then the setting and where things are; then light, colours and materials; "
        f"{then}last the camera, as given below."
    )
    heard = " or heard" if goal.sound else ""
    yield (
        f"Write only of concrete things that can be seen{heard}: no feelings, no judgement, no "
        "story."
    )
    if goal.sound:
        yield (
            "Tell the sounds as they occur; give speech only where the request does, in quotation "
            "marks."
        )
    yield _FAITHFUL
    yield from _asked_besides(given)
    if goal.style == "last tags":
        yield "End with two to four tags of a word or two for style and light, between commas."
    pictures = '"the image"' if goal.openings else '"the video", "the image"'
    yield (
        f'Never speak of {pictures}, "the frames" or the request. No title, no list, no remarks '
        "before or after the paragraph."
    )


def _asked_besides(given: TemplateInput) -> Iterator[str]:
    """What the target's makers and the user's options ask for besides."""
    yield from given.target.instructions
    if given.creativity in _CREATIVITY:
        yield _CREATIVITY[given.creativity]


def _picture_lines(given: TemplateInput) -> Iterator[str]:
    """What the pictures are, and when."""
    times, duration = given.times, given.duration
    if duration is not None and times:
        length = f"of {_seconds(duration)}"
        if len(times) == 1:
            yield f"The frame is at {_seconds(times[0])} {length}."
        else:
            places = (f"{at} at {_seconds(time)}" for at, time in enumerate(times, start=1))
            yield f"Frames: {', '.join(places)} {length}."
    if set(given.roles) - {"frame"}:
        yield from _role_lines(given)
    if given.shown in _SHOWN:
        yield (
            f"The frames are {_SHOWN[given.shown]}, not a camera picture. Describe the real scene "
            "behind it, never lines, flat colours, blur or a black background."
        )


def _clip_lines(given: TemplateInput) -> Iterator[str]:
    """What is known of the clip, and what of it the prompt has to keep."""
    if given.video is not None:
        yield f"The video to be generated: {given.video}."
    cuts = given.facts.cuts if given.facts is not None else None
    if cuts and len(cuts) <= _MOST_CUTS:
        yield f"The shot changes at {_listed([_seconds(cut) for cut in cuts])}."
    elif cuts:
        yield f"The shot changes {len(cuts)} times."
    if given.nouns:
        yield f"Labels given for the picture: {', '.join(given.nouns)}."
    yield _camera_line(given)
    yield _look_line(given)
    if given.variation > 1:
        yield _variation_line(given)
    if given.is_region:
        yield (
            "The frames are one region of a larger picture. Describe what is in this region only; "
            "the rest is described elsewhere."
        )


def _role_lines(given: TemplateInput) -> Iterator[str]:
    """What the pictures are, where they are not all frames of one video."""
    roles = given.roles
    places: dict[Role, list[str]] = {}
    for place, role in enumerate(roles, start=1):
        places.setdefault(role, []).append(str(place))
    for role, numbers in places.items():
        if len(numbers) == 1:
            yield f"Picture {numbers[0]} is {_PARTS[role]}."
        else:
            yield f"Pictures {_listed(numbers)} are {_PARTS_MANY.get(role, _PARTS[role])}."
    if "last" in roles:
        yield (
            "Describe what moves and changes from the first picture to the last frame, step by "
            "step; both are given, so do not describe them apart."
        )
    elif "first" in roles:
        yield "Describe how the video goes on from it; keep what is in it as it looks there."


def _camera_line(given: TemplateInput) -> str:
    if given.request.camera:
        return "Camera: as the request orders it."
    if measured := camera_in_words(given.facts):
        return f"Camera: it {measured}, as was measured."
    if given.target.camera == "required":
        return "Camera: say how it moves, or that it is static."
    return "Camera: say nothing of it."


def _look_line(given: TemplateInput) -> str:
    """What is fixed and what is free, in one place."""
    shown = given.shown in _SHOWN
    nothing_else = "Add no people, objects or events that are in neither."
    if given.creativity == "high":
        nothing_else = "Objects and side actions that fit may be added."
    if not given.roles:
        added = nothing_else if given.creativity == "high" else "Add no main subject and no event."
        fixed = fixed_by(given.controls)
        control = f"The generator also follows a control that fixes {fixed}. " if fixed else ""
        if given.creativity == "low":
            return f"{control}What the request leaves open stays open."
        return (
            f"{control}What the request leaves open is yours to choose, as it goes with the "
            f"request. {added}"
        )
    if not given.controls:
        where = "frames" if "frame" in given.roles else "pictures"
        free = _free_to_vary(given) if given.variation > 1 else ""
        but = f", but for {free}" if free else ""
        return f"What the request leaves open is as in the {where}{but}. {nothing_else}"
    fixed, free = fixed_by(given.controls), free_under(given.controls).capitalize()
    what = "a control that fixes" if len(given.controls) == 1 else "controls that fix"
    told = f"The generator also follows {what} {fixed}: agree with the frames in these."
    if free:
        left = "yours to choose" if shown else "as in the frames"
        told += f" {free} follow the request; what it leaves open is {left}."
    return f"{told} {nothing_else}"


def _free_to_vary(given: TemplateInput) -> str:
    """What neither a control nor the picture of a first or last frame settles."""
    if {"first", "last"} & set(given.roles):
        return ""
    return free_under(given.controls) if given.controls else _USUALLY_FREE


def _variation_line(given: TemplateInput) -> str:
    """What makes a variation another than the earlier ones; the same for the same number.

    Nothing is said of the earlier ones, which may be written at the same time by another process.
    """
    free = _free_to_vary(given)
    choose = "other details of the setting and the materials than come to mind first"
    if "light" in free and not given.request.times:
        light = _LIGHTS[(given.variation - 2) % len(_LIGHTS)]
        choose = f"{light}, and details of the setting that go with it"
    elif not free:
        choose = "another pace and other small motions than come to mind first"
    return (
        f"This is variation {given.variation} of the prompt: keep all that the request says, and "
        f"where it leaves them open choose {choose}."
    )


def _request_lines(given: TemplateInput) -> Iterator[str]:
    """How the kinds of words that are in the request are to be treated."""
    request = given.request
    if given.style:
        place = _PLACE_OF_STYLE.get(
            given.target.style, "name it where the style is told, and keep to it"
        )
        yield f"Style: {given.style}; {place}."
    if request.edits:
        yield (
            "The request orders a change. Describe the result as if it had always been so, and do "
            "not mention what is removed or replaced."
        )
    if request.quotes:
        quotes = dict.fromkeys(
            f"{quote.marks[0]}{quote.text}{quote.marks[1]}" for quote in request.quotes
        )
        why = " The generator writes or speaks what stands in them." * bool(given.target.quotes)
        yield f"Write with these very letters and quotation marks: {', '.join(quotes)}.{why}"
    if request.timed_lines:
        times = (
            "these times" if given.target.document else "that order of events, and write no times"
        )
        yield f"The request gives times: keep {times}."


def _seconds(time: Fraction | float) -> str:
    return f"{float(time):.1f} s"


TEMPLATES: dict[str, Template] = {
    made.name: made
    for made in (
        Template("verbatim/1", _verbatim),
        Template("predict1-text/1", _predict1_text, max_images=0, reserve=512),
        Template("predict1-video/1", _predict1_video, max_images=1, reserve=400, needs_images=True),
        Template("instruct/2", _instruct, takes_instruction=True),
    )
}


def template(name: str) -> Template:
    """The built-in template of that name.

    Raises:
        OptionError: There is none.
    """
    try:
        return TEMPLATES[name]
    except KeyError:
        raise OptionError(
            f"there is no template {name[:80]!r}", remedy=f"use one of: {', '.join(TEMPLATES)}"
        ) from None
