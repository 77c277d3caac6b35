"""Plan what is upsampled in a spec: which video is shown, as what, for which short prompt.

What earlier runs did is in the sidecars of the spec and of its result, and is not done again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict

from promptlift.cosmos.formats import SpecItem
from promptlift.cosmos.spec_file import BOM, Spec, prompt_in_json, read_text
from promptlift.errors import SpecError
from promptlift.record import Record
from promptlift.targets import target
from promptlift.targets.documents import document_form

__all__ = [
    "SIDECAR_SUFFIX",
    "ItemResult",
    "ItemStatus",
    "KnownPrompts",
    "LookAt",
    "Sidecar",
    "SidecarEntry",
    "SpecOptions",
    "known_prompts",
    "plan_item",
    "sidecar_path",
    "video_options",
]

SIDECAR_SUFFIX = ".promptlift.json"

_Find: TypeAlias = Callable[[str, str], str]

ItemStatus = Literal["planned", "done", "kept", "rejected", "failed"]
LookAt = Literal["rgb", "control"]

# Where a control is shown, the one that shows most of the scene.
_BEST_CONTROLS = (
    *("upscale", "vis", "blur", "edge", "seg", "depth", "hdmap", "wsm", "lidar", "keypoint"),
)

# Words in the sentences of a document; the makers' own captions alone have more.
_LONG_DOCUMENT = 80

# In the order of the sizes in the contract of Cosmos3.
_RESOLUTIONS = ("720", "768", "480", "256")
_RATIOS = ("16,9", "9,16", "1,1", "4,3", "3,4")


class SidecarEntry(BaseModel):
    """What became of one prompt of a spec.

    Attributes:
        where: Its place in the spec; empty where the spec holds only one.
        status: ``done`` where the long prompt is in place, ``kept`` where the prompt was left as
            it was on purpose, ``rejected`` where no answer was fit to use, ``failed`` with the
            reason.
        reason: Why it was kept, rejected or failed.
        short_prompt: The prompt as it was before promptlift first changed it.
        prompt: The prompt as it is now.
        video: The video that was shown, as the spec writes its path.
        video_path: The same, absolute.
        look_at: ``rgb``, or the key of the control that was shown.
        controls: The keys of the controls that the generator follows.
        region: The part of the picture: left, top, right, bottom from 0 to 1; None for all of it.
        mask: The mask video that shows the part instead, as the spec writes its path.
        record: How the long prompt came about.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: str
    status: ItemStatus
    reason: str = ""
    short_prompt: str
    prompt: str
    video: str | None = None
    video_path: str | None = None
    look_at: str | None = None
    controls: tuple[str, ...] = ()
    region: tuple[float, float, float, float] | None = None
    mask: str | None = None
    record: Record | None = None


class Sidecar(BaseModel):
    """The file beside a spec with what strict schemas have no place for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    promptlift_sidecar: Literal[1] = 1
    spec: str
    format: str
    items: tuple[SidecarEntry, ...]


class KnownPrompts(NamedTuple):
    """What sidecars say of earlier runs.

    Attributes:
        results: The upsampled prompts that stand in the spec itself, by their text.
        finished: What was done for a spec whose results stand elsewhere, by the item's place and
            its short prompt.
    """

    results: Mapping[str, SidecarEntry]
    finished: Mapping[tuple[str, str], SidecarEntry]


def sidecar_path(spec: Path) -> Path:
    """Where the sidecar of a spec is: ``NAME.promptlift.json`` beside it."""
    return spec.with_name(f"{spec.stem}{SIDECAR_SUFFIX}")


def known_prompts(spec: Path, result: Path | None = None) -> KnownPrompts:
    """What the sidecars of a spec and of its result say.

    Args:
        spec: The spec.
        result: Where its result stands; None for the spec itself, or not known.

    Raises:
        SpecError: There is a file of that name, and it is no sidecar.
    """
    inside, elsewhere = _entries(spec), _entries(result) if result and result != spec else ()
    # A document may stand in a file that both specs name.
    inside += tuple(one for one in elsewhere if one.prompt.startswith("{"))
    return KnownPrompts(
        {entry.prompt: entry for entry in inside if entry.prompt != entry.short_prompt},
        {(one.where, one.short_prompt): one for one in elsewhere if one.status == "done"},
    )


def _entries(spec: Path) -> tuple[SidecarEntry, ...]:
    path = sidecar_path(spec)
    try:
        return Sidecar.model_validate_json(path.read_bytes()).items
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):  # pydantic's errors are ValueErrors
        raise SpecError(
            f"{str(path)!r} is no sidecar that this version of promptlift wrote",
            remedy="move it away; without it, prompts are not known to be upsampled already",
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecOptions:
    """How spec files are read and treated.

    Attributes:
        form: As in ``--format``.
        base: The controlnet spec that a Transfer1 batch runs with, absolute; None for none.
        look_at: What is shown where there is a choice.
        regions: Whether regional prompts are upsampled too.
        again: Whether what is upsampled already, or long, is upsampled all the same.
        root: The folder that the generator is started in; None where it is not known.
        cwd: The current folder, from which relative paths may count.
    """

    form: str = "auto"
    base: str | None = None
    look_at: LookAt = "rgb"
    regions: bool = False
    again: bool = False
    root: str | None = None
    cwd: str = field(default_factory=os.getcwd, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What is to be done for one item, and then what became of it.

    Attributes:
        item: The item.
        status: As in the sidecar; ``planned`` for one that is to be upsampled.
        reason: Why it was kept, rejected or failed.
        before: The short prompt, or the one that was kept.
        after: The prompt that takes its place; None to leave the file as it is.
        prompt_file: The file that holds the prompt, absolute; None where the spec does. One of
            JSON need not be there yet.
        negative_file: The file of the negative prompt, absolute, where it is not there.
        video: What is shown, as the spec writes it; None where it did not come to that, or the
            prompt is of words alone.
        video_path: The same, absolute; empty for words alone.
        look_at: ``rgb``, or the key of the control that is shown.
        mask_path: The mask video of its region, absolute; None for none.
        seg_path: The video of its ``seg`` control, absolute; None for none.
        notes: How files were found, where their names do not say so.
        record: How it went; None where nobody was asked.
        entry: Its entry in the sidecar of an earlier run; None for none.
    """

    item: SpecItem
    status: ItemStatus
    reason: str = ""
    before: str
    after: str | None = None
    prompt_file: str | None = None
    negative_file: str | None = None
    video: str | None = None
    video_path: str = ""
    look_at: str | None = None
    mask_path: str | None = None
    seg_path: str | None = None
    notes: tuple[str, ...] = ()
    record: Record | None = None
    entry: SidecarEntry | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of its line, and of how its video was read."""
        video = () if self.record is None else self.record.video.warnings
        is_made = self.record is not None and self.record.negative_prompt
        if self.negative_file is None or is_made:
            return (*self.item.warnings, *video)
        lacks = f"its negative_prompt_file {self.item.negative_path!r} is not there"
        return (*self.item.warnings, f"{lacks}; --negative writes it", *video)


def plan_item(item: SpecItem, spec: Spec, known: KnownPrompts, options: SpecOptions) -> ItemResult:
    """Plan what is done for an item: it is ``planned`` to be upsampled, or ``kept`` as it is.

    Args:
        item: The item.
        spec: The spec that it is of.
        known: What earlier runs did.
        options: How specs are treated.

    Raises:
        SpecError: It cannot be read, or something that it needs is not there.
    """
    if item.error is not None:
        raise item.error
    notes: dict[str, None] = {}
    find = partial(_find_file, spec, options, notes)
    item, prompt, prompt_file = _prompt_of(item, spec, find, notes)
    negative_file = _place(spec, find, item.negative_path)[1]
    entry = known.results.get(prompt)
    done = None if entry else known.finished.get((item.where, prompt))
    if done is not None and not _is_for(done, item):
        done = None
    earlier = entry or done
    if item.is_region and not options.regions:
        reason = "a regional prompt; --regions upsamples it too"
    else:
        reason = _done_reason(prompt, earlier, spec, again=options.again)
    if reason:
        return ItemResult(
            item=item,
            status="kept",
            reason=reason,
            before=prompt,
            after=done.prompt if done else None,
            prompt_file=prompt_file,
            negative_file=negative_file,
            entry=earlier,
        )
    if item.region_fault:
        raise SpecError(
            f"the part of the picture cannot be shown: {item.region_fault}",
            remedy="give a box of four numbers or a mask video, or leave --regions out",
        )
    paths = {key: find(f"the {key} control", name) for key, name in item.hints.items() if name}
    for name in item.others:
        find("the file", name)
    look_at, video = _look(item, options.look_at)
    short = entry.short_prompt if entry else _caption(prompt, spec)
    if not (video or short.strip()):
        raise SpecError("it has neither a prompt nor a video", remedy="give it a prompt")
    mask = item.region_mask
    return ItemResult(
        item=item,
        status="planned",
        before=short,
        prompt_file=prompt_file,
        negative_file=negative_file,
        video=video,
        video_path=find("the video" if look_at == "rgb" else "the control", video) if video else "",
        look_at=look_at,
        mask_path=find("the region's mask", mask) if mask else None,
        seg_path=paths.get("seg"),
        notes=tuple(notes),
        entry=entry,
    )


def _prompt_of(
    item: SpecItem, spec: Spec, find: _Find, notes: dict[str, None]
) -> tuple[SpecItem, str, str | None]:
    """The item with what a person should know of its prompt's file, the prompt, and the file."""
    if not item.prompt_path:
        return item, item.prompt or "", None
    found, missing = _place(spec, find, item.prompt_path)
    if missing:
        if not spec.format.json_prompts:
            find("the prompt's file", item.prompt_path)
        notes[f"{item.prompt_path[:200]!r} is not there yet, and is written"] = None
        return item, "", missing
    prompt, warnings = _read_prompt_file(Path(str(found)), item, spec)
    return replace(item, warnings=(*item.warnings, *warnings)), prompt, found


def _place(spec: Spec, find: _Find, name: str | None) -> tuple[str | None, str | None]:
    """The absolute path of a file where it is there, and where it is not."""
    if name is None:
        return None, None
    try:
        return find("", name), None
    except SpecError:
        return None, str((spec.path.parent / name).resolve())


def _document(prompt: str, spec: Spec) -> dict[str, Any]:
    """The prompt of Cosmos3 as values; empty for any other prompt."""
    if not spec.format.json_prompts or not prompt.startswith("{"):
        return {}
    try:
        found: dict[str, Any] = json.loads(prompt)
    except (ValueError, RecursionError):
        return {}
    return found


def _caption(prompt: str, spec: Spec) -> str:
    """The prompt, or what it tells in short where it is a document."""
    document = _document(prompt, spec)
    return str(document.get("temporal_caption", "")) if document else prompt


def video_options(item: SpecItem, spec: Spec) -> dict[str, Any]:
    """What a spec says of the video to be made, as options of a row.

    What it does not say, or what the generator does not make, is left to the video that is shown.
    """
    goal = target(spec.format.target)
    if not goal.document:
        return {}
    said = {key: node.value for key, node in item.owner.members.items()}
    tier, ratio = str(said.get("resolution")), said.get("aspect_ratio") or _RATIOS[0]
    fps, seconds = said.get("fps"), _seconds(item)
    options: dict[str, Any] = {}
    if tier in _RESOLUTIONS and ratio in _RATIOS:
        number = _RESOLUTIONS.index(tier) * len(_RATIOS) + _RATIOS.index(ratio)
        options["video_size"] = goal.video.sizes[number]
    if fps in goal.video.rates:
        options["video_fps"] = fps
    low, high = goal.video.seconds or (0, 0)
    if seconds is not None and low <= int(seconds) <= high:
        options["video_seconds"] = seconds
    return options


def _seconds(item: SpecItem) -> float | None:
    """How long the video is to be; None where the spec does not say so in sensible numbers."""
    said = {key: node.value for key, node in item.owner.members.items()}
    frames, fps = said.get("num_frames"), said.get("fps")
    if not isinstance(frames, int) or not isinstance(fps, int | float):
        return None
    return frames / fps if 1 <= fps < 1e6 and 0 < frames < 1e6 else None


def _read_prompt_file(file: Path, item: SpecItem, spec: Spec) -> tuple[str, list[str]]:
    """The prompt in a file of its own, and what a person should know of the file.

    Raises:
        SpecError: It cannot be read.
    """
    try:
        text = read_text(file)
    except SpecError as error:
        raise SpecError(f"the prompt's file: {error.message}", remedy=error.remedy) from None
    node = prompt_in_json(text)
    if node is not None and isinstance(node.value, str):
        prompt = node.value.strip()
    else:
        prompt = text.removeprefix(BOM).strip()
        if spec.format.json_prompts and node is not None:
            prompt = json.dumps(json.loads(prompt))  # as the generator and records have it
    if not spec.format.json_prompts:
        raw = f"{file.name!r} is JSON, and the generator takes all of its text for the prompt"
        return prompt, [] if node is None else [raw]
    if node is None:
        not_json = f"{file.name!r} is not JSON, at which the generator stops"
        return prompt, [not_json] if file.suffix.lower() == ".json" else []
    told, wanted = ({key: one.value for key, one in n.members.items()} for n in (node, item.owner))
    ordered = _seconds(item)
    seconds = re.fullmatch(r"(?:(\d+):)?(\d+(?:\.\d+)?) ?s?", str(told.get("duration")))
    if seconds and ordered is not None:
        length = 60 * int(seconds[1] or 0) + float(seconds[2])
        is_right = abs(length - ordered) < 1
        wanted["duration"] = told["duration"] if is_right else f"{ordered:.3g}s"
    return prompt, [
        f"{file.name!r} says {key} {told[key]}, and the spec {wanted[key]}"
        for key in ("fps", "aspect_ratio", "duration")
        if key in told and key in wanted and told[key] != wanted[key]
    ]


def _done_reason(prompt: str, earlier: SidecarEntry | None, spec: Spec, *, again: bool) -> str:
    """Why a prompt need not be upsampled any more; empty where it must be."""
    goal, words = target(spec.format.target), len(prompt.split())
    if prompt.lstrip().startswith("{") and prompt_in_json(prompt) is not None and not goal.document:
        return "a JSON prompt, which is taken for finished"
    if again:
        return ""
    if earlier is not None:
        engine = earlier.record.engine if earlier.record else None
        by = f" by the engine {engine.name!r}" if engine else ""
        return f"upsampled already{by}; --again does it anew"
    least, form = goal.min_words, document_form(goal)
    if form and _document(prompt, spec):
        least, words = _LONG_DOCUMENT, len(form.check(prompt).prose.split())
    if words >= least:
        return f"long already ({words} words); --again upsamples it all the same"
    return ""


def _look(item: SpecItem, look_at: LookAt) -> tuple[str | None, str | None]:
    """What to look at, and its path as written; None twice for words alone."""
    shown = {key: video for key, video in item.hints.items() if video}
    if item.video is not None and look_at == "rgb":
        return "rgb", item.video
    if shown:
        key = min(shown, key=_BEST_CONTROLS.index)
        return key, shown[key]
    if not item.needs_video and item.video is None:
        return None, None
    raise SpecError(
        "it names no video to look at",
        remedy="name the RGB video or a control's, or leave --look-at control out",
    )


def _is_for(done: SidecarEntry, item: SpecItem) -> bool:
    """Whether what was done for an item is for what its spec says now."""
    videos = [item.video] if done.look_at in (None, "rgb") else item.hints.values()
    region = (done.region, done.mask) == (item.region, item.region_mask)
    return done.video in videos and done.controls == tuple(item.hints) and region


def _find_file(
    spec: Spec, options: SpecOptions, notes: dict[str, None], what: str, name: str
) -> str:
    """The absolute path of a file that a spec names, as the generator would find it.

    Cosmos-Transfer2.5 and Predict2.5 count from the spec's folder. The others count from the
    folder that they are started in, the root of their repository: here `root` where it is given,
    else the current folder, else the nearest folder above the spec from which the name leads
    somewhere.

    Args:
        spec: The spec.
        options: How specs are treated.
        notes: Takes where the file was found, if the name does not say so.
        what: What the file is, for the message.
        name: As the spec writes it.

    Raises:
        SpecError: There is no such file.
    """
    if spec.format.beside or Path(name).is_absolute():
        folders = [spec.path.parent]
    elif options.root is not None:
        folders = [Path(options.root)]
    else:
        folders = [Path(options.cwd), *spec.path.absolute().parents]
    for number, folder in enumerate(folders):
        path = (folder / name).absolute()
        if os.path.exists(path):  # noqa: PTH110 - no error for a name that is too long
            if number:
                notes[f"relative paths count from {folder}"] = None
            return str(path)
    above = ", nor from the folders above the spec" if len(folders) > 1 else ""
    raise SpecError(
        f"{what} {name[:200]!r} is not there: no {(folders[0] / name).absolute()}{above}",
        remedy="correct the path" if spec.format.beside else "correct the path, or give --root",
    )
