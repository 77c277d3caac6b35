"""Read JSON and remember where each value stands, so that one value can be changed in place.

Accepts exactly what Python's ``json.load`` accepts, which is what the generators read with
(``NaN`` and the infinities included), but for two things that it takes in silence and that are
always a mistake in a file written by hand: a key that stands twice in one object, and nesting
deeper than `MAX_DEPTH`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import TypeAlias

from promptlift.errors import SpecError

__all__ = ["MAX_DEPTH", "Node", "Value", "place", "scan"]

MAX_DEPTH = 100

Value: TypeAlias = "str | int | float | bool | dict[str, Node] | list[Node] | None"

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | float | None] = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}
_LONGEST_INTEGER = 4000  # digits; Python itself refuses to convert a little more


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands.

    Attributes:
        value: The value; of an object the members by key, of an array the items, as nodes.
        start: Position of its first character in the text of the file.
        end: Position after its last character.
        opening: Of an object that is not empty: its first key with the white space before it
            and the colon after it, as three texts: white space, key, colon with its white space.
        gap: Of an object: the white space after its first comma; None where it has no comma.
    """

    value: Value
    start: int
    end: int
    opening: tuple[str, str, str] | None = None
    gap: str | None = None

    def get(self, key: str) -> Node | None:
        """The member of that name; None where there is none or this is no object."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    @property
    def kind(self) -> str:
        """What the value is, in JSON's words with an article."""
        match self.value:
            case None:
                return "null"
            case bool():
                return "true or false"
            case str():
                return "a text"
            case dict():
                return "an object"
            case list():
                return "an array"
        return "a number"


def place(text: str, position: int) -> str:
    """Line and column of a position, counted from 1, in words."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line}, column {column - (line == 1 and text.startswith(BOM))}"


BOM = "\ufeff"


def scan(text: str, start: int = 0, end: int | None = None) -> Node:
    """Read the one JSON value between two positions of a text.

    Args:
        text: The whole file.
        start: Where the value begins, white space before it included.
        end: Where the text to read ends; None for its end.

    Raises:
        SpecError: It is not JSON; the message names line and column.
    """
    reader = _Scanner(text, len(text) if end is None else end)
    begin = reader.space(start)
    node = reader.value(begin, 0)
    rest = reader.space(node.end)
    if rest != reader.end:
        raise reader.fault(rest, "more text after the end of the document")
    return node


class _Scanner:
    """Reads one text; every method takes a position, and gives what starts there."""

    def __init__(self, text: str, end: int) -> None:
        self.text = text
        self.end = end

    def fault(self, position: int, what: str) -> SpecError:
        """The error for a position."""
        found = self.text[position : position + 2]
        remedy = "correct the file there"
        if position < self.end and (found[:1] == "#" or found in ("//", "/*")):
            what, remedy = "a comment", "remove it: JSON has no comments"
        elif position < self.end and found[:1] == "'":
            what, remedy = "a single quote", "use double quotes"
        return SpecError(f"not JSON at {place(self.text, position)}: {what}", remedy=remedy)

    def space(self, position: int) -> int:
        """The position after any white space."""
        match = _SPACE.match(self.text, position, self.end)
        return match.end() if match else position

    def at(self, position: int) -> str:
        """The character at a position; empty at the end."""
        return self.text[position] if position < self.end else ""

    def value(self, position: int, depth: int) -> Node:
        """Any value."""
        if depth > MAX_DEPTH:
            raise self.fault(position, f"more than {MAX_DEPTH} levels of nesting")
        match self.at(position):
            case "{":
                return self.object(position, depth)
            case "[":
                return self.array(position, depth)
            case '"':
                text, end = self.string(position)
                return Node(text, position, end)
        return self.scalar(position)

    def string(self, position: int) -> tuple[str, int]:
        """A text and the position after it."""
        try:
            text, end = scanstring(self.text, position + 1, True)
        except JSONDecodeError as error:
            where = min(error.pos, self.end)
            what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at").rstrip(": ")
            raise self.fault(where, what) from None
        if end > self.end:
            raise self.fault(position, "a text that does not end")
        return text, end

    def scalar(self, position: int) -> Node:
        """A number, ``true``, ``false`` or ``null``."""
        for word, meaning in _WORDS.items():
            if self.text.startswith(word, position, self.end):
                return Node(meaning, position, position + len(word))
        match = _NUMBER.match(self.text, position, self.end)
        if match is None:
            what = "a value is missing" if position < self.end else "the text ends too early"
            raise self.fault(position, what)
        if match.end() - position > _LONGEST_INTEGER:
            raise self.fault(position, f"a number of more than {_LONGEST_INTEGER} digits")
        whole = match[1] is None and match[2] is None
        number = int(match[0]) if whole else float(match[0])
        return Node(number, position, match.end())

    def object(self, start: int, depth: int) -> Node:
        """An object, from its brace."""
        members: dict[str, Node] = {}
        opening: tuple[str, str, str] | None = None
        gap: str | None = None
        position = after = start + 1
        while True:
            position = self.space(position)
            if self.at(position) == "}" and not members:
                return Node(members, start, position + 1)
            if self.at(position) != '"':
                raise self.fault(position, _expected("a key in double quotes", bool(members)))
            key, key_end = self.string(position)
            if key in members:
                raise SpecError(
                    f"the key {key[:80]!r} stands twice in one object, again at "
                    f"{place(self.text, position)}",
                    remedy="remove one of the two",
                )
            colon = self.space(key_end)
            if self.at(colon) != ":":
                raise self.fault(colon, "a colon is missing")
            begin = self.space(colon + 1)
            if opening is None:
                opening = (self.text[after:position], key, self.text[key_end:begin])
            elif gap is None:
                gap = self.text[after:position]
            members[key] = self.value(begin, depth + 1)
            position = self.space(members[key].end)
            if self.at(position) == "}":
                return Node(members, start, position + 1, opening, gap)
            if self.at(position) != ",":
                raise self.fault(position, "a comma or a closing brace is missing")
            position = after = position + 1

    def array(self, start: int, depth: int) -> Node:
        """An array, from its bracket."""
        items: list[Node] = []
        position = self.space(start + 1)
        if self.at(position) == "]":
            return Node(items, start, position + 1)
        while True:
            if self.at(position) == "]":
                raise self.fault(position, _expected("a value", after_comma=True))
            items.append(self.value(position, depth + 1))
            position = self.space(items[-1].end)
            if self.at(position) == "]":
                return Node(items, start, position + 1)
            if self.at(position) != ",":
                raise self.fault(position, "a comma or a closing bracket is missing")
            position = self.space(position + 1)


def _expected(what: str, after_comma: bool) -> str:
    return f"{what} is missing after the comma" if after_comma else f"{what} is missing"
