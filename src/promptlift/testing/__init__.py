"""What tests of code that uses promptlift need: made here, quick, and the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptlift.testing.engines import Delay, FakeEngine, Fault, FaultyEngine
    from promptlift.testing.video import Motion, synthetic_pictures, synthetic_video

__all__ = [
    "Delay",
    "FakeEngine",
    "Fault",
    "FaultyEngine",
    "Motion",
    "synthetic_pictures",
    "synthetic_video",
]

_ENGINES = {"Delay", "FakeEngine", "Fault", "FaultyEngine"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "engines" if name in _ENGINES else "video"
    return getattr(import_module(f"{__name__}.{home}"), name)
