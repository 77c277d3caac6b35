"""The phrase book: every word that the composer may add to the user's own.

Each entry stands under the measured value that makes it true, and says nothing that does not
follow from that value. Wording is positive throughout ("the camera stays fixed", never "no
pans"), because text encoders read past a negation, and spelling is American, as in most of what
they were trained on and in the names of the measured colours. All entries are clauses without
capital and full stop.

Change `REVISION` with every change here: it is the revision of the embedded engine's model.
"""

from __future__ import annotations

from dataclasses import dataclass

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
