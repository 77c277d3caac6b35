"""Cosmos-Predict2: a batch, a JSON array of ``{input_video, prompt, output_video}``.

Source: Cosmos-Predict2 ``--batch_input_json`` of examples/video2world.py. Its text encoder is
Cosmos-Predict1's T5 and cuts at the same 512 tokens, so that the target is the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from promptlift.cosmos.items import Format, Item, Misfit, Read, path, text
from promptlift.cosmos.scan import Node
from promptlift.errors import SpecError

__all__ = ["FORMAT"]


def _matches(owner: Node) -> bool:
    if not isinstance(owner.value, list) or not owner.value:
        return False
    return any(item.get("input_video") is not None for item in owner.value)


def _read(owner: Node, read: Read) -> Iterator[Item | Misfit]:
    del read
    assert isinstance(owner.value, list)
    for number, node in enumerate(owner.value):
        where = f"item {number + 1}"
        try:
            if not isinstance(node.value, dict):
                raise SpecError(f"it is {node.kind}, not an object", remedy="write it in braces")
            yield Item(
                where=where,
                owner=node,
                prompt=text(node, "prompt"),
                video=path(node, "input_video"),
            )
        except SpecError as error:
            yield Misfit(where, error)


FORMAT = Format(
    name="predict2",
    title="Cosmos-Predict2 batch",
    target="cosmos-predict1",
    layouts=("document",),
    beside=False,
    matches=_matches,
    read=_read,
    array=True,
)
