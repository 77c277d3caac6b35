"""Small English: making sentences, joining lists, counting words. Pure text in, text out."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["capitalise", "count_words", "join", "user_sentences", "words"]

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+")
_ENDS = ".!?…。！？।؟"
_CLOSERS = "\"'”’»)]}」』"
_DANGLING = ",;:-–—、，；："
# Scripts written without spaces, whose sentences end in an ideographic full stop.
_IDEOGRAPHIC = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


def words(text: str) -> list[str]:
    """The words of a text, lower case; a hyphen or an apostrophe within a word stays."""
    return [word.lower() for word in _WORD.findall(text)]


def count_words(text: str) -> int:
    """How many words a text has; each ideograph counts as one."""
    ideographs = len(_IDEOGRAPHIC.findall(text))
    return ideographs + len(_WORD.findall(_IDEOGRAPHIC.sub(" ", text)))


def join(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def capitalise(sentence: str) -> str:
    """Raise the first letter, past opening quotes; names such as ``iPhone`` keep theirs."""
    for index, char in enumerate(sentence):
        if char.isalpha():
            mixed_case = sentence[index + 1 : index + 2].isupper() and char.islower()
            raised = char if mixed_case else _upper(char)
            return sentence[:index] + raised + sentence[index + 1 :]
        if char.isalnum():
            break
    return sentence


def user_sentences(prompt: str) -> str:
    """The user's text made into sentences: every word kept, in its order.

    Line breaks become spaces, a list's bullets become commas, a blank line ends a sentence, the
    first letter is raised and an end is put where there is none.

    Returns:
        The text on one line; empty where the prompt holds nothing but space and punctuation.
    """
    paragraphs = re.split(r"\n[ \t]*\n", prompt.replace("\r\n", "\n").replace("\r", "\n"))
    ended = [_ended(_one_line(paragraph)) for paragraph in paragraphs if _WORD.search(paragraph)]
    return capitalise(" ".join(ended))


def _upper(char: str) -> str:
    """The capital of a letter; letters without one of the same length stay ("ß")."""
    raised = char.upper()
    return raised if len(raised) == 1 else char


def _one_line(paragraph: str) -> str:
    lines = [line for line in paragraph.splitlines() if line.strip()]
    bulleted = sum(bool(_BULLET.match(line)) for line in lines) > 1
    if not bulleted:
        return " ".join(" ".join(lines).split())
    items = [" ".join(_BULLET.sub("", line).split()) for line in lines]
    return " ".join(_with_comma(item) for item in items[:-1]) + " " + items[-1]


def _with_comma(item: str) -> str:
    return item if not item or item[-1] in _ENDS + _DANGLING else f"{item},"


def _ended(text: str) -> str:
    """The text with a sentence end, where it has none."""
    text = text.rstrip().rstrip(_DANGLING + " ")
    if _visible_end(text) in _ENDS:
        return text
    return text + ("。" if _IDEOGRAPHIC.search(text) else ".")


def _visible_end(text: str) -> str:
    """The last character that is no space, no closing quote or bracket and no emoji."""
    for char in reversed(text):
        silent = char.isspace() or unicodedata.category(char) in {"So", "Sk", "Mn", "Cf"}
        if not silent and char not in _CLOSERS:
            return char
    return " "
