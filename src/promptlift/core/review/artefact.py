"""Does the answer describe how a control video looks, instead of the scene behind it?"""

from __future__ import annotations

import re

from promptlift.core.lexicon import word_set

__all__ = ["artefact"]

_BLACK = r"(?:solid |plain |pure |completely )?(?:black|dark)"
_THIN = r"(?:white|thin|glowing|bright|neon|colou?red|light|grey|gray)"
_LINES = r"(?:lines?|edges?|outlines?|contours?|strokes?|line art)"
_LOOKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_THIN} (?:\w+ ){{0,2}}{_LINES} (?:\w+ ){{0,4}}?(?:on|against|over|across|upon) "
        rf"(?:an? |the )?{_BLACK}(?:,? \w+)? (?:background|backdrop|void|canvas|field)",
        rf"\b{_BLACK} (?:background|backdrop|void|canvas) (?:\w+ ){{0,5}}?{_THIN} (?:\w+ ){{0,2}}"
        rf"{_LINES}",
        r"\b(?:black[- ]and[- ]white|monochrome|monochromatic|minimalist|white) "
        r"(?:(?:line )?(?:outlines?|sketch|drawing|line art|contours?)\b(?! of a (?:building|mural)))",
        r"\bdepth[- ]?(?:map|maps|image|video|shading|visuali[sz]ation)\b",
        r"\b(?:gr[ea]y[- ]?scale|gr[ea]y) (?:depth|gradients?|rendering of the scene)\b",
        r"\b(?:segmentation|segmented|semantic|instance|binary|alpha) (?:mask|masks|map|maps|image"
        r"|video|regions|areas|view|labels)\b",
        r"\b(?:colou?r[- ]coded|flat[- ]colou?red|uniformly colou?red|solid[- ]colou?red) "
        r"(?:\w+ )?(?:regions?|areas?|shapes?|blocks?|silhouettes?|segments?|masks?|patches|objects)\b",
        r"\b(?:blocks|patches|regions|areas|shapes) of (?:flat|solid|uniform) colou?rs?\b",
        r"\b(?:solid|flat|uniform) blocks of colou?rs?\b",
        r"\bcanny\b|\bedge[- ](?:detect(?:ion|ed)|maps?|video|image)\b|\bsobel\b",
        r"\bwire[- ]?frames?\b|\bpoint[- ]clouds?\b|\blidar (?:point|scan|sweep|return|data|image)s?\b",
        r"\b(?:blurry|blurred|indistinct|hazy|fuzzy|smeared|pixelated|pixellated) (?:\w+ )?"
        r"(?:silhouettes?|shapes?|forms?|figures?|blobs?|outlines?)\b"
        r"(?!(?: \w+){0,6} (?:background|distance|distant|behind|beyond|pass))",
        r"\b(?:silhouettes?|shapes|figures?|outlines?) (?:is|are|appear|appears|look|looks|remain)s? "
        r"(?:\w+ )?(?:blurry|blurred|indistinct|smeared|out of focus)\b"
        r"(?!(?: \w+){0,6} (?:background|distance))",
        r"\b(?:image|video|scene|footage|view|picture|frame|everything) (?:is|appears|looks|remains) "
        r"(?:(?:very|extremely|heavily|quite|completely|entirely|slightly|somewhat|all) )?"
        r"(?:blurry|blurred|out of focus|pixelated|smeared)\b",
        r"\b(?:heavily|extremely|strongly|completely|entirely) blurred\b"
        r"(?! (?:background|backdrop|city))",
        r"\b(?:heavy|strong|extreme) (?:gaussian )?blur (?:obscures|hides|covers|over|across)\b",
        r"\bcontrol (?:video|clip|image|signal|map|input)s?\b",
        r"\b(?:false[- ]colou?r|heat ?map)\b",
        r"\b(?:skeleton|stick[- ]figure|key[- ]?points?) (?:overlay|lines|joints|pose|drawing)\b",
        r"\b(?:outlined|outline|line[- ]drawn) (?:figures?|forms?|shapes?|objects?|people)\b",
        r"\bdrawn (?:entirely |only |purely )?(?:in|with|as) (?:thin |white )*(?:outlines?|lines?|"
        r"contours?)\b",
        r"\bhd[- ]?map\b|\blane graph\b",
    )
)
_WORD = re.compile(r"[a-z]{4,}")
# Words of a look that a user may say without asking for the look.
_PLAIN = word_set("""
        white black dark light bright grey gray video image clip scene view with against
        over across thin colored coloured background figure figures shape shapes people
        object objects forms picture frame everything appears looks remains areas regions
    """)


def artefact(text: str, short_prompt: str = "") -> str:
    """Quote the words that describe a control video's look; empty for none.

    A look that the user asked for ("a wireframe car", "line art on black") is no artefact.
    """
    asked = {word[:6] for word in _WORD.findall(short_prompt.lower())}
    for pattern in _LOOKS:
        for found in pattern.finditer(text):
            telling = {word[:6] for word in _WORD.findall(found[0].lower()) if word not in _PLAIN}
            if not telling & asked:
                return repr(found[0])
    return ""
