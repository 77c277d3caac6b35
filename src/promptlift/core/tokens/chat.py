"""What the chat templates add to the text, as numbers.

The numbers are tokens of the markers and role names in each model's own template. Where a family
has several templates they are those of the longest, so that a prediction is never too low.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from promptlift.core.tokens.family import CountText

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
    "Template",
    "counted_by",
    "mistral_v3",
    "mistral_v7",
    "mistral_v7_hf",
]

Chat: TypeAlias = Callable[[str, str, int, CountText], int]


@dataclass(frozen=True, slots=True)
class Template:
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


def counted_by(template: Template) -> Chat:
    """The counting function of a template."""
    return partial(_count, template)


def _count(template: Template, system: str, text: str, images: int, count: CountText) -> int:
    head = template.system + count(system) if system else template.default_system
    return template.turn + head + template.per_image * images + count(text)


# <|im_start|>system\n...<|im_end|>\n is 5 around the text, <|im_start|>user\n...<|im_end|>\n
# another 5, <|im_start|>assistant\n 3. "You are a helpful assistant." is 6.
QWEN2_VL = Template(turn=8, system=5, default_system=11)
# The same without a text of its own; the thinking models open with "<think>\n".
QWEN3_VL = Template(turn=10, system=5)
# ChatML again. Its own system text is a sentence in Chinese that comes to some 50 tokens, and in
# some versions another after it. Each <image> is a line of its own.
INTERNVL = Template(turn=9, system=5, default_system=96, per_image=1)
# <bos><start_of_turn>user\n{system}\n\n...<end_of_turn>\n<start_of_turn>model\n
GEMMA3 = Template(turn=9, system=1)
# <|im_start|>User:...<end_of_utterance>\nAssistant: with a system turn of its own before it.
IDEFICS3 = Template(turn=12, system=6)
# The Vicuna template is the longest: 'A chat between a curious human and an artificial
# intelligence assistant. ...' comes to 35, and " USER: ", " ASSISTANT:" to 10.
LLAVA_NEXT = Template(turn=12, system=10, default_system=40, per_image=1)
# ChatML on Qwen2, each <image> on a line of its own.
LLAVA_ONEVISION = Template(turn=9, system=5, default_system=11, per_image=1)
# <|im_system|>system<|im_middle|>...<|im_end|>, the same for user and for assistant; the text
# "You are a helpful assistant" is 5.
KIMI_VL = Template(turn=9, system=4, default_system=10, per_image=1)
# [gMASK]<sop><|system|>\n...<|user|>\n...<|assistant|>\n<think>, and "/nothink" where it is off.
GLM4V = Template(turn=14, system=3, per_image=1)
# More than any of the above.
UNKNOWN = Template(turn=24, system=12, default_system=128, per_image=8)


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
