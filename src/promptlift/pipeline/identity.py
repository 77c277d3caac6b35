"""Identity by content: which work is the same work, told before a video is decoded.

What the answer depends on is the video's content, the short prompt and the settings *as asked*.
The plan follows from these and from how much the engine takes today; an engine that comes back
with a larger context does not make finished work another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from promptlift.config import Options
from promptlift.core.record import item_key, settings_digest
from promptlift.engines.base import EngineInfo

__all__ = ["as_asked", "settings_of", "template_name", "work_key"]


def template_name(options: Options, who: EngineInfo) -> str:
    """Only general models take instructions; the Cosmos upsampler was trained without any."""
    if options.template is not None:
        return options.template
    upsampler = "Cosmos-UpsamplePrompt1" in who.model
    return "verbatim/1" if who.family is None or upsampler else "instruct/1"


def as_asked(options: Options) -> dict[str, Any]:
    """The options that an answer depends on, as JSON values; what was left open is null."""
    return {
        "strategy": options.strategy,
        "frames": options.frames,
        "fps": str(options.fps) if options.strategy == "fps" else None,
        "exact": options.exact,
        "size": None if options.size is None else str(options.size),
        "max_side": options.max_side,
        "context": options.context,
        "control": options.control,
        "controls": list(options.controls),
        "target": options.target,
        "reserve": options.reserve,
        "temperature": options.temperature,
        "seed": options.seed,
    }


@lru_cache(maxsize=256)
def settings_of(options: Options, who: EngineInfo) -> str:
    """Digest of all that an answer depends on besides the video and the short prompt."""
    return settings_digest(
        options=as_asked(options),
        engine=[who.name, who.model, who.revision],
        template=template_name(options, who),
    )


def work_key(settings: str, *, content: str, short_prompt: str) -> str:
    """The key of one item.

    Args:
        settings: See `settings_of`.
        content: The video's, as `promptlift.files.content_id` gives it.
        short_prompt: The user's words, checked.
    """
    return item_key(settings, content=content, prompt=short_prompt)
