"""Take off what models put around an answer, where that is safe."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from promptlift.review.request import quotes_in, understand

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptlift.targets import Target

__all__ = [
    "MEDIUM",
    "Cleaned",
    "clean_answer",
    "hide_quotes",
    "regex",
    "thought_tags",
    "well_formed",
]

# Wrappings nest one or two deep in practice; a text that needs more rounds is left alone.
_ROUNDS = 8

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb]"
)
_BLANKS = re.compile(r"[^\S\n]+")
_LINE_BREAKS = re.compile(r"(?: ?\n ?)+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def regex(pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """Compile a pattern whose line breaks, and the indents after them, are for the reader only."""
    return re.compile(re.sub(r"\n\s*", "", pattern), flags)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned answer and what was done to it.

    Attributes:
        text: The cleaned answer, on one line unless the short prompt has several.
        removed: What was taken off: ``thoughts`` and kinds of wrapping.
        invisible: How many control and invisible characters were taken out.
        tangled: Whether the wrapping was too deep to be taken off; `text` still wears it.
    """

    text: str
    removed: tuple[str, ...]
    invisible: int
    tangled: bool = False


def clean_answer(answer: str, short_prompt: str = "", target: Target | None = None) -> Cleaned:
    """Clean an answer. Quoted text and the user's own words, as they were typed, are never edited.

    Args:
        answer: As the engine gave it.
        short_prompt: The user's words, line breaks included. A noun such as "video" that is among
            them is no talk about the picture; and where they have several lines, or say what
            happens when, line breaks are kept.
        target: The generator that the answer is for; openings that its makers use stay.

    Returns:
        The cleaned text. A text that is wrapped too deeply keeps its wrapping.
    """
    text = well_formed(answer)
    text, invisible = _INVISIBLE.subn("", text.replace("\r\n", "\n").replace("\r", "\n"))
    words = well_formed(short_prompt).strip()
    steps = _steps(words, target)
    start, removed = text, dict[str, None]()
    for _ in range(_ROUNDS):
        before = text
        for name, step in steps:
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


def _steps(words: str, target: Target | None) -> tuple[tuple[str, Callable[[str], str]], ...]:
    def around(step: Callable[[str], str], *, quotes: bool = True) -> Callable[[str], str]:
        return lambda text: _edit_around(text, step, words, quotes=quotes)

    steps: list[tuple[str, Callable[[str], str]]] = [
        ("spacing", around(_tidied, quotes=False)),
        ("thoughts", _without_thoughts),
        ("answer tags", _inside_answer),
        ("special tokens", partial(_MARKERS.sub, "")),
        ("code fence", _inside_fence),
        ("JSON", _inside_json),
        ("chat", around(_without_chat)),
        ("label", around(_without_label)),
        ("quotes", around(_without_quotes, quotes=False)),
        ("markdown", around(_without_markdown)),
    ]
    if not MEDIUM.search(words):
        steps.append(("talk about the picture", around(lambda text: _without_medium(text, target))))
    if "\n" not in words and not understand(words).timed_lines:
        steps.append(("line breaks", around(lambda text: " ".join(text.split()), quotes=False)))
    return tuple(steps)


# ---- what is never edited

_HIDDEN = 0xF0000  # characters for private use, which stand for what is hidden from a step
_MOST_HIDDEN = 0xFFF0
_FEWEST_OWN_WORDS = 3  # fewer are no sentence of the user's, but words that anybody uses


def hide_quotes(text: str) -> str:
    """The text with a blank for each character of a quotation, so that places stay the same."""
    for quote in quotes_in(text):
        start, end = quote.span
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _edit_around(text: str, step: Callable[[str], str], words: str, *, quotes: bool) -> str:
    """Apply a step to all but the user's own words and, with `quotes`, what is quoted."""
    own = _find_own_words(text, words)
    locked = [*own, *(quote.span for quote in quotes_in(text))] if quotes else own
    pieces, hidden, position = list[str](), list[str](), 0
    for start, end in sorted(locked):
        if start >= position and len(hidden) < _MOST_HIDDEN:
            pieces += text[position:start], chr(_HIDDEN + len(hidden))
            hidden.append(text[start:end])
            position = end
    if not hidden or any(ord(char) >= _HIDDEN for char in text):
        return step(text)
    edited = step("".join(pieces) + text[position:])
    return "".join(hidden[ord(char) - _HIDDEN] if ord(char) >= _HIDDEN else char for char in edited)


def _find_own_words(text: str, words: str) -> list[tuple[int, int]]:
    """Where the short prompt stands in the text as it was typed, or with another first letter."""
    if not words:
        return []
    if text[:1].lower() == words[:1].lower() and text[1 : len(words)] == words[1:]:
        return [(0, len(words))]
    at = text.find(words) if len(words.split()) >= _FEWEST_OWN_WORDS else -1
    return [(at, at + len(words))] if at >= 0 else []


# ---- thoughts

_TAG = re.compile(
    r"<[|｜]?([/\w:| ｜]{2,40}?)[|｜]?(?:\s[^<>]{0,60})?>|\[([/\w]{2,20})\]|◁([/\w]{2,20})▷"
)
_ESCAPED_TAG = re.compile(r"&lt;(/?\w{2,20})&gt;")
# An element of any other name before the answer, if it plans; a page's own hold the text itself.
_FIRST_ELEMENT = re.compile(
    r"\A\s*<(?!(?:\w+_)?(?:answer|prompt|output|response|result|final|caption|description)>)"
    r"(?!(?:p|div|span|b|i|em|strong|html|body|h\d|ul|ol|li|br)\b)([a-z]\w{1,30})>"
    r"([^\0]{1,50000}?)</\1>(?=\s*[^\W\d_])",
    re.IGNORECASE,
)
_PLANS = re.compile(r"\b(?:I|[Ww]e|[Ll]et me|the user|The user|request|prompt|need to)\b|用户")
_THOUGHT = re.compile(
    r"(/|end_(?:of_)?|(?:start|begin)_(?:of_)?)?(?:\w{1,20}[:_]|ant)?"
    r"(?:think(?:ing)?|thoughts?|thought_process|reason(?:ing)?|reflect(?:ion)?|analysis"
    r"|scratchpad|(?:inner_)?monologue|cot|chain_of_thought|plan(?:ning)?|rationale)(_end|_start)?",
    re.IGNORECASE,
)
# Channels and private tokens, written as the tags that most models use. What goes before the
# channel of the answer is a thought, whatever it is called.
_CHANNELS = {
    "</think>": r"""
        (?:<\|start\|>\s*\w*\s*)?<\|channel\|>\s*final\b[^<]{0,80}(?:<\|constrain\|>\w*)?<\|message\|>
        |<unused95>|<channel\|>|\A\s*(?:assistant)?analysis(?=[A-Z])[^\0]*?assistantfinal
        """,
    # The last one is that of a server which has left out the special tokens.
    "<think>": r"""
        (?:<\|start\|>\s*\w*\s*)?<\|channel\|>\s*\w+[^<]{0,80}<\|message\|>
        |<unused94>(?:\s*thoughts?\b)?|<\|channel>\s*(?:thoughts?|analysis)\b
        |\A\s*(?:assistant)?analysis(?=[A-Z])
        """,
}
_CHANNEL_TAGS = {tag: regex(pattern, re.NOFLAG) for tag, pattern in _CHANNELS.items()}


def thought_tags(text: str) -> list[tuple[int, int, bool]]:
    """Start and end of each mark of a thought, and whether it closes one."""
    tags = []
    for tag in _TAG.finditer(text):
        found = _THOUGHT.fullmatch((tag[1] or tag[2] or tag[3]).strip(" |｜"))
        if found:
            prefix = (found[1] or "").lower()
            closes = prefix.startswith(("/", "end")) or found[2] == "_end"
            tags.append((tag.start(), tag.end(), closes))
    return tags


def _without_thoughts(text: str) -> str:
    """Drop closed thoughts, and what precedes a closing tag whose opening tag is missing."""
    marked = _ESCAPED_TAG.sub(r"<\1>", text)
    for tag, pattern in _CHANNEL_TAGS.items():
        marked = pattern.sub(tag, marked)
    kept: list[str] = []
    position, opened = 0, -1
    for start, end, closes in thought_tags(marked):
        if not closes:
            if opened < 0:
                kept.append(marked[position:start])
                opened = end
        else:
            if opened < 0:
                kept.clear()
            position, opened = end, -1
    if opened >= 0:
        return f"{''.join(kept)}<think>{marked[opened:]}"
    text = "".join(kept) + marked[position:]
    element = _FIRST_ELEMENT.match(text)
    return text[element.end() :] if element and _PLANS.search(element[2]) else text


# ---- wrappings

_ANSWER = re.compile(
    r"<(/?)(?:(?!neg)[a-z]{1,12}_)?(?:answer|prompt|output|response|result|final|caption"
    r"|description|solution)>|<\|(?:(begin_of|start)_|(end_of|end)_)(?:box|solution|response)\|>",
    re.IGNORECASE,
)
_WHOLE_ELEMENT = re.compile(r"\A<([a-z]\w{0,30})(?:\s[^<>]{0,80})?>([^\0]*)</\1>\Z", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{(?:\\text\{([^{}]*)\}|([^{}]*))\}")
_MARKER = r"""
    (?:<\|[^|<>\s]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|\[/?INST\]|\[(?:EOS|BOS|PAD|SEP|CLS)\]
    |<(?:(?:start|end|begin)_of_\w{1,20}|eos|bos|pad|eod|eot|unused\d{1,3})>|\s)+"""
_MARKERS = regex(rf"\A{_MARKER}|(?<!\s){_MARKER}\Z")
_FENCE = re.compile(r"(?:\A|\n|(?<=[:：] ))(```|~~~)([^`]+?)\1(?=\s|\Z)")
_FEWEST_INSIDE = 6  # words of a block that is the answer


def _tidied(text: str) -> str:
    """Leave no run of blanks: the patterns after this one may then say "some blank" freely."""
    return _LINE_BREAKS.sub("\n", _BLANKS.sub(" ", text)).strip()


def _inside_answer(text: str) -> str:
    tags = list(_ANSWER.finditer(text))
    opens = [at for at, tag in enumerate(tags) if not tag[1] and not tag[3]]
    if opens:
        at = opens[-1]
        end = tags[at + 1].start() if at + 1 < len(tags) else len(text)
        return text[tags[at].end() : end]
    whole = _WHOLE_ELEMENT.match(text)
    if whole and f"<{whole[1]}" not in whole[2]:
        return whole[2]
    boxed = _BOXED.findall(text)
    return "".join(boxed[-1]) if boxed else text


def _inside_fence(text: str) -> str:
    """The block that is the answer; what stands around it must be the shorter part."""
    blocks = [
        block
        for block in _FENCE.finditer(text)
        if "negative" not in text[max(0, block.start() - 40) : block.start()].lower()
    ]
    if len(blocks) != 1:
        return text
    first, newline, rest = blocks[0][2].partition("\n")
    inside = rest if newline and len(first) <= 12 and " " not in first.strip() else blocks[0][2]
    around = len(text) - len(blocks[0][0])
    alone = not text[: blocks[0].start()].strip() and not text[blocks[0].end() :].strip()
    if alone or (around < len(inside) and len(inside.split()) >= _FEWEST_INSIDE):
        return inside
    return text


_KEY = re.compile(
    r"prompt|caption|description|text|answer|output|response|result|content|positive|final"
)
_OTHER_KEY = re.compile(r"negative|original|short|input|user|source|query|request")
_LONGEST_JSON = 100_000


def _inside_json(text: str) -> str:
    """The one text of a JSON value that can be the prompt; the value itself where none can."""
    if text[:1] + text[-1:] not in ("{}", "[]", '""') or len(text) > _LONGEST_JSON:
        return text
    if text[0] == '"' and "\\" not in text:
        return text  # merely quoted
    for parse in (partial(json.loads, strict=False), ast.literal_eval):  # Python writes it, too
        try:
            found = _prompt_in(parse(text), 8)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return text if found is None else well_formed(found)
    return text


def _prompt_in(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list) and len(value) == 1:
        return _prompt_in(value[0], depth - 1)
    if not depth or not isinstance(value, dict):
        return None
    fields = {str(key).lower(): inner for key, inner in value.items()}
    named = {key: i for key, i in fields.items() if _KEY.search(key) and not _OTHER_KEY.search(key)}
    if len(named) > 1:
        named = {key: inner for key, inner in named.items() if "prompt" in key} or named
    if not named and len(fields) == 1 and not _OTHER_KEY.search(next(iter(fields))):
        named = fields
    if len(named) != 1:
        return None
    return _prompt_in(next(iter(named.values())), depth - 1)


# ---- remarks

_PREAMBLE = regex(
    r"""
    \A(?:(?:sure|certainly|of course|absolutely|okay|ok|great|alright)\b[^\n:]{0,80}?[!.,:]\s+)?
    (?:here(?:['’]s| is| are| you go)|below is|this is (?:a|the|an|your) (?:enhanced|detailed
    |refined)|hier ist|voici|aquí (?:está|tienes)|ecco|вот|以下是|这是)[^\n:：]{0,120}[:：]\s*
    """
)
# A small letter goes on with the sentence: "Okay, let me think" is a thought, and not chat.
_CHATTER = re.compile(
    r"\A(?i:sure|certainly|of course|absolutely|okay|ok|great|alright|好的)[!,.，！。]"
    r"\s*(?![a-z\s])"
)
_BETTER = "enhanced|upsampled|refined|detailed|final|revised|improved|expanded|rewritten"
_LABEL = regex(
    rf"""
    \A[*_#>\s]{{0,8}}(?:(?:{_BETTER})(?=\s?[:：])|(?:(?:{_BETTER}|long|video|image|scene|full|text
    |english|generated|positive|your|new|the)\s+){{0,3}}(?:prompt|caption|description|output|answer
    |response|result|assistant|beschreibung|antwort|описание|промпт|ответ|提示词|(?:视频|画面)?描述))
    \s{{0,3}}(?:\([^)\n]{{0,40}}\))?[*_]{{0,3}}\s{{0,3}}[:：][*_]{{0,3}}\s*(?:[|>][-+]?\n\s*)?
    """  # the end is how YAML writes a text of several lines
)
_TITLE = re.compile(r"\A(?:#{1,6}\s+[^\n.!?]{1,80}|\*\*[^\n.!?*]{1,80}\*\*:?)\s*\n+(?=\S)")
_QUOTES = {'"': '"', "“": "”", "«": "»", "「": "」", "『": "』", "„": "“", "'": "'", "‘": "’"}

_MARKDOWN = tuple(
    regex(pattern, re.MULTILINE)
    for pattern in (
        r"\*\*(?P<text>[^*\n]{1,600})\*\*",
        r"(?<![\w_])__(?P<text>[^_\n]{1,600})__(?![\w_])",
        r"(?<![\w*])\*(?P<text>[^*\s][^*\n]{0,600})\*(?![\w*])",
        r"(?<![\w_])_(?P<text>[^_\s][^_\n]{0,600})_(?![\w_])",
        r"(?<!`)`(?P<text>[^`\n]{1,600})`(?!`)",
        r"\[(?P<text>[^\[\]\n]{1,200})\]\([^()\s]{1,300}\)",
        r"""
        ^[ \t]{0,8}(?:(?:#{1,6}|[-*•>])[ \t]+|\d{1,2}[.)][ \t]+(?=\D)
        |(?:-{3,}|\*{3,}|_{3,})[ \t]{0,8}$)(?P<text>)
        """,
    )
)
_NEGATIVE = re.compile(
    r"(?:\n|(?<=[.!?])\s)[*_#\s]{0,6}negative(?:[ _-]prompts?)?[*_\s]{0,4}[:：][^\0]*\Z",
    re.IGNORECASE,
)
_TAIL = regex(
    r"""
    (?:(?<=[.!?])\s+|\n)\(?(?:(?:please )?let me know|i hope (?:this|that|it)|would you like
    |feel free|do you want|if you(?:['’]d| would) like|is there anything|note:|\**note\**:
    |word count|\d{1,4} words\)|(?:this|the) (?:enhanced |revised |detailed |expanded )?(?:prompt
    |version|rewrite|revision) (?:keep|add|maintain|preserve|include|emphasi[sz]e|expand|aim|focuse
    |provide|incorporate|describe|use|stay|retain)s?\b
    |i(?:['’]ve| have) (?:added|kept|expanded|included))[^\0]*\Z
    """
)
_TAIL_LENGTH = 400


def _without_chat(text: str) -> str:
    text = _NEGATIVE.sub("", _CHATTER.sub("", _PREAMBLE.sub("", text)))
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
    for pattern in _MARKDOWN:
        text = pattern.sub(r"\g<text>", text)
    return _tidied(text)


# ---- talk about the picture

_VIDEO = "video(?: clip| footage)?|footage|film"
_STILL = "image|clip|picture|photo|photograph|animation|screenshot"
MEDIUM = re.compile(rf"\b(?:{_VIDEO}|{_STILL})s?\b|\bframes?\b|\bscreen", re.IGNORECASE)
"""Words for the medium; where a user says one, it is part of the scene or asked for."""

_SHOWING = """
    show|depict|feature|capture|display|present|portray|showcase|illustrate|contain|start|open|begin
    |end|conclude|close|appear|seem|feel|look|continue|focus|take|unfold|maintain|remain|transition
    |move|exude|evoke|highlight|emphasize|suggest|follow|reveal|zoom|pan|cut"""
_KIND = "(?:(?:short|brief|input|given|provided|whole|entire|overall|above|animated) ){0,2}"
_START = r"(?:\A|(?<=[.!?]\s)|(?<=\n))"


def _medium_patterns(medium: str, scene: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns and what takes the place of what they match: always what leaves a sentence.

    Args:
        medium: Pattern of the nouns that go.
        scene: The noun that takes their place.
    """
    medium = f"(?:{medium})"
    rules = (
        (
            rf"""
            {_START}(?:the|this) {_KIND}{medium} (?:shows|depicts|presents) an? (?:series|sequence)
            [ ]of (?:images|frames|pictures) (?:where|in which) (?P<next>\w)
            """,
            r"\g<next>",
        ),
        (
            rf"""
            {_START}(?:this is an? (?:\w+ ){{0,2}}{medium} (?:of|showing|featuring) (?=(?:an?|the
            |two|three|some|many|several) )|(?:in (?:the|this|these) {_KIND}{medium}s?,? )?(?:we|I)
            [ ](?:can )?see (?!(?:that|how|it|what|why|where)\b))
            """,
            f"The {scene} shows ",
        ),
        (rf"{_START}in (?:the|this|these) {_KIND}{medium}s?, (?P<next>\w)", r"\g<next>"),
        (
            rf"\bas (?:the|this) {medium} (?:progresses|goes on|advances|proceeds|plays)\b",
            f"as the {scene} unfolds",
        ),
        (
            rf"""
            \b(?:the|this)(?P<how> overall| entire| whole)?(?: (?:short|input|given|provided|above
            |animated))? {medium} (?=(?:is|was|has|also|then|now|(?:{_SHOWING})s?)\b)
            """,
            rf"the\g<how> {scene} ",
        ),
        (rf"\b(?:the|these) {medium}s (?P<verb>{_SHOWING})\b", rf"the {scene} \g<verb>s"),
        (
            rf"""
            \b(?P<when>throughout|during|(?:mid|half|part)way through|(?:start|beginning|middle|end
            |rest|course|duration) of) (?:the|this)(?P<how> entire| whole)? {medium}\b
            """,
            rf"\g<when> the\g<how> {scene}",
        ),
        (rf"\b(?P<the>the|this) {medium}(?=['’]s\b)", rf"\g<the> {scene}"),
        (rf" in (?:the|this) {medium}(?=[,.;!?])", ""),
    )
    return tuple((regex(pattern), replacement) for pattern, replacement in rules)


_STILLS_ONLY = _medium_patterns(_STILL, "video")
_ANY_MEDIUM = _medium_patterns(f"{_VIDEO}|{_STILL}", "scene")


def _without_medium(text: str, target: Target | None) -> str:
    """Speak of the scene, or of the video where the target's makers do, and of nothing else."""
    for pattern, replacement in _STILLS_ONLY if target and target.openings else _ANY_MEDIUM:
        text = pattern.sub(partial(_replaced, replacement), text)
    return text


def _replaced(replacement: str, found: re.Match[str]) -> str:
    """What takes the place of a match, with a capital where that has one."""
    text = found.expand(replacement)
    return text[:1].upper() + text[1:] if found[0][0].isupper() else text
