"""What each downstream generator wants: form, length and languages of a prompt, and its limit.

Every one of these generators cuts a longer prompt without a word. The limits are those of the
generator's own code, named in `Target.source`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from promptlift.errors import OptionError
from promptlift.tokens.text import estimate

__all__ = [
    "DEFAULT_TARGET",
    "TARGETS",
    "Encoder",
    "Target",
    "estimate_tokens",
    "prompt_language",
    "target",
]

Encoder = Literal["t5", "umt5", "qwen2.5", "llama3", "gemma3"]


@dataclass(frozen=True, slots=True)
class Target:
    """A generator that prompts are written for.

    Attributes:
        name: As the user writes it, such as ``cosmos-transfer1``.
        limit: The most tokens that the prompt may take, counted by `encoder`'s tokenizer with
            the special tokens that it adds.
        encoder: The family of the text encoder's tokenizer.
        unit: What the limit counts, in words for a reader.
        source: The file of the generator's project that sets the limit.
        min_words: Fewest words of English that make a good prompt.
        max_words: Most words of English that make a good prompt.
        note: What else is worth knowing; may be empty.
        languages: English names of the languages that it reads; the first is written where the
            user's own is not among them.
        openings: Whether its makers' own prompts open with words such as "The video shows".
        camera: Whether a prompt must say what the camera does, may say it, or must not unless
            the user orders it or it was measured.
        shot: Whether a prompt should name shot size and camera angle.
        sound: Whether it makes sound, so that a prompt describes what is heard.
        style: Where its makers name the style: ``first`` in the prompt where the user asks for
            one, as ``last tags`` after the description, or nowhere in particular.
        quotes_drawn: Whether it draws or speaks what stands in quotation marks.
    """

    name: str
    limit: int
    encoder: Encoder
    unit: str
    source: str
    min_words: int = 60
    max_words: int = 200
    note: str = ""
    languages: tuple[str, ...] = ("English",)
    openings: bool = False
    camera: Literal["required", "welcome", "only asked"] = "welcome"
    shot: bool = False
    sound: bool = False
    style: Literal["first", "last tags", ""] = ""
    quotes_drawn: bool = False


_T5 = "T5 tokens, end token included"
_TRANSFER25 = Target(
    name="cosmos-transfer2.5",
    limit=488,
    encoder="qwen2.5",
    unit="Cosmos-Reason1 (Qwen2.5-VL) tokens",
    source="cosmos-transfer2.5 _src/predict2/text_encoders/text_encoder.py:34,143-179",
    min_words=80,
    note="512 less the 24 or so that the chat template and the system prompt take",
    openings=True,
)
_ALL = (
    Target(
        name="cosmos-transfer1",
        limit=512,
        encoder="t5",
        unit=_T5,
        source="cosmos-transfer1 cosmos_transfer1/utils/t5_text_encoder.py:49-95",
        note="longer prompts are silently truncated",
        openings=True,
    ),
    Target(
        name="cosmos-predict1",
        limit=512,
        encoder="t5",
        unit=_T5,
        source="cosmos-predict1 cosmos_predict1/auxiliary/t5_text_encoder.py:50-95",
        note="the model card asks for fewer than 300 words",
        openings=True,
    ),
    _TRANSFER25,
    replace(
        _TRANSFER25,
        name="cosmos-predict2.5",
        source="cosmos-predict2.5 _src/predict2/text_encoders/text_encoder.py:32,168-175",
    ),
    Target(
        name="wan",
        limit=512,
        encoder="umt5",
        unit="umT5 tokens, end token included",
        source="Wan2.1 and Wan2.2 wan/configs/shared_config.py:11",
        note="users report poorer results past some 320 to 350 tokens",
        languages=("English", "Chinese"),
        shot=True,
        style="first",
        quotes_drawn=True,
    ),
    Target(
        name="hunyuan-video",
        limit=256,
        encoder="llama3",
        unit="LLaVA-Llama-3 tokens",
        source="HunyuanVideo hyvideo/config.py:102,166-170",
        min_words=5,
        max_words=80,
        note="its second encoder, CLIP, reads only the first 77 tokens",
        languages=("English", "Chinese"),
        style="last tags",
    ),
    Target(
        name="hunyuan-video-1.5",
        limit=1000,
        encoder="qwen2.5",
        unit="Qwen2.5-VL tokens",
        source="HunyuanVideo-1.5 hunyuan_video_pipeline.py:1592,109",
        min_words=80,
        max_words=300,
        note="words to be drawn as letters go to byT5, which reads 256 tokens",
        languages=("English", "Chinese"),
        camera="only asked",
        quotes_drawn=True,
    ),
    Target(
        name="ltx-video",
        limit=256,
        encoder="t5",
        unit=_T5,
        source="LTX-Video pipeline_ltx_video.py:318,359",
        max_words=140,
        note="its own enhancer stops at 256 tokens too",
    ),
    Target(
        name="ltx-2",
        limit=1024,
        encoder="gemma3",
        unit="Gemma tokens",
        source="LTX-2 gemma_assets.py:162",
        min_words=100,
        camera="only asked",
        sound=True,
        style="first",
        quotes_drawn=True,
    ),
    Target(
        name="cogvideox",
        limit=226,
        encoder="t5",
        unit=_T5,
        source="CogVideo README.md:240",
        max_words=120,
    ),
    Target(
        name="open-sora",
        limit=512,
        encoder="t5",
        unit=_T5,
        source="Open-Sora configs 256px.py:69,75",
        min_words=80,
        note="its second encoder, CLIP, reads only the first 77 tokens",
    ),
)

TARGETS: dict[str, Target] = {item.name: item for item in _ALL}
DEFAULT_TARGET = "cosmos-transfer1"


def target(name: str = DEFAULT_TARGET) -> Target:
    """Look up a target by its name; case, spaces and underscores do not matter.

    Raises:
        OptionError: There is no such target; the remedy names the nearest, or all.
    """
    wanted = "-".join(name.lower().replace("_", " ").split())
    if wanted in TARGETS:
        return TARGETS[wanted]
    near = get_close_matches(wanted, TARGETS, n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]!r}" if near else f"use one of {', '.join(TARGETS)}"
    raise OptionError(f"there is no target {name[:80]!r}", remedy=remedy)


def prompt_language(goal: Target, requested: str | None) -> str:
    """The language in which a prompt is to be written.

    Args:
        goal: The generator.
        requested: The language of the short prompt, or its script; None where neither is known.

    Returns:
        The user's own where the generator reads it, else the first that it reads.
    """
    language = "Chinese" if requested == "han" else requested
    return language if language in goal.languages else goal.languages[0]


def estimate_tokens(text: str, target: Target) -> int:
    """Estimate from above what a prompt costs a target's encoder, without its tokenizer.

    See `promptlift.tokens.text` for how loose the estimate is.
    """
    return estimate(text, target.encoder)
