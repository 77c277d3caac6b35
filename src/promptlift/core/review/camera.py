"""What a text says of the camera, and whether that goes against what is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptlift.core.review.sought import Sought

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

__all__ = ["camera_contradiction", "camera_moves"]

_CAMERA = r"\b(?:camera|shot|lens|viewpoint|perspective|framing|drone shot)\b"
_STATIC = Sought(
    rf"{_CAMERA}[^.;,]{{0,40}}?\b(?:static|stationary|still|fixed|locked|motionless|unmoving)\b"
    rf"|\b(?:static|stationary|fixed|locked[- ]off|motionless|unmoving)\b[^.;,]{{0,20}}?{_CAMERA}"
    r"|\bcamera (?:does not|doesn['’]t|never) (?:move|pan|tilt|shift)",
)
_MOVING = (
    r"(?:mov|slid|track|drift|glid|sweep|travel|shift|turn|rotat|swing|swivel|truck|follow|pan)"
    r"(?:e?s|ing|ped|ned|ed|e)?"
)
_SIDEWAYS = Sought(
    rf"\bpan(?:s|ning|ned)?\b(?P<pan>[^.;]{{0,40}}?)\b(?P<side>left|right)"
    rf"|\bcamera\s+(?:\w+ly\s+|gently\s+)?{_MOVING}\b(?P<move>[^.;]{{0,40}}?)\b(?P<to>left|right)",
)
_FROM = re.compile(r"\bfrom (?:the )?\Z", re.IGNORECASE)
_OTHERS = {
    "tilt up": r"\btilt(?:s|ing|ed)?\b[^.;]{0,20}?\bup"
    r"|\bcamera (?:slowly )?(?:rises|ascends|cranes up)",
    "tilt down": r"\btilt(?:s|ing|ed)?\b[^.;]{0,20}?\bdown"
    r"|\bcamera (?:slowly )?(?:descends|lowers)",
    "forward": r"\bzoom(?:s|ing|ed)?\b[^.;]{0,15}?\bin\b|\bpush(?:es|ing)? in\b"
    r"|\bdoll(?:y|ies|ying) (?:in|forward)\b|\bcamera\b[^.;]{0,30}?\b(?:forward|closer)\b",
    "backward": r"\bzoom(?:s|ing|ed)?\b[^.;]{0,15}?\bout\b|\bpull(?:s|ing)? (?:back|out|away)\b"
    r"|\bdoll(?:y|ies|ying) (?:out|back)"
    r"|\bcamera\b[^.;]{0,30}?\b(?:backwards?|retreats|recedes)\b",
    "move": rf"\bcamera\s+(?:\w+ly\s+|then\s+|also\s+)?{_MOVING}\b"
    r"|\bpan(?:s|ning) (?:across|over)",
}
_OTHER_MOVES = {name: Sought(pattern) for name, pattern in _OTHERS.items()}
_NEGATED = re.compile(r"\b(?:no|not|never|without)\b|n['’]t\b", re.IGNORECASE)
_OPPOSITE = {
    "pan left": "pan right",
    "pan right": "pan left",
    "tilt up": "tilt down",
    "tilt down": "tilt up",
    "forward": "backward",
    "backward": "forward",
}


def camera_moves(text: str) -> frozenset[str]:
    """Name what a text says of the camera.

    Returns:
        Moves as in `promptlift.core.facts.Camera`, and ``move`` for one without a direction.
    """
    moves = {"static"} if _STATIC.search(text) else set[str]()
    for found in _SIDEWAYS.finditer(text):
        if not _denied(text, found):
            moves |= {"move", f"pan {_side(found)}"}
    for name, pattern in _OTHER_MOVES.items():
        if any(not _denied(text, found) for found in pattern.finditer(text)):
            moves |= {"move", name}
    return frozenset(moves)


def _side(found: re.Match[str]) -> str:
    between, side = found["pan"] or found["move"] or "", (found["side"] or found["to"]).lower()
    if _FROM.search(between):
        return "right" if side == "left" else "left"
    return side


def _denied(text: str, found: re.Match[str]) -> bool:
    return bool(_NEGATED.search(text[max(0, found.start() - 24) : found.end()]))


def camera_contradiction(said: AbstractSet[str], known: Iterable[str]) -> str:
    """Say whether what was said of the camera goes against what is known of it.

    Args:
        said: As `camera_moves` returns it; a text that says both passes.
        known: The moves that the user asked for or that were measured.
    """
    moves = set(known) - {"shake"}
    if moves == {"static"} and "move" in said and "static" not in said:
        return "says that the camera moves; it is static"
    moving = moves - {"static"}
    if moving and said == {"static"}:
        return f"says that the camera is static; it moves ({', '.join(sorted(moving))})"
    for move in sorted(moving):
        opposite = _OPPOSITE.get(move)
        if opposite in said and move not in said:
            return f"says {opposite!r} of the camera; it is {move!r}"
    return ""
