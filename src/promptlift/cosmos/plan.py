"""Plan what is upsampled in a spec: which video is shown, as what, for which short prompt.

What earlier runs did is in the sidecars of the spec and of its result, and is not done again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from promptlift.cosmos.formats import SpecItem
from promptlift.cosmos.spec_file import BOM, Spec, read_text
from promptlift.errors import SpecError
from promptlift.record import Record
from promptlift.targets import target

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
]

SIDECAR_SUFFIX = ".promptlift.json"

ItemStatus = Literal["planned", "done", "kept", "rejected", "failed"]
LookAt = Literal["rgb", "control"]

# Where a control is shown, the one that shows most of the scene.
_BEST_CONTROLS = ("upscale", "vis", "edge", "seg", "depth", "hdmap", "lidar", "keypoint")


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
        prompt_file: The file that holds the prompt, absolute; None where the spec does.
        video: What is shown, as the spec writes it; None where it did not come to that.
        video_path: The same, absolute.
        look_at: ``rgb``, or the key of the control that is shown.
        mask_path: The mask video of its region, absolute; None for none.
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
    video: str | None = None
    video_path: str = ""
    look_at: str | None = None
    mask_path: str | None = None
    notes: tuple[str, ...] = ()
    record: Record | None = None
    entry: SidecarEntry | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of its line, and of how its video was read."""
        video = () if self.record is None else self.record.video.warnings
        return (*self.item.warnings, *video)


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
    prompt_file = find("the prompt's file", item.prompt_path) if item.prompt_path else None
    prompt = item.prompt or ""
    if prompt_file is not None:
        try:
            prompt = read_text(Path(prompt_file)).removeprefix(BOM).strip()
        except SpecError as error:
            raise SpecError(f"the prompt's file: {error.message}", remedy=error.remedy) from None
    entry = known.results.get(prompt)
    done = None if entry else known.finished.get((item.where, prompt))
    if done is not None and not _is_for(done, item):
        done = None
    earlier = entry or done
    is_region = item.region or item.region_mask or item.region_fault
    if is_region and not options.regions:
        reason = "a regional prompt; --regions upsamples it too"
    else:
        reason = "" if options.again else _done_reason(prompt, earlier, spec)
    if reason:
        return ItemResult(
            item=item,
            status="kept",
            reason=reason,
            before=prompt,
            after=done.prompt if done else None,
            prompt_file=prompt_file,
            entry=earlier,
        )
    if item.region_fault:
        raise SpecError(
            f"the part of the picture cannot be shown: {item.region_fault}",
            remedy="give a box of four numbers or a mask video, or leave --regions out",
        )
    for key, control in item.hints.items():
        if control:
            find(f"the {key} control", control)
    look_at, video = _look(item, options.look_at)
    mask = item.region_mask
    return ItemResult(
        item=item,
        status="planned",
        before=entry.short_prompt if entry else prompt,
        prompt_file=prompt_file,
        video=video,
        video_path=find("the video" if look_at == "rgb" else "the control", video),
        look_at=look_at,
        mask_path=find("the region's mask", mask) if mask else None,
        notes=tuple(notes),
        entry=entry,
    )


def _done_reason(prompt: str, earlier: SidecarEntry | None, spec: Spec) -> str:
    """Why a prompt need not be upsampled any more; empty where it must be."""
    words = len(prompt.split())
    if earlier is not None:
        engine = earlier.record.engine if earlier.record else None
        by = f" by the engine {engine.name!r}" if engine else ""
        return f"upsampled already{by}; --again does it anew"
    if words >= target(spec.format.target).min_words:
        return f"long already ({words} words); --again upsamples it all the same"
    return ""


def _look(item: SpecItem, look_at: LookAt) -> tuple[str, str]:
    """What to look at, and its path as written."""
    shown = {key: video for key, video in item.hints.items() if video}
    if item.video is not None and look_at == "rgb":
        return "rgb", item.video
    if shown:
        key = min(shown, key=_BEST_CONTROLS.index)
        return key, shown[key]
    raise SpecError(
        "it names no video to look at",
        remedy="name the RGB video or a control's, or leave --look-at control out",
    )


def _is_for(done: SidecarEntry, item: SpecItem) -> bool:
    """Whether what was done for an item is for what its spec says now."""
    videos = [item.video] if done.look_at == "rgb" else item.hints.values()
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
