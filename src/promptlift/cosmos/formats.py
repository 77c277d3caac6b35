"""The spec files that Cosmos generators read: how each is recognised, and what its items are.

A `SpecFormat` is data, in ``formats.toml``: by which keys a format is known, and where its prompts,
videos and controls stand. The functions here read what is peculiar to one format.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from promptlift.errors import SpecError
from promptlift.types import COSMOS_CONTROLS, Box

if TYPE_CHECKING:
    from promptlift.cosmos.spec_file import Node

__all__ = ["FORMATS", "MASK_SUFFIXES", "Layout", "SpecFormat", "SpecItem"]

Layout: TypeAlias = Literal["document", "lines"]
"""One JSON value in the whole file, or one on each line."""

MASK_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".flv", ".wmv")
"""Files that Cosmos-Transfer1 takes for a mask: SUPPORTED_VIDEO_TYPES."""


@dataclass(frozen=True, slots=True)
class SpecItem:
    """One prompt of a spec file and everything that bears on it.

    Attributes:
        where: Its place for a message, such as ``line 3``; empty where the file holds only one.
        owner: The object whose member the prompt is.
        prompt: The prompt in the file; None where there is none.
        key: The member's name.
        prompt_path: The file that holds the prompt instead, as written; None for none.
        video: The RGB video, of several views the foremost's, as written; None where none is
            named.
        others: Further files that the generator reads, as written, such as the other views.
        detected: What a detector is to find for the controls and their masks, such as
            "robotic arms . cup"; empty where nothing is named.
        hints: The controls in their order, overrides applied: by its key each one's own video, as
            written; None where the generator makes the control from the RGB video.
        needs_video: Whether there is nothing to upsample without a video or a control's.
        camera_apart: Whether the spec orders the camera's movement, so that no prompt may.
        goes_apart: Whether the generator stops at a prompt in the spec, so that a new one gets a
            file of its own.
        negative_path: The file that holds the negative prompt, as written; None for none.
        region: The part of the picture that the prompt is about; None for the whole.
        region_mask: The mask video that shows that part instead, as written; None for none.
        region_fault: Why the part cannot be known from the spec; empty where it can.
        warnings: What the generator will refuse or ignore.
        error: Why it cannot be read; None where it can.
    """

    where: str
    owner: Node
    prompt: str | None
    key: str = "prompt"
    prompt_path: str | None = None
    video: str | None = None
    others: tuple[str, ...] = ()
    detected: str = ""
    hints: Mapping[str, str | None] = field(default_factory=dict)
    needs_video: bool = True
    camera_apart: bool = False
    goes_apart: bool = False
    negative_path: str | None = None
    region: Box | None = None
    region_mask: str | None = None
    region_fault: str = ""
    warnings: tuple[str, ...] = ()
    error: SpecError | None = None

    @property
    def is_region(self) -> bool:
        """Whether the prompt is about a part of the picture."""
        return bool(self.region or self.region_mask or self.region_fault)


_Items: TypeAlias = Iterator[SpecItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFormat:
    """One kind of spec file.

    Attributes:
        name: As in ``--format``.
        target: The generator's name in `promptlift.targets`.
        layouts: How such a file may be laid out.
        array: Whether it is an array of items.
        keys: By which keys it is known, those of the items of an array or of the views: all of one
            of these.
        without: The keys that it has none of.
        prompts: The keys of further prompts, each an item of its own that no video shows.
        videos: The keys of an item's RGB video; the first that is there counts.
        controls: The keys that are controls.
        control_video: The key of a control's own video.
        control_prompts: The keys of what is to be found for a control or its mask.
        views: The keys of the cameras that an item has instead, the foremost first: objects with
            the RGB video under one of `videos` and a control's under `control_video`.
        view_control: The control of the views; empty where the names of their videos tell it.
        others: The keys of further files.
        beside: Whether relative paths count from the spec's folder, and a ``prompt_path`` is read
            where there is no prompt; else from the folder that the generator is started in.
        json_prompts: Whether the prompt is a JSON document, which the whole file of a
            ``prompt_path`` is, and a ``negative_prompt_file`` is read; else the text of the file
            is the prompt, braces and all.
        negative: Whether the object of a prompt may have a ``negative_prompt``.
        needs_video: See `SpecItem`.
        camera_apart: Likewise.
    """

    name: str
    target: str
    layouts: tuple[Layout, ...] = ("document", "lines")
    array: bool = False
    keys: tuple[tuple[str, ...], ...]
    without: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    videos: tuple[str, ...]
    controls: tuple[str, ...] = ()
    control_video: str = "input_control"
    control_prompts: tuple[str, ...] = ("input_control_prompt", "control_weight_prompt")
    views: tuple[str, ...] = ()
    view_control: str = ""
    others: tuple[str, ...] = ()
    beside: bool = False
    json_prompts: bool = False
    negative: bool = False
    needs_video: bool = True
    camera_apart: bool = False

    def matches(self, owner: Node) -> bool:
        """Whether a value may be of this format, by its keys."""
        nodes = [owner.members[key] for key in self.views if key in owner.members]
        nodes = owner.items if self.array else nodes if self.views else [owner]
        if self.prompts and "prompt" in owner.members.keys() <= {"prompt", *self.prompts}:
            return True  # words alone
        has_ours = any(node.members.keys() >= {*keys} for node in nodes for keys in self.keys)
        return has_ours and owner.members.keys().isdisjoint(self.without)

    def read(self, owner: Node, where: str, base: SpecItem | None) -> Iterator[SpecItem]:
        """The items of one value.

        Args:
            owner: The value.
            where: Its place for a message.
            base: The item of the spec that a Transfer1 batch runs with; None for none.

        Raises:
            SpecError: The value cannot be used.
        """
        if self.name in _READERS:
            yield from _READERS[self.name](self, owner, where, base)
        elif not self.array:
            yield self.item(where, owner)
            for key in self.prompts:
                if key in owner.members:
                    yield replace(self.item(f"{where} {key}", owner, key), video=None)
        elif isinstance(owner.value, list):
            yield from self.each((f"item {n}", node) for n, node in enumerate(owner.items, 1))
        else:
            raise SpecError("it is not an array", remedy="write it in brackets")

    def item(self, where: str, owner: Node, key: str = "prompt") -> SpecItem:
        """The item that an object is.

        Raises:
            SpecError: It is no object, or a member is not what it has to be.
        """
        members = _object(owner, "it")
        prompt = _text(owner, key)
        file = _text(owner, "prompt_path") if self.beside and prompt is None else None
        videos = [_text(owner, name) for name in self.videos]
        others = [_text(owner, name) for name in self.others]
        hints: dict[str, str | None] = {}
        detected: dict[str, None] = {}
        for name, node in members.items():
            if name not in self.controls or node.value is None:
                continue
            _object(node, f"the control {name!r}")
            hints[name], *more = _texts(node, self.control_video) or (None,)
            others += more
            detected |= dict.fromkeys(_text(node, one) or "" for one in self.control_prompts)
        views = [(name, members[name]) for name in self.views if name in members]
        for name, view in views:
            _object(view, f"the view {name!r}")
            own = [_text(view, video) for video in self.videos]
            control = _text(view, self.control_video)
            kind = self.view_control or _control_named(control)
            if kind and not any(hints.values()):
                hints[kind] = control
            else:
                own.append(control)
            if any(videos):
                others += own
            else:
                videos += own
        video, files = next(filter(None, videos), None), tuple(filter(None, others))
        found = " . ".join(filter(None, detected))
        item = SpecItem(where, owner, prompt, key, file or None, video, files, found, hints)
        negative = _text(owner, "negative_prompt_file") if self.json_prompts else None
        return replace(
            item,
            needs_video=self.needs_video,
            camera_apart=self.camera_apart,
            negative_path=negative or None,
        )

    def each(self, nodes: Iterable[tuple[str, Node]]) -> Iterator[SpecItem]:
        """The items at several places; one that cannot be read does not stop the others."""
        for where, node in nodes:
            try:
                item = self.item(where, node)
            except SpecError as error:
                item = SpecItem(where, node, None, error=error)
            yield item


def _object(node: Node, what: str) -> Mapping[str, Node]:
    if not isinstance(node.value, dict):
        raise SpecError(f"{what} is not an object", remedy="write it in braces")
    return node.value


def _text(owner: Node, key: str) -> str | None:
    """A member that is a text; None where it is missing or null."""
    member = owner.members.get(key)
    if member is None or member.value is None:
        return None
    if not isinstance(member.value, str):
        raise SpecError(f"{key!r} is not a text", remedy="put it in quotes")
    return member.value


def _texts(owner: Node, key: str) -> tuple[str, ...]:
    """A member that is a text or an array of texts; without those that are empty."""
    member = owner.members.get(key)
    if member is None or not isinstance(member.value, list):
        return tuple(filter(None, [_text(owner, key)]))
    texts = [node.value for node in member.items]
    if not all(isinstance(text, str) and text for text in texts):
        raise SpecError(f"{key!r} holds what is not a path", remedy="give a text for each view")
    return tuple(map(str, texts))


def _control_named(path: str | None) -> str:
    """The control that the name of its video speaks of, the last word first."""
    words = re.findall(r"[a-z]+", PurePath(path or "").stem.lower())
    return next((word for word in reversed(words) if word in COSMOS_CONTROLS), "")


def _transfer1(form: SpecFormat, owner: Node, where: str, _: SpecItem | None) -> _Items:
    """The controlnet spec.

    cosmos_transfer1/diffusion/inference/inference_utils.py:1194-1213 (its loader) and
    cosmos_transfer1/diffusion/inference/transfer.py:313-349 (regional prompts).
    """
    for key, node in owner.members.items():
        if key not in form.controls and isinstance(node.value, dict):
            raise SpecError(
                f"{key!r} is an object, and Cosmos-Transfer1 knows no control of that name",
                remedy=f"use one of {', '.join(sorted(form.controls))}",
            )
    whole = form.item(where, owner)
    arrays = [
        isinstance(node.members[form.control_video].value, list)
        for key, node in owner.members.items()
        if key in form.controls and form.control_video in node.members
    ]
    if any(arrays):
        # diffusion/inference/transfer_multiview.py:243,272 lets no other member pass.
        stops = "transfer_multiview.py stops at a prompt in the spec: give it with --prompt"
        whole = replace(whole, goes_apart=whole.prompt is None, warnings=(stops,))
    yield whole
    regional = owner.members.get("regional_prompts")
    nodes = enumerate(regional.items if regional is not None else ())
    for item in form.each((f"regional_prompts[{n}]", node) for n, node in nodes):
        region = {} if item.error else _region(item.owner)
        yield replace(item, video=whole.video, hints=whole.hints, **region)


def _region(node: Node) -> dict[str, Any]:
    """Where a regional prompt holds: a box, or a mask video, or why it cannot be known.

    Cosmos-Transfer1 reads a .json file of boxes as well (diffusion/inference/transfer.py:344),
    but never comes to it: its preprocessors stop before at every text that names no video
    (preprocessors.py:115-123).
    """
    mask_prompt = node.members.get("mask_prompt")
    if mask_prompt is not None and mask_prompt.value:
        return {"region_fault": "its mask is made by the generator, from mask_prompt"}
    defined = node.members.get("region_definitions_path")
    value = None if defined is None else defined.value
    if isinstance(value, str) and PurePath(value).suffix.lower() in MASK_SUFFIXES:
        return {"region_mask": value}
    corners = value if isinstance(value, list) else []
    numbers = [float(one.value) for one in corners if isinstance(one.value, int | float)]
    if len(numbers) == len(corners) == 4:
        box = Box(*numbers)
        if 0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1:
            return {"region": box}
    fault = (
        "its region_definitions_path is neither a box inside the picture, [left, top, right, "
        f"bottom] from 0 to 1, nor a mask video ({', '.join(MASK_SUFFIXES)})"
    )
    return {"region_fault": fault}


def _transfer1_batch(form: SpecFormat, owner: Node, where: str, base: SpecItem | None) -> _Items:
    """A line of the batch, with the controls and the prompt of its spec where it has none.

    cosmos_transfer1/utils/io.py:24-38 and diffusion/inference/transfer.py:313-333 (overrides).
    """
    item = form.item(where, owner)
    hints = dict(base.hints) if base else {}
    allowed = base.hints if base else COSMOS_CONTROLS
    warnings = []
    overrides = owner.members.get("control_overrides")
    if overrides is not None and not isinstance(overrides.value, dict):
        warnings.append("control_overrides is not an object: Cosmos-Transfer1 stops there")
    for key, node in overrides.members.items() if overrides else ():
        what = f"control_overrides of {key[:40]!r} is"
        if key not in allowed:
            warnings.append(f"{what} ignored: the spec has no such control")
        elif not isinstance(node.value, dict):
            warnings.append(f"{what} not an object: Cosmos-Transfer1 stops there")
        elif "input_control" in node.value or not base:
            hints[key] = _text(node, "input_control") or None
    prompt = base.prompt if item.prompt is None and base else item.prompt
    # What the base names is in the base's own video, so `detected` is left empty.
    yield replace(item, prompt=prompt, hints=hints, warnings=tuple(warnings))


def _predict25(form: SpecFormat, owner: Node, where: str, _: SpecItem | None) -> _Items:
    """A sample as a JSON object, several on lines, or several under "samples"."""
    kind, samples = _text(owner, "inference_type"), owner.members.get("samples")
    if samples is None:
        items = iter([form.item(where, owner)])
    else:
        members = _object(samples, "'samples'").items()
        items = form.each((f"sample {name[:80]!r}", node) for name, node in members)
    for item in items:
        yield replace(item, needs_video=kind not in (None, "text2world"))


_READERS: dict[str, Callable[[SpecFormat, Node, str, SpecItem | None], _Items]] = {
    "transfer1": _transfer1,
    "transfer1-batch": _transfer1_batch,
    "predict2.5": _predict25,
}
_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
FORMATS = {form.name: form for form in msgspec.convert(_DATA["format"], list[SpecFormat])}
"""All formats by their name."""
