"""For tests of code that uses promptlift: a scripted engine, and videos drawn on the spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptlift.testing.engines import FakeEngine
    from promptlift.testing.video import Motion, synthetic_pictures, synthetic_video

__all__ = ["FakeEngine", "Motion", "synthetic_pictures", "synthetic_video"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = "engines" if name == "FakeEngine" else "video"
    return getattr(import_module(f"{__name__}.{module}"), name)
