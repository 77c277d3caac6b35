"""Take off what models put around an answer, where that is safe."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Cleaned", "clean", "lead_off", "leftover", "well_formed"]

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
    re.compile(_SENTENCE + pattern + r"(?P<next>\w)", re.IGNORECASE)
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
    (re.compile(rf"\b(throughout)\s+(?:the|this)\s+{_MEDIUM}\b", re.IGNORECASE), r"\1"),
    (
        re.compile(
            rf"\b(the (?:start|beginning|end))\s+of\s+(?:the|this)\s+{_MEDIUM}\b", re.IGNORECASE
        ),
        r"\1",
    ),
    (re.compile(rf"\s+in\s+(?:the|this)\s+{_MEDIUM}(?=[,.;!?])", re.IGNORECASE), ""),
    (
        re.compile(
            r"\b(the|this)((?:\s+overall|\s+entire|\s+whole)?)\s+(?:video|image|clip)"
            r"(?=\s+(?:is|was|"
            r"has|appears|seems|feels|looks|ends|begins|starts|opens|continues|concludes|focuses|"
            r"takes|unfolds|maintains|remains|conveys|shows|depicts|captures|features|transitions|"
            r"moves|exudes|evokes|highlights|emphasizes|suggests|also|then)\b)",
            re.IGNORECASE,
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
_LEFT = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _LEFTOVERS.items()}
_NUMBERED = re.compile(
    r"\b(?:frames?|images?|pictures?|screenshots?) ?#?\d\b"
    r"|\b(?:first|second|third|last|final|next|previous|two|both|provided|given) "
    r"(?:video )?(?:frame|image|picture|photo|screenshot)s?\b"
    r"|\b(?:this|these|the) (?:image|screenshot|video clip|photo)s? "
    r"(?:shows?|depicts?|displays?|illustrates?)\b",
    re.IGNORECASE,
)
_SECTION = re.compile(
    r"(?:\A|[.!?;]\s+|\s)(?:subject|setting|scene|action|camera|lighting|style|mood|background|"
    r"foreground|characters?|environment|colou?rs?|atmosphere|movement|motion|composition|details?"
    r"|location|time|weather|objects?)\s?:",
    re.IGNORECASE,
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


# Wrappings nest one or two deep in practice; a text that needs more rounds is left alone.
_ROUNDS = 8

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb]"
)
_BLANKS = re.compile(r"[^\S\n]+")
_LINE_BREAKS = re.compile(r"(?: ?\n ?)+")
_SURROGATE = re.compile("[\ud800-\udfff]")

_THINK = re.compile(
    r"<(/?)(?:think|thinking|thought|reasoning|reflection)>|\[(/?)THINK\]", re.IGNORECASE
)
_ANSWER = re.compile(r"<(/?)answer>", re.IGNORECASE)
_MARKER = r"(?:<\|[a-z_0-9]{1,30}\|>|</?s>|\[/?INST\]|<(?:eos|bos|pad|(?:start|end)_of_turn)>|\s)"
_MARKERS_FIRST = re.compile(rf"\A{_MARKER}+", re.IGNORECASE)
_MARKERS_LAST = re.compile(rf"(?<!\s){_MARKER}+\Z", re.IGNORECASE)
_JSON_KEYS = ("prompt", "upsampled_prompt", "enhanced_prompt", "description", "caption", "text")

_PREAMBLE = re.compile(
    r"\A(?:(?:sure|certainly|of course|absolutely|okay|ok|great|alright)\b[^\n:]{0,80}?[!.,:]\s+)?"
    r"(?:here(?:['’]s| is| are)|below is|this is (?:a|the|an|your) (?:enhanced|detailed|refined)"
    r"|hier ist|voici|aquí (?:está|tienes)|вот|以下是|这是)[^\n:：]{0,120}[:：]\s*",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"\A(?:sure|certainly|of course|absolutely|okay|ok|好的)[!,.，！。]\s*", re.IGNORECASE
)
_LABEL = re.compile(
    r"\A[*_#>\s]{0,8}(?:(?:enhanced|upsampled|refined|detailed|final|revised|improved|expanded"
    r"|rewritten|long|video|image|scene|full|text|english|generated|positive|your|new|the)\s+){0,3}"
    r"(?:prompt|caption|description|output|answer|response|result|assistant|beschreibung|antwort"
    r"|описание|промпт|ответ|提示词|描述|视频描述|画面描述)\s{0,3}(?:\([^)\n]{0,40}\))?[*_]{0,3}\s{0,3}"
    r"[:：][*_]{0,3}\s*",
    re.IGNORECASE,
)
_TITLE = re.compile(r"\A(?:#{1,6}\s+[^\n.!?]{1,80}|\*\*[^\n.!?*]{1,80}\*\*:?)\s*\n+(?=\S)")
_QUOTES = {'"': '"', "“": "”", "«": "»", "「": "」", "『": "』", "„": "“", "'": "'", "‘": "’"}

_MARKDOWN = (
    (re.compile(r"\*\*([^*\n]{1,600})\*\*"), r"\1"),
    (re.compile(r"(?<![\w_])__([^_\n]{1,600})__(?![\w_])"), r"\1"),
    (re.compile(r"(?<![\w*])\*([^*\s][^*\n]{0,600})\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_])_([^_\s][^_\n]{0,600})_(?![\w_])"), r"\1"),
    (re.compile(r"(?<!`)`([^`\n]{1,600})`(?!`)"), r"\1"),
    (re.compile(r"\[([^\[\]\n]{1,200})\]\([^()\s]{1,300}\)"), r"\1"),
    (re.compile(r"^[ \t]{0,8}(?:#{1,6}|[-*•>])[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]{0,8}\d{1,2}[.)][ \t]+(?=\D)", re.MULTILINE), ""),
    (re.compile(r"^[ \t]{0,8}(?:-{3,}|\*{3,}|_{3,})[ \t]{0,8}$", re.MULTILINE), ""),
)
_TAIL = re.compile(
    r"(?:(?<=[.!?])\s+|\n)\(?(?:(?:please )?let me know|i hope (?:this|that|it)|would you like"
    r"|feel free|do you want|if you(?:['’]d| would) like|is there anything|note:|\**note\**:"
    r"|word count|\d{1,4} words\))[^\0]*\Z",
    re.IGNORECASE,
)
_TAIL_LENGTH = 400


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned answer and what was done to it.

    Attributes:
        text: The cleaned answer, on one line.
        removed: What kinds of wrapping were taken off.
        invisible: How many control and invisible characters were taken out.
        tangled: Whether the wrapping was too deep to be taken off; `text` still wears it.
    """

    text: str
    removed: tuple[str, ...]
    invisible: int
    tangled: bool = False


def clean(answer: str, short_prompt: str = "") -> Cleaned:
    """Clean an answer.

    Args:
        answer: As the engine gave it.
        short_prompt: The user's words; a noun such as "video" that is part of them is no talk
            about the picture.

    Returns:
        The text on one line. A text that is wrapped too deeply keeps its wrapping.
    """
    text = well_formed(answer)
    text, invisible = _INVISIBLE.subn("", text.replace("\r\n", "\n").replace("\r", "\n"))
    start, removed = text, dict[str, None]()
    for _ in range(_ROUNDS):
        before = text
        for name, step in _steps(short_prompt):
            after = step(text)
            if after != text:
                removed[name] = None
            text = after
        if text == before:
            return Cleaned(text, tuple(removed), invisible)
    return Cleaned(start, (), invisible, tangled=True)


def well_formed(text: str) -> str:
    """Replace lone surrogates, which no encoder takes, by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def _steps(short_prompt: str) -> tuple[tuple[str, Callable[[str], str]], ...]:
    return (
        ("spacing", _tidied),
        ("think tags", _without_thinking),
        ("answer tags", _inside_answer),
        ("special tokens", _without_markers),
        ("code fence", _inside_fence),
        ("JSON", _inside_json),
        ("chat", _without_chat),
        ("label", _without_label),
        ("quotes", _without_quotes),
        ("markdown", _without_markdown),
        ("talk about the picture", lambda text: lead_off(text, short_prompt)),
        ("line breaks", lambda text: " ".join(text.split())),
    )


def _tidied(text: str) -> str:
    """Leave no run of blanks: the patterns after this one may then say "some blank" freely."""
    return _LINE_BREAKS.sub("\n", _BLANKS.sub(" ", text)).strip()


def _without_thinking(text: str) -> str:
    """Drop closed thoughts, and what precedes a closing tag whose opening tag is missing."""
    kept: list[str] = []
    position, opened = 0, -1
    for tag in _THINK.finditer(text):
        if not (tag[1] or tag[2]):
            if opened < 0:
                kept.append(text[position : tag.start()])
                opened = tag.start()
        else:
            if opened < 0:
                kept.clear()
            position, opened = tag.end(), -1
    return "".join(kept) + text[opened if opened >= 0 else position :]


def _inside_answer(text: str) -> str:
    tags = list(_ANSWER.finditer(text))
    opens = [at for at, tag in enumerate(tags) if not tag[1]]
    if not opens:
        return text
    at = opens[-1]
    end = tags[at + 1].start() if at + 1 < len(tags) else len(text)
    return text[tags[at].end() : end]


def _without_markers(text: str) -> str:
    return _MARKERS_LAST.sub("", _MARKERS_FIRST.sub("", text))


def _inside_fence(text: str) -> str:
    parts = text.split("```", 3)
    if len(parts) != 3 or parts[2].strip() or not _is_preamble(parts[0]):
        return text
    first, newline, rest = parts[1].partition("\n")
    return rest if newline and len(first) <= 12 and " " not in first.strip() else parts[1]


def _is_preamble(text: str) -> bool:
    return len(text) <= 200 and (not text.strip() or text.rstrip()[-1] in ":：")


def _inside_json(text: str) -> str:
    if not (text.startswith("{") and text.endswith("}")):
        return text
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    found = [fields[key] for key in _JSON_KEYS if isinstance(fields.get(key), str)]
    return well_formed(found[0]) if len(found) == 1 else text


def _without_chat(text: str) -> str:
    text = _CHATTER.sub("", _PREAMBLE.sub("", text))
    start = max(0, len(text) - _TAIL_LENGTH)
    return text[:start] + _TAIL.sub("", text[start:])


def _without_label(text: str) -> str:
    return _LABEL.sub("", _TITLE.sub("", text))


def _without_quotes(text: str) -> str:
    first, last = 0, len(text)
    while last - first > 2 and _QUOTES.get(text[first]) == text[last - 1]:
        first, last = first + 1, last - 1
    inner = text[first:last]
    marks = set(text[:first] + text[last:])
    # A quote mark left inside belongs to one at the edge: "Stop", she says, and "go".
    return text if any(mark in inner for mark in marks - {"'", "’"}) else inner


def _without_markdown(text: str) -> str:
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return _tidied(text)
