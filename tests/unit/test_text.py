"""The short prompt: what is taken, and what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.errors import PromptError
from promptlift.text import check_short_prompt


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("  a robot\n\n\tarm \r\n moves ", "a robot\n\n\tarm \n moves"),
        (" \n ", ""),
        *((text, text) for text in ("咖啡杯", "🤖 gives ☕", "قهوة", "naïve café", "a\u200db")),
    ],
)
def test_words_are_taken_as_typed(text: str, taken: str) -> None:
    """White space around the text goes; line breaks stay, and nothing is changed in any script."""
    assert check_short_prompt(text) == taken


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("abc\x00d", r"U\+0000 as its character 4"),
        ("abc\x1b[31md", r"U\+001B as its character 4"),
        ("abc\x9bd", r"U\+009B as its character 4"),
        ("ab\udcff", "character 3 .* not UTF-8"),
    ],
)
def test_control_characters_are_named_with_their_place(text: str, reason: str) -> None:
    """A terminal escape, a NUL, or what the shell could not decode: which, and where."""
    with pytest.raises(PromptError, match=reason):
        check_short_prompt(text)


@settings(max_examples=50)
@given(st.text())
def test_what_is_accepted_is_stable(text: str) -> None:
    """An accepted prompt is accepted again unchanged."""
    try:
        once = check_short_prompt(text)
    except PromptError:
        return
    assert check_short_prompt(once) == once
