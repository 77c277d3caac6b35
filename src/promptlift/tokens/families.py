"""Model families by name, by a model's name, by its config files, and by measurement.

A family says how its processor resizes an image and how many tokens come of it, and what its
chat template adds to the text. The formulas are those of Mistral's, transformers' and vLLM's own
code, named beside each family.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final, Literal, TypeAlias

from promptlift.errors import BudgetError, OptionError
from promptlift.tokens import images
from promptlift.types import Size

__all__ = [
    "FAMILIES",
    "PIXTRAL",
    "UNKNOWN",
    "CountText",
    "Family",
    "calibrate",
    "family",
    "family_for_model",
    "family_from_config",
    "is_reasoning_model",
]

CountText: TypeAlias = Callable[[str], int]
"""Gives the number of tokens of a text, without any marker."""

_END_OF_ANSWER = 4
_Chat: TypeAlias = Callable[[str, str, int, CountText], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How one family of models counts.

    Attributes:
        name: As engines name it.
        image: Tokens that one image of a size takes, markers included. Raises `BudgetError`
            where the processor refuses the shape.
        chat: Tokens of the turn without its images: system text, user text, the number of
            images, and the counter.
        unit: Pixels on a side of the square that one image token stands for, where a part of a
            square costs a whole one; 1 where the processor stretches the picture to its own
            grid, so that no size is better filled than another.
        max_side: Longest side in pixels that is of any use: what is longer is shrunk by the
            processor, or refused; None if any.
        max_pixels: Pixels of an image beyond which the processor shrinks it; None if any.
        tokenizer: The counter to give to `chat`: Mistral's ``tekken`` vocabulary, with which the
            count is exact, or an ``estimate`` from above.
    """

    name: str
    image: Callable[[Size], int]
    chat: _Chat
    unit: int = 1
    max_side: int | None = None
    max_pixels: int | None = None
    tokenizer: Literal["tekken", "estimate"] = "estimate"

    def prompt(self, size: Size, frames: int, chat_tokens: int) -> int:
        """Tokens of a whole prompt: `frames` images of one size and the turn around them."""
        return frames * self.image(size) + chat_tokens

    def follow_up(self, answer: str, text: str, count: CountText) -> int:
        """Tokens, from above, of an answer and a user turn that are added to a conversation."""
        # A system text is given, lest the template's own be counted again.
        around = self.chat("-", "", 0, count) + _END_OF_ANSWER
        return around + count(answer) + count(text)


@dataclass(frozen=True, slots=True)
class _ChatTemplate:
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

    def __call__(self, system: str, text: str, images: int, count: CountText) -> int:
        head = self.system + count(system) if system else self.default_system
        return self.turn + head + self.per_image * images + count(text)


def _mistral_v3(system: str, text: str, images: int, count: CountText) -> int:
    """Count the text and ``<s>[INST]...[/INST]``; a system text goes before the images.

    With images the system text is a chunk of its own and is tokenised alone; without, it is
    joined to the user's text first, and a token may span the seam.
    """
    if not system:
        return 3 + count(text)
    if images:
        return 3 + count(f"{system}\n\n") + count(text)
    return 3 + count(f"{system}\n\n{text}")


# <s>[SYSTEM_PROMPT]...[/SYSTEM_PROMPT][INST]...[/INST]: a system text has markers of its own, so
# that nothing is joined. Later versions than 7 drop nothing of this.
_MISTRAL_V7 = _ChatTemplate(turn=3, system=2)
# The text that Hugging Face's template of Mistral-Small-3.2 puts in itself, with the dates and
# what it says of the web, pictures and tools, comes to 540 tokens. It differs from one checkpoint
# to the next, so that there is headroom.
_MISTRAL_V7_HF = _ChatTemplate(turn=3, system=2, default_system=702)


# ---- a model's own constants

_Files: TypeAlias = Mapping[str, Any]
"""A model's parsed files: ``config``, ``preprocessor``, ``processor``; None for one it lacks."""


def _find(files: _Files, path: str) -> object:
    """What lies at a path such as ``config.vision_config.patch_size``; None where nothing does."""
    found: object = files
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def _number(files: _Files, *paths: str, default: int) -> int:
    """The first whole number above 0 at any of the paths, in order.

    Args:
        files: The model's files.
        paths: See `_find`.
        default: What the well-known checkpoints have.

    Raises:
        OptionError: Something else than such a number is there.
    """
    for path in paths:
        found = _find(files, path)
        if isinstance(found, list | tuple) and found:
            found = found[0]  # a height and a width that are the same
        if found is None:
            continue
        # JSON knows no difference between 3136 and 3136.0, and some files have the latter.
        is_bool = isinstance(found, bool)
        if isinstance(found, int | float) and not is_bool and found > 0 and found % 1 == 0:
            return int(found)
        raise OptionError(
            f"the model's configuration has {found!r} for {path.partition('.')[2]}",
            remedy="give a configuration with a whole number above 0 there",
        )
    return default


def _flag(files: _Files, path: str) -> bool:
    """Whether nothing at the path is false."""
    return _find(files, path) is not False


# ---- the families


def _pixtral(name: str, side: int, patch: int, chat: _Chat, *, floor: bool) -> Family:
    return Family(
        name=name,
        image=partial(images.row_tokens, side=side, patch=patch, floor=floor),
        chat=chat,
        unit=patch,
        max_side=side,
        tokenizer="tekken",
    )


def _mistral_format(files: _Files) -> Family:
    """A checkpoint in Mistral's format, Pixtral or Mistral-Small-3.x.

    mistral_common/tokens/tokenizers/image.py (ImageEncoder._image_to_num_tokens) and instruct.py
    (InstructTokenizerV3, InstructTokenizerV7). The image section of ``tekken.json`` decides.
    """
    own, given = "config.vision_encoder", "preprocessor.image"
    side = _number(
        files,
        f"{given}.max_image_size",
        f"{own}.max_image_size",
        f"{own}.image_size",
        default=1024,
    )
    patch = _number(files, f"{given}.image_patch_size", f"{own}.patch_size", default=16)
    merge = _number(files, f"{given}.spatial_merge_size", f"{own}.spatial_merge_size", default=1)
    if merge == 1:
        return _pixtral("pixtral", side, patch, _mistral_v3, floor=False)
    return _pixtral("mistral-small", side, patch * merge, _MISTRAL_V7, floor=False)


def _pixtral_hf(files: _Files) -> Family:
    """Pixtral in Hugging Face's format.

    transformers/models/pixtral/image_processing_pixtral.py (get_resize_output_image_size) and
    vllm/model_executor/models/pixtral.py (PixtralHFEncoderInfo): vLLM goes by
    ``vision_config.image_size`` and not by the processor's own size.
    """
    side = _number(files, "config.vision_config.image_size", default=1024)
    patch = _number(files, "config.vision_config.patch_size", default=16)
    return _pixtral("pixtral-hf", side, patch, _mistral_v3, floor=True)


def _mistral_small_hf(files: _Files) -> Family:
    """Mistral-Small-3.x (``mistral3``): as `_pixtral_hf`, and vllm's mistral3.py."""
    side = _number(
        files, "preprocessor.size.longest_edge", "config.vision_config.image_size", default=1540
    )
    patch = _number(files, "config.vision_config.patch_size", default=14)
    merge = _number(files, "config.spatial_merge_size", default=2)
    return _pixtral("mistral-small-hf", side, patch * merge, _MISTRAL_V7_HF, floor=True)


def _stretched(
    name: str, files: _Files, chat: _ChatTemplate, *, patch: int, least: int, most: int, frames: int
) -> Family:
    """Qwen-VL and GLM; the old names of the bounds win over the new where a file has both."""
    patch = _number(
        files, "preprocessor.patch_size", "config.vision_config.patch_size", default=patch
    )
    merge = _number(
        files, "preprocessor.merge_size", "config.vision_config.spatial_merge_size", default=2
    )
    given = "preprocessor.{0}_pixels", "preprocessor.size.{1}_edge", "preprocessor.size.{0}_pixels"
    least = _number(files, *(path.format("min", "shortest") for path in given), default=least)
    most = _number(files, *(path.format("max", "longest") for path in given), default=most)
    return Family(
        name=name,
        image=partial(
            images.stretched_tokens, factor=patch * merge, least=least, most=most, frames=frames
        ),
        chat=chat,
        max_pixels=max(1, most // frames),
    )


def _qwen2_vl(files: _Files) -> Family:
    """Qwen2-VL and Qwen2.5-VL.

    transformers/models/qwen2_vl: image_processing (smart_resize, get_number_of_image_patches) and
    vllm/model_executor/models/qwen2_vl.py.
    """
    kind = _find(files, "config.model_type")
    # <|im_start|>system\n...<|im_end|>\n is 5 around the text, <|im_start|>user\n...<|im_end|>\n
    # another 5, <|im_start|>assistant\n 3. "You are a helpful assistant." is 6.
    return _stretched(
        "qwen2-vl" if kind == "qwen2_vl" else "qwen2.5-vl",
        files,
        _ChatTemplate(turn=8, system=5, default_system=11),
        patch=14,
        least=3136,
        most=12_845_056,
        frames=1,
    )


def _qwen3_vl(files: _Files) -> Family:
    """Qwen3-VL: the same files of qwen3_vl."""
    # No system text of its own; the thinking models open with "<think>\n".
    template = _ChatTemplate(turn=10, system=5)
    return _stretched(
        "qwen3-vl", files, template, patch=16, least=65_536, most=16_777_216, frames=1
    )


def _glm4v(files: _Files) -> Family:
    """GLM-4.1V, 4.5V and 4.6V: a picture is a clip of two frames.

    transformers/models/glm4v/image_processing_glm4v.py (smart_resize) and
    vllm/model_executor/models/glm4_1v.py. The bounds, which are called edges, are of its volume.
    """
    # [gMASK]<sop><|system|>\n...<|user|>\n...<|assistant|>\n<think>, and "/nothink" where it is
    # off.
    template = _ChatTemplate(turn=14, system=3, per_image=1)
    return _stretched(
        "glm-4v", files, template, patch=14, least=112 * 112, most=28 * 28 * 15_000, frames=2
    )


def _kimi_vl(files: _Files) -> Family:
    """Kimi-VL; ``in_token_limit`` is 4,096, or 16,384 from 2506 on.

    vllm/model_executor/models/kimi_vl.py (get_num_image_tokens); the checkpoint's
    image_processing_kimi_vl.py has positions for 512 patches on a side, of which one less is taken.
    """
    patch = _number(files, "preprocessor.patch_size", "config.vision_config.patch_size", default=14)
    sizes = _find(files, "preprocessor.merge_kernel_size")
    pair = dict(zip("hw", sizes, strict=False)) if isinstance(sizes, list) else {}
    rows, columns = _number(pair, "h", default=2), _number(pair, "w", default=2)
    most = _number(files, "preprocessor.in_token_limit", default=4096)
    return Family(
        name="kimi-vl" if most <= 4096 else "kimi-vl-2506",
        image=partial(images.padded_tokens, patch=patch, rows=rows, columns=columns, most=most),
        # <|im_system|>system<|im_middle|>...<|im_end|>, the same for user and for assistant; the
        # text "You are a helpful assistant" is 5.
        chat=_ChatTemplate(turn=9, system=4, default_system=10, per_image=1),
        unit=patch * max(rows, columns),
        max_side=patch * (512 - max(rows, columns)),
        max_pixels=most * patch * patch,
    )


def _internvl(files: _Files) -> Family:
    """InternVL2, 2.5 and 3, in OpenGVLab's or Hugging Face's format.

    vllm/transformers_utils/processors/internvl.py (calculate_internvl_targets) and
    transformers/models/got_ocr2/image_processing_got_ocr2.py (get_optimal_tiled_canvas). The
    preprocessor's crop_to_patches says nothing: the processor around it overrides it.
    """
    side = _number(
        files,
        "preprocessor.size.height",
        "config.force_image_size",
        "config.vision_config.image_size",
        default=448,
    )
    patch = _number(files, "config.vision_config.patch_size", default=14)
    least = most = 1
    if _flag(files, "config.dynamic_image_size"):
        most = _number(files, "config.max_dynamic_patch", "preprocessor.max_patches", default=12)
        least = _number(files, "config.min_dynamic_patch", "preprocessor.min_patches", default=1)
    # Four patches are merged into one token.
    tokens = _number(files, "config.image_seq_length", default=(side // patch) ** 2 // 4)
    thumbnail = _flag(files, "config.use_thumbnail")
    return Family(
        name="internvl3",
        image=partial(
            images.tile_tokens,
            side=side,
            least=least,
            most=most,
            thumbnail=thumbnail,
            tokens=tokens,
        ),
        # ChatML again. Its own system text is a sentence in Chinese that comes to some 50 tokens,
        # and in some versions another after it. Each <image> is a line of its own.
        chat=_ChatTemplate(turn=9, system=5, default_system=96, per_image=1),
        max_side=side * most,
        max_pixels=most * side**2,
    )


def _idefics3(files: _Files) -> Family:
    """Idefics3, SmolVLM and SmolVLM2, told apart by the side of their tiles.

    transformers/models/idefics3: image_processing_idefics3.py (get_number_of_image_patches) and
    processing_idefics3.py (_get_num_multimodal_tokens). SmolVLM calls itself an Idefics3 in its
    first version. A picture is brought to four tiles on its longer side in all of them, unless
    the preprocessor says otherwise.
    """
    usual_side = 384 if _find(files, "config.model_type") == "smolvlm" else 364
    image = _number(files, "config.vision_config.image_size", default=usual_side)
    name, tokens = {384: ("smolvlm2", 81), 512: ("smolvlm2-small", 64)}.get(
        image, ("idefics3", 169)
    )
    side = _number(files, "preprocessor.max_image_size.longest_edge", default=image)
    longest = _number(files, "preprocessor.size.longest_edge", default=4 * image)
    if not _flag(files, "preprocessor.do_image_splitting"):
        longest = side
    if _find(files, "config.vision_config.patch_size") is not None:
        patch = _number(files, "config.vision_config.patch_size", default=14)
        scale = _number(files, "config.scale_factor", default=2)
        tokens = (image // patch) ** 2 // scale**2 or tokens
    tokens = _number(files, "processor.image_seq_len", default=tokens)
    return Family(
        name=name,
        image=partial(images.whole_and_tile_tokens, longest=longest, side=side, tokens=tokens),
        # <|im_start|>User:...<end_of_utterance>\nAssistant: with a system turn of its own before.
        chat=_ChatTemplate(turn=12, system=6),
        max_side=longest,
    )


def _gemma3(files: _Files) -> Family:
    """Gemma 3 without pan and scan, as engines run it: every picture is squeezed into one square.

    transformers/models/gemma3/processing_gemma3.py (full_image_sequence) and
    vllm/model_executor/models/gemma3_mm.py. Twice the square's side is of use, so that the shorter
    side of a wide picture keeps what the square can show.
    """
    tokens = _number(files, "config.mm_tokens_per_image", default=256)
    side = _number(
        files, "preprocessor.size.height", "config.vision_config.image_size", default=896
    )
    return Family(
        name="gemma3",
        # "\n\n", the start, the tokens, the end and "\n\n".
        image=partial(images.fixed_tokens, tokens=tokens + 4),
        # <bos><start_of_turn>user\n{system}\n\n...<end_of_turn>\n<start_of_turn>model\n
        chat=_ChatTemplate(turn=9, system=1),
        max_side=2 * side,
    )


def _llava_next(files: _Files) -> Family:
    """LLaVA-NeXT (LLaVA 1.6)."""
    # The Vicuna template is the longest: 'A chat between a curious human and an artificial
    # intelligence assistant. ...' comes to 35, and " USER: ", " ASSISTANT:" to 10.
    template = _ChatTemplate(turn=12, system=10, default_system=40, per_image=1)
    resolutions = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
    return _llava("llava-next", files, template, 336, 24, resolutions, None)


def _llava_onevision(files: _Files) -> Family:
    """LLaVA-OneVision.

    Of several images in a prompt each costs no more than it would alone: newer processors then
    leave the tiles out, older ones do not.
    """
    # ChatML on Qwen2, each <image> on a line of its own.
    template = _ChatTemplate(turn=9, system=5, default_system=11, per_image=1)
    resolutions = [(384 * h, 384 * w) for h in range(1, 7) for w in range(1, 7)]
    digits = str(_find(files, "config.vision_aspect_ratio")).removeprefix("anyres_max_")
    most = int(digits) if digits.isdecimal() else 9
    return _llava("llava-onevision", files, template, 384, 27, resolutions, most)


def _llava(
    name: str,
    files: _Files,
    template: _ChatTemplate,
    usual_side: int,
    usual_patches: int,
    resolutions: object,
    most: int | None,
) -> Family:
    """By transformers' processing of the model (_get_number_of_features) and vLLM's file of it."""
    side = _number(
        files,
        "config.vision_config.image_size",
        "preprocessor.size.shortest_edge",
        "preprocessor.size.height",
        default=usual_side,
    )
    patch = _number(files, "config.vision_config.patch_size", default=usual_side // usual_patches)
    for file in ("preprocessor", "config"):
        resolutions = _find(files, f"{file}.image_grid_pinpoints") or resolutions
    try:
        grid = tuple(Size(int(w), int(h)) for h, w in resolutions)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise OptionError(
            f"the model's configuration has {resolutions!r} for image_grid_pinpoints",
            remedy="give a configuration with a list of heights and widths there",
        ) from None
    return Family(
        name=name,
        image=partial(
            images.grid_tokens, side=side, patches=side // patch, resolutions=grid, most=most
        ),
        chat=template,
        max_side=max(max(r.width, r.height) for r in grid),
    )


# ---- by name

_Builder: TypeAlias = Callable[[_Files], Family]

_BUILT_IN: dict[str, tuple[_Builder, _Files]] = {
    "pixtral": (_mistral_format, {}),
    "pixtral-hf": (_pixtral_hf, {}),
    "mistral-small": (
        _mistral_format,
        {
            "config": {
                "vision_encoder": {"image_size": 1540, "patch_size": 14, "spatial_merge_size": 2}
            }
        },
    ),
    "mistral-small-hf": (_mistral_small_hf, {}),
    "qwen2-vl": (_qwen2_vl, {}),
    "qwen2.5-vl": (_qwen2_vl, {}),
    "cosmos-reason1": (_qwen2_vl, {}),
    "qwen3-vl": (_qwen3_vl, {}),
    "cosmos-reason2": (_qwen3_vl, {}),
    "internvl3": (_internvl, {}),
    "idefics3": (_idefics3, {}),
    "smolvlm2": (_idefics3, {"config": {"vision_config": {"image_size": 384}}}),
    "smolvlm2-small": (_idefics3, {"config": {"vision_config": {"image_size": 512}}}),
    "gemma3": (_gemma3, {}),
    "llava-next": (_llava_next, {}),
    "llava-onevision": (_llava_onevision, {}),
    "kimi-vl": (_kimi_vl, {}),
    "kimi-vl-2506": (_kimi_vl, {"preprocessor": {"in_token_limit": 16_384}}),
    "glm-4v": (_glm4v, {}),
}

FAMILIES: Final = (*_BUILT_IN, "unknown")
"""The names of all families."""


@cache
def family(name: str) -> Family:
    """The family of that name.

    Raises:
        OptionError: There is none.
    """
    if name == UNKNOWN.name:
        return UNKNOWN
    try:
        build, files = _BUILT_IN[name]
    except KeyError:
        raise OptionError(
            f"no token formula is known for the model family {name!r}",
            remedy=f"use one of: {', '.join(sorted(FAMILIES))}",
        ) from None
    return replace(build(files), name=name)


def _dearest(size: Size) -> int:
    """The most that any known family takes for an image."""
    counts = [0]
    for name in _BUILT_IN:
        with contextlib.suppress(BudgetError):
            counts.append(family(name).image(size))
    return max(counts)


# Its system turn is longer than that of any of the families but Hugging Face's Mistral-Small.
_ANY_TEMPLATE = _ChatTemplate(turn=24, system=12, default_system=128, per_image=8)

UNKNOWN: Final = Family(name="unknown", image=_dearest, chat=_ANY_TEMPLATE, max_side=2048)
"""For a model of which nothing is known: it is taken to cost what the dearest known one does.

That leaves little room in a small context; `calibrate` makes a better family from a few counts.
"""

PIXTRAL: Final = family("pixtral")

# Parts of model names, in small letters, the more special first. The Cosmos upsampler is a
# fine-tune of Pixtral-12B. A name that tells of no family is on the list where it would be
# taken for one.
_FAMILY_OF_NAME: dict[str, str | None] = {
    "mistral-community/pixtral": "pixtral-hf",
    "pixtral-12b-hf": "pixtral-hf",
    "pixtral-large": None,
    "pixtral": "pixtral",
    "cosmos-upsampleprompt1": "pixtral",
    "cosmos-reason1": "cosmos-reason1",
    "cosmos-reason2": "cosmos-reason2",
    "mistral-small-3.1": "mistral-small",
    "mistral-small-3.2": "mistral-small",
    "qwen2-vl": "qwen2-vl",
    "qwen2.5-vl": "qwen2.5-vl",
    "qwen3-vl": "qwen3-vl",
    "internvl2": "internvl3",
    "internvl3": "internvl3",
    "idefics3": "idefics3",
    "smolvlm-256m": "smolvlm2-small",
    "smolvlm-500m": "smolvlm2-small",
    "smolvlm2-256m": "smolvlm2-small",
    "smolvlm2-500m": "smolvlm2-small",
    "smolvlm": "smolvlm2",
    "gemma-3-1b": None,
    "gemma-3-270m": None,
    "gemma-3-": "gemma3",
    "llava-onevision-1.5": None,
    "llava-onevision": "llava-onevision",
    "llava-v1.6": "llava-next",
    "llava-next-video": None,
    "llava-next": "llava-next",
    "kimi-vl-a3b-thinking-2506": "kimi-vl-2506",
    "kimi-vl": "kimi-vl",
    "glm-4.1v": "glm-4v",
    "glm-4.5v": "glm-4v",
    "glm-4.6v": "glm-4v",
}


def family_for_model(name: str) -> str | None:
    """The family of a model, by its name or path; None where it tells nothing."""
    lowered = name.lower()
    return next((found for part, found in _FAMILY_OF_NAME.items() if part in lowered), None)


# Models that think before they answer unless they are told not to.
_REASONING = re.compile(
    r"thinking|cosmos-?reason|reason(?:ing|er)|magistral|qwq|qvq|gpt-oss|mimo-vl|[-_]r1\b|\bo[134]\b|gpt-5"
    r"|gemini-(?:2\.5|3)|qwen3\.\d|glm-?4\.[156]v",
    re.IGNORECASE,
)


def is_reasoning_model(*names: str) -> bool:
    """Whether a model thinks before it answers, by its names, paths or family."""
    return any(_REASONING.search(name) for name in names)


# ---- by a model's files, and by measurement

_BY_MODEL_TYPE: dict[str, _Builder] = {
    "mistral3": _mistral_small_hf,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_moe": _qwen3_vl,
    "internvl": _internvl,
    "internvl_chat": _internvl,
    "idefics3": _idefics3,
    "smolvlm": _idefics3,
    "gemma3": _gemma3,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "kimi_vl": _kimi_vl,
    "glm4v": _glm4v,
    "glm4v_moe": _glm4v,
    "glm46v": _glm4v,
}


def family_from_config(
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any] | None = None,
    *,
    processor: Mapping[str, Any] | None = None,
) -> Family:
    """Make the family of a model from its configuration files, parsed.

    What a file does not say, or a file that is not given, is taken to be as in the well-known
    checkpoints of the family.

    Args:
        config: ``config.json``, or ``params.json`` of a checkpoint in Mistral's format.
        preprocessor: ``preprocessor_config.json``, or ``tekken.json`` in Mistral's format.
        processor: ``processor_config.json``. In newer checkpoints it holds the other as well.

    Raises:
        OptionError: The kind of model is not known here, or a constant makes no sense.
    """
    files = {"config": config, "preprocessor": preprocessor, "processor": processor}
    if not preprocessor:
        files["preprocessor"] = (processor or {}).get("image_processor")
    kind = config.get("model_type")
    if kind is None and "vision_encoder" in config:
        build: _Builder | None = _mistral_format
    elif kind == "llava" and _find(files, "config.vision_config.model_type") == "pixtral":
        build = _pixtral_hf
    else:
        build = _BY_MODEL_TYPE.get(str(kind))
    if build is None:
        raise OptionError(
            f"no token formula is known for a model of the type {kind!r}",
            remedy="let the engine count a few images and calibrate by them",
        )
    return build(files)


def calibrate(samples: Sequence[tuple[Size, int]], *, name: str = "calibrated") -> Family:
    """Make a family from a few images that the engine has counted.

    A picture is taken to cost no more than the next larger sample did, and no more for its area
    than the dearest sample did for its own, and no less than the smallest sample; past the largest
    sample the cost is taken to grow with the area. A tenth is added. Areas are in squares of 28
    pixels, part ones included.

    This is never below what was observed, and above the truth for every model whose cost grows
    with the area and no faster; it comes near where the samples are close. Give at least a small
    and a large picture of the shape that is to be planned: models that work in tiles go by it.

    Args:
        samples: Sizes in pixels and the tokens that one image of each took, markers included.
        name: The family's name.

    Raises:
        OptionError: There is no sample, or one has no tokens.
    """
    if not samples:
        raise OptionError("no counted image was given", remedy="let the engine count at least one")
    ascending: dict[int, int] = {}
    most = 0
    for cells, size, tokens in sorted((images.square_cells(size), size, n) for size, n in samples):
        if tokens < 1:
            raise OptionError(
                f"an image of {size} was counted as {tokens} tokens",
                remedy="give the tokens that one image adds to a prompt",
            )
        # A sample that took less than a smaller one is raised to it.
        ascending[cells] = most = max(most, tokens)
    return Family(
        name=name,
        image=partial(images.measured_tokens, samples=tuple(ascending.items())),
        chat=_ANY_TEMPLATE,
    )
