"""Identity by content: which work is the same work, told before a video is decoded.

What the answer depends on is the video's content, the short prompt and the settings *as asked*.
The plan follows from these and from how much the engine takes today; an engine that comes back
with a larger context does not make finished work another.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from promptlift.config import Options
from promptlift.core.record import item_key, settings_digest
from promptlift.engines.base import EngineInfo

__all__ = ["as_asked", "choose_template", "settings_of", "template_name", "work_key"]

_COSMOS_UPSAMPLER = "cosmosupsampleprompt1"


def choose_template(options: Options, who: EngineInfo) -> tuple[str, str]:
    """The name of the template, and why it is that one."""
    if options.template is not None:
        return options.template, "chosen with --template"
    if not who.reads_text:
        return "verbatim/1", f"the {who.name} engine reads no instruction"
    if _is_cosmos_upsampler(who.model) or _is_cosmos_upsampler(who.origin):
        return "verbatim/1", "the Cosmos upsampler was trained without an instruction"
    return "instruct/1", "a general model needs an instruction"


def template_name(options: Options, who: EngineInfo) -> str:
    """The name of the template alone."""
    return choose_template(options, who)[0]


def _is_cosmos_upsampler(name: str) -> bool:
    """By a name or a path; GGUF files, Ollama and the hub's cache each write it their own way."""
    return _COSMOS_UPSAMPLER in re.sub(r"[^a-z0-9]", "", name.lower())


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
