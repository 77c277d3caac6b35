"""Decide what is to be done for an item: which video is shown, as what, for which short prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from promptlift.core.targets import target
from promptlift.cosmos.controls import control_of, kind_of
from promptlift.cosmos.items import Item
from promptlift.cosmos.paths import Found, find
from promptlift.cosmos.sidecar import Entry, Known
from promptlift.cosmos.spec import Spec
from promptlift.errors import SpecError

if TYPE_CHECKING:
    from promptlift.core.facts import Kind
    from promptlift.core.prompts import Control

__all__ = ["Job", "Kept", "LookAt", "Settings", "decide"]

LookAt = Literal["rgb", "control"]

# Where a control is shown, the one that tells most of the scene is.
_MOST_TELLING = ("upscale", "vis", "edge", "seg", "depth", "hdmap", "lidar", "keypoint")
_LONGEST_PROMPT_FILE = 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """How spec files are treated.

    Attributes:
        look_at: What is shown where there is a choice.
        regions: Whether regional prompts are upsampled too.
        again: Whether what is upsampled already, or long, is upsampled all the same.
        root: The folder that the generator is started in; None where it is not known.
        here: What the current folder was when the specs were first read; None for what it is.
        may_be_gone: Whether files need no longer be there, for items that are done.
    """

    look_at: LookAt = "rgb"
    regions: bool = False
    again: bool = False
    root: Path | None = None
    here: Path | None = None
    may_be_gone: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """An item that is to be upsampled.

    Attributes:
        short: The short prompt.
        video: What is shown.
        look_at: ``rgb``, or the key of the control that is shown.
        shown: The kind of picture where it is known; None to have it measured.
        controls: What the generator follows.
        prompt_file: The file that holds the prompt; None where the spec does.
        mask: The video that shows which part of the picture the prompt is about; None for none.
        notes: What a person should know of how the files were found.
        entry: What the sidecar tells of it; None for nothing.
    """

    short: str
    video: Found
    look_at: str
    shown: Kind | None
    controls: tuple[Control, ...]
    prompt_file: Found | None
    mask: Found | None
    notes: tuple[str, ...]
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Kept:
    """An item that is left as it is.

    Attributes:
        prompt: The prompt.
        reason: Why.
        entry: What the sidecar tells of it; None for nothing.
        after: What stands in the result; None for the prompt itself.
        prompt_file: The file that holds the prompt; None where the spec does.
    """

    prompt: str
    reason: str
    entry: Entry | None = None
    after: str | None = None
    prompt_file: Found | None = None


def decide(item: Item, spec: Spec, known: Known, settings: Settings) -> Job | Kept:
    """Decide what is to be done for an item.

    Args:
        item: The item.
        spec: The spec that it is of.
        known: What earlier runs did.
        settings: How.

    Raises:
        SpecError: Something that it needs is not there.
    """
    file = None
    if item.prompt_path is not None:
        file = _find(item.prompt_path, spec, settings, "the prompt's file")
    prompt = (item.prompt or "") if file is None else _prompt_of(file)
    entry = known.results.get(prompt)
    done = known.finished.get((item.where, prompt))
    if done is not None and not _still_holds(done, item):
        done = None
    before = done.prompt if done else None
    if item.is_region and not settings.regions:
        return Kept(prompt, "a regional prompt; --regions upsamples it too", done or entry, before)
    if not settings.again:
        kept = _reason_to_keep(prompt, entry, spec)
        if kept:
            return Kept(prompt, kept, entry)
        if done is not None:
            return Kept(prompt, _already(done), done, before, file)
    if item.region_fault:
        raise SpecError(
            f"the part of the picture cannot be shown: {item.region_fault}",
            remedy="give a box of four numbers or a mask video, or leave --regions out",
        )
    controls = [
        _find(hint.video, spec, settings, f"the {hint.key} control")
        for hint in item.hints
        if hint.video
    ]
    look_at, video = _look(item, spec, settings)
    mask = None
    if item.region_mask is not None:
        mask = _find(item.region_mask, spec, settings, "the region's mask")
    files = [found for found in (video, *controls, file, mask) if found is not None]
    return Job(
        short=entry.short_prompt if entry else prompt,
        video=video,
        look_at=look_at,
        shown=None if look_at == "rgb" else kind_of(look_at),
        controls=tuple(control_of(hint.key) for hint in item.hints),
        prompt_file=file,
        mask=mask,
        notes=tuple(dict.fromkeys(found.note for found in files if found.note)),
        entry=entry,
    )


def _find(named: str, spec: Spec, settings: Settings, what: str) -> Found:
    return find(
        named, spec, settings.root, what, here=settings.here, may_be_gone=settings.may_be_gone
    )


def _reason_to_keep(prompt: str, entry: Entry | None, spec: Spec) -> str:
    if entry is not None:
        return _already(entry)
    words, enough = len(prompt.split()), target(spec.format.target).min_words
    if words >= enough:
        return f"long already ({words} words); --again upsamples it all the same"
    return ""


def _already(entry: Entry) -> str:
    engine = entry.record.engine if entry.record else None
    by = f" by the engine {engine.name!r}" if engine else ""
    return f"upsampled already{by}; --again does it anew"


def _still_holds(done: Entry, item: Item) -> bool:
    """Whether what was done for an item was done for what it is now."""
    videos = {item.video, *(hint.video for hint in item.hints)}
    keys = tuple(hint.key for hint in item.hints)
    where = (done.region, done.mask) == (item.region, item.region_mask)
    return done.video in videos and done.controls == keys and where


def _look(item: Item, spec: Spec, settings: Settings) -> tuple[str, Found]:
    """What to look at, and where that is."""
    for hint in item.hints:
        if hint.video is None and item.video is None:
            raise SpecError(
                f"the {hint.key} control has no video, and there is no RGB video to make it from",
                remedy="name one of the two",
            )
    shown = sorted((h for h in item.hints if h.video), key=lambda h: _MOST_TELLING.index(h.key))
    if item.video is not None and settings.look_at == "rgb":
        return "rgb", _find(item.video, spec, settings, "the video")
    if shown and shown[0].video is not None:
        return shown[0].key, _find(shown[0].video, spec, settings, "the control")
    if item.video is not None:
        raise SpecError(
            "no control has a video of its own to look at", remedy="leave --look-at control out"
        )
    raise SpecError("it names no video", remedy="name the RGB video, or a control's")


def _prompt_of(file: Found) -> str:
    try:
        with file.path.open("rb") as opened:
            data = opened.read(_LONGEST_PROMPT_FILE + 1)
        if len(data) > _LONGEST_PROMPT_FILE:
            raise SpecError("the prompt's file is longer than 1 MiB", remedy="check the path")
        return data.decode("utf-8-sig").strip()
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise SpecError(f"the prompt's file cannot be read: {what}", remedy="check it") from None
    except UnicodeDecodeError:
        raise SpecError("the prompt's file is not UTF-8", remedy="save it as UTF-8") from None
