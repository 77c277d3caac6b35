"""What an image and a chat turn cost in tokens, per model family: data and small functions.

A family says how its processor resizes an image and how many tokens come of it, and what its
chat template adds to the text. Counting the text itself is the tokenizer's work: callers pass
a `CountText`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from promptlift.core.video import Size
from promptlift.errors import OptionError

__all__ = ["FAMILIES", "PIXTRAL", "CountText", "Family", "family", "family_for_model"]

CountText: TypeAlias = Callable[[str], int]
"""Gives the number of tokens of a text, without any marker."""


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of models counts.

    Attributes:
        name: As engines name it.
        unit: Pixels on a side of the square that one image token stands for.
        max_side: Longest side in pixels that the processor leaves alone; None if any.
        image: Tokens that one image of a size takes, markers included.
        chat: Tokens of the turn without its images: system text, user text, the number of
            images, and the counter.
        source: Where the formulas come from.
    """

    name: str
    unit: int
    max_side: int | None
    image: Callable[[Size], int]
    chat: Callable[[str, str, int, CountText], int]
    source: str

    def prompt(self, size: Size, frames: int, chat_tokens: int) -> int:
        """Tokens of a whole prompt: `frames` images of one size and the turn around them."""
        return frames * self.image(size) + chat_tokens


_PIXTRAL_SIDE = 1024
_PIXTRAL_PATCH = 16


def _pixtral_image(size: Size) -> int:
    """Count ``rows * (columns + 1)``: a token a patch, and one that ends each row."""
    width, height = size.width, size.height
    ratio = max(width / _PIXTRAL_SIDE, height / _PIXTRAL_SIDE)
    if ratio > 1:
        width, height = max(round(width / ratio), 1), max(round(height / ratio), 1)
    columns = (width - 1) // _PIXTRAL_PATCH + 1
    rows = (height - 1) // _PIXTRAL_PATCH + 1
    return rows * (columns + 1)


def _mistral_v3_chat(system: str, text: str, images: int, count: CountText) -> int:
    """Count the text and ``<s>[INST]...[/INST]``; a system text goes before the images.

    With images the system text is a chunk of its own and is tokenised alone; without, it is
    joined to the user's text first, and a token may span the seam.
    """
    markers = 3
    if not system:
        return markers + count(text)
    if images:
        return markers + count(f"{system}\n\n") + count(text)
    return markers + count(f"{system}\n\n{text}")


PIXTRAL = Family(
    name="pixtral",
    unit=_PIXTRAL_PATCH,
    max_side=_PIXTRAL_SIDE,
    image=_pixtral_image,
    chat=_mistral_v3_chat,
    source="mistral_common/tokens/tokenizers/image.py (ImageEncoder._image_to_num_tokens) "
    "and instruct.py (InstructTokenizerV3)",
)

FAMILIES: dict[str, Family] = {PIXTRAL.name: PIXTRAL}


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        OptionError: There is none.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        known = ", ".join(sorted(FAMILIES))
        raise OptionError(
            f"no token formula is known for the model family {name!r}",
            remedy=f"use one of: {known}",
        ) from None


# Parts of model names, in small letters. The Cosmos upsampler is a fine-tune of Pixtral-12B.
_FAMILY_OF_NAME = {"pixtral": PIXTRAL.name, "cosmos-upsampleprompt1": PIXTRAL.name}


def family_for_model(name: str) -> str | None:
    """The family of a model, by its name or path; None where it tells nothing."""
    lowered = name.lower()
    return next((found for part, found in _FAMILY_OF_NAME.items() if part in lowered), None)
