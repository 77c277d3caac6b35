"""The short prompt: what is taken, and what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.errors import PromptError
from promptlift.text import check_short_prompt


def test_white_space_becomes_one_space() -> None:
    """Line breaks and tabs are layout, not words."""
    assert check_short_prompt("  a robot\n\n\tarm \r\n moves ") == "a robot arm moves"


def test_empty_prompt_is_fine() -> None:
    """Nothing said means: describe what is there."""
    assert check_short_prompt("") == check_short_prompt(" \n ") == ""


@pytest.mark.parametrize("bad", ["\x00", "\x1b[31m", "\x07", "\x7f", "\x9b"])
def test_control_characters_are_named_with_their_place(bad: str) -> None:
    """A terminal escape or a NUL is refused; the error says which and where."""
    with pytest.raises(PromptError, match=rf"U\+{ord(bad[0]):04X} as its character 4"):
        check_short_prompt(f"abc{bad}d")


def test_undecodable_bytes_are_named() -> None:
    """What the shell could not decode arrives as lone surrogates."""
    with pytest.raises(PromptError, match=r"character 3 .* not UTF-8"):
        check_short_prompt("ab" + b"\xff".decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("text", ["咖啡杯", "🤖 gives ☕", "قهوة", "naïve café", "a\u200db"])
def test_every_script_is_taken_as_it_is(text: str) -> None:
    """Nothing but white space is changed."""
    assert check_short_prompt(text) == text


@given(st.text())
def test_what_is_accepted_is_stable_and_one_line(text: str) -> None:
    """An accepted prompt is accepted again unchanged, and has no line break."""
    try:
        once = check_short_prompt(text)
    except PromptError:
        return
    assert check_short_prompt(once) == once
    assert len(once.splitlines()) <= 1
