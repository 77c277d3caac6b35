"""Does the answer describe how a control video looks, instead of the scene behind it?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptlift.core.lexicon import word_set
from promptlift.core.review.sought import Sought

if TYPE_CHECKING:
    from promptlift.core.facts import Kind

__all__ = ["artefact"]

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


def _compiled(looks: dict[str, str]) -> dict[str, Sought]:
    return {kind: Sought(look, re.IGNORECASE | re.VERBOSE) for kind, look in looks.items()}


_CERTAIN, _SUSPECT = _compiled(_LOOKS), _compiled(_LIKELY)
_WORD = re.compile(r"[a-z]{4,}")
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
    asked = {word[:6] for word in _WORD.findall(short_prompt.lower())}
    patterns = list(_CERTAIN.values())
    if control in _SUSPECT:
        patterns.append(_SUSPECT[control])
    for pattern in patterns:
        for found in pattern.finditer(text):
            telling = {word[:6] for word in _WORD.findall(found[0].lower()) if word not in _PLAIN}
            if not telling & asked:
                return repr(found[0])
    return ""
