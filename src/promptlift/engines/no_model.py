"""The engine without a model: composes a prompt from the user's words and the measured facts."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal, TypeAlias

from promptlift.engines.base import Completion, EngineInfo
from promptlift.errors import ItemEngineError
from promptlift.language import ENGLISH_FUNCTION_WORDS, dominant_script, guess_language

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from promptlift.engines.base import Request
    from promptlift.facts import Camera, Facts, Light, Movement, Palette

__all__ = [
    "ANOTHER_LOOK",
    "EDIT_REQUEST",
    "FAMILIES",
    "GREYS",
    "IMPLIED_DARK",
    "IMPLIED_LIGHT",
    "IMPLIED_WARM",
    "MAX_WORDS",
    "MEASURED_FAMILIES",
    "MIN_WORDS",
    "NO_MODEL_NOTICE",
    "OBJECT_SHADE",
    "REVISION",
    "TOPICS",
    "EmbeddedEngine",
    "Statement",
    "Topic",
    "capitalise",
    "colour_family",
    "colours_left",
    "compose",
    "is_english",
    "join",
    "statements",
    "topics_said",
    "user_sentences",
    "words",
]

REVISION = "1"

# --- light: {fill} is a whole clause, {contrast} and {cast} nouns or whole clauses


@dataclass(frozen=True, slots=True)
class Tone:
    """One value of the light, in the forms in which a sentence can hold it."""

    nouns: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    adjective: str = ""
    alone: tuple[str, ...] = ()


BRIGHTNESS = {
    "very dark": Tone(
        clauses=(
            "the scene is very dark",
            "darkness covers most of the frame",
            "most of the scene lies in darkness",
        ),
        adjective="very dark",
    ),
    "dark": Tone(
        clauses=(
            "the scene is dark overall",
            "dark tones take up most of the frame",
            "darker tones prevail over lighter ones",
        ),
        adjective="dark",
    ),
    "medium": Tone(
        clauses=(
            "the scene is moderately lit",
            "the overall brightness is moderate",
            "the light is at a medium level",
            "the exposure is balanced",
        ),
    ),
    "bright": Tone(
        clauses=(
            "the scene is bright",
            "bright tones fill most of the frame",
            "lighter tones prevail over darker ones",
        ),
        adjective="bright",
    ),
    "very bright": Tone(
        clauses=(
            "the scene is very bright",
            "very bright tones fill most of the frame",
            "the whole scene is light in tone",
        ),
        adjective="very bright",
    ),
}
CONTRAST = {
    "low": Tone(
        nouns=("soft, low contrast", "only gentle steps between light and dark"),
        clauses=("the contrast is soft", "light and dark lie close together"),
        alone=("the contrast is soft, so that light and dark lie close together",),
    ),
    "normal": Tone(
        nouns=(
            "moderate contrast",
            "a balanced range from light to dark",
            "an ordinary spread from light to dark",
        ),
        clauses=("the contrast is moderate", "light and dark are in balance"),
        alone=("the contrast between light and dark is moderate",),
    ),
    "high": Tone(
        nouns=("strong contrast", "strong contrast between light and dark"),
        clauses=("the contrast is strong", "light and dark stand far apart"),
        alone=("the contrast is strong, so that light and dark stand far apart",),
    ),
}
CAST = {
    "warm": Tone(
        nouns=("a warm color cast", "a warm tint over the whole view"),
        clauses=("the colors lean warm", "a warm tint lies over the view"),
        adjective="warm",
        alone=("a warm cast runs through the colors",),
    ),
    "neutral": Tone(
        nouns=("a neutral color balance", "neutral white balance", "neutral whites and grays"),
        clauses=("the color balance is neutral", "whites and grays look neutral"),
        alone=("the color balance is neutral",),
    ),
    "cool": Tone(
        nouns=("a cool color cast", "a cool tint over the whole view"),
        clauses=("the colors lean cool", "a cool tint lies over the view"),
        adjective="cool",
        alone=("a cool cast runs through the colors",),
    ),
}
LIGHT_ALL = (
    "{brightness}, with {contrast} and {cast}",
    "{brightness}; {contrast_clause}, and {cast_clause}",
    "with {contrast} and {cast}, {brightness}",
)
LIGHT_ALL_MARKED = (
    "{adjective}, {cast_adjective} tones fill most of the frame, with {contrast}",
    "{adjective}, {cast_adjective} tones fill most of the frame, and {contrast_clause}",
)
LIGHT_ONE_TAIL = ("{brightness}, with {noun}", "{brightness}, and {clause}")

# --- movement, apart from the camera's

PLACES = {
    "left": ("on the left of the frame", "in the left third of the frame"),
    "centre": ("near the middle of the frame", "around the center of the frame"),
    "right": ("on the right of the frame", "in the right third of the frame"),
}
# "Little" is a small area of the picture, which need not move little.
MOVEMENT_WHERE = {
    "little": (
        "movement takes up a small part of the view, mostly {place}",
        "a small area is in motion, mainly {place}, while the rest stays calm",
    ),
    "some": (
        "movement unfolds from moment to moment, most of it {place}",
        "the action unfolds mainly {place}, while the rest stays calmer",
        "most of the movement takes place {place}",
    ),
    "strong": (
        "strong movement goes on from moment to moment, above all {place}",
        "the movement is strong and greatest {place}",
        "a great deal moves from moment to moment, most of all {place}",
    ),
}
MOVEMENT_THROUGHOUT = {
    "little": (
        "small areas of movement are spread across the whole frame",
        "movement shows in small areas all over the frame",
    ),
    "some": (
        "movement is spread across the whole frame",
        "motion unfolds over time all over the frame",
    ),
    "strong": (
        "strong movement runs through the whole frame",
        "a great deal moves, all over the frame",
    ),
}
MOVEMENT_UNPLACED = {
    "none": ("the scene keeps still", "everything in view keeps still"),
    "little": (
        "movement takes up a small part of the view",
        "a small area of the view is in motion from moment to moment",
    ),
    "some": (
        "movement unfolds in part of the scene",
        "part of the scene is in motion while the rest stays calmer",
    ),
    "strong": (
        "a great deal moves from moment to moment",
        "the movement in the scene is strong from moment to moment",
    ),
}

# --- camera and continuity; {movement} is a clause from above

# Within each shot of several, so nothing here may speak of one view or viewpoint.
STATIC = ("the camera stays fixed", "the camera is held in place")
STATIC_TAKE = (
    "the camera stays fixed from the first moment to the last, in one continuous take",
    "a fixed camera holds the same view throughout a single, unbroken take",
    "framing and viewpoint stay the same for the whole of one continuous shot",
    "the view is locked in place and runs on as one unbroken take",
    "seen from a fixed viewpoint, everything happens within one continuous shot",
)
STATIC_AND_MOVEMENT: tuple[str, ...] = (
    "the camera stays fixed while {movement}",
    "while the camera holds one fixed view, {movement}",
    "seen from a fixed viewpoint, {movement}",
    "the viewpoint stays the same throughout, and {movement}",
)
MOVE_AND_MOVEMENT = ("as {move}, {movement}", "while {move}, {movement}")
TAKE_ALONE = (
    "everything happens within one continuous take",
    "the shot runs on unbroken from the first moment to the last",
    "it all plays out in a single, unbroken shot",
)
TAKE_OPENINGS = (
    "in one continuous take",
    "over the course of a single, unbroken shot",
    "as the shot runs on unbroken",
)
CUTS = ("the shot changes {times} along the way", "partway through, the shot changes {times}")
CUTS_MANY = ("the shot changes several times along the way",)
NUMBERS = {1: "once", 2: "twice", 3: "three times", 4: "four times"}

# {before} is an adverb with its space or nothing; {after} and {amount} the same, further on.
MOVES = {
    "pan left": ("the camera pans{before} to the left{after}",),
    "pan right": ("the camera pans{before} to the right{after}",),
    "tilt up": ("the camera tilts{before} upward{after}",),
    "tilt down": ("the camera tilts{before} downward{after}",),
    "forward": ("the view moves{before} forward{after}", "the view pushes in{before}{after}"),
    "backward": ("the view draws{before} back{after}", "the view pulls{before} back{after}"),
    "shake": ("the camera shakes{amount}", "the view trembles{amount}"),
}
MOVE_RESULTS = {
    "pan left": ("bringing in more of what lies on that side",),
    "pan right": ("bringing in more of what lies on that side",),
    "tilt up": ("bringing in more of what lies above",),
    "tilt down": ("bringing in more of what lies below",),
    "forward": ("so that what lies ahead grows larger in the frame",),
    "backward": ("taking in more of the surroundings",),
    "shake": (),
}
MOVE_GERUNDS = {
    "pan left": "panning to the left",
    "pan right": "panning to the right",
    "tilt up": "tilting upward",
    "tilt down": "tilting downward",
    "forward": "moving forward",
    "backward": "drawing back",
    "shake": "shaking",
}
MOVES_TOGETHER = ("{move} while {gerund}", "{move}, {gerund} at the same time")
PACE_BEFORE = {"slow": " slowly", "fast": " quickly"}
PACE_AFTER = {"moderate": " at a moderate pace"}
SHAKING = {"slow": " slightly", "moderate": " noticeably", "fast": " strongly"}

# --- palette: {lead} and the like agree with how many colours there are; a dominant colour is one
# of the largest areas, and need not cover most of the picture

DOMINANT_AND_ACCENTS = (
    "{dominant} {lead} the palette, with accents of {accents}",
    "the palette is built on {dominant}, with smaller touches of {accents}",
    "the main {colors_are} {dominant}, and small areas of {accents} stand out",
    "{dominant} {set} the overall tone, set off by smaller touches of {accents}",
    "small touches of {accents} stand out against larger areas of {dominant}",
)
DOMINANT_ONLY = (
    "{dominant} {lead} the palette",
    "the palette is built mainly on {dominant}",
    "large areas of {dominant} set the overall tone of the palette",
    "{dominant} {set} the overall tone of the palette",
)
ACCENTS_ONLY = (
    "small touches of {accents} stand out as accents",
    "small areas of {accents} stand out",
)

# --- sharpness

SHARPNESS = {
    "sharp": (
        "outlines are crisp and easy to make out",
        "edges are clean, and shapes read clearly",
        "the focus is sharp, and outlines stay distinct",
        "surfaces and edges come out crisp and clear",
    ),
    "soft": (
        "the focus is soft, and edges look gentle",
        "edges are slightly soft, which smooths the outlines",
    ),
    "blurred": (
        "blur reduces the view to broad shapes and areas of color",
        "the blur leaves only broad shapes and areas of color",
    ),
}


_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+")
_ENDS = ".!?…。！？।؟"
_CLOSERS = "\"'”’»)]}」』"
_DANGLING = ",;:-–—、，；："
# Scripts written without spaces, whose sentences end in an ideographic full stop.
_IDEOGRAPHIC = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


def words(text: str) -> list[str]:
    """The words of a text, lower case; a hyphen or an apostrophe within a word stays."""
    return [word.lower() for word in _WORD.findall(text)]


def _count_words(text: str) -> int:
    """How many words a text has; each ideograph counts as one."""
    ideographs = len(_IDEOGRAPHIC.findall(text))
    return ideographs + len(_WORD.findall(_IDEOGRAPHIC.sub(" ", text)))


def join(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def capitalise(sentence: str) -> str:
    """Raise the first letter, past opening quotes; names such as ``iPhone`` keep theirs."""
    for index, char in enumerate(sentence):
        if char.isalpha():
            mixed_case = sentence[index + 1 : index + 2].isupper() and char.islower()
            raised = char if mixed_case else _upper(char)
            return sentence[:index] + raised + sentence[index + 1 :]
        if char.isalnum():
            break
    return sentence


def user_sentences(prompt: str) -> str:
    """The user's text made into sentences: every word kept, in its order.

    Line breaks become spaces, a list's bullets become commas, a blank line ends a sentence, the
    first letter is raised and an end is put where there is none.

    Returns:
        The text on one line; empty where the prompt holds nothing but space and punctuation.
    """
    paragraphs = re.split(r"\n[ \t]*\n", prompt.replace("\r\n", "\n").replace("\r", "\n"))
    ended = [_ended(_one_line(paragraph)) for paragraph in paragraphs if _WORD.search(paragraph)]
    return capitalise(" ".join(ended))


def _upper(char: str) -> str:
    """The capital of a letter; letters without one of the same length stay ("ß")."""
    raised = char.upper()
    return raised if len(raised) == 1 else char


def _one_line(paragraph: str) -> str:
    lines = [line for line in paragraph.splitlines() if line.strip()]
    bulleted = sum(bool(_BULLET.match(line)) for line in lines) > 1
    if not bulleted:
        return " ".join(" ".join(lines).split())
    items = [" ".join(_BULLET.sub("", line).split()) for line in lines]
    return " ".join(_with_comma(item) for item in items[:-1]) + " " + items[-1]


def _with_comma(item: str) -> str:
    return item if not item or item[-1] in _ENDS + _DANGLING else f"{item},"


def _ended(text: str) -> str:
    """The text with a sentence end, where it has none."""
    text = text.rstrip().rstrip(_DANGLING + " ")
    if _visible_end(text) in _ENDS:
        return text
    return text + ("。" if _IDEOGRAPHIC.search(text) else ".")


def _visible_end(text: str) -> str:
    """The last character that is no space, no closing quote or bracket and no emoji."""
    for char in reversed(text):
        silent = char.isspace() or unicodedata.category(char) in {"So", "Sk", "Mn", "Cf"}
        if not silent and char not in _CLOSERS:
            return char
    return " "


Topic = Literal[
    "exposure",
    "contrast",
    "temperature",
    "palette",
    "sharpness",
    "camera",
    "continuity",
    "movement",
    "stillness",
    "where",
]


def _any_of(*alternatives: str) -> re.Pattern[str]:
    """Any of these, as whole words; a trailing ``*`` stands for any ending."""
    bodies = (alternative.replace("*", r"\w*") for alternative in alternatives)
    return re.compile(rf"\b(?:{'|'.join(bodies)})\b")


_DARK = (
    "night*", "midnight", "dark", "darkness", "darker", "darkened", "dim", "dimly", "dusk",
    "gloomy", "murky", "moonlit", "moonlight", "candle*", "pitch[- ]black", "low[- ]key",
    "low[- ]light", "starlit", "starry", "unlit", "blackout", "underexposed", "twilight",
)  # fmt: skip
_BRIGHT = (
    "bright", "brightly", "brighter", "sunny", "sunlit", "sunlight", "sunshine", "daylight",
    "noon", "midday", "well[- ]lit", "high[- ]key", "overexposed", "glaring", "dazzling",
    "daytime", "brilliant", "white[- ]out",
)  # fmt: skip
_SUNS = ("sunset", "sunrise", "golden hour", "golden light", "candle*", "firelight", "fireplace")
_WEATHER = (
    "rain*", "snow*", "fog*", "mist", "misty", "haz[ey]", "storm*", "drizzl*", "blizzard*",
    "overcast", "cloudy", "thunder*", "lightning", "hail", "sandstorm", "smog*", "wintry",
    "weather",
)  # fmt: skip

TOPICS: tuple[tuple[tuple[Topic, ...], re.Pattern[str]], ...] = (
    (
        ("exposure", "contrast"),
        _any_of(
            *_DARK, *_BRIGHT, "dawn", "morning", "evening", "afternoon", "day", "blue hour",
            "shad(?:e|y|ow|ows|owy)", "backlit", "silhouette*", "expos(?:ure|ed)",
        ),
    ),
    (
        ("exposure", "contrast", "temperature"),
        _any_of(
            *_SUNS, *_WEATHER, "lights?", "lit", "lighting", "lighted", "lamp*", "glow*",
            "shin[ei]*", "neon", "sun", "moon", "headlight*", "spotlight*", "flash*", "fire",
            "fires", "flames?", "illuminat*", "radian[ct]*",
        ),
    ),
    (("contrast",), _any_of("contrast*", "flat look", "washed[- ]out", "faded", "hdr")),
    (
        ("temperature",),
        _any_of(
            "warm*", "cool", "cooler", "cold", "icy", "tint*", "tungsten", "fluorescent",
            "white balance", "colou?r temperature", "colou?r grad*", "tone[ds]?",
        ),
    ),
    (
        ("palette", "temperature"),
        _any_of(
            "palette", "colou?rs", "colou?red", "colou?rful", "colou?rless", "hues?",
            "saturat*", "desaturat*", "pastel*", "vivid", "vibrant", "neon", "tones",
        ),
    ),
    (
        # Coloured light, which colours everything.
        ("palette",),
        _any_of(
            r"(?:red|orange|amber|yellow|gold|golden|green|blue|cyan|teal|purple|violet|magenta|"
            r"pink|white)[- ](?:\w+ )?(?:lights?|lighting|glow|glowing|lamps?|neon|haze|tint|smoke)"
        ),
    ),
    (
        ("sharpness",),
        _any_of(
            "blur*", "sharp", "sharply", "crisp", "focus*", "bokeh", "depth of field", "detail*",
            "grain*", "defocus*", "soft[- ]focus", "[48]k", "uhd", "hd", "high[- ]resolution",
            "pixel*", "low[- ]res*", "clear", "out of focus", "texture*", "motion blur", *_WEATHER,
        ),
    ),
    (
        ("camera",),
        _any_of(
            "camera*", "camcorder", "tripod", "hand-?held", "shaky", "dolly*", "dollies",
            "zoom*", "panning", "pans? (?:left|right|up|down|across|over|to|from|slowly|quickly)",
            "pan shot", "panoram*", "tilt(?:s|ing)? (?:up|down|shot)", "tracking shot",
            "tracks (?:along|after|behind|past|the)", "drone[- ](?:shot|view|footage|camera)",
            "aerial", "fly[- ]?(?:through|over|by)", "orbit*", "crane shot",
            "steadicam", "gimbal", "pov", "point of view", "first[- ]person", "fpv",
            r"(?:static|fixed|stationary|locked|steady|moving)(?:[- ]\w+){0,2} "
            "(?:shot|view|viewpoint|frame|framing|angle)",
            "push(?:es)? in", "pull(?:s)? (?:back|out)", "viewpoint", "follow shot", "selfie",
        ),
    ),
    (
        ("continuity",),
        _any_of(
            "montage", "cuts? to", "jump cut*", "hard cut*", "scene change*", "next scene",
            "one[- ]take", "single take", "single shot", "continuous", "unbroken", "long take",
            "shots", "transition*", "fade[sd]?", "dissolve*", "loop*", "split[- ]screen",
        ),
    ),
    (
        ("movement", "where"),
        _any_of(
            "still", "motionless", "frozen", "freez*", "immobile", "unmoving", "paused", "parked",
            "slow[- ]motion", "slow[- ]mo", "time[- ]?lapse", "hyperlapse", "fast[- ]forward",
            "statue*", "movement*", "motion", "standstill", "calm", "quiet", "empty", "deserted",
            r"(?:static|stationary)(?!(?: \w+){0,2} (?:camera|shot|view|viewpoint|frame|angle))",
        ),
    ),
    (
        ("where",),
        _any_of(
            "left", "right", "cent(?:er|re)", "cent(?:er|re)d", "middle", "sides?", "corner*",
            "foreground", "background", "across", "everywhere", "around", "edges?", "behind",
        ),
    ),
    (
        # Words of vigour, which a measured "little movement" would contradict.
        ("stillness",),
        _any_of(
            "runs?", "running", "race[sd]?", "racing", "sprint*", "danc*", "jump*", "leap*",
            "fast", "quick*", "rapid*", "explo[ds]*", "crash*", "fight*", "chas*", "driv*",
            "fl(?:y|ies|ying)", "gallop*", "rush*", "wild*", "spin*", "swirl*", "waves?",
            "crowd*", "bustling", "busy", "speed*", "traffic", "storm*",
            "throw*", "swing*", "play*",
        ),
    ),
)  # fmt: skip

IMPLIED_DARK = _any_of(*_DARK)
IMPLIED_LIGHT = _any_of(*_BRIGHT)
IMPLIED_WARM = _any_of(*_SUNS)

# Another medium, world or season than a camera picture's own, or a change asked for.
ANOTHER_LOOK = _any_of(
    "anime", "manga", "cartoon*", "comics?", "paint(?:ed|ing|ings)", "watercolou?r*", "sketch*",
    "drawing", "drawn", "cgi", "rendered", "pixar", "lego", "claymation", "clay", "stop[- ]motion",
    "noir", "vintage", "retro", "sepia", "monochrome", "black[- ]and[- ]white", "gr[ae]yscale",
    "style", "styled", "stylised", "stylized", "cyberpunk", "steampunk", "fantasy", "medieval",
    "apocaly*", "alien", "mars", "martian", "lunar", "underwater", "outer space", "infrared",
    "thermal", "x-ray", "winter", "wintertime", "autumn", "snow", "snowy", "snowing", "blizzard",
    "snowfall", "snowstorm", "rainy", "raining", "rainfall", "sandstorm", "foggy", "fog",
    "instead of", "turn(?:s|ed)? into", "transform*", "becomes?", "looks? like",
)  # fmt: skip
# A robot is told to "put" and to "turn on" things, so those words ask for no edit.
EDIT_REQUEST = re.compile(
    r"^\W*(?:(?:please|now|can you|could you|would you|i want(?: you)?(?: to)?|"
    r"i would like(?: to)?|let'?s)\s+)*"
    r"(?:make (?:it|this|that|the|them|him|her|everything)|turn .{1,80}? into|change|replace|"
    r"convert|transform|restyle|render|recolou?r|repaint|relight|colou?ri[sz]e|edit)\b"
)

# "dark hair", "a bright red car", "light blue": a shade of a thing, no word on the light.
OBJECT_SHADE = re.compile(
    r"\b(?:dark|light|bright|pale|warm|cool)[- ](?=(?:red|orange|yellow|gold|golden|green|blue|"
    r"navy|purple|violet|pink|brown|beige|tan|gr[ae]y|silver|black|white|hair|haired|skin|skinned|"
    r"eyes|eyed|vest|suit|shirt|jacket|coat|dress|clothes|clothing|trousers|jeans|hat|apron|"
    r"uniform|table|cloth|fabric|wood|wooden|"
    r"roast|chocolate|weight|bulb)\b)|\btraffic lights?\b"
)

FAMILIES: dict[str, str] = {
    name: family
    for family, names in {
        "red": "red reddish crimson scarlet maroon burgundy",
        "orange": "orange amber",
        "yellow": "yellow yellowish gold golden",
        "green": "green greenish",
        "blue": "blue bluish navy azure cyan turquoise teal indigo",
        "purple": "purple violet lilac lavender magenta mauve",
        "pink": "pink",
        "brown": "brown beige tan khaki",
        "grey": "grey gray silver charcoal",
        "black": "black",
        "white": "white",
    }.items()
    for name in names.split()
}
"""Colour words that a user means as colours; foods and stones are left out."""

MEASURED_FAMILIES: dict[str, str] = FAMILIES | {
    name: family
    for family, names in {
        "red": "ruby rust",
        "orange": "apricot copper coral peach",
        "yellow": "lemon mustard ochre",
        "green": "emerald lime mint olive sage",
        "blue": "aqua cobalt sky",
        "purple": "plum",
        "pink": "rose salmon",
        "brown": "bronze chocolate sand taupe",
        "grey": "slate",
        "white": "cream ivory",
    }.items()
    for name in names.split()
}
"""The same for the names of measured colours, where a word is always a colour."""

GREYS = frozenset({"black", "grey", "white"})
"""The families without a hue."""


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
    text = OBJECT_SHADE.sub(" ", prompt.lower())
    said: set[Topic] = set()
    for closed, pattern in TOPICS:
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
    named = {FAMILIES[word] for word in spoken if word in FAMILIES}
    measured = {colour_family(name) for name in (*palette.dominant, *palette.accents)}
    dominant = tuple(dict.fromkeys(palette.dominant))
    if named - measured:
        all_greys = {colour_family(name) for name in dominant} <= GREYS
        return dominant if all_greys else (), ()
    accents = dict.fromkeys(name for name in palette.accents if colour_family(name) not in named)
    return dominant, tuple(name for name in accents if name not in dominant)


def colour_family(colour: str) -> str:
    """The basic colour that a colour name belongs to; the name itself if it is not known."""
    for word in reversed(_WORDS.findall(colour.lower())):
        if word in MEASURED_FAMILIES:
            return MEASURED_FAMILIES[word]
    return colour.lower()


def _asks_for_another_look(text: str) -> bool:
    return bool(ANOTHER_LOOK.search(text) or EDIT_REQUEST.search(text))


def _disagrees(text: str, light: Light | None) -> bool:
    """Whether the light that the words imply is not the one that was measured."""
    if light is None:
        return False
    dark = "dark" in light.exposure
    return bool(
        (IMPLIED_DARK.search(text) and not dark)
        or (IMPLIED_LIGHT.search(text) and dark)
        or (IMPLIED_WARM.search(text) and light.temperature in {"neutral", "cool"})
    )


Cuts: TypeAlias = "tuple[float, ...] | None"

_MOST_DOMINANT, _MOST_ACCENTS = 4, 3


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing to say, and the ways to say it.

    Attributes:
        section: What it is about; at most one statement a section.
        wordings: Sentences without capital and full stop, all true, any of which will do.
    """

    section: str
    wordings: tuple[str, ...]

    def longer(self) -> Statement:
        """The same with the longer half of its wordings."""
        ordered = sorted(self.wordings, key=_count_words)
        return Statement(self.section, tuple(ordered[len(ordered) // 2 :]))


def statements(prompt: str, facts: Facts) -> tuple[Statement, ...]:
    """What may be added to the user's words, in the order of the text.

    Args:
        prompt: The user's words in English, or nothing.
        facts: What was measured.
    """
    said = topics_said(prompt, facts.light.value if facts.light else None)
    if facts.kind is None or facts.kind.value != "rgb":
        said |= LOOK  # a control video's look is not the look of what is to be generated
    sections: tuple[tuple[str, Iterable[str]], ...] = (
        ("light", _light(facts.light.value, said) if facts.light else ()),
        ("motion", _motion(prompt, facts, said)),
        ("cuts", _cuts(facts.cuts, said)),
        ("palette", _palette(prompt, facts.palette.value, said) if facts.palette else ()),
        ("sharpness", _sharpness(facts, said)),
    )
    found = (Statement(section, tuple(dict.fromkeys(ways))) for section, ways in sections)
    return tuple(statement for statement in found if statement.wordings)


def _light(light: Light, said: frozenset[Topic]) -> Iterable[str]:
    """Brightness, with what the user left open of contrast and colour cast."""
    brightness = BRIGHTNESS[light.exposure] if "exposure" not in said else None
    contrast = CONTRAST[light.contrast] if "contrast" not in said else None
    cast = None
    if light.temperature and "temperature" not in said:
        cast = CAST[light.temperature]
    rest = contrast or cast
    if brightness is None:
        return _tails(contrast, cast)
    if contrast and cast:
        return _light_in_full(brightness, contrast, cast)
    return _light_with_one_tail(brightness, rest) if rest else brightness.clauses


def _light_in_full(brightness: Tone, contrast: Tone, cast: Tone) -> Iterator[str]:
    clauses = product(brightness.clauses, contrast.clauses, cast.clauses)
    nouns = tuple(product(contrast.nouns, cast.nouns))
    marked = brightness.adjective and cast.adjective
    templates = LIGHT_ALL + (LIGHT_ALL_MARKED if marked else ())
    for (clause, contrast_clause, cast_clause), (contrast_noun, cast_noun), template in product(
        clauses, nouns, templates
    ):
        yield template.format(
            brightness=clause,
            adjective=brightness.adjective,
            contrast=contrast_noun,
            contrast_clause=contrast_clause,
            cast=cast_noun,
            cast_adjective=cast.adjective,
            cast_clause=cast_clause,
        )


def _light_with_one_tail(brightness: Tone, tail: Tone) -> Iterator[str]:
    with_noun, with_clause = LIGHT_ONE_TAIL
    for clause in brightness.clauses:
        yield from (with_noun.format(brightness=clause, noun=noun) for noun in tail.nouns)
        yield from (with_clause.format(brightness=clause, clause=other) for other in tail.clauses)


def _tails(contrast: Tone | None, cast: Tone | None) -> Iterable[str]:
    if contrast and cast:
        both = product(contrast.clauses, cast.clauses)
        return (f"{one}, and {other}" for one, other in both)
    rest = contrast or cast
    return rest.alone if rest else ()


def _motion(prompt: str, facts: Facts, said: frozenset[Topic]) -> Iterator[str]:
    """What moves and how the camera does, in one sentence or in two."""
    movement = tuple(_movement(prompt, facts.movement.value, said)) if facts.movement else ()
    camera = tuple(_camera(facts.camera.value, facts.cuts, said)) if facts.camera else ()
    if not (movement and camera):
        yield from movement or camera
        return
    assert facts.camera is not None
    pairs = product(movement, camera) if prompt else product(camera, movement)
    yield from (f"{one}. {capitalise(other)}" for one, other in pairs)
    plain = [clause for clause in movement if "while" not in clause]
    yield from _together(plain, facts.camera.value, facts.cuts, said)


def _together(
    movement: Iterable[str], camera: Camera, cuts: Cuts, said: frozenset[Topic]
) -> Iterator[str]:
    """Movement and camera in one sentence, and that it is one take in a second."""
    if cuts != () or said & {"camera", "continuity"}:
        return
    if camera.moves == ("static",):
        frames = STATIC_AND_MOVEMENT
    else:
        pairs = product(MOVE_AND_MOVEMENT, _moves(camera))
        frames = tuple(template.replace("{move}", move) for template, move in pairs)
    for frame, clause, take in product(frames, movement, TAKE_ALONE):
        yield f"{frame.format(movement=clause)}. {capitalise(take)}"


def _movement(prompt: str, movement: Movement, said: frozenset[Topic]) -> Iterator[str]:
    """How much moves and where; nothing that would belittle an action the user speaks of."""
    amount = movement.amount
    belittles = (amount == "none" and prompt) or (amount == "little" and "stillness" in said)
    if "movement" in said or belittles:
        return
    where = movement.where if "where" not in said else None
    if where is None or amount == "none":
        yield from MOVEMENT_UNPLACED[amount]
    elif where == "throughout":
        yield from MOVEMENT_THROUGHOUT[amount]
    else:
        for template, place in product(MOVEMENT_WHERE[amount], PLACES[where]):
            yield template.format(place=place)


def _camera(camera: Camera, cuts: Cuts, said: frozenset[Topic]) -> Iterator[str]:
    """The camera's motion, and that the shot is one take where no cut was found."""
    one_take = cuts == () and "continuity" not in said
    if "camera" in said:
        yield from TAKE_ALONE if one_take else ()
    elif camera.moves == ("static",):
        yield from STATIC_TAKE if one_take else STATIC
    elif not cuts:
        # Across a cut the motion may belong to one of the shots only, so it is left out.
        yield from _moving_camera(camera, one_take=one_take)


def _moving_camera(camera: Camera, *, one_take: bool) -> Iterator[str]:
    for move in (*_moves(camera), *_moves_and_results(camera)):
        yield move
        if one_take:
            yield from (f"{opening}, {move}" for opening in TAKE_OPENINGS)


def _moves(camera: Camera) -> Iterator[str]:
    """Clauses for the camera's one or two moves."""
    first, *others = camera.moves
    pace = camera.strength or ""
    for template in MOVES[first]:
        move = template.format(
            before=PACE_BEFORE.get(pace, ""),
            after=PACE_AFTER.get(pace, ""),
            amount=SHAKING.get(pace, ""),
        )
        if others:
            gerund = MOVE_GERUNDS[others[0]]
            yield from (t.format(move=move, gerund=gerund) for t in MOVES_TOGETHER)
        else:
            yield move


def _moves_and_results(camera: Camera) -> Iterator[str]:
    """The same for a single move, with what it does to the view."""
    if len(camera.moves) == 1:
        for move, result in product(_moves(camera), MOVE_RESULTS[camera.moves[0]]):
            yield f"{move}, {result}"


def _cuts(cuts: Cuts, said: frozenset[Topic]) -> Iterator[str]:
    if not cuts or "continuity" in said:
        return
    times = NUMBERS.get(len(cuts))
    if times is None:
        yield from CUTS_MANY
    else:
        yield from (template.format(times=times) for template in CUTS)


def _palette(prompt: str, palette: Palette, said: frozenset[Topic]) -> Iterator[str]:
    if "palette" in said:
        return
    dominant, accents = colours_left(prompt, palette)
    dominant, accents = dominant[:_MOST_DOMINANT], accents[:_MOST_ACCENTS]
    templates: tuple[str, ...] = ACCENTS_ONLY if accents else ()
    if dominant and accents:
        templates = DOMINANT_AND_ACCENTS
    elif dominant:
        templates = DOMINANT_ONLY
    several = len(dominant) > 1
    for template in templates:
        yield template.format(
            dominant=join(dominant),
            accents=join(accents),
            lead="lead" if several else "leads",
            colors_are="colors are" if several else "color is",
            set="set" if several else "sets",
        )


def _sharpness(facts: Facts, said: frozenset[Topic]) -> Iterable[str]:
    if facts.sharpness is None or "sharpness" in said:
        return ()
    return SHARPNESS[facts.sharpness.value]


MIN_WORDS = 60
"""What is aimed at where enough was said and measured; a text is never padded to reach it."""

MAX_WORDS = 150
"""The length up to which sentences are added to the user's own."""

_AIM = 100
# Of how many wordings, drawn by the seed, the best is taken: more of them read better, and
# fewer differ more from one item to the next.
_DRAWN = 4
# Which sections go in first where there is little room: what a generator cannot guess.
_PRIORITY = ("motion", "light", "palette", "cuts", "sharpness")
# Words whose return nobody notices.
_COMMON = ENGLISH_FUNCTION_WORDS | {"mainly", "mostly", "view", "frame", "scene"}


def compose(prompt: str, facts: Facts | None, *, seed: str = "", max_words: int = MAX_WORDS) -> str:
    """Write a prompt from the user's words and the facts.

    The user's words come first, whole and in his order. What was measured follows, as far as he
    has not spoken of it himself and as far as there is room. A prompt in another language than
    English stays as it is: what it says cannot be compared with the facts, and a text in two
    languages serves no text encoder.

    Args:
        prompt: The user's words; empty for a text from the facts alone.
        facts: What was measured; None if nothing was.
        seed: Settles the wording; the same seed gives the same text on every machine.
        max_words: The length in words up to which sentences are added.

    Returns:
        One paragraph; empty where nothing was said and nothing was measured.
    """
    said = user_sentences(prompt)
    if facts is None or not is_english(prompt):
        return said
    found = statements(said, facts)
    text = _written(said, _choose(found, said, seed or said, max_words))
    if _count_words(text) < min(MIN_WORDS, max_words):
        longer = [statement.longer() for statement in found]
        text = _written(said, _choose(longer, said, seed or said, max_words))
    return text


def _written(said: str, chosen: dict[str, str]) -> str:
    """The text: the user's words, then the sentences in the order of `statements`."""
    order = list(chosen)
    if not said:  # a text needs something to begin with: what the camera does
        order.sort(key=lambda section: section != "motion")
    return " ".join(filter(None, (said, *(chosen[section] for section in order))))


def _choose(found: Sequence[Statement], said: str, seed: str, max_words: int) -> dict[str, str]:
    """A sentence for each section that there is room for, in the order of `found`."""
    length, used = _count_words(said), set(_stems(said))
    openings: set[str] = set()
    chosen: dict[str, str] = {}
    waiting = sorted(found, key=lambda statement: _PRIORITY.index(statement.section))
    for index, statement in enumerate(waiting):
        fitting = [w for w in statement.wordings if length + _count_words(w) <= max_words]
        fresh = [wording for wording in fitting if _is_fresh(wording, openings)]
        if not fitting:
            continue
        drawn = sorted(fresh or fitting, key=lambda wording: _draw(seed, wording))
        share = max(0, _AIM - length) / (len(waiting) - index)
        best = min(
            drawn[: min(_DRAWN, 1 + len(drawn) // 3)],
            key=lambda wording: _cost(wording, used, share),
        )
        chosen[statement.section] = f"{capitalise(best)}."
        length += _count_words(best)
        used.update(_stems(best))
        openings.update(_openings(best))
    return {s.section: chosen[s.section] for s in found if s.section in chosen}


def _is_fresh(wording: str, openings: set[str]) -> bool:
    """Whether it begins as no sentence before it did, and has no notable word twice."""
    stems = _stems(wording)
    return len(set(stems)) == len(stems) and openings.isdisjoint(_openings(wording))


def _openings(wording: str) -> set[str]:
    """The first two words of each sentence, which should not come back."""
    return {" ".join(words(sentence)[:2]) for sentence in wording.split(". ")}


def _cost(wording: str, used: set[str], share: float) -> float:
    """Low for a wording of about the right length that repeats no word."""
    stems = _stems(wording)
    return len(used.intersection(stems)) + 0.1 * abs(_count_words(wording) - share)


def _stems(text: str) -> list[str]:
    """The notable words, cut so that "moderate" and "moderately" are one."""
    return [word[:6] for word in words(text) if word not in _COMMON]


def _draw(seed: str, wording: str) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}\0{wording}".encode()).digest()
    return int.from_bytes(digest[:6]) / (1 << 48)


NO_MODEL_NOTICE = (
    "no vision-language model is set up: this prompt is made of your words and of what can be "
    "measured without one; see `promptlift doctor`"
)
"""What a command says once on stderr where this engine answers."""

# An English word takes about 1.3 tokens of any of the usual vocabularies; this is the safe side.
_TOKENS_PER_WORD = 1.5


class EmbeddedEngine:
    """Composes a prompt of up to 150 words, in well under a second, the same on every machine.

    The wording is seeded by the request's key and its sampling seed. The user's words are always
    kept whole, also where they are longer than `Sampling.max_tokens`; sentences are added to them
    only as far as both limits leave room.
    """

    async def describe(self) -> EngineInfo:
        """Say who answers: the composer, its revision being that of its phrase book."""
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
        """Compose from the request's short prompt and facts; its frames and text are not read.

        Raises:
            ItemEngineError: Nothing was said and nothing was measured.
        """
        text = compose(
            request.short_prompt,
            request.facts,
            seed=f"{request.key or request.short_prompt}/{request.sampling.seed}",
            max_words=min(MAX_WORDS, int(request.sampling.max_tokens / _TOKENS_PER_WORD)),
        )
        if not text:
            raise ItemEngineError(
                "there is nothing to compose from: the prompt is empty and nothing was measured",
                remedy="give a short prompt, or set up a vision-language model that looks at the "
                "video (see `promptlift doctor`)",
            )
        return Completion(text, "stop")

    async def close(self) -> None:
        """Hold nothing, give back nothing."""
