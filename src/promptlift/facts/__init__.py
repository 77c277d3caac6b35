"""What is measured of a video without a model, each value with how far it may be trusted.

The types are here; `promptlift.facts.measurement`, which needs NumPy, measures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from promptlift.types import Kind

__all__ = ["Camera", "Confident", "Facts", "Light", "Movement", "Palette"]

T = TypeVar("T")

Move = Literal[
    "static",
    "pan left",
    "pan right",
    "tilt up",
    "tilt down",
    "forward",  # zoom in and moving forward look alike in the picture
    "backward",  # zoom out and moving back likewise
    "shake",
]
Speed = Literal["slow", "moderate", "fast"]
Amount = Literal["none", "little", "some", "strong"]
Where = Literal["left", "centre", "right", "throughout"]
Exposure = Literal["very dark", "dark", "medium", "bright", "very bright"]
Contrast = Literal["low", "normal", "high"]
Temperature = Literal["warm", "neutral", "cool"]
Sharpness = Literal["sharp", "soft", "blurred"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Confident(_Model, Generic[T]):
    """A measured value and how far it may be trusted.

    Attributes:
        value: What was measured.
        confidence: From 0 (no idea) to 1 (certain).
        evidence: What speaks for it besides the picture, such as the file's name; or empty.
    """

    value: T
    confidence: float = Field(ge=0, le=1)
    evidence: str = ""


class Camera(_Model):
    """How the camera moves.

    Attributes:
        moves: One or two of the moves, the stronger first; ``static`` stands alone.
        strength: How fast; None for a static camera.
    """

    moves: tuple[Move, ...]
    strength: Speed | None = None


class Movement(_Model):
    """How much of the picture moves by itself, once the camera's motion is taken out.

    Attributes:
        amount: From nothing to most of the picture.
        where: The third of the picture that holds most of it, or ``throughout``; None if still.
    """

    amount: Amount
    where: Where | None = None


class Light(_Model):
    """Exposure, contrast and colour temperature, as shown."""

    exposure: Exposure
    contrast: Contrast
    temperature: Temperature | None = None


class Palette(_Model):
    """Named colours, most area first.

    Attributes:
        dominant: Colours that cover most of the picture; "black and white" where it has none.
        accents: Vivid colours that cover a little of it.
    """

    dominant: tuple[str, ...] = ()
    accents: tuple[str, ...] = ()


class Facts(_Model):
    """Everything measured about one video; None or empty where nothing sure can be said.

    Attributes:
        kind: What the picture is: a camera picture or one of the control videos.
        camera: How the camera moves; None for control videos and stills.
        movement: What moves besides the camera.
        light: Exposure, contrast, temperature; None for control videos.
        palette: Named colours; None for control videos.
        sharpness: Whether fine detail is there.
        cuts: Seconds at which the shot changes; empty where the whole clip was looked at and is one
            shot, None where it was not looked at as a whole.
    """

    kind: Confident[Kind] | None = None
    camera: Confident[Camera] | None = None
    movement: Confident[Movement] | None = None
    light: Confident[Light] | None = None
    palette: Confident[Palette] | None = None
    sharpness: Confident[Sharpness] | None = None
    cuts: tuple[float, ...] | None = None

    def __reduce__(self) -> tuple[Callable[[object], Facts], tuple[dict[str, object]]]:
        """Pickle as plain values: a parametrised generic class cannot be found by its name."""
        return type(self).model_validate, (self.model_dump(),)
