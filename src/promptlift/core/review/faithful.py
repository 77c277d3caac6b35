"""Does the answer keep to what the user said and to what was measured?

A paraphrase may drop and swap words, so the share of the user's content words that must be kept
is well below one; who and what the prompt is about, numbers, colors, directions and denials are
held to exactly. Between two languages only larger numerals can be compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptlift.core.lexicon import FUNCTION_WORDS, guess_language
from promptlift.core.review.camera import camera_contradiction, camera_moves
from promptlift.core.review.english import english_problem
from promptlift.core.scripts import UNSPACED, dominant_script

if TYPE_CHECKING:
    from promptlift.core.facts import Facts

__all__ = ["unfaithful"]

_WORD = re.compile(r"[^\W\d_]+")
_NUMERAL = re.compile(r"(?<![\w.,])\d{1,6}(?![\w.,]*\d)(?![a-z%])", re.IGNORECASE)
# A share of the words (or pairs of characters) that an answer in the same language must keep.
_KEPT_WORDS = 0.4
_KEPT_PAIRS = 0.2
_KEPT_CHARACTERS = 0.5
# Characters that carry grammar in Chinese and Japanese.
_PARTICLES = re.compile(
    "[的了着在把将和与及是有一个位只条张从到给被向对为而且并也都就不没のをにはがでともへやかられるいてしたます]"
)
_MOST_WORDS = 400
_MOST_SPELLED = 20  # smaller numbers may be written as words


def unfaithful(text: str, short_prompt: str, facts: Facts | None = None) -> tuple[str, str]:
    """Compare an answer with the user's words and the facts.

    Returns:
        What is missing or contradicted (empty for nothing), and what could not be checked.
    """
    problem, note = _against_words(text, short_prompt) if short_prompt else ("", "")
    return problem or _against_camera(text, short_prompt, facts), note


def _against_camera(text: str, short_prompt: str, facts: Facts | None) -> str:
    # The user's word goes over the measurement: a generator can move the camera.
    known = camera_moves(short_prompt)
    if not known and facts and facts.camera:
        known = frozenset(facts.camera.value.moves)
    return camera_contradiction(camera_moves(text), known)


def _against_words(text: str, short_prompt: str) -> tuple[str, str]:
    asked, answered = _language(short_prompt), _language(text)
    if asked == answered == "English":
        return english_problem(text, short_prompt), ""
    problem = _lost_numerals(text, short_prompt)
    if asked != answered:
        return (
            problem,
            f"from {asked} to {answered}: only numerals above {_MOST_SPELLED} were compared",
        )
    if asked in UNSPACED:
        note = "compared by pairs of characters"
        return problem or _lost_pairs(text, short_prompt), note
    return problem or _lost_words(text, short_prompt, asked), "compared by the starts of words"


def _language(text: str) -> str:
    """Name the language of text in Latin letters (English where in doubt), else the script."""
    script = dominant_script(text) or "latin"
    if script != "latin":
        return script
    return guess_language(word.lower() for word in _WORD.findall(text)) or "English"


def _lost_numerals(text: str, short_prompt: str) -> str:
    wanted = dict.fromkeys(_NUMERAL.findall(short_prompt))
    kept = set(_NUMERAL.findall(text))
    lost = [number for number in wanted if number not in kept and int(number) > _MOST_SPELLED]
    return f"the number {lost[0]} is missing" if lost else ""


def _lost_words(text: str, short_prompt: str, language: str) -> str:
    small = FUNCTION_WORDS.get(language, frozenset())
    asked = dict.fromkeys(word for word in _WORD.findall(short_prompt.lower()) if len(word) > 3)
    wanted = [word for word in asked if word not in small][:_MOST_WORDS]
    lower = text.lower()
    lost = [word for word in wanted if word[: max(4, len(word) * 3 // 5)] not in lower]
    return _too_few(lost, len(wanted), _KEPT_WORDS)


def _lost_pairs(text: str, short_prompt: str) -> str:
    stretches = _PARTICLES.sub(" ", " ".join(_WORD.findall(short_prompt))).split()
    pairs = dict.fromkeys(
        stretch[at : at + 2] for stretch in stretches for at in range(len(stretch) - 1)
    )
    # A short prompt has few pairs, and "red car" may be put in other words of the same characters.
    characters = dict.fromkeys("".join(stretches))
    if sum(char in text for char in characters) >= _KEPT_CHARACTERS * len(characters):
        return ""
    wanted = list(pairs)[:_MOST_WORDS]
    return _too_few([pair for pair in wanted if pair not in text], len(wanted), _KEPT_PAIRS)


def _too_few(lost: list[str], wanted: int, share: float) -> str:
    if wanted and wanted - len(lost) < share * wanted:
        return f"{len(lost)} of the user's {wanted} words are missing: {', '.join(lost[:6])}"
    return ""
