"""Cosmos-Predict1: a batch, one ``{"prompt": ..., "visual_input": ...}`` on each line.

Source: Cosmos-Predict1 cosmos_predict1/utils/io.py, the same reader as Cosmos-Transfer1's.
"""

from __future__ import annotations

from collections.abc import Iterator

from promptlift.cosmos.items import Format, Item, Misfit, Read, path, text
from promptlift.cosmos.scan import Node

__all__ = ["FORMAT"]


def _matches(owner: Node) -> bool:
    members = owner.value if isinstance(owner.value, dict) else {}
    return "visual_input" in members and "control_overrides" not in members


def _read(owner: Node, read: Read) -> Iterator[Item | Misfit]:
    yield Item(
        where=read.where,
        owner=owner,
        prompt=text(owner, "prompt"),
        video=path(owner, "visual_input"),
    )


FORMAT = Format(
    name="predict1",
    title="Cosmos-Predict1 batch",
    target="cosmos-predict1",
    layouts=("lines",),
    beside=False,
    matches=_matches,
    read=_read,
    refuses=frozenset({"bom", "blank"}),
)
