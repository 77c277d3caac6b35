"""The checks of a review that need nothing but the answer and the language of the request."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from promptlift.language import (
    UNSPACED,
    dominant_script,
    guess_language,
    script_counts,
    script_of,
    word_set,
)

if TYPE_CHECKING:
    from promptlift.types import Kind

__all__ = [
    "NO_WORDS",
    "artefact",
    "cut",
    "empty",
    "garbled",
    "language",
    "loop",
    "refusal",
    "wrong_language",
]

NO_WORDS = "no words"

# An upsampled prompt of fewer words than this says nothing that the user has not said.
_FEWEST_WORDS = 6
_FEWEST_CHARACTERS = 10  # in scripts without spaces

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_END = re.compile("[.!?…。！？．｡।॥۔؟։።᙮។][\"'”’»)\\]」』）*]{0,4}\\Z")
_NO_SENTENCE_MARK = frozenset({"thai", "lao", "khmer", "burmese"})

_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        (
            r"\A[\"'“]?(?:(?:i['’]?m|i am) (?:(?:very|so|really) )?sorry|sorry"
            r"|apologies|my apologies"
            r"|i apologi[sz]e|unfortunately,? i)\b"
        ),
        (
            r"\bas an? (?:ai|artificial intelligence|language model)"
            r"(?=[ ,.](?:language |text|assistant|model|i\b|it\b|,| i\b))"
        ),
        (
            r"\bi(?:['’]m| am)? (?:cannot|can['’]?t|can not|won['’]t|will not|unable to|not able to"
            r"|not comfortable|don['’]t feel comfortable|do not feel comfortable|must decline"
            r"|have to decline) ?(?:help|assist|provide|create|generate|describe|see|view|process"
            r"|analy[sz]e|fulfil|comply|do|write|identify|access|open|with|with that|watch|produce"
            r"|make"
            r"|complete|continue|answer|discuss|determine)?\b"
        ),
        r"\bi (?:don['’]t|do not) (?:see|have) (?:any|an|access|the ability|enough)\b",
        (
            r"\bno (?:image|video|picture|frame)s? (?:was|were|is|are|has been|have been) "
            r"(?:provided|attached|given|uploaded|included|visible)\b"
        ),
        r"\b(?:please|could you|can you) (?:provide|upload|share|attach|send|clarify|specify)\b",
        (
            r"\b(?:violates?|against) (?:my|our|the|openai['’]s)? ?(?:guidelines|policy|policies"
            r"|content policy|usage policies)\b"
        ),
        (
            r"\A(?:抱歉|对不起|很抱歉|非常抱歉|不好意思)|我(?:无法|不能|没办法)(?:提供|描述|生成|协助|查看|看到"
            r"|帮助|完成|满足|处理|识别)|作为(?:一个|一名)?(?:人工智能|AI|语言模型)"
        ),
        (
            r"\A(?:es tut mir leid|tut mir leid|entschuldigung|leider kann ich)\b"
            r"|\bich kann (?:dir |ihnen |dabei |das |dieses |diese |leider )?nicht\b"
        ),
        r"\A(?:je suis désolé|désolée?\b)|\bje ne peux pas\b",
        (
            r"\A(?:lo siento|lamento)\b|\bno puedo "
            r"(?:ayudar|describir|proporcionar|crear|generar|ver)\b"
        ),
        r"\A(?:извините|простите|к сожалению, я)\b|\bя не могу\b",
        r"申し訳(?:ありません|ございません)|できません。?\Z",
        r"죄송합니다|할 수 없습니다",
    )
)
# Speech is quoted; what is said in the picture is no refusal.
_QUOTED = re.compile(r"[\"“«「][^\"”»」]{0,300}[\"”»」]")

_WINDOW = 1200  # characters
# Text over its compressed size. Prose of one window reaches 1.9 in English and 2.0 in German;
# Whisper takes 2.4 as the sign of a loop for texts of this length.
_MOST_COMPRESSION = 2.4
_SHORTEST_PACKED = 200  # characters; a header outweighs less
_SENTENCE_WORDS = 5
_SAME_CHARACTER = re.compile(r"([^\s\d])\1{7}")
_SAME_WORD = re.compile(r"\b(\w{1,40})(?:[\s,]{1,3}\1\b){3}", re.IGNORECASE)


_OWN_WORDS = "nothing but the user's own words"


def empty(text: str, short_prompt: str = "") -> str:
    """Say whether there is nothing to use: no words, too few, or the user's words alone."""
    words = _WORD.findall(text)
    letters = sum(len(word) for word in words)
    if not any(word[0].isalpha() for word in words):
        return NO_WORDS
    said = [word.lower() for word in _WORD.findall(short_prompt)]
    alone = len(words) <= len(said) + 1 and {word.lower() for word in words} <= set(said)
    if dominant_script(text) in UNSPACED:
        if letters < _FEWEST_CHARACTERS:
            return f"only {letters} characters"
        return _OWN_WORDS if alone else ""
    if len(words) < _FEWEST_WORDS:
        return f"only {len(words)} words"
    return _OWN_WORDS if alone else ""


def cut(text: str, finish_reason: str) -> str:
    """Say whether the answer stops before its end."""
    if finish_reason == "length":
        return "the engine stopped at its token limit"
    if dominant_script(text) in _NO_SENTENCE_MARK or _SENTENCE_END.search(text[-8:]):
        return ""
    return f"no end of a sentence after {text[-24:]!r}"


def refusal(text: str) -> str:
    """Say whether the answer declines to answer, or asks for what it was given."""
    spoken = _QUOTED.sub(" ", text) if len(text) > 60 else text
    for pattern in _REFUSALS:
        found = pattern.search(spoken)
        if found:
            return repr(found[0].strip())
    return ""


def loop(text: str) -> str:
    """Say whether the answer goes round in circles."""
    same = _SAME_CHARACTER.search(text) or _SAME_WORD.search(text)
    if same:
        return f"{same[0][:40]!r} over and over"
    return _repeated_sentence(text) or _repeated_words(text) or _packs_too_well(text)


def _repeated_sentence(text: str) -> str:
    sentences = Counter(
        " ".join(words)
        for sentence in re.split(r"[.!?。！？]", text)
        if len(words := _WORD.findall(sentence.lower())) >= _SENTENCE_WORDS or len(sentence) > 24
    )
    if sentences:
        sentence, times = sentences.most_common(1)[0]
        if times > 1 and sentence:
            return f"the sentence {sentence[:40]!r} stands {times} times"
    return ""


def _repeated_words(text: str) -> str:
    """Find a run of words that comes again and again, or a text made of few such runs."""
    words = _WORD.findall(text.lower())
    if dominant_script(text) in UNSPACED:
        words = [char for char in text if char.isalnum()]
    size = 5 if len(words) < 400 else 8
    runs = Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
    if not runs:
        return ""
    run, times = runs.most_common(1)[0]
    if times > 3 + len(words) // 400:
        return f"{' '.join(run)!r} stands {times} times"
    again = sum(number - 1 for number in runs.values())
    share = again / runs.total()
    return f"{share:.0%} of the text repeats itself" if share > 0.2 and again > 5 else ""


def _packs_too_well(text: str) -> str:
    # UTF-16 for scripts that take three bytes a letter in UTF-8, which alone packs by a half.
    coding = "utf-16-le" if dominant_script(text) in UNSPACED | {"hangul"} else "utf-8"
    for start in range(0, max(1, len(text) - _WINDOW // 2), _WINDOW // 2):
        piece = text[start : start + _WINDOW]
        data = piece.encode(coding, "replace")
        ratio = len(data) / len(zlib.compress(data, 9))
        if len(piece) >= _SHORTEST_PACKED and ratio > _MOST_COMPRESSION:
            return f"compresses {ratio:.1f} times"
    return ""


_WORD_language = re.compile(r"[^\W\d_]+")
# UTF-8 read as Windows-1252 or Latin-1, byte-level vocabulary shown raw, byte fallback.
_MOJIBAKE = re.compile(
    "[ÃÂ][\u00a0-\u00bf]|â€|ï¿½|ï»¿|[ÐÑ][\u00a0-\u00bf‚-„†-‰]|ã[\u0080-\u00bf€]|å[\u00a0-\u00bf]"
)
_RAW_VOCABULARY = re.compile(
    r"[ĠĊ▁]\w|\w[ĠĊ▁]|<0x[0-9A-Fa-f]{2}>|\\u[0-9a-f]{4}|\\n|\\x[0-9a-f]{2}"
)
_LONGEST_WORD = 45
_VOWEL = re.compile("[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýœāēīōūăąęěėıůű]", re.IGNORECASE)
_NO_VOWEL_SHARE = 0.15
_MOST_SYMBOLS = 0.35

# Words after which a few letters of another script are a sign or a name in the picture.
_SHOWN_TEXT = re.compile(
    r"\b(?:sign|signs|read|reads|reading|says|text|letter|letters|character|characters|word|words|"
    r"kanji|hanzi|label|labels|labelled|labeled|written|writing|logo|banner|poster|symbol|symbols|"
    r"script|marked|called|named|calligraphy|lettering)\b",
    re.IGNORECASE,
)
_QUOTED_language = re.compile(r"[\"“«「『(][^\"”»」』)]{0,200}[\"”»」』)]")
_MOST_FOREIGN = 0.05
_FEWEST_WORDS_language = 12


def language(text: str, short_prompt: str) -> str:
    """Say what is wrong with an answer's language; empty for nothing.

    The answer may be in English, or in the language of the short prompt.
    """
    return garbled(text) or wrong_language(text, short_prompt)


def garbled(text: str) -> str:
    """Say whether a text has been damaged on its way, or is no language at all."""
    if "\ufffd" in text:
        return "replacement characters (U+FFFD)"
    for pattern in (_MOJIBAKE, _RAW_VOCABULARY):
        found = pattern.search(text)
        if found:
            return f"garbled text: {found[0]!r}"
    characters = Counter(text)
    for char in characters:
        if unicodedata.category(char) in ("Co", "Cn", "Cc") and char not in "\n\t":
            return f"a character without a meaning: U+{ord(char):04X}"
    return _too_many_symbols(characters) or _unpronounceable(text)


def _too_many_symbols(characters: Counter[str]) -> str:
    solid = {char: number for char, number in characters.items() if not char.isspace()}
    total = sum(solid.values())
    symbols = sum(
        number for char, number in solid.items() if unicodedata.category(char)[0] not in "LNM"
    )
    return "mostly symbols" if total >= 20 and symbols > _MOST_SYMBOLS * total else ""


def _unpronounceable(text: str) -> str:
    words = [word for word in _WORD_language.findall(text) if script_of(word[0]) == "latin"]
    long = next((word for word in words if len(word) > _LONGEST_WORD), None)
    if long:
        return f"no word: {long[:24]!r}..."
    odd = [
        word for word in words if len(word) > 3 and not word.isupper() and not _VOWEL.search(word)
    ]
    if len(odd) > 2 and len(odd) > _NO_VOWEL_SHARE * len(words):
        return f"no words: {' '.join(odd[:3])!r}"
    return ""


def wrong_language(text: str, short_prompt: str) -> str:
    """Say whether an answer is in neither English nor the language of the short prompt."""
    wanted = {"latin", dominant_script(short_prompt) or "latin"}
    script = dominant_script(text)
    if script is None:
        return ""
    # Han is part of Japanese, and other scripts borrow Latin letters for names.
    allowed = wanted | set(script_counts(short_prompt)) | ({"han"} if "kana" in wanted else set())
    if script not in allowed:
        return f"in {script} script; the short prompt is in {' or '.join(sorted(wanted))}"
    return _strayed(text, allowed) or (
        _wrong_latin(text, short_prompt) if script == "latin" else ""
    )


def _strayed(text: str, allowed: set[str]) -> str:
    counts = script_counts(text)
    foreign = {name: n for name, n in counts.items() if name not in allowed and name != "greek"}
    if not foreign:
        return ""
    if sum(foreign.values()) > _MOST_FOREIGN * counts.total():
        return f"mixes {', '.join(sorted(foreign))} script into the text"
    for word in _WORD_language.finditer(_QUOTED_language.sub(" ", text)):
        if script_of(word[0][0]) in foreign and not _SHOWN_TEXT.search(text):
            return f"slips into {script_of(word[0][0])} script: {word[0][:20]!r}"
    return ""


def _wrong_latin(text: str, short_prompt: str) -> str:
    words = [word.lower() for word in _WORD_language.findall(text)]
    if len(words) < _FEWEST_WORDS_language:
        return ""
    found = guess_language(words, share=0.15)
    if found in (None, "English"):
        return ""
    asked = [word.lower() for word in _WORD_language.findall(short_prompt)]
    user = guess_language(asked, share=0.05)
    if user == found or (user is None and set(asked) & set(words)):
        return ""
    return f"in {found}; the short prompt is in {user or 'English'}"


_BLACK = r"(?:solid|plain|pure|completely)?\ ?(?:black|dark)"
_GROUND = r"(?:background|backdrop|void|canvas)"
_THIN = r"(?:white|thin|glowing|bright|neon|colou?red|light|gr[ea]y)"
_LINES = r"(?:lines?|edges?|outlines?|contours?|strokes?)"
_BLURRED = r"(?:blurry|blurred|indistinct|hazy|fuzzy|smeared|pixell?ated)"
_SHAPES = r"(?:silhouettes?|shapes?|forms?|figures?|blobs?|outlines?)"
_PICTURE = r"(?:image|video|scene|footage|view|picture|frame|everything)"
_REGIONS = r"(?:regions?|areas?|shapes?|blocks?|silhouettes?|segments?|masks?|patches)"
# People out of focus behind the subject are how a lens sees, not how a blur control looks.
_NOT_BEHIND = r"(?!(?:\ \w+){0,6}\ (?:background|distance|distant|behind|beyond|pass))"

# The looks of control videos that no camera picture has.
_LOOKS = {
    "edge": rf"""
        \b{_THIN}\ (?:\w+\ ){{0,2}}{_LINES}\ (?:\w+\ ){{0,4}}?(?:on|against|over|across|upon)
            \ (?:an?\ |the\ )?{_BLACK}(?:,?\ \w+)?\ {_GROUND}
        | \b{_BLACK}\ {_GROUND}\ (?:\w+\ ){{0,5}}?{_THIN}\ (?:\w+\ ){{0,2}}{_LINES}
        | \b(?:black[- ]and[- ]white|monochrome|monochromatic|minimalist|white)
            \ (?:line\ )?(?:outlines?|sketch|drawing|line\ art|contours?)\b
        | \bcanny\b | \bsobel\b | \bedge[- ](?:detect(?:ion|ed)|maps?|video|image)\b
        | \b(?:outlined|outline|line[- ]drawn)\ (?:figures?|forms?|shapes?|objects?|people)\b
        | \bdrawn\ (?:entirely\ |only\ |purely\ )?(?:in|with|as)\ (?:thin\ |white\ )*{_LINES}\b
        """,
    "depth": r"""
        \bdepth[- ]?(?:maps?|image|video|shading|visuali[sz]ation)\b
        | \bgr[ea]y[- ]?scale\ (?:depth|gradients?) | \bgr[ea]y\ gradients?\b
        | \bpoint[- ]clouds?\b | \blidar\ (?:point|scan|sweep|return|data|image)s?\b
        | \b(?:false[- ]colou?r|heat\ ?map)\b
        """,
    "seg": rf"""
        \b(?:segmentation|segmented|semantic|instance|binary|alpha)
            \ (?:masks?|maps?|image|video|regions|areas|view|labels)\b
        | \b(?:colou?r[- ]coded|(?:flat|uniformly|solid)[- ]colou?red)\ (?:\w+\ )?
            (?:{_REGIONS}|objects)\b
        | \b(?:blocks|patches|regions|areas|shapes)\ of\ (?:flat|solid|uniform)\ colou?rs?\b
        | \b(?:solid|flat|uniform)\ blocks\ of\ colou?rs?\b
        """,
    "blur": rf"""
        \b{_BLURRED}\ (?:\w+\ )?{_SHAPES}\b{_NOT_BEHIND}
        | \b{_SHAPES}\ (?:is|are|appears?|looks?|remains?)\ (?:\w+\ )?
            (?:blurry|blurred|indistinct|smeared|out\ of\ focus)\b{_NOT_BEHIND}
        | \b{_PICTURE}\ (?:is|appears|looks|remains)\ (?:(?:very|extremely|heavily|quite|completely
            |entirely|slightly|somewhat|all)\ )?
            (?:blurry|blurred|out\ of\ focus|pixelated|smeared)\b
        | \b(?:heavily|extremely|strongly|completely|entirely)\ blurred\b
            (?!\ (?:background|backdrop|city))
        """,
    "lines": r"""
        \bwire[- ]?frames?\b | \bhd[- ]?map\b | \blane\ graph\b
        | \b(?:skeleton|stick[- ]figure|key[- ]?points?)\ (?:overlay|lines|joints|pose|drawing)\b
        | \bcontrol\ (?:video|clip|image|signal|map|input)s?\b
        """,
}
# Looks that a camera picture may have too; telling only where such a control was shown.
_LIKELY = {
    "edge": r"\b(?:outlines?|outlined|sketch(?:ed|y)?|line\ art|line\ drawing|monochrome)\b",
    "depth": r"\b(?:gr[ea]y[- ]?scale|monochrome|black[- ]and[- ]white|shades\ of\ gr[ea]y)\b",
    "seg": r"\b(?:flat|solid|uniform)\ colou?rs?\b | \bsilhouettes?\b",
    "blur": r"\b(?:blurry|blurred|out\ of\ focus|low[- ]resolution|soft[- ]focus|hazy\ shapes?)\b",
    "lines": r"\b(?:colou?red|glowing|thin)\ lines\b",
    "mask": r"\b(?:silhouettes?|black[- ]and[- ]white)\b",
}


def _compiled(looks: dict[str, str]) -> dict[str, re.Pattern[str]]:
    return {kind: re.compile(look, re.IGNORECASE | re.VERBOSE) for kind, look in looks.items()}


_CERTAIN, _SUSPECT = _compiled(_LOOKS), _compiled(_LIKELY)
_WORD_artefact = re.compile(r"[a-z]{4,}")
# Words of a look that a user may say without asking for the look.
_PLAIN = word_set("""
    white black dark light bright grey gray video image clip scene view with against over across
    thin colored coloured background figure figures shape shapes people object objects forms
    picture frame everything appears looks remains areas regions
""")


def artefact(text: str, short_prompt: str = "", control: Kind | None = None) -> str:
    """Quote the words that describe a control video's look; empty for none.

    Args:
        text: The cleaned answer.
        short_prompt: The user's words; a look that they ask for ("a wireframe car", "line art on
            black") is no artefact.
        control: What the engine was shown; with a control video, milder signs of its look count.
    """
    asked = {word[:6] for word in _WORD_artefact.findall(short_prompt.lower())}
    patterns = list(_CERTAIN.values())
    if control in _SUSPECT:
        patterns.append(_SUSPECT[control])
    for pattern in patterns:
        for found in pattern.finditer(text):
            telling = {
                word[:6] for word in _WORD_artefact.findall(found[0].lower()) if word not in _PLAIN
            }
            if not telling & asked:
                return repr(found[0])
    return ""
