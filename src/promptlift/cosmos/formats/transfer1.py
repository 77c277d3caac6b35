"""Cosmos-Transfer1: the controlnet spec (one JSON object) and the batch (JSONL) that goes with it.

Sources, in Cosmos-Transfer1: cosmos_transfer1/diffusion/inference/inference_utils.py:1194-1213
(the spec's loader), cosmos_transfer1/utils/io.py:24-38 (the batch's) and
cosmos_transfer1/diffusion/inference/transfer.py:313-349 (overrides, regional prompts).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from promptlift.cosmos.controls import TRANSFER1_KEYS, Hint
from promptlift.cosmos.items import Box, Format, Item, Misfit, Read, hints, path, text
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
            box, fault = _region(node)
            yield replace(
                whole,
                where=where,
                owner=node,
                prompt=text(node, "prompt"),
                region=box,
                region_fault=fault,
            )
        except SpecError as error:
            yield Misfit(where, error)


def _region(node: Node) -> tuple[Box | None, str]:
    """The box of a regional prompt, or why it cannot be known."""
    if not isinstance(node.value, dict):
        raise SpecError(f"it is {node.kind}, not an object", remedy="write it in braces")
    if text(node, "mask_prompt"):
        return None, "its mask is made by the generator, from mask_prompt"
    defined = node.get("region_definitions_path")
    if defined is None:
        return None, "it names no region_definitions_path"
    if isinstance(defined.value, str):
        return None, f"its region is a file, {defined.value[:200]!r}, and not a box"
    corners = defined.value if isinstance(defined.value, list) else []
    numbers = [node.value for node in corners if isinstance(node.value, int | float)]
    if len(numbers) != len(corners) or len(numbers) != 4:
        return None, "its region is not a box of four numbers, left, top, right and bottom"
    box = Box(*map(float, numbers))
    if not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
        return None, f"its region {list(box)} is not a box inside the picture, from 0 to 1"
    return box, ""


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
