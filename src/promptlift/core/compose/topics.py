"""The words by which a user speaks of something that is also measured. Data, and no more.

A word too many here costs a true sentence; a word too few may contradict the user. So the lists
lean towards too many.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = [
    "ANOTHER_LOOK",
    "EDIT_REQUEST",
    "FAMILIES",
    "GREYS",
    "IMPLIED_DARK",
    "IMPLIED_LIGHT",
    "IMPLIED_WARM",
    "MEASURED_FAMILIES",
    "OBJECT_SHADE",
    "TOPICS",
    "Topic",
]

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
