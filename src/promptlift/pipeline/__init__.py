"""One item, from a video and a short prompt to a record: prepare it, then have it answered.

::

    video ─▶ analyse ─▶ plan ─▶ read frames ─▶ Prepared ─▶ ask ─▶ review ─▶ Record
                                                            ▲       │
                                                            └─ again┘
"""

from __future__ import annotations

from promptlift.pipeline.answer import OnText, Outcome, answer, upsample_item
from promptlift.pipeline.context_fit import Adjustment, EngineProfile, profile_of
from promptlift.pipeline.prepare import (
    PRELOAD,
    Prepared,
    Progress,
    Stage,
    choose_template,
    options_as_json,
    prepare,
    settings_of,
    work_key,
)
from promptlift.pipeline.video_cache import Runner, VideoCache, run_in_thread

__all__ = [
    "PRELOAD",
    "Adjustment",
    "EngineProfile",
    "OnText",
    "Outcome",
    "Prepared",
    "Progress",
    "Runner",
    "Stage",
    "VideoCache",
    "answer",
    "choose_template",
    "options_as_json",
    "prepare",
    "profile_of",
    "run_in_thread",
    "settings_of",
    "upsample_item",
    "work_key",
]
