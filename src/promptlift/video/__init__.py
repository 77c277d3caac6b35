"""Video in and hint clips out, through PyAV and Pillow.

The names below are imported when they are first used, so that importing this package does not
import PyAV, NumPy and Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.video.export import check_target, sheet_png, write_hints, write_pngs
    from promptlift.video.reader import Reader, hint_frames
    from promptlift.video.session import (
        FrameChoice,
        VideoAnalysis,
        analyse,
        analyse_and_read,
        frame_count,
        read_frames,
    )
    from promptlift.video.source import (
        DEFAULT_LIMITS,
        Limits,
        Source,
        VideoRegion,
        content_of,
        open_video,
        probe,
    )
    from promptlift.video.workers import IsolationLimits, ProcessPool, isolated_call

__all__ = [
    "DEFAULT_LIMITS",
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
    "check_target",
    "content_of",
    "frame_count",
    "hint_frames",
    "isolated_call",
    "open_video",
    "probe",
    "read_frames",
    "sheet_png",
    "write_hints",
    "write_pngs",
]

_HOMES = {
    "export": ("check_target", "sheet_png", "write_hints", "write_pngs"),
    "reader": ("Reader", "hint_frames"),
    "session": (
        "FrameChoice",
        "VideoAnalysis",
        "analyse",
        "analyse_and_read",
        "frame_count",
        "read_frames",
    ),
    "source": (
        "DEFAULT_LIMITS",
        "Limits",
        "Source",
        "VideoRegion",
        "content_of",
        "open_video",
        "probe",
    ),
    "workers": ("IsolationLimits", "ProcessPool", "isolated_call"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
