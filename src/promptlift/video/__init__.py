"""Video in and hint clips out, through PyAV and Pillow.

The names below are imported when they are first used, so that importing this package does not
import PyAV, NumPy and Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.video.export import write_hints, write_pngs
    from promptlift.video.reader import (
        AnalysedError,
        FrameChoice,
        Reader,
        VideoAnalysis,
        analyse,
        analyse_and_read,
        frame_count,
        hint_frames,
        read_frames,
    )
    from promptlift.video.source import Limits, Source, VideoRegion, open_video, probe
    from promptlift.video.workers import IsolationLimits, ProcessPool, isolated_call

__all__ = [
    "AnalysedError",
    "FrameChoice",
    "IsolationLimits",
    "Limits",
    "ProcessPool",
    "Reader",
    "Source",
    "VideoAnalysis",
    "VideoRegion",
    "analyse",
    "analyse_and_read",
    "frame_count",
    "hint_frames",
    "isolated_call",
    "open_video",
    "probe",
    "read_frames",
    "write_hints",
    "write_pngs",
]


def __getattr__(name: str) -> object:
    for home in ("source", "workers", "export", "reader") if name in __all__ else ():
        module = import_module(f"{__name__}.{home}")
        if name in module.__all__:
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
