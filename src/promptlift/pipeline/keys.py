"""Which work an item is: its template, the digest of its settings, and its key."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final

from promptlift.options import Options
from promptlift.planning import DEFAULT_RESERVE
from promptlift.targets.templates import Template, template
from promptlift.text import counted
from promptlift.types import EngineInfo

__all__ = ["NO_VIDEO", "choose_template", "options_as_json", "settings_of", "work_key"]

UPSAMPLER_IMAGES: Final = 2
"""The most images of a request in Cosmos-Transfer1: auxiliary/upsampler/model/upsampler.py."""

NO_VIDEO: Final = ""
"""What stands for the content of the video in the key of an item that has words alone."""


def choose_template(options: Options, info: EngineInfo) -> tuple[Template, str]:
    """The template, with the limits of the model that it is for, and why it is that one."""
    # By name or path; GGUF files, Ollama and the hub's cache each write it their own way.
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in (info.model, info.origin)]
    name = next((name for name in names if "cosmosupsampl" in name), None)
    if options.template is not None:
        used, reason = options.template, "chosen with --template"
    elif not info.reads_text:
        used, reason = "verbatim/1", f"the {info.name} engine reads no instruction"
    elif name is None:
        used, reason = "instruct/2", "a general model needs an instruction"
    elif options.goal.document:
        used, reason = "instruct/2", "the Cosmos upsampler was trained on prose only"
    else:
        kinds = {"text2world": "predict1-text/1", "video2world": "predict1-video/1"}
        used = next((kinds[kind] for kind in kinds if kind in name), "verbatim/1")
        reason = "the Cosmos upsampler was trained without an instruction"
    made = template(used) if isinstance(used, str) else used
    if made.name == "verbatim/1" and name is not None and info.reads_text:
        made = replace(
            made, max_images=UPSAMPLER_IMAGES, reserve=DEFAULT_RESERVE, needs_images=True
        )
    if made.max_images is not None and options.frame_count > made.max_images:
        reason += (
            f", and with at most {counted(made.max_images, 'image')}, not {options.frame_count}"
        )
    # A template from a file has a variable for each of the others.
    told = ("instruction",) if made.source else ("instruction", "language", "style", "creativity")
    given = [
        f"--{name}" for name in told if getattr(options, name) != Options.model_fields[name].default
    ]
    if given and not made.takes_instruction:
        reason += f"; it takes no {' or '.join(given)}"
    return made, reason


def options_as_json(options: Options) -> dict[str, Any]:
    """The options that an answer depends on, as JSON values; what was left open is null.

    These are the options as the user gave them. The plan follows from these and from how much the
    engine takes today; an engine that comes back with a larger context does not make finished
    work another.
    """
    values = options.model_dump(
        mode="json",
        exclude={"template", "target_tokenizer", "attempts", "on_reject", "isolated"},
    )
    return values if options.strategy == "fps" else {**values, "fps": None}


@lru_cache(maxsize=256)
def settings_of(options: Options, info: EngineInfo) -> str:
    """Digest of all that an answer depends on besides the video and the short prompt.

    Returns:
        64 hexadecimal digits: SHA-256 of JSON with sorted keys.
    """
    parts = {
        "options": options_as_json(options),
        "engine": [info.name, info.model, info.revision],
        "template": choose_template(options, info)[0].name,
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def work_key(settings: str, *, content: str, short_prompt: str) -> str:
    """Identity by content: the same for the same work, whatever the file is called.

    Known before the video is decoded.

    Args:
        settings: See `settings_of`.
        content: The video's, as `promptlift.files.content_id` gives it.
        short_prompt: The user's words, checked.

    Returns:
        64 hexadecimal digits: SHA-256 of the three as a JSON list.
    """
    # By hand, since a resume names each item of a million anew.
    text = f"[{_quoted(settings)},{_quoted(content)},{_quoted(short_prompt)}]"
    return hashlib.sha256(text.encode()).hexdigest()
