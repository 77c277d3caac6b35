"""Cosmos-Predict2.5: a sample as a JSON object, several on lines, or several under ``samples``.

Source: Cosmos-Predict2.5 cosmos_predict2/config.py:181-232. The generator reads YAML as well,
which promptlift does not: changing a YAML text in place takes a parser that promptlift does not
depend on.
"""

from __future__ import annotations

from collections.abc import Iterator

from promptlift.cosmos.items import Format, Item, Misfit, Read, path, text
from promptlift.cosmos.scan import Node
from promptlift.errors import SpecError

__all__ = ["FORMAT"]


def _matches(owner: Node) -> bool:
    members = owner.value if isinstance(owner.value, dict) else {}
    samples = members.get("samples")
    if samples is not None and isinstance(samples.value, dict):
        return True
    return "inference_type" in members or {"name", "input_path"} <= members.keys()


def _read(owner: Node, read: Read) -> Iterator[Item | Misfit]:
    samples = owner.get("samples")
    if samples is None:
        yield _sample(owner, read.where, text(owner, "inference_type"))
        return
    if not isinstance(samples.value, dict):
        raise SpecError(
            f"'samples' is {samples.kind}", remedy="give the samples by name, in braces"
        )
    common = text(owner, "inference_type")
    for name, node in samples.value.items():
        where = f"sample {name[:80]!r}"
        try:
            yield _sample(node, where, text(node, "inference_type") or common)
        except SpecError as error:
            yield Misfit(where, error)


def _sample(owner: Node, where: str, kind: str | None) -> Item:
    if not isinstance(owner.value, dict):
        raise SpecError(f"it is {owner.kind}, not an object", remedy="write it in braces")
    video = path(owner, "input_path")
    if kind == "text2world" or (kind is None and video is None):
        raise SpecError(
            "it is made from text alone: there is no video to look at",
            remedy="leave it out, or give an input_path and another inference_type",
        )
    prompt = text(owner, "prompt")
    return Item(
        where=where,
        owner=owner,
        prompt=prompt,
        prompt_path=path(owner, "prompt_path") if prompt is None else None,
        video=video,
    )


FORMAT = Format(
    name="predict2.5",
    title="Cosmos-Predict2.5 samples",
    target="cosmos-predict2.5",
    layouts=("document", "lines"),
    beside=True,
    matches=_matches,
    read=_read,
)
