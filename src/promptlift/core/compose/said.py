"""What the user has said already, so that no measured fact repeats or contradicts it.

The rule is simple and cautious: a topic that the user speaks of is his, and nothing measured is
added to it. Where his words and the measurement disagree (he says "at night", the clip is
bright), he wants another look than the clip has, and the whole look is left to him.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptlift.core.compose import topics
from promptlift.core.compose.grammar import words
from promptlift.core.lexicon import guess_language
from promptlift.core.scripts import dominant_script

if TYPE_CHECKING:
    from promptlift.core.compose.topics import Topic
    from promptlift.core.facts import Light, Palette

__all__ = ["colours_left", "family", "is_english", "topics_said"]

LOOK: frozenset[Topic] = frozenset({"exposure", "contrast", "temperature", "palette", "sharpness"})

_WORDS = re.compile(r"[^\W\d_]+")


def is_english(prompt: str) -> bool:
    """Whether the prompt can be read here, as far as its script and small words tell.

    What is said in another language cannot be compared with the facts. In doubt: yes.
    """
    if dominant_script(prompt) not in {None, "latin"}:
        return False
    found = words(prompt)
    language = guess_language(found)
    if language is None:
        return sum(not word.isascii() for word in found) < 2
    return language == "English"


def topics_said(prompt: str, light: Light | None) -> frozenset[Topic]:
    """The topics on which nothing measured may be added.

    Args:
        prompt: The user's words, in English.
        light: The measured light, to see whether his words agree with it.
    """
    text = topics.OBJECT_SHADE.sub(" ", prompt.lower())
    said: set[Topic] = set()
    for closed, pattern in topics.TOPICS:
        if pattern.search(text):
            said.update(closed)
    if _asks_for_another_look(text) or _disagrees(text, light):
        said |= LOOK
    return frozenset(said)


def colours_left(prompt: str, palette: Palette) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The dominant and the accent colours that may be stated beside the user's words.

    An accent that he names is most likely the very thing that he names it of, and is not
    repeated. If he names a colour that was not measured at all, he may want other colours than
    the clip has; then only a palette of greys is stated, which goes with any of them.
    """
    spoken = _WORDS.findall(prompt.lower())
    named = {topics.FAMILIES[word] for word in spoken if word in topics.FAMILIES}
    measured = {family(name) for name in (*palette.dominant, *palette.accents)}
    dominant = tuple(dict.fromkeys(palette.dominant))
    if named - measured:
        all_greys = {family(name) for name in dominant} <= topics.GREYS
        return dominant if all_greys else (), ()
    accents = dict.fromkeys(name for name in palette.accents if family(name) not in named)
    return dominant, tuple(name for name in accents if name not in dominant)


def family(colour: str) -> str:
    """The basic colour that a colour name belongs to; the name itself if it is not known."""
    for word in reversed(_WORDS.findall(colour.lower())):
        if word in topics.MEASURED_FAMILIES:
            return topics.MEASURED_FAMILIES[word]
    return colour.lower()


def _asks_for_another_look(text: str) -> bool:
    return bool(topics.ANOTHER_LOOK.search(text) or topics.EDIT_REQUEST.search(text))


def _disagrees(text: str, light: Light | None) -> bool:
    """Whether the light that the words imply is not the one that was measured."""
    if light is None:
        return False
    dark = "dark" in light.exposure
    return bool(
        (topics.IMPLIED_DARK.search(text) and not dark)
        or (topics.IMPLIED_LIGHT.search(text) and dark)
        or (topics.IMPLIED_WARM.search(text) and light.temperature in {"neutral", "cool"})
    )
