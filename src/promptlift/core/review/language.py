"""Is the answer in a language that was asked for, and is it text at all?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from promptlift.core.lexicon import guess_language
from promptlift.core.scripts import dominant_script, script_counts, script_of

__all__ = ["garbled", "language", "wrong_language"]

_WORD = re.compile(r"[^\W\d_]+")
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
_QUOTED = re.compile(r"[\"“«「『(][^\"”»」』)]{0,200}[\"”»」』)]")
_MOST_FOREIGN = 0.05
_FEWEST_WORDS = 12


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
    words = [word for word in _WORD.findall(text) if script_of(word[0]) == "latin"]
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
    for word in _WORD.finditer(_QUOTED.sub(" ", text)):
        if script_of(word[0][0]) in foreign and not _SHOWN_TEXT.search(text):
            return f"slips into {script_of(word[0][0])} script: {word[0][:20]!r}"
    return ""


def _wrong_latin(text: str, short_prompt: str) -> str:
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) < _FEWEST_WORDS:
        return ""
    found = guess_language(words, share=0.15)
    if found in (None, "English"):
        return ""
    asked = [word.lower() for word in _WORD.findall(short_prompt)]
    user = guess_language(asked, share=0.05)
    if user == found or (user is None and set(asked) & set(words)):
        return ""
    return f"in {found}; the short prompt is in {user or 'English'}"
