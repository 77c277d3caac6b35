"""Read a spec file with the position of every value, and change single values in place.

`scan_json` reads with the parts of Python's own ``json``, which the generators read with (``NaN``
and the infinities included), and refuses two things besides that are always a mistake in a file
written by hand: a duplicate key in one object, and nesting deeper than `MAX_DEPTH`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from json.decoder import (  # type: ignore[attr-defined]
    JSONArray,
    JSONDecodeError,
    JSONObject,
    scanstring,
)
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, TypeAlias

from promptlift.cosmos.formats import (
    FORMATS,
    ItemContext,
    Layout,
    SpecFormat,
    SpecItem,
)
from promptlift.errors import OptionError, SpecError

__all__ = [
    "BOM",
    "MAX_BYTES",
    "MAX_DEPTH",
    "Edit",
    "Node",
    "Spec",
    "apply_edits",
    "quoted",
    "read_spec",
    "read_text",
    "scan_json",
    "set_member",
]

BOM = "\ufeff"
MAX_DEPTH = 100

_Value: TypeAlias = "str | int | float | bool | dict[str, Node] | list[Node] | None"

_KINDS: tuple[tuple[type, str], ...] = (
    (type(None), "null"),
    (bool, "true or false"),
    (str, "a text"),
    (dict, "an object"),
    (list, "an array"),
    (object, "a number"),
)
_SPACE = r"[ \t\n\r]*"
_OPENING = re.compile(rf'\{{({_SPACE})"')
_COLON = re.compile(rf"{_SPACE}:{_SPACE}")
_COMMA = re.compile(rf"{_SPACE},({_SPACE})")


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

    def get(self, key: str) -> Node | None:
        """The member of that name; None where there is none or this is no object."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    @property
    def kind(self) -> str:
        """What the value is, in JSON's words with an article."""
        return next(words for kind, words in _KINDS if isinstance(self.value, kind))


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
    depth = 0

    def scan(string: str, index: int) -> tuple[Node, int]:
        nonlocal depth
        if depth > MAX_DEPTH:
            raise _not_json(text, start + index, f"more than {MAX_DEPTH} levels of nesting")
        depth += 1
        value, after = scan_value(string, index)
        depth -= 1
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
    try:
        node, after = scan(part, len(part) - len(part.lstrip(" \t\n\r")))
        rest = len(part) - len(part[after:].lstrip(" \t\n\r"))
        if rest < len(part):
            raise _not_json(text, start + rest, "Extra data")
    except StopIteration as stop:
        raise _not_json(text, start + stop.value, "Expecting value") from None
    except JSONDecodeError as error:
        raise _not_json(text, start + error.pos, error.msg) from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise SpecError(f"it cannot be read: {error}", remedy="correct the number") from None
    return node


def _not_json(text: str, position: int, what: str) -> SpecError:
    remedy = "correct the file there"
    if text.startswith(("#", "//", "/*"), position):
        what, remedy = "a comment", "remove it: JSON has no comments"
    elif text.startswith("'", position):
        what, remedy = "a single quote", "use double quotes"
    elif what == "Extra data":
        remedy = "name the file .jsonl if it holds one object on each line"
    what = what[:1].lower() + what[1:].removesuffix(" at")
    return SpecError(f"not JSON at {_position_text(text, position)}: {what}", remedy=remedy)


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


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
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


def set_member(text: str, owner: Node, key: str, value: str, *, ascii_only: bool) -> Edit:
    """Set a member of an object to a text; a missing one is put first, in the object's style.

    Args:
        text: The whole file.
        owner: The object.
        key: The member's name.
        value: The text that it is set to.
        ascii_only: See `quoted`.
    """
    new = quoted(value, ascii_only=ascii_only)
    members = owner.value if isinstance(owner.value, dict) else {}
    if key in members:
        return Edit(members[key].start, members[key].end, new)
    name = quoted(key, ascii_only=True)
    opening = _OPENING.match(text, owner.start)
    if opening is None:
        return Edit(owner.start, owner.end, f"{{{name}: {new}}}")
    _, key_end = scanstring(text, opening.end(), True)
    colon = _COLON.match(text, key_end)
    assert colon is not None
    comma = _COMMA.match(text, next(iter(members.values())).end)
    if "\n" in opening[1]:
        gap = opening[1]
    elif comma is not None:
        gap = comma[1]
    else:
        gap = " " if colon[0].endswith(" ") else ""
    start = opening.end() - 1
    return Edit(start, start, f"{name}{colon[0]}{new},{gap}")


MAX_BYTES = 16 * 2**20
"""Longest spec file: some 50,000 items; a longer one is no spec, or better cut in pieces."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec file that was read.

    Attributes:
        path: Where it is.
        text: The whole file; a byte order mark is its first character.
        format: What it is.
        detected: Whether the format follows from the keys, and was not named.
        items: Its prompts in their order.
        warnings: What the generator itself will stop at or ignore.
    """

    path: Path
    text: str
    format: SpecFormat
    detected: bool
    items: tuple[SpecItem, ...]
    warnings: tuple[str, ...]


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
    whole = None
    if base is not None:
        try:
            spec = read_spec(base, form="transfer1")
        except SpecError as error:
            what = f"the controlnet spec {str(base)!r}: {error.message}"
            raise SpecError(what, remedy=error.remedy) from None
        whole = spec.items[0]
    if form != "auto" and form not in FORMATS:
        raise OptionError(
            f"there is no format {form!r}", remedy=f"use auto or one of {', '.join(FORMATS)}"
        )
    chosen = FORMATS.get(form)
    text = read_text(path)
    layout = _layout(path, chosen)
    parsed = _parse(text, layout)
    nodes = [node for _, node in parsed if isinstance(node, Node)]
    if not nodes:
        nothing = SpecError("there is nothing in it", remedy="give a file with at least one item")
        raise next((node for _, node in parsed if isinstance(node, SpecError)), nothing)
    found = chosen or _detect(nodes, layout, has_base=base is not None)
    warnings: list[str] = []
    if text.startswith(BOM):
        warnings.append("it begins with a byte order mark, at which the generator's loader stops")
    items: list[SpecItem] = []
    for where, node in parsed:
        try:
            if isinstance(node, SpecError):
                raise node
            items += found.read(node, ItemContext(where, whole, warnings))
        except SpecError as error:
            if layout == "document":
                raise
            owner = node if isinstance(node, Node) else Node(None, 0, 0)
            items.append(SpecItem(where, owner, None, error=error))
    return Spec(path, text, found, chosen is None, tuple(items), tuple(warnings))


def read_text(path: Path) -> str:
    """The text of a file of at most `MAX_BYTES`.

    Raises:
        SpecError: It cannot be read, is too long or is not UTF-8.
    """
    try:
        if path.is_dir():
            raise SpecError("it is a folder", remedy="give the file itself")
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
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"line {line} holds a byte that is no UTF-8, byte {error.start + 1} of the file",
            remedy="save the file as UTF-8",
        ) from None


def _layout(path: Path, form: SpecFormat | None) -> Layout:
    """By the format where it knows only one; else by the name, as the generators do it."""
    if path.suffix.lower() in (".yaml", ".yml"):
        raise SpecError(
            "it is YAML, which promptlift does not read",
            remedy="save it as JSON, which Cosmos-Predict2.5 reads as well",
        )
    if form is not None and len(form.layouts) == 1:
        return form.layouts[0]
    return "lines" if path.suffix.lower() == ".jsonl" else "document"


def _parse(text: str, layout: Layout) -> list[tuple[str, Node | SpecError]]:
    """Where each value stands, and the value."""
    start = len(BOM) if text.startswith(BOM) else 0
    if layout == "document":
        node = scan_json(text, start)
        if node.get("promptlift_sidecar") is not None:
            raise SpecError(
                "it is promptlift's own sidecar of a spec", remedy="give the spec itself"
            )
        return [("", node)]
    parsed: list[tuple[str, Node | SpecError]] = []
    for number, line in enumerate(text[start:].split("\n"), 1):
        if line.strip():
            try:
                parsed.append((f"line {number}", scan_json(text, start, start + len(line))))
            except SpecError as error:
                parsed.append((f"line {number}", error))
        start += len(line) + 1
    return parsed


def _detect(nodes: list[Node], layout: Layout, *, has_base: bool) -> SpecFormat:
    fits = [
        form
        for form in FORMATS.values()
        if layout in form.layouts and any(map(form.matches, nodes))
    ]
    # A batch needs every line to agree; one line with an override is enough to tell whose it is.
    fits = [form for form in fits if all(map(form.matches, nodes))] or fits
    if has_base and FORMATS["transfer1-batch"] in fits:
        return FORMATS["transfer1-batch"]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        raise SpecError(
            "its keys are those of no format that promptlift knows",
            remedy=f"name one with --format: {', '.join(FORMATS)}",
        )
    names = [form.name for form in fits]
    raise SpecError(
        f"its keys fit {' and '.join(names)}", remedy=f"say which with --format {names[0]}"
    )
