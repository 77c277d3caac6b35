"""What each word of the phrase book claims, written down a second time and on its own.

`unfounded` reads a composed text without knowing how it was made: every word that is no small
word must be listed here, and the fact that it claims must have been measured.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from promptlift.core.lexicon import ENGLISH_FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptlift.core.facts import Camera, Facts, Light, Movement, Palette

    Claim = Callable[[Facts], object]


def _value(confident: Any) -> Any:
    return confident.value if confident is not None else None


def _camera(facts: Facts) -> Camera | None:
    found: Camera | None = _value(facts.camera)
    return found


def _move(*moves: str) -> Claim:
    return lambda facts: (camera := _camera(facts)) and set(moves) & set(camera.moves)


def _pace(pace: str) -> Claim:
    return lambda facts: (camera := _camera(facts)) and camera.strength == pace


def _one_take(facts: Facts) -> bool:
    return _camera(facts) is not None and facts.cuts == ()


def _one_view(facts: Facts) -> bool:
    return bool(_move("static")(facts)) and not facts.cuts


def _movement(*amounts: str) -> Claim:
    def claim(facts: Facts) -> bool:
        found: Movement | None = _value(facts.movement)
        return found is not None and found.amount in amounts

    return claim


def _where(*places: str) -> Claim:
    def claim(facts: Facts) -> bool:
        found: Movement | None = _value(facts.movement)
        return found is not None and found.where in places

    return claim


def _light(field: str, *values: str) -> Claim:
    def claim(facts: Facts) -> bool:
        found: Light | None = _value(facts.light)
        return found is not None and getattr(found, field) in values

    return claim


def _sharp(value: str) -> Claim:
    return lambda facts: _value(facts.sharpness) == value


def _colours(facts: Facts) -> bool:
    found: Palette | None = _value(facts.palette)
    return found is not None and bool(found.dominant or found.accents)


def _accents(facts: Facts) -> bool:
    found: Palette | None = _value(facts.palette)
    return found is not None and bool(found.accents)


def _any(*claims: Claim) -> Claim:
    return lambda facts: any(claim(facts) for claim in claims)


_seen = _any(lambda facts: facts.movement, lambda facts: facts.light, _camera, _one_take)
_dark = _light("exposure", "dark", "very dark")
_bright = _light("exposure", "bright", "very bright")
_normal = _light("contrast", "normal")
_still = _any(_move("static"), _movement("none"))
_moves = _any(_movement("little", "some", "strong"))
_lit: Claim = lambda facts: facts.light  # noqa: E731

# Phrases first: the longest match wins over the words in it.
CLAIMS: dict[str, Claim] = {
    # the shot
    "one continuous take|single unbroken take|one unbroken take|one continuous shot": _one_take,
    "single unbroken shot|shot runs on unbroken|first moment to the last": _one_take,
    "everything happens|plays out|runs on": _one_take,
    "shot changes once": lambda facts: len(facts.cuts or ()) == 1,
    "shot changes twice": lambda facts: len(facts.cuts or ()) == 2,
    "shot changes three times": lambda facts: len(facts.cuts or ()) == 3,
    "shot changes four times": lambda facts: len(facts.cuts or ()) == 4,
    "shot changes several times": lambda facts: len(facts.cuts or ()) > 4,
    "along the way|partway": lambda facts: facts.cuts,
    "fixed camera|stays fixed|held in place": _move("static"),
    "seen from a fixed viewpoint|one fixed view|holds|locked in place|framing": _one_view,
    "same view throughout|viewpoint stay the same|viewpoint stays the same": _one_view,
    "pans|panning": _move("pan left", "pan right"),
    "to the left": _move("pan left"),
    "to the right": _move("pan right"),
    "bringing in more": _move("pan left", "pan right", "tilt up", "tilt down"),
    "on that side": _move("pan left", "pan right"),
    "tilts|tilting": _move("tilt up", "tilt down"),
    "upward|lies above": _move("tilt up"),
    "downward|lies below": _move("tilt down"),
    "moves forward|moves slowly forward|moves quickly forward|moving forward": _move("forward"),
    "pushes in|lies ahead|grows larger": _move("forward"),
    "draws|pulls|drawing back|back|taking in more|surroundings": _move("backward"),
    "shakes|trembles|shaking": _move("shake"),
    "slowly": _pace("slow"),
    "slightly": _any(_pace("slow"), _sharp("soft")),
    "noticeably|moderate pace": _pace("moderate"),
    "quickly|strongly": _pace("fast"),
    "at the same time": lambda facts: len(_camera(facts).moves) == 2,  # type: ignore[union-attr]
    # movement
    "keeps still": _movement("none"),
    "movement takes up a small part|a small area|small areas of movement": _movement("little"),
    "movement shows in small areas|stays calm|mostly": _movement("little"),
    "action unfolds|movement unfolds|most of the movement|motion unfolds": _movement("some"),
    "part of the scene": _movement("some"),
    "strong movement|movement is strong|scene is strong|above all": _movement("strong"),
    "a great deal moves|most of all|greatest": _movement("strong"),
    "on the left of the frame|left third of the frame": _where("left"),
    "middle of the frame|center of the frame": _where("centre"),
    "on the right of the frame|right third of the frame": _where("right"),
    "whole frame|all over the frame": _where("throughout"),
    "stays calmer|movement|motion|mainly": _any(_moves, _colours),
    "from moment to moment|takes place|goes on|unfolds|runs through the whole frame": _moves,
    # light
    "very dark|darkness covers|darkness|lies in": _light("exposure", "very dark"),
    "dark overall|dark tones|darker tones prevail|dark cool|dark warm": _dark,
    "moderately lit|exposure is balanced|brightness is moderate|light is at a medium level": _light(
        "exposure", "medium"
    ),
    "very bright": _light("exposure", "very bright"),
    "bright|lighter tones prevail": _bright,
    "light in tone": _light("exposure", "very bright"),
    "over lighter ones": _dark,
    "over darker ones": _bright,
    "soft low contrast|contrast is soft|close together|gentle steps": _light("contrast", "low"),
    "moderate contrast|contrast is moderate|light and dark is moderate": _normal,
    "balanced range|ordinary spread|in balance": _normal,
    "strong contrast|contrast is strong|far apart": _light("contrast", "high"),
    "warm": _light("temperature", "warm"),
    "cool": _light("temperature", "cool"),
    "neutral|white balance|whites and grays|color balance": _light("temperature", "neutral"),
    "contrast|light and dark|steps|tint|cast|lean|tones|marked": _lit,
    "from light to dark|between light and dark": _lit,
    # palette
    "palette|the main colors are|the main color is|overall tone|larger areas|large areas": _colours,
    "accents|touches|stand out|set off|small areas": _accents,
    # sharpness
    "crisp|easy to make out|edges are clean|read clearly": _sharp("sharp"),
    "focus is sharp|stay distinct|clear|surfaces": _sharp("sharp"),
    "focus is soft|look gentle|slightly soft|smooths": _sharp("soft"),
    "blur|broad shapes|areas of color|reduces the view|leaves": _sharp("blurred"),
}
_BY_LENGTH = sorted(
    ((phrase, claim) for names, claim in CLAIMS.items() for phrase in names.split("|")),
    key=lambda pair: -len(pair[0]),
)

# Words that claim nothing by themselves.
_EMPTY = ENGLISH_FUNCTION_WORDS | frozenset(
    re.findall(
        r"\w+",
        "view frame scene camera shot everything stay stays show see seen same hold whole fill "
        "built lead leads set sets make colors tone smaller small look lies lie edges outlines "
        "shapes spread course time overall single rest stand take color come",
    )
)


def unfounded(added: str, facts: Facts, colours: tuple[str, ...] = ()) -> list[str]:
    """The phrases of a text that claim what was not measured, and the words nobody listed.

    Args:
        added: The sentences that the composer added, without the user's words.
        facts: What was measured.
        colours: The colour names that may be stated.
    """
    rest = " ".join(re.sub(r"[.,;]", " ", added.lower()).split())
    wrong: list[str] = []
    for colour in sorted(colours, key=len, reverse=True):
        rest = re.sub(rf"\b{colour}\b", "|", rest)
    for phrase, claim in _BY_LENGTH:
        rest, found = re.subn(rf"\b{phrase}\b", "|", rest)
        if found and not claim(facts):
            wrong.append(phrase)
    return wrong + [word for word in re.findall(r"[\w-]+", rest) if word not in _EMPTY]
