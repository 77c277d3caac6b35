"""Reading JSON with positions: the same values as json.loads, exact spans, errors with a place."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.documents import written
from promptlift.cosmos.scan import MAX_DEPTH, Node, place, scan
from promptlift.errors import SpecError


def plain(node: Node) -> Any:
    """The value that nodes stand for."""
    match node.value:
        case dict():
            return {key: plain(item) for key, item in node.value.items()}
        case list():
            return [plain(item) for item in node.value]
    return node.value


def every(node: Node) -> list[Node]:
    """A node and all inside it."""
    match node.value:
        case dict():
            inner = list(node.value.values())
        case list():
            inner = node.value
        case _:
            inner = []
    return [node, *(found for item in inner for found in every(item))]


@given(written())
def test_any_document_reads_as_python_reads_it(case: tuple[Any, str]) -> None:
    """Whatever the white space and the escapes, the values are those of json.loads."""
    _, text = case
    assert plain(scan(text)) == json.loads(text)


@given(written())
def test_every_span_holds_exactly_its_value(case: tuple[Any, str]) -> None:
    """The text between a node's start and end is that value by itself, without space around."""
    _, text = case
    for node in every(scan(text)):
        part = text[node.start : node.end]
        assert part == part.strip(" \t\n\r")
        assert json.loads(part) == plain(node)


@given(st.text("{}[]\",:0123456789.eE+-truefalsn \\u/*#'\n", max_size=30))
def test_what_python_refuses_is_refused(text: str) -> None:
    """Nothing but JSON is read, and what is no JSON ends in the named error and no other."""
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(SpecError):
            scan(text)
        return
    with contextlib.suppress(_Twice):
        found = plain(_scan(text))
        assert found == expected or math.isnan(expected)


class _Twice(Exception):
    """A key stands twice: the one thing that Python reads and that is refused."""


def _scan(text: str) -> Node:
    try:
        return scan(text)
    except SpecError as error:
        raise _Twice if "twice" in error.message else error from error


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{"a": 1,\n "b" 2}', "line 2, column 6", "a colon is missing"),
        ('{"a": 1\n "b": 2}', "line 2, column 2", "a comma or a closing brace is missing"),
        ('{"a": 1,}', "line 1, column 9", "after the comma"),
        ("[1, 2,\n]", "line 2, column 1", "after the comma"),
        ("[1 2]", "line 1, column 4", "closing bracket"),
        ('{"a": }', "line 1, column 7", "a value is missing"),
        ('{"a": tru}', "line 1, column 7", "a value is missing"),
        ('{"a": "x', "line 1, column 7", "unterminated string"),
        ('{"a": "x\ny"}', "line 1, column 9", "control character"),
        ('{"a": "\\q"}', "line 1, column 8", "escape"),
        ('{"a"', "line 1, column 5", "a colon is missing"),
        ("", "line 1, column 1", "ends too early"),
        ('{"a": 1} {"b": 2}', "line 1, column 10", "more text"),
        ("{a: 1}", "line 1, column 2", "a key in double quotes"),
        ("{'a': 1}", "line 1, column 2", "a single quote"),
        ('{\n  // a remark\n "a": 1}', "line 2, column 3", "a comment"),
        ('{"a": 1 /* x */}', "line 1, column 9", "a comment"),
        ('# x\n{"a": 1}', "line 1, column 1", "a comment"),
        ("\ufeff{,}", "line 1, column 2", "a key in double quotes"),
    ],
)
def test_errors_name_line_and_column(text: str, where: str, what: str) -> None:
    """A malformed text is refused with the place and what is wrong there."""
    with pytest.raises(SpecError) as caught:
        scan(text, int(text.startswith("\ufeff")))
    assert f"{where}: " in caught.value.message
    assert what in caught.value.message


def test_a_comment_is_called_one() -> None:
    """Comments are the commonest mistake, and the remedy says that JSON has none."""
    with pytest.raises(SpecError) as caught:
        scan('{"a": 1, // why\n "b": 2}')
    assert "JSON has no comments" in caught.value.remedy


def test_a_key_that_stands_twice_is_refused() -> None:
    """Python would take the last of two in silence; here it is an error with the second's place."""
    with pytest.raises(SpecError, match=r"'prompt' stands twice in one object, again at line 2"):
        scan('{"prompt": "a",\n "prompt": "b"}')
    assert plain(scan('[{"a": 1}, {"a": 2}]')) == [{"a": 1}, {"a": 2}]


def test_nesting_is_bounded() -> None:
    """A document made to exhaust the stack is refused before it does."""
    assert plain(scan("[" * MAX_DEPTH + "]" * MAX_DEPTH)) is not None
    with pytest.raises(SpecError, match="levels of nesting"):
        scan("[" * 100_000)


def test_a_number_without_end_is_refused() -> None:
    """Digits that Python would refuse to convert end in the named error."""
    with pytest.raises(SpecError, match="digits"):
        scan("9" * 5000)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_pythons_own_numbers_pass(word: str) -> None:
    """What json.load takes beyond JSON is taken too, since the generators read with it."""
    assert str(plain(scan(f'{{"a": {word}}}'))["a"]) == str(json.loads(word))


def test_a_stretch_is_read_by_itself() -> None:
    """One line of many is read with positions in the whole text, and never past its end."""
    text = '{"a": 1}\n{"b": "x"}\n'
    node = scan(text, 9, 19)
    assert text[node.start : node.end] == '{"b": "x"}'
    with pytest.raises(SpecError, match="line 1, column 9"):
        scan('{"a": 1,\n"b": 2}', 0, 8)
    with pytest.raises(SpecError, match="line 1"):
        scan('{"a": "x\n"}', 0, 8)


def test_columns_do_not_count_a_byte_order_mark() -> None:
    """Editors do not show the mark, so it has no column."""
    assert place("\ufeffab", 2) == "line 1, column 2"
    assert place("\ufeffab\ncd", 5) == "line 2, column 2"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("null", "null"),
        ("true", "true or false"),
        ('"x"', "a text"),
        ("{}", "an object"),
        ("[]", "an array"),
        ("0", "a number"),
    ],
)
def test_kinds_have_names(text: str, kind: str) -> None:
    """A message can say what stands somewhere instead of what should."""
    assert scan(text).kind == kind
