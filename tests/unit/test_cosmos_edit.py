"""Changing one value of a JSON text: nothing else of it moves by a byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.documents import SPACES, written
from promptlift.cosmos.edit import Edit, apply, quoted, set_member
from promptlift.cosmos.scan import scan


@given(written(), st.text(max_size=20), st.text(max_size=20), SPACES, st.booleans())
def test_only_the_prompts_span_differs(
    case: tuple[Any, str], old: str, new: str, space: str, first: bool
) -> None:
    """In any document in any style, setting the prompt leaves every other byte where it was."""
    _, other = case
    prompt = f'"prompt"{space}:{space}'
    before, after = (f"{{{space}", f',"rest":{other}}}') if first else (f'{{"rest":{other},', "}")
    before += prompt
    text = f"{before}{json.dumps(old)}{space}{after}"
    edit = set_member(scan(text), "prompt", new, ascii_only=True)
    changed = apply(text, [edit])
    tail = f"{space}{after}"
    assert changed.startswith(before)
    assert changed.endswith(tail)
    assert json.loads(changed[len(before) : len(changed) - len(tail)]) == new


@given(written(), st.text(max_size=20))
def test_a_missing_prompt_is_added_and_nothing_lost(case: tuple[Any, str], new: str) -> None:
    """Added to any object, the prompt comes first and all other members stay as they were."""
    value, text = case
    if not isinstance(value, dict) or "prompt" in value:
        return
    loaded = json.loads(text)
    changed = apply(text, [set_member(scan(text), "prompt", new, ascii_only=False)])
    assert list(json.loads(changed).items()) == [("prompt", new), *loaded.items()]
    start, end = set_member(scan(text), "prompt", new, ascii_only=False).start, len(text)
    if loaded:  # inserted between two bytes of the old text
        assert changed.startswith(text[:start])
        assert changed.endswith(text[start:end])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n    "a": 1\n}\n', '{\n    "prompt": "x",\n    "a": 1\n}\n'),
        ('{\r\n\t"a" : 1\r\n}', '{\r\n\t"prompt" : "x",\r\n\t"a" : 1\r\n}'),
        ('{"a":1,"b":2}', '{"prompt":"x","a":1,"b":2}'),
        ('{"a": 1, "b": 2}', '{"prompt": "x", "a": 1, "b": 2}'),
        ('{ "a": 1 }', '{ "prompt": "x", "a": 1 }'),
        ('{"a":1}', '{"prompt":"x","a":1}'),
        ("{ }", '{"prompt": "x"}'),
    ],
)
def test_a_missing_prompt_is_written_in_the_objects_own_style(text: str, expected: str) -> None:
    """Indentation, colons and commas are those that the object has already."""
    assert apply(text, [set_member(scan(text), "prompt", "x", ascii_only=True)]) == expected


def test_null_is_replaced() -> None:
    """A prompt that is null takes the text."""
    text = '{"prompt": null, "a": 1}'
    changed = apply(text, [set_member(scan(text), "prompt", "x", ascii_only=True)])
    assert changed == '{"prompt": "x", "a": 1}'


@given(st.text(), st.booleans())
def test_a_quoted_text_is_one_line_and_reads_back(text: str, ascii_only: bool) -> None:
    """Whatever it holds, a text stays on one line for ``str.splitlines`` and means itself."""
    made = quoted(text, ascii_only=ascii_only)
    assert json.loads(made) == text
    assert len(made.splitlines()) == 1
    assert made.isascii() or not ascii_only


def test_line_separators_never_cut_a_line_of_jsonl() -> None:
    """U+2028 and its like are escaped, since Transfer2.5 splits lines at them."""
    assert quoted("a\u2028b\u2029c\x85d", ascii_only=False) == '"a\\u2028b\\u2029c\\u0085d"'
    assert quoted("é", ascii_only=False) == '"é"'
    assert quoted("é", ascii_only=True) == '"\\u00e9"'


def test_several_edits_are_made_whatever_their_order() -> None:
    """Edits count positions in the old text."""
    assert apply("abcdef", [Edit(4, 5, "X"), Edit(0, 2, ""), Edit(3, 3, "--")]) == "c--dXf"
