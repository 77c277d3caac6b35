"""Read a spec file with the position of every value, and change single values in place.

`scan_json` reads with the parts of Python's own ``json``, which the generators read with (``NaN``
and the infinities included). Besides, it refuses a duplicate key in one object, which is always a
mistake in a file written by hand.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.decoder import (  # type: ignore[attr-defined]
    JSONArray,
    JSONDecodeError,
    JSONObject,
    scanstring,
)
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from promptlift.cosmos.formats import FORMATS, Layout, SpecFormat, SpecItem
from promptlift.errors import OptionError, SpecError
from promptlift.files import GIT_LFS_REMEDY, LFS_POINTER

__all__ = [
    "BOM",
    "MAX_BYTES",
    "Edit",
    "Node",
    "Spec",
    "apply_edits",
    "parse_values",
    "prompt_in_json",
    "read_spec",
    "read_text",
    "scan_json",
    "set_member",
]

BOM = "\ufeff"
MAX_BYTES = 16 * 2**20
"""Longest spec file: some 50,000 items; a longer one is no spec, or better cut in pieces."""

_Value: TypeAlias = "str | int | float | bool | dict[str, Node] | list[Node] | None"

_SPACE = r"[ \t\n\r]*"
_OPENING = re.compile(rf'\{{({_SPACE})"')
_COLON = re.compile(rf"{_SPACE}:{_SPACE}")
# What Python's ``str.splitlines`` breaks at besides what JSON escapes anyway: the generators
# read JSONL with it (Transfer2.5 cosmos_transfer2/config.py:353-381), so that one of these in a
# prompt would cut its line in two.
_BREAKS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands.

    Attributes:
        value: The value; of an object the members by key, of an array the items, as nodes.
        start: Position of its first character in the text of the file.
        end: Position after its last character.
    """

    value: _Value
    start: int
    end: int

    @property
    def members(self) -> Mapping[str, Node]:
        """The members of an object by key; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The items of an array; empty for anything else."""
        return self.value if isinstance(self.value, list) else []


def _position_text(text: str, position: int) -> str:
    """Line and column of a position, counted from 1, in words."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line}, column {column - (line == 1 and text.startswith(BOM))}"


def scan_json(text: str, start: int = 0, end: int | None = None) -> Node:
    """Read the one JSON value between two positions of a text.

    Args:
        text: The whole file.
        start: Where the value begins, white space before it included.
        end: Where the text to read ends; None for its end.

    Raises:
        SpecError: It is not JSON; the message names line and column.
    """
    part = text[start:end]

    def scan(string: str, index: int) -> tuple[Node, int]:
        value, after = scan_value(string, index)
        return Node(value, start + index, start + after), after

    def members(pairs: list[tuple[str, Node]]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, node in pairs:
            if key in found:
                raise SpecError(
                    f"the key {key[:80]!r} stands twice in one object, again with the value at "
                    f"{_position_text(text, node.start)}",
                    remedy="remove one of the two",
                )
            found[key] = node
        return found

    decoder: Any = json.JSONDecoder()
    decoder.parse_object = lambda at, strict, *_: JSONObject(at, strict, scan, None, members, {})
    decoder.parse_array = lambda at, *_: JSONArray(at, scan)
    scan_value = py_make_scanner(decoder)
    remedy = "correct the file there"
    try:
        node, after = scan(part, len(part) - len(part.lstrip(" \t\n\r")))
        rest = len(part) - len(part[after:].lstrip(" \t\n\r"))
        if rest == len(part):
            return node
        position, what = rest, "extra data"
        remedy = "name the file .jsonl if it holds one object on each line"
    except StopIteration as stop:
        position, what = stop.value, "expecting value"
    except JSONDecodeError as error:
        position, what = error.pos, error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
    except (RecursionError, ValueError) as error:  # ValueError: an integer of too many digits
        raise SpecError(f"it cannot be read: {error}", remedy="correct the file") from None
    raise SpecError(f"not JSON at {_position_text(text, start + position)}: {what}", remedy=remedy)


class Edit(NamedTuple):
    """A stretch of a text, and what stands there afterwards."""

    start: int
    end: int
    text: str


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; no two may overlap."""
    parts, position = [], 0
    for edit in sorted(edits):
        parts += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*parts, text[position:]])


def set_member(text: str, owner: Node, key: str, value: str, *, ascii_only: bool) -> Edit:
    """Set a member of an object to a text; a missing one is put first, in the object's style.

    Args:
        text: The whole file.
        owner: The object.
        key: The member's name.
        value: The text that it is set to.
        ascii_only: Write everything else as an escape, for a file that is plain ASCII so far:
            the generators read with the locale's encoding, which need not be UTF-8.
    """
    new = json.dumps(value, ensure_ascii=ascii_only).translate(_BREAKS)
    if key in owner.members:
        return Edit(owner.members[key].start, owner.members[key].end, new)
    name = f'"{key}"'
    opening = _OPENING.match(text, owner.start)
    if opening is None:
        return Edit(owner.start, owner.end, f"{{{name}: {new}}}")
    _, key_end = scanstring(text, opening.end(), True)
    colon = _COLON.match(text, key_end)
    assert colon is not None
    gap = opening[1] if "\n" in opening[1] else " " if colon[0].endswith(" ") else ""
    start = opening.end() - 1
    return Edit(start, start, f"{name}{colon[0]}{new},{gap}")


def prompt_in_json(text: str) -> Node | None:
    """The prompt in a prompt file that is JSON: a text, or the whole where it is a document.

    Returns:
        The only text, or the one whose key is ``prompt`` in any case; else the object itself;
        None for a file that is plain text.
    """
    try:
        root = scan_json(text, int(text.startswith(BOM)))
    except SpecError:
        return None
    texts = {key.lower(): node for key, node in root.members.items() if _is_text(node)}
    if "prompt" in texts:
        return texts["prompt"]
    if len(texts) == len(root.members) == 1:
        return next(iter(texts.values()))
    return root if root.members or _is_text(root) else None


def _is_text(node: Node) -> bool:
    return isinstance(node.value, str)


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec file that was read.

    Attributes:
        path: Where it is.
        text: The whole file; a byte order mark is its first character.
        format: What it is.
        detected: Whether the format follows from the keys, and was not named.
        items: Its prompts in their order.
    """

    path: Path
    text: str
    format: SpecFormat
    detected: bool
    items: tuple[SpecItem, ...]


def read_spec(path: Path, *, form: str = "auto", base: Path | None = None) -> Spec:
    """Read a spec file.

    Args:
        path: The file.
        form: A name in `promptlift.cosmos.formats.FORMATS`, or ``auto``.
        base: The controlnet spec that a Cosmos-Transfer1 batch runs with.

    Raises:
        SpecError: It cannot be used, or its base cannot.
        OptionError: There is no such format.
    """
    chosen = _format_named(form)
    whole = None if base is None else _read_base(base)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        raise SpecError(
            "it is YAML, which promptlift does not read",
            remedy="save it as JSON, which Cosmos-Predict2.5 reads as well",
        )
    text = read_text(path)
    layout: Layout = "lines" if suffix == ".jsonl" else "document"
    if chosen is None and base is not None and layout == "lines":
        chosen = FORMATS["transfer1-batch"]
    if chosen is not None:
        layout = _layout_of(chosen, text, layout)
    parsed = parse_values(text, layout)
    nodes = [node for _, node in parsed if isinstance(node, Node)]
    nothing = SpecError("there is nothing in it", remedy="give a file with at least one item")
    if not nodes:
        raise next((node for _, node in parsed if isinstance(node, SpecError)), nothing)
    found = chosen or _detect(nodes, layout)
    items: list[SpecItem] = []
    for where, node in parsed:
        try:
            if isinstance(node, SpecError):
                raise node
            items += found.read(node, where, whole)
        except SpecError as error:
            if layout == "document":
                raise
            owner = node if isinstance(node, Node) else Node(None, 0, 0)
            items.append(SpecItem(where, owner, None, error=error))
    if not items:
        raise nothing
    return Spec(path, text, found, chosen is None, tuple(items))


def _format_named(name: str) -> SpecFormat | None:
    if name != "auto" and name not in FORMATS:
        raise OptionError(
            f"there is no format {name!r}", remedy=f"use auto or one of {', '.join(FORMATS)}"
        )
    return FORMATS.get(name)


def _read_base(path: Path) -> SpecItem:
    try:
        return read_spec(path, form="transfer1").items[0]
    except SpecError as error:
        what = f"the controlnet spec {str(path)!r}: {error.message}"
        raise SpecError(what, remedy=error.remedy) from None


def read_text(path: Path) -> str:
    """The text of a file of at most `MAX_BYTES`.

    Raises:
        SpecError: It cannot be read, is too long or is not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():  # the open of a named pipe waits for a writer
            raise SpecError("it is not a regular file", remedy="give a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise SpecError(f"it cannot be read: {what}", remedy="check the name") from None
    if len(data) > MAX_BYTES:
        raise SpecError(
            f"it is longer than {MAX_BYTES // 2**20} MiB",
            remedy="check the name; cut a long batch in pieces",
        )
    if data.startswith(LFS_POINTER):
        raise SpecError("it is a Git LFS pointer, not the file itself", remedy=GIT_LFS_REMEDY)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"line {line} holds a byte that is no UTF-8, byte {error.start + 1} of the file",
            remedy="save the file as UTF-8",
        ) from None


def parse_values(text: str, layout: Layout) -> list[tuple[str, Node | SpecError]]:
    """Where each value of a file stands, and the value, or why it is none."""
    start = len(BOM) if text.startswith(BOM) else 0
    if layout == "document":
        return [("", scan_json(text, start))]
    parsed: list[tuple[str, Node | SpecError]] = []
    for number, line in enumerate(text[start:].split("\n"), 1):
        if line.strip():
            try:
                parsed.append((f"line {number}", scan_json(text, start, start + len(line))))
            except SpecError as error:
                parsed.append((f"line {number}", error))
        start += len(line) + 1
    return parsed


def _fitting(nodes: list[Node], layout: Layout) -> list[SpecFormat]:
    """The formats that values may be of."""
    possible = [form for form in FORMATS.values() if layout in form.layouts]
    # A batch needs every line to agree; one line with an override is enough to tell whose it is.
    fits = [form for form in possible if all(map(form.matches, nodes))]
    return fits or [form for form in possible if any(map(form.matches, nodes))]


def _detect(nodes: list[Node], layout: Layout) -> SpecFormat:
    fits = _fitting(nodes, layout)
    if len(fits) == 1:
        return fits[0]
    what = "its keys are those of no format that promptlift knows"
    if fits:
        what = f"its keys fit {' and '.join(form.name for form in fits)}"
    names = [form.name for form in fits] or FORMATS
    raise SpecError(what, remedy=f"name one with --format: {', '.join(names)}")


def _layout_of(chosen: SpecFormat, text: str, layout: Layout) -> Layout:
    """How to read a file for a format that was named, unless its keys are those of others."""
    fits: list[str] = []
    with contextlib.suppress(SpecError):  # reading it says what is wrong
        parsed = parse_values(text, layout)
        nodes = [node for _, node in parsed if isinstance(node, Node)]
        if not any(map(chosen.matches, nodes)):
            fits = [form.name for form in _fitting(nodes, layout)]
    if fits:
        raise SpecError(
            f"its keys are those of {' or '.join(fits)}, not of {chosen.name}",
            remedy="correct --format, or leave it out",
        )
    return layout if layout in chosen.layouts else chosen.layouts[0]
