"""The engine without a model: the user's words, and what is measured beyond doubt.

A sentence is added only where a fact departs from the ordinary, is certain, holds for the video
that is to be generated, and is of a topic on which the user says nothing. Where that leaves
nothing, the user's words come back as they are, with the reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from promptlift.engines.base import Completion, EngineInfo
from promptlift.errors import PromptError
from promptlift.language import ENGLISH_FUNCTION_WORDS, word_set
from promptlift.review.lexicon import (
    akin,
    ancestors,
    is_word,
    lemma,
    noun_kind,
    part_of_speech,
)
from promptlift.review.request import UserRequest, understand

if TYPE_CHECKING:
    from promptlift.engines.base import Request
    from promptlift.facts import Camera, Facts, Light, Palette

__all__ = ["HOW_TO_GET_A_MODEL", "NO_MODEL_NOTICE", "REVISION", "EmbeddedEngine", "noun_phrases"]

REVISION: Final = "3"

HOW_TO_GET_A_MODEL: Final = "for more, set up a vision-language model: see `promptlift doctor`"

NO_MODEL_NOTICE: Final = (
    "no vision-language model is set up: this prompt is your words and what was measured; "
    f"{HOW_TO_GET_A_MODEL}"
)
"""What a command says once on stderr where this engine answers."""

_SURE = 0.9  # the least confidence of a fact that is stated

# ---- the sentences

_MOVES = {
    "pan left": ("pans", "panning", "to the left"),
    "pan right": ("pans", "panning", "to the right"),
    "tilt up": ("tilts", "tilting", "upward"),
    "tilt down": ("tilts", "tilting", "downward"),
    "forward": ("moves", "moving", "forward"),
    "backward": ("moves", "moving", "backward"),
    "shake": ("shakes", "shaking", ""),
}
_PACE = {"slow": "slowly", "fast": "quickly"}
_SHAKING = {"slow": "slightly", "fast": "strongly"}
_EXPOSURE = {
    "very dark": "very dim",
    "dark": "dim",
    "bright": "bright",
    "very bright": "very bright",
}
_MOST_DOMINANT, _MOST_ACCENTS = 3, 2
_GREYS = word_set("black charcoal gray grayish white")


def _camera_sentence(camera: Camera) -> str:
    if camera.moves == ("static",):
        return "The camera is static."
    (verb, _, direction), *others = (_MOVES[move] for move in camera.moves)
    pace = (_SHAKING if camera.moves[0] == "shake" else _PACE).get(camera.strength or "", "")
    parts = ["The camera", verb, pace, direction]
    for _, participle, other in others:
        parts += ["while", participle, other]
    return f"{' '.join(filter(None, parts))}."


def _light_sentence(light: Light) -> str:
    temperature = light.temperature if light.temperature in ("warm", "cool") else None
    found = [one for one in (_EXPOSURE.get(light.exposure), temperature) if one]
    return f"The light is {_joined(found)}." if found else ""


def _color_sentence(palette: Palette) -> str:
    """The colors that are no greys; nothing where greys lead, as in most videos, or no color."""
    if palette.dominant == ("black and white",):
        return "The picture is black and white."
    dominant = [name for name in palette.dominant if not _is_grey(name)][:_MOST_DOMINANT]
    if not dominant or palette.dominant[0] != dominant[0]:
        return ""
    accents = [name for name in palette.accents if not _is_grey(name)][:_MOST_ACCENTS]
    touches = f", with touches of {_joined(accents)}" if accents else ""
    return f"The colors are mostly {_joined(dominant)}{touches}."


def _is_grey(color: str) -> bool:
    return not _GREYS.isdisjoint(color.split())


def _joined(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


# ---- the topics of the user's words

_COLORS = word_set("""
    red orange yellow green blue purple pink brown grey gray black white gold golden silver beige
    tan crimson scarlet maroon burgundy amber cyan turquoise teal indigo violet lilac lavender
    magenta navy ivory cream emerald ruby khaki mauve bronze copper coral mint olive peach salmon
    plum mustard charcoal ochre azure cobalt aqua fuchsia blond blonde auburn
    colour color colored coloured colorful colourful colorless hue palette shade tint tone
    saturated desaturated pastel vivid vibrant monochrome sepia
""")
_COLORISH = re.compile(
    r"^(?:red|orang|yellow|green|blu|purpl|pink|brown|gr[ae]y|black|whit)\w*ish$"
)
_LIGHT = word_set("""
    bright brightness dark darkness dim gloomy murky lit shine shining shiny glow glowing glare
    gleam glint sparkle twinkle flicker blaze burn radiant luminous illuminate illuminated
    illumination fluorescent incandescent neon led laser star starry fire fiery flame fireplace
    torch flash silhouette shadow shadowy shady exposure overexposed underexposed contrast warm
    cool cold icy hot cozy eerie spooky romantic dreamy moody mood atmosphere ambience ambient
    underwater underground cave tunnel cellar basement dungeon nightclub disco concert stage space
""")
_TIMES = word_set("""
    day daytime dawn morning noon midday afternoon evening dusk twilight hour spring summer autumn
    winter season weather rainy snowy foggy misty hazy cloudy overcast stormy windy wintry
""")
_TIME_COMPOUND = re.compile(r"(?<!k)night|^sun(?!day|k)|^moon|^star(?:lit|light)")
_CLOCK_TIME = re.compile(r"\d\s?(?:am|pm|a\.m|p\.m)\b|o'clock")
_STYLES = word_set("""
    anime manga cartoon comic painting painted watercolor watercolour sketch drawing drawn cgi
    rendered render animation animated claymation noir vintage retro style styled stylized
    stylised cyberpunk steampunk fantasy futuristic surreal infrared thermal hdr cinematic pixel
""")
_CAMERA = word_set("""
    camera camcorder webcam cctv surveillance gopro lens macro fisheye shot footage viewpoint
    perspective pov view viewer frame framing angle overhead zoom pan panning panoramic panorama
    tilt dolly jib crane tripod handheld steadicam gimbal shaky steady drone aerial dashcam fpv
    selfie vlog recorded filmed filming static stationary still freeze frozen motionless timelapse
    hyperlapse lapse slowmo closeup montage cut orbit hover rotate rotation tracking track
""")
_CAMERA_PHRASES = re.compile(
    r"\b(?:first[- ]person|hand[- ]held|close[- ]up|bird'?s[- ]eye|slow[- ]motion|top[- ]down|"
    r"(?:seen|looking) (?:from|through|out|down|up|into|at))\b"
    # Without a subject it is the viewer who moves: "walking through a forest".
    r"|^\W*\w+ing (?:through|along|past|down|up|over|across|into|toward|towards|around|on)\b"
)
# Words of going somewhere: with them the viewpoint may be on the way as well.
_TRAVEL = word_set("""
    drive ride fly flight travel journey cruise sail tour trip race ski skate surf glide follow
    chase pursue explore
""")
# Where the scene is made of these, its colors follow from them.
_COLORED_KINDS = frozenset({"substance", "plant", "object"})
_LIGHT_SOURCES = frozenset({"source of illumination", "light source", "lighting fixture"})
# Words that end in "light" and are none.
_NO_LIGHT = word_set("slight flight delight plight blight alight highlight")
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")


_Topic: TypeAlias = Literal["camera", "light", "color"]


class _Topics:
    """Of what the user's words speak, so that nothing measured is said of it.

    Attributes:
        camera: The camera and whose eyes it is, or something that goes from place to place and
            may take the viewpoint along.
        light: Light, time of day, weather or style.
        color: Colors, or something that has its own.
    """

    def __init__(self, request: UserRequest) -> None:
        text = request.text.lower()
        found = set(_WORD.findall(text))
        found |= {part for word in found for part in re.split("[-'’]", word)}
        lemmas = {lemma(word) for word in found}
        kinds = {noun_kind(word) for word in lemmas if part_of_speech(word) == "n"}
        found |= lemmas
        self.lemmas = frozenset(found)
        self.camera = bool(
            request.camera or found & (_CAMERA | _TRAVEL) or _CAMERA_PHRASES.search(text)
        )
        self.light = bool(
            request.times
            or request.styles
            or found & (_LIGHT | _TIMES | _STYLES)
            or "phenomenon" in kinds
            or any(_names_light(word) or _TIME_COMPOUND.search(word) for word in found)
            or _CLOCK_TIME.search(text)
        )
        self.color = bool(
            self.light
            or found & _COLORS
            or any(map(_COLORISH.match, found))
            or kinds & _COLORED_KINDS
            or any(thing.colors for thing in request.things)
        )


def _names_light(word: str) -> bool:
    """Words such as "candlelight", "sunlit" and "lantern"."""
    compound = re.search(r"(?:lights?|lit|lighting|lighted)$", word) and word not in _NO_LIGHT
    return bool(compound) or not _LIGHT_SOURCES.isdisjoint(ancestors(word))


# ---- what the user asks for

_EDIT_ORDER = re.compile(
    r"^\W*(?:(?:please|now|can you|could you|would you|i want(?: you)?(?: to)?|"
    r"i would like(?: to)?|let'?s)\s+)*"
    r"(?:make (?:it|this|that|the|them|him|her|everything)|turn .{1,80}? into|change|replace|"
    r"remove|delete|erase|swap|add|get rid of|take away|convert|transform|restyle|render|"
    r"recolou?r|repaint|relight|colou?ri[sz]e|edit)\b(?! of\b)",
    re.IGNORECASE,
)


def _orders_an_edit(request: UserRequest) -> bool:
    return bool(request.edits or _EDIT_ORDER.search(request.text))


def _other_language(request: UserRequest) -> str | None:
    """What the words are in, where that is not English; None where it is."""
    if request.language == "English":
        return None
    if request.language is not None:
        language = request.language
        return f"in {language}" if language[:1].isupper() else f"in the {language} script"
    # Too few small words to tell by: English where most words are, apart from names.
    words = _WORD.findall(request.text)
    words = [word for word in words if word[0].islower()] or words
    known = sum(is_word(word.lower()) for word in words)
    return None if known * 2 > len(words) else "not known to be English"


# ---- nouns that are given

_MOST_NOUNS, _MOST_NOUN_WORDS = 12, 5
_ARTICLES = word_set("a an the some two three four several many his her their its")


def noun_phrases(text: str) -> tuple[str, ...]:
    """The nouns of a detector's prompt, such as "robotic arms . woman . cup".

    Without a mark between them it is not known where one ends, and only a single one is taken.
    """
    parts = [" ".join(part.split()) for part in re.split(r"[.,;|\n]", text)]
    parts = [part for part in parts if part and len(part.split()) <= _MOST_NOUN_WORDS]
    if len(parts) == 1 and " " in parts[0] and not noun_kind(parts[0].lower()):
        return ()
    return tuple(dict.fromkeys(parts))[:_MOST_NOUNS]


def _noun_sentence(nouns: Sequence[str], lemmas: frozenset[str]) -> str:
    """The nouns that the user does not name, himself or by a word of the same meaning."""
    left = []
    named = set(lemmas)
    for phrase in nouns:
        head = lemma(phrase.split()[-1].lower())
        # With robotic arms there is a robot.
        known = any(akin(head, word) or word.startswith(f"{head:4}") for word in named)
        if not known and not _both_persons(head, lemmas):
            left.append(_with_article(phrase))
            named |= {lemma(word) for word in phrase.lower().split()}
    return f"In view: {_joined(left)}." if left else ""


def _both_persons(head: str, lemmas: frozenset[str]) -> bool:
    """The waiter, or a word that is not known, may be the woman: not to make two of one."""
    return noun_kind(head) == "person" and any(
        noun_kind(word) == "person" or not part_of_speech(lemma(word))
        for word in lemmas - ENGLISH_FUNCTION_WORDS
    )


def _with_article(phrase: str) -> str:
    first, last = phrase.split()[0].lower(), phrase.split()[-1].lower()
    is_plural = last.endswith("s") and lemma(last) != last
    if first in _ARTICLES or first.isdigit() or is_plural or noun_kind(last) == "substance":
        return phrase
    return f"{'an' if first[0] in 'aeiou' else 'a'} {phrase}"


# ---- the prompt


def _sentences(request: Request, user: UserRequest) -> Iterator[str]:
    """What is added to the user's words."""
    measured = [(topic, sentence) for topic, sentence in _measured(request) if sentence]
    if not (measured or request.nouns):
        return
    topics = _Topics(user)
    if nouns := _noun_sentence(request.nouns, topics.lemmas):
        yield nouns
    yield from (sentence for topic, sentence in measured if not getattr(topics, topic))


def _measured(request: Request) -> Iterator[tuple[_Topic, str]]:
    """Sentences about what is certain and holds for the video that is to be generated."""
    facts = request.facts
    is_rgb = facts is not None and facts.kind is not None and facts.kind.value == "rgb"
    # What is measured of a region, or of several shots together, need not hold for the video.
    if facts is None or not is_rgb or request.source_kind or request.is_region or facts.cuts:
        return
    camera = facts.camera
    if camera is not None and camera.confidence >= _SURE and not _keeps_still(facts):
        yield "camera", _camera_sentence(camera.value)
    # Edges, depth and the like leave the look to the prompt: the video's own is to be replaced.
    if request.controls and not {"blur", "upscale"} & set(request.controls):
        return
    if facts.light is not None and facts.light.confidence >= _SURE:
        yield "light", _light_sentence(facts.light.value)
    if facts.palette is not None and facts.palette.confidence >= _SURE:
        yield "color", _color_sentence(facts.palette.value)


def _keeps_still(facts: Facts) -> bool:
    """Whether nothing moves, and of the camera not doing so either there is nothing to tell."""
    is_static = facts.camera is not None and facts.camera.value.moves == ("static",)
    return is_static and facts.movement is not None and facts.movement.value.amount == "none"


def _why_nothing(request: Request) -> str:
    if request.facts is None:
        return "there is no video to measure, and nothing is invented without a model"
    kind = request.source_kind or (request.facts.kind and request.facts.kind.value)
    if kind and kind != "rgb":
        return f"the video is a control video ({kind}), which does not show the scene itself"
    return "nothing was measured for certain that your words leave open and that is worth saying"


def _is_ended(text: str) -> bool:
    """Whether the last character, past quotes, brackets, emoji and space, is punctuation."""
    for char in reversed(text):
        category = unicodedata.category(char)
        if char.isspace() or category in {"So", "Sk", "Mn", "Cf", "Pf", "Pe"} or char in "\"'”’":
            continue
        return category == "Po" or char in "-–—"
    return True


class EmbeddedEngine:
    """Adds a few measured sentences to the user's words, or none; the same on every machine."""

    async def describe(self) -> EngineInfo:
        """Say who answers."""
        from promptlift import __version__

        return EngineInfo(
            name="embedded",
            model="composer",
            revision=REVISION,
            version=__version__,
            context=None,
            family=None,
            max_images=1_000_000,
            reads_text=False,
        )

    async def complete(self, request: Request) -> Completion:
        """Compose from the request's short prompt, nouns and facts; its frames are not read.

        Raises:
            PromptError: Nothing was said and nothing can be added.
        """
        prompt = request.short_prompt
        user = understand(prompt)
        unchanged = added = ""
        if _orders_an_edit(user):
            unchanged = (
                "it orders a change, and a prompt describes the result: say what is to be seen "
                "once the change is made"
            )
        elif prompt.strip() and (language := _other_language(user)):
            unchanged = f"it is {language}, and only English can be added to without a model"
        else:
            added = " ".join(_sentences(request, user))
            unchanged = "" if added else _why_nothing(request)
        if not prompt.strip():
            if not added:
                raise PromptError(
                    f"there is no prompt to begin with: yours is empty, and {unchanged}",
                    remedy="give a short prompt, or set up a vision-language model that looks at "
                    "the video: see `promptlift doctor`",
                )
            return Completion(added, "stop")
        if unchanged:
            return Completion(prompt, "stop", unchanged=unchanged)
        space = "\n" if "\n" in prompt else " "
        return Completion(f"{prompt}{'' if _is_ended(prompt) else '.'}{space}{added}", "stop")

    async def close(self) -> None:
        """Hold nothing, give back nothing."""
