"""Checks on an answer's shape alone: is it whole, does it go round in circles, does it refuse?

Each function takes the cleaned text and returns what is wrong with it; empty for nothing.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter

from promptlift.core.review.sought import Sought
from promptlift.core.scripts import UNSPACED, dominant_script

__all__ = ["NO_WORDS", "cut", "empty", "loop", "refusal"]

NO_WORDS = "no words"

# An upsampled prompt of fewer words than this says nothing that the user has not said.
_FEWEST_WORDS = 6
_FEWEST_CHARACTERS = 10  # in scripts without spaces

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_END = re.compile("[.!?…。！？．｡।॥۔؟։።᙮។][\"'”’»)\\]」』）*]{0,4}\\Z")
_NO_SENTENCE_MARK = frozenset({"thai", "lao", "khmer", "burmese"})

_REFUSALS = tuple(
    Sought(pattern)
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
