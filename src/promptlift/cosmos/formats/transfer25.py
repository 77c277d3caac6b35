"""Cosmos-Transfer2.5: one JSON object, or one on each line, by a strict schema.

Source: Cosmos-Transfer2.5 cosmos_transfer2/config.py:311-520. A key that the schema does not
have stops the generator; relative paths count from the spec's folder; ``prompt_path`` is read
only where ``prompt`` is missing or null.
"""

from __future__ import annotations

from collections.abc import Iterator

from promptlift.cosmos.controls import TRANSFER25_KEYS
from promptlift.cosmos.items import Format, Item, Misfit, Read, hints, path, text
from promptlift.cosmos.scan import Node

__all__ = ["FORMAT", "KEYS"]

KEYS = TRANSFER25_KEYS | {
    "name",
    "prompt",
    "prompt_path",
    "negative_prompt",
    "seed",
    "guidance",
    "video_path",
    "max_frames",
    "context_frame_index",
    "image_context_path",
    "num_conditional_frames",
    "resolution",
    "sigma_max",
    "num_video_frames_per_chunk",
    "num_steps",
    "show_control_condition",
    "show_input",
    "keep_input_resolution",
}


def _matches(owner: Node) -> bool:
    members = owner.value if isinstance(owner.value, dict) else {}
    return "video_path" in members or ("name" in members and bool(TRANSFER25_KEYS & set(members)))


def _read(owner: Node, read: Read) -> Iterator[Item | Misfit]:
    members = owner.value if isinstance(owner.value, dict) else {}
    unknown = [
        key for key in members if key not in KEYS and not key.startswith("guided_generation")
    ]
    if unknown:
        read.warn(f"Cosmos-Transfer2.5 knows no {unknown[0][:40]!r} and will refuse the file")
    prompt = text(owner, "prompt")
    yield Item(
        where=read.where,
        owner=owner,
        prompt=prompt,
        prompt_path=path(owner, "prompt_path") if prompt is None else None,
        video=path(owner, "video_path"),
        hints=hints(owner, TRANSFER25_KEYS, "control_path"),
    )


FORMAT = Format(
    name="transfer2.5",
    title="Cosmos-Transfer2.5 spec",
    target="cosmos-transfer2.5",
    layouts=("document", "lines"),
    beside=True,
    matches=_matches,
    read=_read,
    refuses=frozenset({"bom", "blank"}),
)
