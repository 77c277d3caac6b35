"""What a family of models is to the planner, and what its chat template adds to the text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from promptlift.errors import BudgetError
from promptlift.types import Size

__all__ = [
    "GEMMA3",
    "GLM4V",
    "IDEFICS3",
    "INTERNVL",
    "KIMI_VL",
    "LLAVA_NEXT",
    "LLAVA_ONEVISION",
    "QWEN2_VL",
    "QWEN3_VL",
    "UNKNOWN",
    "Chat",
    "ChatTemplate",
    "CountText",
    "Family",
    "Tokenizer",
    "counted_by",
    "mistral_v3",
    "mistral_v7",
    "mistral_v7_hf",
    "refused",
]

CountText: TypeAlias = Callable[[str], int]
"""Gives the number of tokens of a text, without any marker."""

Tokenizer: TypeAlias = Literal["tekken", "estimate"]
"""Which counter a family's text is counted with.

``tekken``: Mistral's vocabulary; ``estimate``: `estimate_text_tokens`, an estimate from above.
"""


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of models counts.

    Attributes:
        name: As engines name it.
        unit: Pixels on a side of the square that one image token stands for, where a part of a
            square costs a whole one; 1 where the processor stretches the picture to its own
            grid, so that no size is better filled than another.
        max_side: Longest side in pixels that is of any use: what is longer is shrunk by the
            processor, or refused; None if any.
        image: Tokens that one image of a size takes, markers included. Raises `BudgetError`
            where the processor refuses the shape.
        chat: Tokens of the turn without its images: system text, user text, the number of
            images, and the counter.
        source: Where the formulas come from.
        max_pixels: Pixels of an image beyond which the processor shrinks it; None if any.
        tokenizer: The counter to give to `chat`.
        exact: Whether the prediction of a whole prompt is exact; else it is from above.
        video: Tokens of so many frames of a size sent as one video, markers included; None
            where the family takes none or it is not known how it counts.
    """

    name: str
    unit: int
    max_side: int | None
    image: Callable[[Size], int]
    chat: Callable[[str, str, int, CountText], int]
    source: str
    max_pixels: int | None = None
    tokenizer: Tokenizer = "estimate"
    exact: bool = False
    video: Callable[[Size, int], int] | None = None

    def prompt(self, size: Size, frames: int, chat_tokens: int) -> int:
        """Tokens of a whole prompt: `frames` images of one size and the turn around them."""
        return frames * self.image(size) + chat_tokens


def refused(size: Size, why: str) -> BudgetError:
    """The error for a shape that a family's processor does not take."""
    return BudgetError(
        f"the model takes no picture of {size}: {why}",
        remedy="crop the video to a less extreme shape, or use another model",
    )


Chat: TypeAlias = Callable[[str, str, int, CountText], int]


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template, as far as it costs tokens.

    Attributes:
        turn: Around the user's text, up to where the answer begins.
        system: Around a system text that is given.
        default_system: The whole system turn that the template puts in when none is given.
        per_image: Beside each image, outside what `Family.image` counts.
    """

    turn: int
    system: int
    default_system: int = 0
    per_image: int = 0


def counted_by(template: ChatTemplate) -> Chat:
    """The counting function of a template."""
    return partial(_count, template)


def _count(template: ChatTemplate, system: str, text: str, images: int, count: CountText) -> int:
    head = template.system + count(system) if system else template.default_system
    return template.turn + head + template.per_image * images + count(text)


# <|im_start|>system\n...<|im_end|>\n is 5 around the text, <|im_start|>user\n...<|im_end|>\n
# another 5, <|im_start|>assistant\n 3. "You are a helpful assistant." is 6.
QWEN2_VL = ChatTemplate(turn=8, system=5, default_system=11)
# The same without a text of its own; the thinking models open with "<think>\n".
QWEN3_VL = ChatTemplate(turn=10, system=5)
# ChatML again. Its own system text is a sentence in Chinese that comes to some 50 tokens, and in
# some versions another after it. Each <image> is a line of its own.
INTERNVL = ChatTemplate(turn=9, system=5, default_system=96, per_image=1)
# <bos><start_of_turn>user\n{system}\n\n...<end_of_turn>\n<start_of_turn>model\n
GEMMA3 = ChatTemplate(turn=9, system=1)
# <|im_start|>User:...<end_of_utterance>\nAssistant: with a system turn of its own before it.
IDEFICS3 = ChatTemplate(turn=12, system=6)
# The Vicuna template is the longest: 'A chat between a curious human and an artificial
# intelligence assistant. ...' comes to 35, and " USER: ", " ASSISTANT:" to 10.
LLAVA_NEXT = ChatTemplate(turn=12, system=10, default_system=40, per_image=1)
# ChatML on Qwen2, each <image> on a line of its own.
LLAVA_ONEVISION = ChatTemplate(turn=9, system=5, default_system=11, per_image=1)
# <|im_system|>system<|im_middle|>...<|im_end|>, the same for user and for assistant; the text
# "You are a helpful assistant" is 5.
KIMI_VL = ChatTemplate(turn=9, system=4, default_system=10, per_image=1)
# [gMASK]<sop><|system|>\n...<|user|>\n...<|assistant|>\n<think>, and "/nothink" where it is off.
GLM4V = ChatTemplate(turn=14, system=3, per_image=1)
# More than any of the above.
UNKNOWN = ChatTemplate(turn=24, system=12, default_system=128, per_image=8)


def mistral_v3(system: str, text: str, images: int, count: CountText) -> int:
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


def mistral_v7(system: str, text: str, images: int, count: CountText) -> int:  # noqa: ARG001
    """Count the text and the markers of Mistral's version 7 and later.

    ``<s>[SYSTEM_PROMPT]...[/SYSTEM_PROMPT][INST]...[/INST]``; a system text has markers of its
    own, so that nothing is joined. Later versions drop nothing of this.
    """
    return 3 + count(text) + (2 + count(system) if system else 0)


# The text that the template of Mistral-Small-3.2 puts in itself, with the dates and what it says
# of the web, pictures and tools, comes to 540 tokens. With headroom for its successors:
_MISTRAL_SMALL_OWN_TEXT = 700


def mistral_v7_hf(system: str, text: str, images: int, count: CountText) -> int:
    """Count as `mistral_v7`; the Hugging Face template adds a long system text when none is given.

    The text differs from one checkpoint to the next, so that room is kept for the longest.
    """
    own = 0 if system else 2 + _MISTRAL_SMALL_OWN_TEXT
    return own + mistral_v7(system, text, images, count)
