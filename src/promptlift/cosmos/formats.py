"""The spec files that Cosmos generators read: how each is recognised, and what its items are.

A `SpecFormat` recognises an object by its keys and gives its items: each with its prompt, the
video, the controls that the generator follows and the region that the prompt is about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from promptlift.errors import SpecError
from promptlift.types import Box

if TYPE_CHECKING:
    from promptlift.cosmos.spec_file import Node
    from promptlift.types import Control, Kind

__all__ = ["CONTROLS", "FORMATS", "MASK_SUFFIXES", "Layout", "SpecFormat", "SpecItem"]

Layout: TypeAlias = Literal["document", "lines"]
"""One JSON value in the whole file, or one on each line."""

MASK_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".flv", ".wmv")
"""Files that Cosmos-Transfer1 takes for a mask: SUPPORTED_VIDEO_TYPES."""

# Keys: Cosmos-Transfer1 cosmos_transfer1/diffusion/inference/inference_utils.py:1194,
# Cosmos-Transfer2.5 cosmos_transfer2/config.py (CONTROL_KEYS).
# The kind of picture is what a viewer sees. None is left to the measurement (skeletons, point
# clouds); "upscale" shows a small camera picture.
CONTROLS: dict[str, tuple[Control, Kind | None]] = {
    "vis": ("blur", "blur"),
    "edge": ("edge", "edge"),
    "depth": ("depth", "depth"),
    "seg": ("seg", "seg"),
    "keypoint": ("keypoint", None),
    "upscale": ("upscale", "rgb"),
    "hdmap": ("lines", "lines"),
    "lidar": ("lidar", None),
}
"""For each control key: what the generator follows, and the kind of picture its video shows."""


@dataclass(frozen=True, slots=True)
class SpecItem:
    """One prompt of a spec file and everything that bears on it.

    Attributes:
        where: Its place for a message, such as ``line 3``; empty where the file holds only one.
        owner: The object whose member the prompt is.
        prompt: The prompt in the file; None where there is none.
        prompt_path: The file that holds the prompt instead, as written; None for none.
        video: The RGB video, as written; None where none is named.
        detected: What a detector is to find for the ``seg`` control, such as "robotic arms . cup";
            empty where nothing is named.
        hints: The controls in their order, overrides applied: by its key each one's own video, as
            written; None where the generator makes the control from the RGB video.
        region: The part of the picture that the prompt is about; None for the whole.
        region_mask: The mask video that shows that part instead, as written; None for none.
        region_fault: Why the part cannot be known from the spec; empty where it can.
        warnings: What the generator will refuse or ignore.
        error: Why it cannot be read; None where it can.
    """

    where: str
    owner: Node
    prompt: str | None
    prompt_path: str | None = None
    video: str | None = None
    detected: str = ""
    hints: Mapping[str, str | None] = field(default_factory=dict)
    region: Box | None = None
    region_mask: str | None = None
    region_fault: str = ""
    warnings: tuple[str, ...] = ()
    error: SpecError | None = None


class SpecFormat:
    """One kind of spec file; each has a class of its own.

    Attributes:
        name: As in ``--format``.
        target: The generator's name in `promptlift.targets`.
        layouts: How such a file may be laid out.
        video: The key of an item's RGB video.
        controls: The keys that are controls.
        control_video: The key of a control's own video.
        control_prompt: The key of what is to be found for the ``seg`` control.
        prompt_path: Whether a ``prompt_path`` is read where there is no prompt.
        beside: Whether relative paths count from the spec's folder; else from the folder that
            the generator is started in.
    """

    name: ClassVar[str]
    target: ClassVar[str]
    layouts: ClassVar[tuple[Layout, ...]]
    video: ClassVar[str]
    controls: ClassVar[Collection[str]] = ()
    control_video: ClassVar[str] = "input_control"
    control_prompt: ClassVar[str] = "input_control_prompt"
    prompt_path: ClassVar[bool] = False
    beside: ClassVar[bool] = False

    def matches(self, owner: Node) -> bool:
        """Whether a value may be of this format, by its keys."""
        raise NotImplementedError

    def read(self, owner: Node, where: str, _base: SpecItem | None, /) -> Iterator[SpecItem]:
        """The items of one value.

        Args:
            owner: The value.
            where: Its place for a message.
            _base: The item of the spec that a Transfer1 batch runs with; None for none.

        Raises:
            SpecError: The value cannot be used.
        """
        yield self._item(where, owner)

    def _item(self, where: str, owner: Node) -> SpecItem:
        if not isinstance(owner.value, dict):
            raise SpecError("it is not an object", remedy="write it in braces")
        hints: dict[str, str | None] = {}
        detected = ""
        for key, node in owner.value.items():
            if key not in self.controls or node.value is None:
                continue
            if not isinstance(node.value, dict):
                raise SpecError(
                    f"the control {key!r} is not an object", remedy="write its settings in braces"
                )
            hints[key] = _text(node, self.control_video) or None
            if key == "seg":
                detected = _text(node, self.control_prompt) or ""
        prompt = _text(owner, "prompt")
        file = _text(owner, "prompt_path") if self.prompt_path and prompt is None else None
        video = _text(owner, self.video) or None
        return SpecItem(where, owner, prompt, file or None, video, detected, hints)

    def _each(self, nodes: Iterable[tuple[str, Node]]) -> Iterator[SpecItem]:
        """The items at several places; one that cannot be read does not stop the others."""
        for where, node in nodes:
            try:
                item = self._item(where, node)
            except SpecError as error:
                item = SpecItem(where, node, None, error=error)
            yield item


def _text(owner: Node, key: str) -> str | None:
    """A member that is a text; None where it is missing or null."""
    member = owner.members.get(key)
    if member is None or member.value is None:
        return None
    if not isinstance(member.value, str):
        raise SpecError(f"{key!r} is not a text", remedy="put it in quotes")
    return member.value


class _Transfer1(SpecFormat):
    """The controlnet spec.

    cosmos_transfer1/diffusion/inference/inference_utils.py:1194-1213 (its loader) and
    cosmos_transfer1/diffusion/inference/transfer.py:313-349 (regional prompts).
    """

    name = "transfer1"
    target = "cosmos-transfer1"
    layouts = ("document",)
    video = "input_video_path"
    controls = CONTROLS

    def matches(self, owner: Node) -> bool:
        keys = owner.members.keys()
        ours = {"input_video_path", "regional_prompts", *CONTROLS} & keys
        return bool(ours) and not {"video_path", "name"} & keys

    def read(self, owner: Node, where: str, _base: SpecItem | None, /) -> Iterator[SpecItem]:
        for key, node in owner.members.items():
            if key not in CONTROLS and isinstance(node.value, dict):
                raise SpecError(
                    f"{key!r} is an object, and Cosmos-Transfer1 knows no control of that name",
                    remedy=f"use one of {', '.join(sorted(CONTROLS))}",
                )
        whole = self._item(where, owner)
        yield whole
        regional = owner.members.get("regional_prompts")
        nodes = enumerate(regional.items if regional is not None else ())
        for item in self._each((f"regional_prompts[{n}]", node) for n, node in nodes):
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


class _Transfer1Batch(SpecFormat):
    """The batch that runs with a controlnet spec.

    cosmos_transfer1/utils/io.py:24-38 and diffusion/inference/transfer.py:313-333 (overrides).
    """

    name = "transfer1-batch"
    target = "cosmos-transfer1"
    layouts = ("lines",)
    video = "visual_input"

    def matches(self, owner: Node) -> bool:
        return "visual_input" in owner.members

    def read(self, owner: Node, where: str, base: SpecItem | None, /) -> Iterator[SpecItem]:
        """A line, with the controls and the prompt of the spec where it has none of its own."""
        item = self._item(where, owner)
        hints = dict(base.hints) if base else {}
        allowed = base.hints if base else CONTROLS
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


class _Transfer25(SpecFormat):
    """By a strict schema, cosmos_transfer2/config.py:311-520."""

    name = "transfer2.5"
    target = "cosmos-transfer2.5"
    layouts = ("document", "lines")
    video = "video_path"
    controls = ("edge", "vis", "depth", "seg")
    control_video = "control_path"
    control_prompt = "control_prompt"
    prompt_path = True
    beside = True

    def matches(self, owner: Node) -> bool:
        keys = owner.members.keys()
        return "video_path" in keys or ("name" in keys and not keys.isdisjoint(self.controls))


class _Predict1(SpecFormat):
    """cosmos_predict1/utils/io.py, the same reader as that of Cosmos-Transfer1's batch."""

    name = "predict1"
    target = "cosmos-predict1"
    layouts = ("lines",)
    video = "visual_input"

    def matches(self, owner: Node) -> bool:
        return "visual_input" in owner.members and "control_overrides" not in owner.members


class _Predict2(SpecFormat):
    """--batch_input_json of examples/video2world.py, an array.

    Its text encoder is Cosmos-Predict1's T5 and cuts at the same 512 tokens, so that the target is
    the same.
    """

    name = "predict2"
    target = "cosmos-predict1"
    layouts = ("document",)
    video = "input_video"

    def matches(self, owner: Node) -> bool:
        return any("input_video" in item.members for item in owner.items)

    def read(self, owner: Node, _: str, _base: SpecItem | None, /) -> Iterator[SpecItem]:
        if not isinstance(owner.value, list):
            raise SpecError("it is not an array", remedy="write it in brackets")
        nodes = enumerate(owner.items, 1)
        yield from self._each((f"item {number}", node) for number, node in nodes)


class _Predict25(SpecFormat):
    """A sample as a JSON object, several on lines, or several under "samples".

    cosmos_predict2/config.py:181-232. The generator reads YAML as well; promptlift does not, since
    changing one value of a YAML text in place takes a parser that it does not depend on.
    """

    name = "predict2.5"
    target = "cosmos-predict2.5"
    layouts = ("document", "lines")
    video = "input_path"
    prompt_path = True
    beside = True

    def matches(self, owner: Node) -> bool:
        keys, samples = owner.members.keys(), owner.members.get("samples")
        has_samples = samples is not None and isinstance(samples.value, dict)
        return has_samples or "inference_type" in keys or {"name", "input_path"} <= keys

    def read(self, owner: Node, where: str, _base: SpecItem | None, /) -> Iterator[SpecItem]:
        samples = owner.members.get("samples")
        if samples is None:
            yield self._item(where, owner)
            return
        if not isinstance(samples.value, dict):
            raise SpecError("'samples' is not an object", remedy="give them by name, in braces")
        named = samples.members.items()
        yield from self._each((f"sample {name[:80]!r}", node) for name, node in named)


_ALL = (_Transfer1, _Transfer1Batch, _Transfer25, _Predict1, _Predict2, _Predict25)
FORMATS: dict[str, SpecFormat] = {form.name: form() for form in _ALL}
"""All formats by their name."""
