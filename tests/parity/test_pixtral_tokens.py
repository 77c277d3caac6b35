"""promptlift's arithmetic against mistral-common, the reference implementation.

mistral-common decodes and resizes real pixels to count them; promptlift counts from the size
alone. The two must agree for every size, number of frames and text.
"""

from __future__ import annotations

import functools
import random
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias, cast

import mistral_common
import pytest
from mistral_common.protocol.instruct.chunk import ImageChunk, TextChunk
from mistral_common.protocol.instruct.messages import SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from PIL import Image

from promptlift.tokens import PIXTRAL, counter_for
from promptlift.types import Size

Message: TypeAlias = SystemMessage | UserMessage

TEXTS = [
    "Test prompt",
    "",
    "x",
    "a robot arm hands a coffee cup to a woman, in a modern office.",
    "Ein Roboterarm reicht einer Frau einen Becher über die Theke; draußen regnet's.",
    "一只机械臂把咖啡杯递给办公室里的女人。",
    "Рука-манипулятор передаёт чашку кофе женщине в офисе.",
    "يسلّم ذراع آلي فنجان قهوة لامرأة في مكتب حديث",
    "रोबोट की बाँह एक महिला को कॉफ़ी का कप देती है",
    "로봇 팔이 여자에게 커피를 건넨다 🙂🤖☕️",
    "[INST] <s> [IMG] are words here, not markers [/INST]</s>",
    "line one\n\nline two\r\n\ttabbed   spaced  ",
    "1234567890 3.14159 -- ... !!! ??? ((()))",
    "a" * 3000,
    " " * 300,
    "e\u0301 is not \u00e9, and \u200b is nothing",
]
WORDS = ["A", "robot", "arm's", "over", "12", "cups,", "(softly-lit)", "kitchen/unboxing;", "HDRI"]


@functools.cache
def reference() -> MistralTokenizer[Any, Any, Any, Any, Any]:
    """The tokenizer of Pixtral-12B, as mistral-common builds it."""
    return MistralTokenizer.from_file(
        str(Path(mistral_common.__file__).parent / "data" / "tekken_240911.json")
    )


def counted_by_reference(size: Size, frames: int, text: str, system: str = "") -> int:
    """How many tokens mistral-common makes of a turn with so many images of that size."""
    content = [ImageChunk(image=Image.new("RGB", (size.width, size.height)))] * frames
    messages: list[Message] = [SystemMessage(content=system)] if system else []
    messages.append(UserMessage(content=[*content, TextChunk(text=text)]))
    request = ChatCompletionRequest(messages=messages)
    return len(reference().encode_chat_completion(request).tokens)


def counted_by_promptlift(size: Size, frames: int, text: str, system: str = "") -> int:
    """The same by promptlift's formula and vocabulary."""
    chat = PIXTRAL.chat(system, text, frames, counter_for(PIXTRAL))
    return PIXTRAL.prompt(size, frames, chat)


def test_image_formula_agrees_on_many_sizes() -> None:
    """The grid that mistral-common lays over an image is the one that the formula counts."""
    chance = random.Random(20_240_911)
    encoder = reference().instruct_tokenizer.image_encoder
    assert encoder is not None
    for _ in range(3_000):
        side = chance.choice([40, 300, 1100, 2500, 9000])
        size = Size(chance.randint(1, side), chance.randint(1, side))
        shape = cast("Image.Image", SimpleNamespace(size=(size.width, size.height)))
        columns, rows = encoder._image_to_num_tokens(shape)
        assert PIXTRAL.image(size) == rows * (columns + 1), size


@pytest.mark.parametrize("seed", range(2))
def test_whole_prompt_agrees_on_random_turns(seed: int) -> None:
    """Real pixels through the real encoder give the predicted length, 300 random turns a seed."""
    chance = random.Random(seed)
    for _ in range(300):
        size = Size(chance.randint(1, 160), chance.randint(1, 160))
        frames = chance.randint(1, 3)
        text, system = random_text(chance), chance.choice(["", "", random_text(chance)])
        assert counted_by_promptlift(size, frames, text, system) == counted_by_reference(
            size, frames, text, system
        ), (size, frames, text, system)


def random_text(chance: random.Random) -> str:
    """English, or random characters from many scripts, spaces and marks included."""
    if chance.random() < 0.3:
        return " ".join(chance.choices(WORDS, k=chance.randint(0, 40)))
    blocks = [(32, 126), (161, 591), (880, 1279), (1424, 1791), (2304, 2431), (4352, 4607)]
    blocks += [(12352, 12543), (19968, 20991), (44032, 45055), (127744, 128767)]
    low, high = chance.choice(blocks)
    drawn = (chr(chance.randint(low, high)) for _ in range(chance.randint(0, 40)))
    text = "".join(c for c in drawn if unicodedata.category(c) not in ("Cn", "Cs", "Co"))
    return text + chance.choice(["", " ", "\n", " and so on."])


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("system", ["", "Describe what you see."])
def test_texts_of_many_kinds_agree(text: str, system: str) -> None:
    """Scripts, emoji, marker look-alikes, white space and long words are counted alike."""
    size = Size(33, 47)
    assert counted_by_promptlift(size, 2, text, system) == counted_by_reference(
        size, 2, text, system
    )


@pytest.mark.parametrize("text", ["x", "two words", "\n\nstarts with a break"])
def test_turn_without_images_agrees(text: str) -> None:
    """Without images a system text is joined to the user's before it is tokenised."""
    for system in ("", "Be brief.", "Be brief"):
        messages: list[Message] = [SystemMessage(content=system)] if system else []
        messages.append(UserMessage(content=text))
        request = ChatCompletionRequest(messages=messages)
        expected = len(reference().encode_chat_completion(request).tokens)
        assert PIXTRAL.chat(system, text, 0, counter_for(PIXTRAL)) == expected
