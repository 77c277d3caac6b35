"""Change single values of a JSON text, and nothing else of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from promptlift.cosmos.scan import Node

__all__ = ["Edit", "apply", "quoted", "set_member"]

# What Python's ``str.splitlines`` breaks at besides what JSON escapes anyway: the generators
# read JSONL with it (Transfer2.5 cosmos_transfer2/config.py:353-381), so that one of these in a
# prompt would cut its line in two.
_BREAKS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class Edit:
    """A stretch of a text, and what stands there afterwards."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; no two may overlap."""
    parts, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        assert edit.start >= position
        parts += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*parts, text[position:]])


def quoted(value: str, *, ascii_only: bool) -> str:
    """A text as JSON, on one line whatever it holds.

    Args:
        value: The text.
        ascii_only: Write everything else as an escape, for a file that is plain ASCII so far:
            the generators read with the locale's encoding, which need not be UTF-8.
    """
    return json.dumps(value, ensure_ascii=ascii_only).translate(_BREAKS)


def set_member(owner: Node, key: str, value: str, *, ascii_only: bool) -> Edit:
    """Set a member of an object to a text; a missing one is put first, in the object's style."""
    text = quoted(value, ascii_only=ascii_only)
    member = owner.get(key)
    if member is not None:
        return Edit(member.start, member.end, text)
    name = quoted(key, ascii_only=True)
    if owner.opening is None:
        return Edit(owner.start, owner.end, f"{{{name}: {text}}}")
    before, _, colon = owner.opening
    gap = before if "\n" in before else owner.gap
    if gap is None:
        gap = " " if colon.endswith(" ") else ""
    start = owner.start + 1 + len(before)
    return Edit(start, start, f"{name}{colon}{text},{gap}")
