"""Mistral-Small's arithmetic against mistral-common: squares of 28 pixels, markers of version 7.

mistral-common ships no vocabulary of Mistral-Small, so the tokenizer is put together from
Pixtral's, the special tokens of version 7 and the checkpoint's image constants.
"""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import mistral_common
import pytest
from mistral_common.protocol.instruct.chunk import ImageChunk, TextChunk
from mistral_common.protocol.instruct.messages import ChatMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import InstructRequest
from mistral_common.tokens.tokenizers.base import SpecialTokens, TokenizerVersion
from mistral_common.tokens.tokenizers.image import ImageConfig, ImageEncoder, SpecialImageIDs
from mistral_common.tokens.tokenizers.instruct import InstructTokenizerV7
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from PIL import Image

from promptlift.tokens import PIXTRAL, counter_for, family
from promptlift.types import Size

SMALL = family("mistral-small")
VOCABULARY = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"


@functools.cache
def reference() -> InstructTokenizerV7:
    """The tokenizer of Mistral-Small-3.1, as far as counting goes."""
    data = json.loads(VOCABULARY.read_bytes())
    special = [
        {"rank": rank, "token_str": token.value, "is_control": True}
        for rank, token in enumerate(SpecialTokens)
    ]
    tekken = Tekkenizer(
        vocab=data["vocab"],
        special_tokens=special,  # type: ignore[arg-type]
        pattern=data["config"]["pattern"],
        vocab_size=data["config"]["default_vocab_size"],
        num_special_tokens=data["config"]["default_num_special_tokens"],
        version=TokenizerVersion.v7,
    )
    ids = SpecialImageIDs(
        img=tekken.get_special_token("[IMG]"),
        img_break=tekken.get_special_token("[IMG_BREAK]"),
        img_end=tekken.get_special_token("[IMG_END]"),
    )
    config = ImageConfig(image_patch_size=14, max_image_size=1540, spatial_merge_size=2)
    return InstructTokenizerV7(tekken, image_encoder=ImageEncoder(config, ids))


def test_image_formula_agrees_on_many_sizes() -> None:
    """The grid that mistral-common lays over an image is the one that the formula counts."""
    chance = random.Random(2503)
    encoder = reference().image_encoder
    assert encoder is not None
    for _ in range(2_000):
        side = chance.choice([60, 400, 1600, 3000, 9000])
        size = Size(chance.randint(1, side), chance.randint(1, side))
        shape = cast("Image.Image", SimpleNamespace(size=(size.width, size.height)))
        columns, rows = encoder._image_to_num_tokens(shape)
        assert SMALL.image(size) == rows * (columns + 1), size


@pytest.mark.parametrize("system", ["", "Be brief.", "Two lines\n\nof it\n"])
@pytest.mark.parametrize("text", ["x", "A robot pours coffee.", "\n\n starts with a break", "日本"])
@pytest.mark.parametrize("frames", [0, 1, 2])
def test_whole_turn_agrees(system: str, text: str, frames: int) -> None:
    """System text, images and user text come to what mistral-common makes of them."""
    size = Size(61, 130)
    content = [ImageChunk(image=Image.new("RGB", (size.width, size.height)))] * frames
    messages: list[ChatMessage] = [
        *([SystemMessage(content=system)] if system else []),
        UserMessage(content=[*content, TextChunk(text=text)]),
    ]
    tokens = reference().encode_instruct(InstructRequest(messages=messages)).tokens
    chat = SMALL.chat(system, text, frames, counter_for(PIXTRAL))
    assert SMALL.prompt(size, frames, chat) == len(tokens)
