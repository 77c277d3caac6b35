"""Video in and hint clips out, through PyAV and Pillow.

The names below are imported when they are first used, so that importing this package does not
import PyAV, NumPy and Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.frames.opening import open_video, probe
    from promptlift.frames.reader import Reader
    from promptlift.frames.source import DEFAULT_LIMITS, Limits, Source

__all__ = ["DEFAULT_LIMITS", "Limits", "Reader", "Source", "open_video", "probe"]

_HOMES = {
    "DEFAULT_LIMITS": "source",
    "Limits": "source",
    "Reader": "reader",
    "Source": "source",
    "open_video": "opening",
    "probe": "opening",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
