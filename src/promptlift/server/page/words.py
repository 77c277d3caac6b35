"""What was measured and checked, in words that need no manual."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import NamedTuple

from promptlift.core.facts import Camera, Facts, Light, Movement, Palette
from promptlift.core.record import Probe
from promptlift.core.review import Check, CheckName
from promptlift.server.lanes import Lane

__all__ = [
    "Fact",
    "ago",
    "check_words",
    "clip_words",
    "clock",
    "count",
    "engine_words",
    "facts_in_words",
    "megabytes",
    "size",
    "strategy_words",
]

_KINDS = {
    "rgb": "A camera picture.",
    "edge": "An edge control video: outlines on black, no camera picture.",
    "depth": "A depth control video: brightness is distance, no camera picture.",
    "seg": "A segmentation control video: flat colours stand for things.",
    "blur": "A blurred control video: the scene without its detail.",
    "lines": "A drawing of lines, such as an HD map.",
    "mask": "A mask: one region in white.",
}
_MOVES = {
    "pan left": "pans left",
    "pan right": "pans right",
    "tilt up": "tilts up",
    "tilt down": "tilts down",
    "forward": "moves or zooms in",
    "backward": "moves or zooms out",
}
_SPEEDS = {"slow": "slowly", "moderate": "at a moderate pace", "fast": "fast"}
_AMOUNTS = {
    "none": "Nothing moves by itself.",
    "little": "A little moves by itself",
    "some": "Some of the picture moves by itself",
    "strong": "Much of the picture moves by itself",
}
_PLACES = {
    "left": "mostly on the left",
    "centre": "mostly in the centre",
    "right": "mostly on the right",
    "throughout": "all over",
}
_CHECKS: dict[CheckName, tuple[str, str]] = {
    "empty": ("There is an answer", "There is no answer"),
    "cut": ("It ends where a text ends", "It was cut off"),
    "refusal": ("The model did not refuse", "The model refused"),
    "meta": ("Nothing but the prompt: no chat, no labels", "It talks besides the prompt"),
    "language": ("Whole and readable, in the language asked for", "The language is wrong"),
    "loop": ("It does not repeat itself", "It repeats itself"),
    "too_long": ("The generator reads all of it", "It is longer than the generator reads"),
    "unfaithful": (
        "It keeps your words and what was measured",
        "It goes against your words or what was measured",
    ),
    "artefact": (
        "It describes the scene, not the look of a control video",
        "It describes the look of a control video",
    ),
}
_STRATEGIES = {
    "spread": "spread over the clip",
    "first": "the first of the clip",
    "fps": "at a steady rate from the start",
    "scenes": "where the picture changes most",
}


class Fact(NamedTuple):
    """One measured thing: what it is of, in words, and how sure it is from 0 to 1."""

    name: str
    text: str
    sure: float | None


def facts_in_words(facts: Facts) -> list[Fact]:
    """Sentences, the most telling first; what is not known is left out."""
    found = []
    if facts.kind is not None:
        found.append(Fact("Picture", _KINDS[facts.kind.value], facts.kind.confidence))
    if facts.camera is not None:
        found.append(Fact("Camera", _camera(facts.camera.value), facts.camera.confidence))
    if facts.movement is not None:
        found.append(Fact("Movement", _movement(facts.movement.value), facts.movement.confidence))
    if facts.light is not None:
        found.append(Fact("Light", _light(facts.light.value), facts.light.confidence))
    if facts.palette is not None:
        found.append(Fact("Colours", _palette(facts.palette.value), facts.palette.confidence))
    if facts.sharpness is not None:
        text = f"{facts.sharpness.value.capitalize()}."
        found.append(Fact("Detail", text, facts.sharpness.confidence))
    if facts.cuts is not None:
        found.append(Fact("Cuts", _cuts(facts.cuts), None))
    return found


def _camera(camera: Camera) -> str:
    moves = [_MOVES[move] for move in camera.moves if move in _MOVES]
    speed = f" {_SPEEDS[camera.strength]}" if camera.strength and moves else ""
    doing = [f"{' and '.join(moves)}{speed}"] if moves else []
    doing += ["shakes, as if held by hand"] if "shake" in camera.moves else []
    return f"The camera {' and '.join(doing) or 'does not move'}."


def _movement(movement: Movement) -> str:
    words = _AMOUNTS[movement.amount]
    if words.endswith("."):
        return words
    return f"{words}, {_PLACES[movement.where]}." if movement.where else f"{words}."


def _light(light: Light) -> str:
    parts = [
        "Medium exposure" if light.exposure == "medium" else light.exposure.capitalize(),
        f"{light.contrast} contrast",
    ]
    if light.temperature:
        parts.append(f"{light.temperature} light")
    return ", ".join(parts) + "."


def _palette(palette: Palette) -> str:
    parts = []
    if palette.dominant:
        parts.append(f"Mostly {_listed(palette.dominant)}")
    if palette.accents:
        with_accents = f"accents of {_listed(palette.accents)}"
        parts.append(with_accents if parts else with_accents.capitalize())
    return f"{', with '.join(parts)}." if parts else "No colour stands out."


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _cuts(cuts: tuple[float, ...]) -> str:
    if not cuts:
        return "One shot from beginning to end."
    return f"The shot changes at {_listed(tuple(f'{cut:.2f} s' for cut in cuts))}."


def check_words(check: Check) -> str:
    """What a check found, as a statement."""
    passed, failed = _CHECKS[check.name]
    return passed if check.passed else failed


def strategy_words(strategy: str) -> str:
    """Which frames were taken."""
    return _STRATEGIES.get(strategy, strategy)


def engine_words(lane: Lane) -> str:
    """What an engine is called, and who that is: ``embedded, no model``."""
    if lane.trouble is not None:
        return f"{lane.label}, does not answer"
    if lane.info is None:
        return f"{lane.label}, starting"
    if lane.info.name == "embedded":
        return f"{lane.label}, no model"
    return f"{lane.label}, {lane.info.model.rpartition('/')[2]}"


def clip_words(probe: Probe, size_bytes: int) -> str:
    """What a video is: ``1280x720, 5.04 s, 24 frames a second, h264, 1.1 MB``."""
    parts = [f"{probe.width}×{probe.height}"]
    if probe.is_still:
        parts.append("a still picture")
    elif probe.duration:
        parts.append(f"{float(Fraction(probe.duration)):.2f} s")
    if probe.frame_rate and not probe.is_still:
        parts.append(f"{float(Fraction(probe.frame_rate)):.4g} frames/s")
    return ", ".join([*parts, probe.codec, megabytes(size_bytes)])


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(width: int, height: int) -> str:
    """A size as people write it."""
    return f"{width}×{height}"


def megabytes(number: int) -> str:
    """Bytes to read."""
    if number >= 2**30:
        return f"{number / 2**30:.3g} GiB"
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.0f} kB"


def ago(seconds: float) -> str:
    """How long ago a time was, given as seconds since 1970."""
    spent = max(0, round(time.time() - seconds))
    if spent < 60:
        return "just now"
    if spent < 3600:
        return f"{spent // 60} min ago"
    if spent < 86_400:
        return f"{spent // 3600} h ago"
    return time.strftime("%d %b %Y", time.gmtime(seconds))


def clock(seconds: float) -> str:
    """A time since 1970 for machines, as HTML's ``datetime`` takes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
