"""The spec files that Cosmos generators read: how each is recognised, and what its items are.

A `SpecFormat` recognises an object by its keys and gives its items: each with its prompt, the
video, the controls that the generator follows and the region that the prompt is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from promptlift.errors import SpecError
from promptlift.types import Box

if TYPE_CHECKING:
    from promptlift.cosmos.spec_file import Node
    from promptlift.types import Control, Kind

__all__ = [
    "CONTROLS",
    "FORMATS",
    "MASK_SUFFIXES",
    "ItemContext",
    "Layout",
    "SpecFormat",
    "SpecItem",
]

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

_TRANSFER25_CONTROLS = frozenset({"edge", "vis", "depth", "seg"})


@dataclass(frozen=True, slots=True)
class SpecItem:
    """One prompt of a spec file and everything that bears on it.

    Attributes:
        where: Its place for a message, such as ``line 3``; empty where the file holds only one.
        owner: The object whose member the prompt is.
        prompt: The prompt in the file; None where there is none.
        prompt_path: The file that holds the prompt instead, as written; None for none.
        video: The RGB video, as written; None where none is named.
        hints: The controls in their order, overrides applied: by its key each one's own video, as
            written; None where the generator makes the control from the RGB video.
        region: The part of the picture that the prompt is about; None for the whole.
        region_mask: The mask video that shows that part instead, as written; None for none.
        region_fault: Why the part cannot be known from the spec; empty where it can.
        error: Why it cannot be read; None where it can.
    """

    where: str
    owner: Node
    prompt: str | None
    prompt_path: str | None = None
    video: str | None = None
    hints: Mapping[str, str | None] = field(default_factory=dict)
    region: Box | None = None
    region_mask: str | None = None
    region_fault: str = ""
    error: SpecError | None = None


class ItemContext(NamedTuple):
    """What a reader is given besides the object.

    Attributes:
        where: The object's place for a message.
        base: The item of the spec that a Transfer1 batch runs with; None for none.
        warnings: Takes what the generator itself will stop at or ignore.
    """

    where: str
    base: SpecItem | None
    warnings: list[str]


_Items: TypeAlias = "Iterator[SpecItem]"


@dataclass(frozen=True, slots=True)
class SpecFormat:
    """One kind of spec file.

    Attributes:
        name: As in ``--format``.
        title: In words.
        target: The generator's name in `promptlift.targets`.
        layouts: How such a file may be laid out.
        matches: Whether an object may be of this format, by its keys.
        read: Gives the items of one object; raises `SpecError` for one that cannot be used.
        beside: Whether relative paths count from the spec's folder; else from the folder that
            the generator is started in.
    """

    name: str
    title: str
    target: str
    layouts: Sequence[Layout]
    matches: Callable[[Node], bool]
    read: Callable[[Node, ItemContext], _Items]
    beside: bool = False


def _members(owner: Node) -> dict[str, Node]:
    return owner.value if isinstance(owner.value, dict) else {}


def _text(owner: Node, key: str) -> str | None:
    """A member that is a text; None where it is missing or null."""
    member = owner.get(key)
    if member is None or member.value is None:
        return None
    if not isinstance(member.value, str):
        raise SpecError(f"{key!r} is {member.kind}, not a text", remedy="put it in quotes")
    return member.value


def _item(
    where: str,
    owner: Node,
    video: str,
    *,
    controls: Iterable[str] = (),
    control_video: str = "input_control",
    prompt_path: bool = False,
) -> SpecItem:
    """The item that an object is.

    Args:
        where: Its place for a message.
        owner: The object.
        video: The key of its RGB video.
        controls: The keys that are controls.
        control_video: The key of a control's own video.
        prompt_path: Whether a ``prompt_path`` is read where there is no prompt.
    """
    if not isinstance(owner.value, dict):
        raise SpecError(f"it is {owner.kind}, not an object", remedy="write it in braces")
    hints: dict[str, str | None] = {}
    for key, node in owner.value.items():
        if key not in controls or node.value is None:
            continue
        if not isinstance(node.value, dict):
            raise SpecError(
                f"the control {key!r} is {node.kind}, not an object",
                remedy="write its settings in braces",
            )
        hints[key] = _text(node, control_video) or None
    prompt = _text(owner, "prompt")
    file = _text(owner, "prompt_path") if prompt_path and prompt is None else None
    return SpecItem(where, owner, prompt, file or None, _text(owner, video) or None, hints)


def _each(nodes: Iterable[tuple[str, Node]], read: Callable[[str, Node], SpecItem]) -> _Items:
    """The items of objects at several places; one that cannot be read does not stop the others."""
    for where, node in nodes:
        try:
            item = read(where, node)
        except SpecError as error:
            item = SpecItem(where, node, None, error=error)
        yield item


# Cosmos-Transfer1: the controlnet spec (one JSON object), and the batch (JSONL) that runs with it.
# cosmos_transfer1/diffusion/inference/inference_utils.py:1194-1213 (the spec's loader),
# cosmos_transfer1/utils/io.py:24-38 (the batch's) and
# cosmos_transfer1/diffusion/inference/transfer.py:313-349 (overrides, regional prompts).


def _is_transfer1(owner: Node) -> bool:
    keys = _members(owner).keys()
    ours = {"input_video_path", "regional_prompts", *CONTROLS} & keys
    return bool(ours) and not {"video_path", "name"} & keys


def _read_transfer1(owner: Node, context: ItemContext) -> _Items:
    for key, node in _members(owner).items():
        if key not in CONTROLS and isinstance(node.value, dict):
            raise SpecError(
                f"{key!r} is an object, and Cosmos-Transfer1 knows no control of that name",
                remedy=f"use one of {', '.join(sorted(CONTROLS))}",
            )
    whole = _item(context.where, owner, "input_video_path", controls=CONTROLS)
    yield whole
    regional = owner.get("regional_prompts")
    nodes = regional.value if regional is not None and isinstance(regional.value, list) else []

    def read(where: str, node: Node) -> SpecItem:
        item = _item(where, node, "input_video_path")
        return replace(item, video=whole.video, hints=whole.hints, **_region(node))

    yield from _each(((f"regional_prompts[{n}]", node) for n, node in enumerate(nodes)), read)


def _region(node: Node) -> dict[str, Any]:
    """Where a regional prompt holds: a box, or a mask video, or why it cannot be known.

    Cosmos-Transfer1 reads a .json file of boxes as well (diffusion/inference/transfer.py:344),
    but never comes to it: its preprocessors stop before at every text that names no video
    (preprocessors.py:115-123).
    """
    if _text(node, "mask_prompt"):
        return {"region_fault": "its mask is made by the generator, from mask_prompt"}
    defined = node.get("region_definitions_path")
    if defined is None:
        return {"region_fault": "it names no region_definitions_path"}
    if isinstance(defined.value, str):
        if PurePath(defined.value).suffix.lower() in MASK_SUFFIXES:
            return {"region_mask": defined.value}
        fault = (
            f"its region is {defined.value[:200]!r}, and Cosmos-Transfer1 takes a file only as a "
            f"video ({', '.join(MASK_SUFFIXES)})"
        )
        return {"region_fault": fault}
    corners = defined.value if isinstance(defined.value, list) else []
    numbers = [float(corner.value) for corner in corners if isinstance(corner.value, int | float)]
    if len(numbers) == len(corners) == 4:
        box = Box(*numbers)
        if 0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1:
            return {"region": box}
    fault = (
        "its region is neither a mask video nor a box inside the picture, of four numbers from 0 "
        "to 1: left, top, right and bottom"
    )
    return {"region_fault": fault}


def _is_transfer1_batch(owner: Node) -> bool:
    return "visual_input" in _members(owner)


def _read_transfer1_batch(owner: Node, context: ItemContext) -> _Items:
    """A line, with the controls and the prompt of the spec where it has none of its own."""
    item, base = _item(context.where, owner, "visual_input"), context.base
    found = dict(base.hints) if base else {}
    allowed = found.keys() if base else CONTROLS.keys()
    overrides = owner.get("control_overrides")
    faults = []
    if overrides is not None and not isinstance(overrides.value, dict):
        faults.append("control_overrides is not an object: Cosmos-Transfer1 stops there")
    for key, node in _members(overrides).items() if overrides else ():
        what = f"control_overrides of {key[:40]!r} is"
        if key not in allowed:
            faults.append(f"{what} ignored: the spec has no such control")
        elif not isinstance(node.value, dict):
            faults.append(f"{what} not an object: Cosmos-Transfer1 stops there")
        elif "input_control" in node.value or not base:
            found[key] = _text(node, "input_control") or None
    context.warnings.extend(f"{context.where}: {fault}" for fault in faults)
    prompt = base.prompt if item.prompt is None and base else item.prompt
    yield replace(item, prompt=prompt, hints=found)


# Cosmos-Transfer2.5: one JSON object, or one on each line, by a strict schema
# (cosmos_transfer2/config.py:311-520). prompt_path is read only where prompt is missing or null.


def _is_transfer25(owner: Node) -> bool:
    keys = _members(owner).keys()
    return "video_path" in keys or ("name" in keys and bool(_TRANSFER25_CONTROLS & keys))


def _read_transfer25(owner: Node, context: ItemContext) -> _Items:
    yield _item(
        context.where,
        owner,
        "video_path",
        controls=_TRANSFER25_CONTROLS,
        control_video="control_path",
        prompt_path=True,
    )


# Cosmos-Predict1: a batch, one {"prompt": ..., "visual_input": ...} on each line
# (cosmos_predict1/utils/io.py, the same reader as Cosmos-Transfer1's).


def _is_predict1(owner: Node) -> bool:
    return "visual_input" in _members(owner) and "control_overrides" not in _members(owner)


def _read_predict1(owner: Node, context: ItemContext) -> _Items:
    yield _item(context.where, owner, "visual_input")


# Cosmos-Predict2: --batch_input_json of examples/video2world.py, an array of {input_video, prompt,
# output_video}. Its text encoder is Cosmos-Predict1's T5 and cuts at the same 512 tokens, so that
# the target is the same.


def _is_predict2(owner: Node) -> bool:
    items = owner.value if isinstance(owner.value, list) else []
    return any(item.get("input_video") is not None for item in items)


def _read_predict2(owner: Node, _: ItemContext) -> _Items:
    if not isinstance(owner.value, list):
        raise SpecError(f"it is {owner.kind}, not an array", remedy="write it in brackets")
    places = ((f"item {number}", node) for number, node in enumerate(owner.value, 1))
    yield from _each(places, lambda where, node: _item(where, node, "input_video"))


# Cosmos-Predict2.5: a sample as a JSON object, several on lines, or several under "samples"
# (cosmos_predict2/config.py:181-232). The generator reads YAML as well; promptlift does not, since
# changing one value of a YAML text in place takes a parser that it does not depend on.


def _is_predict25(owner: Node) -> bool:
    keys = _members(owner).keys()
    samples = owner.get("samples")
    if samples is not None and isinstance(samples.value, dict):
        return True
    return "inference_type" in keys or {"name", "input_path"} <= keys


def _read_predict25(owner: Node, context: ItemContext) -> _Items:
    samples, common = owner.get("samples"), _text(owner, "inference_type")

    def read(where: str, node: Node) -> SpecItem:
        item = _item(where, node, "input_path", prompt_path=True)
        kind = _text(node, "inference_type") or common
        if kind == "text2world" or (kind is None and item.video is None):
            raise SpecError(
                "it is made from text alone: there is no video to look at",
                remedy="leave it out, or give an input_path and another inference_type",
            )
        return item

    if samples is None:
        yield read(context.where, owner)
    elif isinstance(samples.value, dict):
        named = ((f"sample {name[:80]!r}", node) for name, node in samples.value.items())
        yield from _each(named, read)
    else:
        raise SpecError(
            f"'samples' is {samples.kind}", remedy="give the samples by name, in braces"
        )


_ALL = (
    SpecFormat(
        "transfer1",
        "Cosmos-Transfer1 controlnet spec",
        "cosmos-transfer1",
        ("document",),
        _is_transfer1,
        _read_transfer1,
    ),
    SpecFormat(
        "transfer1-batch",
        "Cosmos-Transfer1 batch",
        "cosmos-transfer1",
        ("lines",),
        _is_transfer1_batch,
        _read_transfer1_batch,
    ),
    SpecFormat(
        "transfer2.5",
        "Cosmos-Transfer2.5 spec",
        "cosmos-transfer2.5",
        ("document", "lines"),
        _is_transfer25,
        _read_transfer25,
        beside=True,
    ),
    SpecFormat(
        "predict1",
        "Cosmos-Predict1 batch",
        "cosmos-predict1",
        ("lines",),
        _is_predict1,
        _read_predict1,
    ),
    SpecFormat(
        "predict2",
        "Cosmos-Predict2 batch",
        "cosmos-predict1",
        ("document",),
        _is_predict2,
        _read_predict2,
    ),
    SpecFormat(
        "predict2.5",
        "Cosmos-Predict2.5 samples",
        "cosmos-predict2.5",
        ("document", "lines"),
        _is_predict25,
        _read_predict25,
        beside=True,
    ),
)
FORMATS: dict[str, SpecFormat] = {form.name: form for form in _ALL}
"""All formats by their name."""
