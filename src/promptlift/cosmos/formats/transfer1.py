"""Cosmos-Transfer1: the controlnet spec (one JSON object) and the batch (JSONL) that goes with it.

Sources, in Cosmos-Transfer1: cosmos_transfer1/diffusion/inference/inference_utils.py:1194-1213
(the spec's loader), cosmos_transfer1/utils/io.py:24-38 (the batch's) and
cosmos_transfer1/diffusion/inference/transfer.py:313-349 (overrides, regional prompts).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath
from typing import NamedTuple

from promptlift.cosmos.controls import TRANSFER1_KEYS, Hint
from promptlift.cosmos.items import Box, Format, Item, Misfit, Read, hints, path, text
from promptlift.cosmos.region_rules import MASK_SUFFIXES
from promptlift.cosmos.scan import Node
from promptlift.errors import SpecError

__all__ = ["BATCH", "SPEC"]


def _is_spec(owner: Node) -> bool:
    if "video_path" in _members(owner) or "name" in _members(owner):
        return False
    marks = {"input_video_path", "regional_prompts", *TRANSFER1_KEYS}
    return bool(marks & _members(owner).keys())


def _read_spec(owner: Node, read: Read) -> Iterator[Item | Misfit]:
    for key, node in _members(owner).items():
        if key not in TRANSFER1_KEYS and isinstance(node.value, dict):
            raise SpecError(
                f"{key!r} is an object, and Cosmos-Transfer1 knows no control of that name",
                remedy=f"use one of {', '.join(sorted(TRANSFER1_KEYS))}",
            )
    item = Item(
        where=read.where,
        owner=owner,
        prompt=text(owner, "prompt"),
        video=path(owner, "input_video_path"),
        hints=hints(owner, TRANSFER1_KEYS, "input_control"),
    )
    yield item
    yield from _regions(owner, item)


def _regions(owner: Node, whole: Item) -> Iterator[Item | Misfit]:
    regional = owner.get("regional_prompts")
    if regional is None or not isinstance(regional.value, list):
        return
    for number, node in enumerate(regional.value):
        where = f"regional_prompts[{number}]"
        try:
            region = _region(node)
            yield replace(
                whole,
                where=where,
                owner=node,
                prompt=text(node, "prompt"),
                region=region.box,
                region_mask=region.mask,
                region_fault=region.fault,
            )
        except SpecError as error:
            yield Misfit(where, error)


class _Region(NamedTuple):
    """Where a regional prompt holds: a box, or a mask video, or why it cannot be known."""

    box: Box | None = None
    mask: str | None = None
    fault: str = ""


def _region(node: Node) -> _Region:
    if not isinstance(node.value, dict):
        raise SpecError(f"it is {node.kind}, not an object", remedy="write it in braces")
    if text(node, "mask_prompt"):
        return _Region(fault="its mask is made by the generator, from mask_prompt")
    defined = node.get("region_definitions_path")
    if defined is None:
        return _Region(fault="it names no region_definitions_path")
    if isinstance(defined.value, str):
        return _masked(defined.value)
    return _boxed(defined)


def _masked(named: str) -> _Region:
    """A mask video, by its name.

    Cosmos-Transfer1 reads a .json file of boxes as well (diffusion/inference/transfer.py:344),
    but never comes to it: its preprocessors stop before at every text that names no video
    (preprocessors.py:115-123).
    """
    if PurePath(named).suffix.lower() in MASK_SUFFIXES:
        return _Region(mask=named)
    return _Region(
        fault=f"its region is {named[:200]!r}, and Cosmos-Transfer1 takes a file only as a video "
        f"({', '.join(MASK_SUFFIXES)})"
    )


def _boxed(defined: Node) -> _Region:
    corners = defined.value if isinstance(defined.value, list) else []
    numbers = [node.value for node in corners if isinstance(node.value, int | float)]
    if len(numbers) != len(corners) or len(numbers) != 4:
        return _Region(
            fault="its region is neither a mask video nor a box of four numbers, left, top, right "
            "and bottom"
        )
    box = Box(*map(float, numbers))
    if not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
        return _Region(fault=f"its region {list(box)} is not a box inside the picture, from 0 to 1")
    return _Region(box=box)


SPEC = Format(
    name="transfer1",
    title="Cosmos-Transfer1 controlnet spec",
    target="cosmos-transfer1",
    layouts=("document",),
    beside=False,
    matches=_is_spec,
    read=_read_spec,
)


def _is_batch(owner: Node) -> bool:
    return "visual_input" in _members(owner)


def _read_batch(owner: Node, read: Read) -> Iterator[Item | Misfit]:
    prompt, base = text(owner, "prompt"), read.base
    if prompt is None and base is not None:
        prompt = base.prompt
    yield Item(
        where=read.where,
        owner=owner,
        prompt=prompt,
        video=path(owner, "visual_input"),
        hints=_overridden(owner, read),
    )


def _overridden(owner: Node, read: Read) -> tuple[Hint, ...]:
    """The spec's controls with the item's own settings; without a spec, those of the item."""
    overrides = owner.get("control_overrides")
    known = {hint.key: hint for hint in read.base.hints} if read.base else None
    found = dict(known or {})
    if overrides is None:
        return tuple(found.values())
    if not isinstance(overrides.value, dict):
        read.warn("control_overrides is not an object: Cosmos-Transfer1 stops there")
        return tuple(found.values())
    for key, node in overrides.value.items():
        if key not in TRANSFER1_KEYS or (known is not None and key not in known):
            read.warn(f"control_overrides of {key[:40]!r} is ignored: the spec has no such control")
        elif not isinstance(node.value, dict):
            read.warn(
                f"control_overrides of {key!r} is not an object: Cosmos-Transfer1 stops there"
            )
        elif "input_control" in node.value or key not in found:
            found[key] = Hint(key, path(node, "input_control"))
    return tuple(found.values())


BATCH = Format(
    name="transfer1-batch",
    title="Cosmos-Transfer1 batch",
    target="cosmos-transfer1",
    layouts=("lines",),
    beside=False,
    matches=_is_batch,
    read=_read_batch,
    refuses=frozenset({"bom", "blank"}),
)


def _members(owner: Node) -> dict[str, Node]:
    return owner.value if isinstance(owner.value, dict) else {}
