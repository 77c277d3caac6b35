"""What a text says of the camera: its moves, and nobody else's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptlift.language import word_set
from promptlift.review.lexicon import part_of_speech

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from promptlift.review.result import TextSpan

__all__ = [
    "OPPOSITE_MOVES",
    "camera_contradiction",
    "camera_mentions",
    "moves_in_words",
]

# A move counts only where the camera itself is what moves.
_SUBJECT = re.compile(
    r"(?<![\w-])(?:(?P<det>an?|the|this|our|its|with|with the|while the|as the)\s+)?"
    r"(?P<adj>(?:[a-z]+[- ]){0,2}?)"
    r"(?P<noun>cameras?|dashcam|viewpoint|viewer|lens|drone shot|shot|frame|view|perspective|"
    r"pov|footage|we)\b(?!\s+(?:of|on|in|at|from|man|crew|operator|person|phone|bag|lens|angle)\b)",
    re.IGNORECASE,
)
_MOVE_VERBS = (
    r"pan|tilt|zoom|dolly|doll|walk|push|pull|track|truck|orbit|circl|rotat|arc|crane|boom|glid|slid|"
    r"mov|travel|drift|sweep|fl(?:y|i|ow)|follow|advanc|retreat|reced|ris|ascend|descend|lower|"
    r"lift|climb|clos|back|pivot|swivel|turn|swing|revolv|shift|approach|soar|ease|creep|inch|"
    r"float|hover|spin|whip|roll|shak|jitter|wobbl|bob|trembl|accompan|chas|trail|widen|withdraw|"
    r"swoop|plung|dive|tighten|enter|drop|rush|race|driv|roam|wander|spiral"
)
_VERB = re.compile(rf"\b(?!movements?\b|motions?\b)(?P<verb>{_MOVE_VERBS})\w*\b", re.IGNORECASE)
_STILL = (
    r"static|stationary|still|fixed|locked|locked[- ]off|motionless|unmoving|immobile|unchanged|"
    r"perfectly steady"
)
_HOLDS = re.compile(
    rf"\s*(?:\w+ly |is |are |was |being |held |kept |set |that |which |all |angle |position |view |"
    rf"movement |shot |itself |stays |stay |remains |remain |remaining |holds |hold |holding |"
    rf"staying |keeps |maintains? |maintaining |placed |mounted |its |an? |the |in ){{0,6}}"
    rf"(?:{_STILL})\b|\s+(?:does not|doesn['’]t|never|do not|is not|isn['’]t)\s+"
    rf"(?:mov|pan|shift|tilt|chang|zoom)|\s+(?:stays|remains) (?:where it is|put|in place)"
    rf"|\s+(?:holds|keeps) (?:one|its|a|the|the same|one fixed) (?:fixed )?(?:position|view|place)",
    re.IGNORECASE,
)
_STATIC = re.compile(
    rf"(?<!\w)(?:{_STILL}|tripod|one fixed|no)\s+(?:\w+ ){{0,2}}?(?:camera|shot|frame|view|framing|"
    rf"perspective|angle|viewpoint|camera (?:movement|motion|moves?))\b"
    rf"|\b(?:no|without|zero)\s+(?:any )?camera\s+(?:movement|motion|moves?|shake)\b"
    rf"|\b(?:locked[- ]off|from a tripod|on a tripod)\b",
    re.IGNORECASE,
)
_MANNER = (
    r"angle|whip|crane|close|wide|slow|slowly|smooth|smoothly|gentle|gently|gradual|gradually|steady|quick|fast|subtle|slight|"
    r"cinematic|dramatic|soft|continuous|sweeping|dynamic|leisurely|aerial|rapid|deliberate"
)
# Orders without a subject: "pan left", "a slow zoom in", "tracking shot", "dolly forward".
_NOMINAL = re.compile(
    rf"(?P<lead>(?:(?:^|[.,;:!?(\n])\s?(?:and |then |with |before |as it (?=pan|tilt|zoom))?|"
    rf"\b(?:{_MANNER}),? |"
    rf"\b(?:in|with|through|during|via) an? (?:\w+,? )?)(?:(?:{_MANNER}),? ){{0,3}})"
    rf"(?P<move>(?:pan|tilt|zoom|doll(?:y|ies)|push|pull|track|truck|crane|orbit|arc|boom|fly|"
    rf"move|rotate|circle|pedestal)(?:s|ing|ning|ming)?)[- ]?"
    rf"(?P<rest>(?:\s?(?:shot|movement|motion|slowly|smoothly|gently|to|the|from|camera|towards?|"
    rf"out|in|up|down|upwards?|downwards?|back|backwards?|away|forwards?|left|right|leftwards?|"
    rf"rightwards?|across|around|over|through|along|closer|into|effect|of|a|view)\b)*)",
    re.IGNORECASE,
)
_TRACKING = re.compile(
    r"\b(?:tracking|dolly|crane|panning|tilting|orbiting|follow(?:ing)?|trucking|fly-?through|"
    r"flyover|zoom|push-in|pull-back|moving|drone)[- ](?:shot|movement|camera)\b"
    r"|\b(?:handheld|hand-held|shaky)[- ](?:camera|shot|footage|movement|feel|shake|motion)\b"
    r"|\bcamera (?:shake|shakes|shaking|trembles|jitters)\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"[.;!?\n]|,?\s+\b(?:as|while|when|where|which|who|whose|so that|because|until|revealing|"
    r"showing|capturing|highlighting|focusing|to (?:reveal|show|capture|focus|showcase|follow))\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    rf"(?:,|\band\b|\bthen\b|\bbefore\b|\bfinally\b|\bafterwards?\b|\s|\bto\b|\bor\b|\bnext\b|"
    rf"\b\w+ly\b|\bagain\b|\balso\b|\bstarts? (?:by|to)\b|\bbegins? (?:by|to)\b|\bbegins?\b|"
    rf"\bstarts?\b|\bcontinues?\b|\bis\b|\bcan\b|\bwill\b|\bit\b|\bmovement\b|\bwork\b|\bangle\b|"
    rf"\bpanning and\b|\bin\b|\ba\b|\bthe\b|\bmotion\b|\bshot\b|\bdoes\b)*\s*\b(?={_MOVE_VERBS})",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:no|not|never|without)\b|n['’]t\b", re.IGNORECASE)


_SENTENCE = re.compile(r"[^\s.!?][^.!?\n]{0,400}[.!?\n]*")


def camera_mentions(text: str) -> list[tuple[TextSpan, str]]:
    """Find what a text says of the camera, each with its place.

    The moves are those of `promptlift.facts.Camera`, and ``move`` for one without a direction.
    """
    return [
        ((sentence.start() + first, sentence.start() + last), move)
        for sentence in _SENTENCE.finditer(text)
        for (first, last), move in _mentions(sentence[0])
    ]


def _mentions(text: str) -> list[tuple[TextSpan, str]]:
    """The same in one sentence."""
    found: list[tuple[TextSpan, str]] = []
    for subject in _SUBJECT.finditer(text):
        if not _is_the_camera(text, subject):
            continue
        still = _HOLDS.match(text, subject.end())
        if still:
            found.append(((subject.start("noun"), still.end()), "static"))
            continue
        found += _moves_of(text, subject)
    found += [(static.span(), "static") for static in _STATIC.finditer(text)]
    for nominal in _NOMINAL.finditer(text):
        verb, rest = nominal["move"].lower(), nominal["rest"].lower()
        start = nominal.start("move")
        if _is_order(nominal) and not _NEGATED.search(
            re.split("[,;:]", text[max(0, start - 16) : start])[-1]
        ):
            moves = _directions(verb, f"{rest} ")
            found += [((start, nominal.end()), move) for move in moves]
    for shot in _TRACKING.finditer(text):
        moves = {"move"} | ({"shake"} if re.search("hand|sha|trem|jit", shot[0]) else set())
        found += [(shot.span(), move) for move in moves]
    return found


_CLAUSE_START = re.compile(
    r"(?:^|[.,;:!?(]|\b(?:and|as|while|with|where|when|then|by|through|from|on|of|in))\s*$"
)
_FILMING = word_set("hand drone crane dolly action motion pov shoulder body car dash steady")
_OWNED = word_set(
    "security surveillance cctv film video digital phone old vintage photo dslr webcam tv reflex "
    "polaroid speed traffic toy broken his her their my your someone's body-worn police doorbell"
)


def _is_the_camera(text: str, subject: re.Match[str]) -> bool:
    """Whether a camera is the one that films, rather than a thing in the picture."""
    noun = subject["noun"].lower()
    words = subject["adj"].lower().split()
    before = text[max(0, subject.start() - 14) : subject.start()].lower()
    determiner = (subject["det"] or "").lower()
    if re.search(
        r"(?:'s|’s|\bof|\bto|\btowards?|\bat|\binto|\bfor|\bby|\ba|\bher|\bhis|\btheir)\s+$", before
    ):
        return bool(re.search(r"\bby\s+$", before))
    if noun.startswith("camera"):
        indefinite = determiner in ("a", "an")
        if indefinite and not _CLAUSE_START.search(before):
            return False  # "a man holds a camera"
        things = {word for word in words if part_of_speech(word) == "n" and word not in _FILMING}
        return not (_OWNED & set(words) or (indefinite and things))
    return noun != "frame" or determiner.endswith("the")


def _moves_of(text: str, subject: re.Match[str]) -> list[tuple[TextSpan, str]]:
    """What the camera does, from its noun to where another subject begins."""
    found: list[tuple[TextSpan, str]] = []
    at = subject.end()
    weak = not subject["noun"].lower().startswith(("camera", "viewpoint", "drone", "lens"))
    while True:
        opening = _GOES_ON.match(text, at)
        verb = opening and _VERB.match(text, opening.end())
        if not opening or not verb:
            return found
        end = _CLAUSE_END.search(text, verb.end())
        stop = end.start() if end else len(text)
        comma = re.search(r",|\b(?:and|then)\b", text[verb.end() : stop])
        here = verb.end() + comma.start() if comma else stop
        phrase = text[verb.end() : here].lower()
        denied = _NEGATED.search(text[subject.end() : verb.start()])
        moves = _directions(verb["verb"].lower(), phrase)
        if not denied and not (weak and moves == {"move"} and verb[0].lower().startswith("follow")):
            found += [((subject.start("noun"), min(here, verb.end() + 40)), m) for m in moves]
        if not comma:
            return found
        at = here


def _is_order(nominal: re.Match[str]) -> bool:
    """Whether a bare "pan left" is an order, and no frying pan and no clause with a subject."""
    verb, rest = nominal["move"].lower(), nominal["rest"].strip().lower()
    lead = nominal["lead"].strip().lower()
    if verb == "pan" and re.match(r"(?:in|with|through|during|via) an?$", lead):
        return False
    if not rest:
        return verb in ("zooming", "panning", "tilting", "orbiting") and not lead.endswith("a")
    manner = bool(lead) and lead[-1] not in ".,;:!?("
    if rest.startswith("shot"):
        return True
    if verb.startswith(("pan", "tilt", "zoom", "doll", "truck", "orbit", "pedestal")):
        return _directions(verb, rest) != {"move"} or (
            manner and verb.startswith(("pan", "zoom", "doll", "orbit"))
        )
    if verb.startswith(("push", "pull", "crane", "boom", "track", "arc", "fly", "move")):
        if verb.endswith(("s", "ing")):
            return "camera" in lead or rest.startswith("shot")
        return bool(re.match(r"(?:in|out|back|up|down|forward|left|right|away|shot)", rest))
    return rest.startswith("shot") or "camera" in lead


# What a verb does by itself and by the words after it: (verbs, words after them, move). The first
# that fits counts.
_RULES = tuple(
    (re.compile(verbs), re.compile(words), move)
    for verbs, words, move in (
        ("doll|push|clos", r"\b(?:out|back|backwards?|away|off)\b", "backward"),
        ("doll|push|clos|advanc|approach|tighten", "", "forward"),
        ("pull$", r"^(?!.*\b(?:out|back|away)\b).*\b(?:in|into|closer|towards?|forwards?)\b", ""),
        ("pull|retreat|reced|back|widen|withdraw", "", "backward"),
        ("zoom", r"^\W*(?:\w+ly |slightly |the lens )*(?:in|into|closer|towards?)\b", "forward"),
        ("zoom", r"\b(?:out|back|away)\b", "backward"),
        ("zoom", r"\b(?:in|into|closer|towards?)\b", "forward"),
        ("ris|ascend|climb|lift|tilt|crane|boom", r"\b(?:up(?:ward)?s?|higher)\b", "tilt up"),
        ("descend|lower|tilt|crane|boom", r"\b(?:down(?:ward)?s?|lower)\b", "tilt down"),
        ("ris|ascend|climb|lift", "", "tilt up"),
        ("descend|lower", "", "tilt down"),
        ("tilt|crane|boom|zoom", "", ""),
        ("", r"\bfrom (?:the )?left\b", "pan right"),
        ("", r"\bfrom (?:the )?right\b", "pan left"),
        ("orbit|circl|rotat|arc|spin|revolv|follow|chas|trail|accompan", "", ""),
        ("", r"\bleft(?:ward)?s?\b", "pan left"),
        ("", r"\bright(?:ward)?s?\b", "pan right"),
        ("pan", r"^\s*(?:\w+ly )?(?:out|back|away)\b", "backward"),
        ("pan", r"^\s*(?:\w+ly )?in\b", "forward"),
        ("pan", "", ""),
        ("", r"\b(?:up(?:ward)?s?|skyward|above|higher)\b", "tilt up"),
        ("", r"\b(?:down(?:ward)?s?|lower)\b", "tilt down"),
        ("", r"\b(?:out|outwards?|back|backwards?|away|wider|off)\b", "backward"),
        ("", r"\b(?:in|into|forwards?|closer|towards?|through|ahead|onward|inward)\b", "forward"),
        ("", r"\b(?:up close|past|along|nearer)\b", "forward"),
    )
)


def _directions(verb: str, rest: str) -> set[str]:
    """Where a verb with the words after it moves the camera; empty for no move at all."""
    if re.match("shak|jitter|wobbl|trembl|bob", verb):
        return {"move", "shake"}
    still = verb.startswith("hover") or (
        verb.startswith("clos") and not re.match(r"\s*(?:in|up)\b", rest)
    )
    if still:
        return set()
    for verbs, words, move in _RULES:
        if verbs.match(verb) and words.search(rest[:80]):
            return {"move", move} if move else {"move"}
    return {"move"}


_PAIRS = (("pan left", "pan right"), ("tilt up", "tilt down"), ("forward", "backward"))
OPPOSITE_MOVES = dict(_PAIRS) | {second: first for first, second in _PAIRS}
_MOVE_WORDS = {
    "static": "is static",
    "pan left": "pans to the left",
    "pan right": "pans to the right",
    "tilt up": "tilts up",
    "tilt down": "tilts down",
    "forward": "moves forward",
    "backward": "moves backward",
    "shake": "shakes",
    "move": "moves",
}


def moves_in_words(moves: Iterable[str]) -> str:
    """Say moves in words: "pans to the left and tilts up"."""
    own = sorted(set(moves) - {"move"}) or ["move"]
    return " and ".join(_MOVE_WORDS[move] for move in own)


def camera_contradiction(said: AbstractSet[str], known: AbstractSet[str]) -> str:
    """What a text says of the camera against what is known of it; empty for nothing."""
    moves = known - {"shake"}
    if moves == {"static"} and "move" in said and "static" not in said:
        return "moves"
    moving = moves - {"static"}
    if moving and said == {"static"}:
        return "is static"
    for move in sorted(moving & OPPOSITE_MOVES.keys()):
        opposite = OPPOSITE_MOVES[move]
        if opposite in said and move not in said and opposite not in known:
            return _MOVE_WORDS[opposite]
    return ""
