"""The control keys of Cosmos specs, and what each is in promptlift's words.

Source of the keys: Cosmos-Transfer1 cosmos_transfer1/diffusion/inference/inference_utils.py:1194,
Cosmos-Transfer2.5 cosmos_transfer2/config.py (``CONTROL_KEYS``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.core.facts import Kind
    from promptlift.core.prompts import Control

__all__ = ["TRANSFER1_KEYS", "TRANSFER25_KEYS", "Hint", "control_of", "kind_of"]

_CONTROLS: dict[str, Control] = {
    "vis": "blur",
    "edge": "edge",
    "depth": "depth",
    "seg": "seg",
    "keypoint": "keypoint",
    "upscale": "upscale",
    "hdmap": "lines",
    "lidar": "lidar",
}
# What a viewer sees; the rest is left to the measurement (skeletons, point clouds) or is a
# camera picture, only small (upscale).
_KINDS: dict[str, Kind] = {
    "vis": "blur",
    "edge": "edge",
    "depth": "depth",
    "seg": "seg",
    "hdmap": "lines",
    "upscale": "rgb",
}

TRANSFER1_KEYS = frozenset(_CONTROLS)
TRANSFER25_KEYS = frozenset({"edge", "vis", "depth", "seg"})


@dataclass(frozen=True, slots=True)
class Hint:
    """One control of an item.

    Attributes:
        key: As the spec names it, such as ``vis``.
        video: The control's own video, as the spec writes its path; None where the generator
            makes the control from the RGB video.
    """

    key: str
    video: str | None = None


def control_of(key: str) -> Control:
    """What the generator follows under that key."""
    return _CONTROLS[key]


def kind_of(key: str) -> Kind | None:
    """The kind of picture that such a control's video shows; None where it must be measured."""
    return _KINDS.get(key)
