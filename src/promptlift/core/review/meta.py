"""Talk about the picture ("the video shows ...") and other words that are no part of a prompt.

What opens a sentence can be taken off and leaves a sentence; what is woven in cannot.
"""

from __future__ import annotations

import re

from promptlift.core.review.sought import Sought

__all__ = ["lead_off", "leftover"]

_MEDIUM = (
    r"(?:video(?: clip| footage)?|image|clip|footage|picture|photo|photograph|animation|screenshot)"
)
_SHOWING = (
    r"(?:shows?|depicts?|features?|captures?|displays?|presents?|portrays?|showcases?|illustrates?"
    r"|contains?|(?:starts?|opens?|begins?|ends?|concludes?|closes?) (?:with|on)|is (?:of|about))"
)
_SENTENCE = r"(?:\A|(?<=[.!?]\s)|(?<=\n))"
_ADJECTIVE = r"(?:(?:short|brief|input|given|provided|whole|entire|above|animated)\s+){0,2}"
_LEADS = tuple(
    Sought(_SENTENCE + pattern + r"(?P<next>\w)")
    for pattern in (
        (
            rf"(?:the|this|these|our)\s+{_ADJECTIVE}"
            rf"(?:{_MEDIUM}|scene|sequence|frame|video frame)s?\s+"
            rf"{_SHOWING}\s+(?!(?:how|what|that|where|why|when|us|him|her|it)\b)"
        ),
        (
            rf"in\s+(?:the|this|these)\s+{_ADJECTIVE}{_MEDIUM}s?\s*,?\s+"
            r"(?:we|you|i)\s+(?:can\s+)?see\s+"
            r"(?!(?:that|how)\b)"
        ),
        rf"in\s+(?:the|this|these)\s+{_ADJECTIVE}(?:{_MEDIUM}|scene|sequence)s?\s*,\s*",
        r"(?:we|you|i)\s+(?:can\s+)?see\s+(?!(?:that|how|it)\b)",
        (
            rf"as\s+the\s+{_MEDIUM}\s+"
            r"(?:progresses|continues|unfolds|goes on|plays|begins|ends)\s*,"
            r"\s*"
        ),
        rf"(?:the|this)\s+{_MEDIUM}\s+is\s+(?=(?:shot|filmed|taken|captured|recorded)\b)",
    )
)
_ASIDES = (
    (Sought(rf"\b(throughout)\s+(?:the|this)\s+{_MEDIUM}\b"), r"\1"),
    (
        Sought(rf"\b(the (?:start|beginning|end))\s+of\s+(?:the|this)\s+{_MEDIUM}\b"),
        r"\1",
    ),
    (Sought(rf"\s+in\s+(?:the|this)\s+{_MEDIUM}(?=[,.;!?])"), ""),
    (
        Sought(
            r"\b(the|this)((?:\s+overall|\s+entire|\s+whole)?)\s+(?:video|image|clip)"
            r"(?=\s+(?:is|was|"
            r"has|appears|seems|feels|looks|ends|begins|starts|opens|continues|concludes|focuses|"
            r"takes|unfolds|maintains|remains|conveys|shows|depicts|captures|features|transitions|"
            r"moves|exudes|evokes|highlights|emphasizes|suggests|also|then)\b)",
        ),
        r"\1\2 scene",
    ),
)
_MEDIUM_WORD = re.compile(rf"\b{_MEDIUM}s?\b|\bframes?\b|\bscreen", re.IGNORECASE)

_LEFTOVERS = {
    "a code fence": r"```",
    "an unclosed thought": r"</?(?:think|thinking|thought|reasoning)>|\[/?THINK\]",
    "a tag": r"</?[a-z][a-z0-9]{0,15}(?:\s[^<>\n]{0,80})?/?>",
    "a special token": r"<\|[a-z_0-9]{1,30}\|>|\[/?INST\]",
    "a chat role": r"(?:\A|[\n.!?]\s?)(?:user|human|assistant|system)\s?:",
    "data instead of prose": r"\A[\[{]\s*[\"{\[]|[\"']\s?:\s?[\"{\[]",
    "a table": r"\|[^|\n]{1,80}\|[^|\n]{1,80}\|",
    "markdown": r"\*\*|(?:\A|\s)#{2,6}\s",
    "an address": r"\bhttps?://",
    "several options": r"\b(?:option|version|variant|prompt) (?:1|2|a|b|one|two)\s?:",
    "the answerer's voice": r"\bI (?:can (?:only )?see|notice|would|think|have|will)\b|\bI['’]ll\b",
    "talk of the answer": r"\b(?:enhanced|upsampled|refined|rewritten|detailed|revised|original"
    r"|short|input) prompt\b"
    r"|\bthe (?:user|prompt) (?:wants|asks|says|describes|mentions|provided)\b"
    r"|\bbased on the (?:provided |given )?(?:prompt|images?|frames?|video|input)\b",
}
_LEFT = {name: Sought(pattern) for name, pattern in _LEFTOVERS.items()}
_NUMBERED = Sought(
    r"\b(?:frames?|images?|pictures?|screenshots?) ?#?\d\b"
    r"|\b(?:first|second|third|last|final|next|previous|two|both|provided|given) "
    r"(?:video )?(?:frame|image|picture|photo|screenshot)s?\b"
    r"|\b(?:this|these|the) (?:image|screenshot|video clip|photo)s? "
    r"(?:shows?|depicts?|displays?|illustrates?)\b",
)
_SECTION = Sought(
    r"(?:\A|[.!?;]\s+|\s)(?:subject|setting|scene|action|camera|lighting|style|mood|background|"
    r"foreground|characters?|environment|colou?rs?|atmosphere|movement|motion|composition|details?"
    r"|location|time|weather|objects?)\s?:",
)


def lead_off(text: str, short_prompt: str = "") -> str:
    """Take talk about the picture off the start of sentences.

    Where the user speaks of a video, a picture or the like, only what opens a sentence goes.
    """
    for pattern in _LEADS:
        text = pattern.sub(lambda match: match["next"].upper(), text)
    if _MEDIUM_WORD.search(short_prompt):
        return text
    for pattern, replacement in _ASIDES:
        text = pattern.sub(replacement, text)
    return text


def leftover(text: str, short_prompt: str = "") -> str:
    """Name what is left in a cleaned text that is no part of a prompt; empty for nothing."""
    for name, pattern in _LEFT.items():
        found = pattern.search(text)
        if found and found[0].strip().lower() not in short_prompt.lower():
            return f"{name}: {found[0].strip()!r}"
    if len(list(_SECTION.finditer(text))) > 1 and not _SECTION.search(short_prompt):
        return "labelled sections instead of prose"
    numbered = _NUMBERED.search(text)
    if numbered and not _MEDIUM_WORD.search(short_prompt):
        return f"talk about the picture: {numbered[0]!r}"
    return ""
