"""One item, from a video and a short prompt to a record: prepare it, then have it answered.

::

    video ─▶ analyse ─▶ plan ─▶ read frames ─▶ Prepared ─▶ ask ─▶ review ─▶ Record
                                                            ▲       │
                                                            └─ again┘
"""

from __future__ import annotations

from promptlift.pipeline.answer import OnText, Outcome, answer, profile_of, upsample_item
from promptlift.pipeline.keys import (
    NO_VIDEO,
    choose_template,
    options_as_json,
    settings_of,
    work_key,
)
from promptlift.pipeline.prepare import (
    PRELOAD,
    Adjustment,
    EngineProfile,
    Prepared,
    Progress,
    Stage,
    prepare,
)
from promptlift.pipeline.video_cache import Runner, VideoCache

__all__ = [
    "NO_VIDEO",
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
    "settings_of",
    "upsample_item",
    "work_key",
]
