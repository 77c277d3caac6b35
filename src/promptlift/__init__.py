"""Turn a video and a short prompt into the long, grounded prompt that a video model wants.

::

    import promptlift

    record = promptlift.upsample("clip.mp4", "a robot arm hands over a cup")
    print(record.prompt)

Everything here is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptlift.api import Upsampler, check, upsample
    from promptlift.client import Client
    from promptlift.errors import (
        BudgetError,
        ConfigEngineError,
        EngineBusy,
        EngineError,
        InputError,
        ItemEngineError,
        OptionError,
        OutputError,
        PromptError,
        PromptliftError,
        SpecError,
        TransientEngineError,
        VideoError,
        VideoNotFound,
        VideoRefused,
        VideoTimeout,
        VideoUnreadable,
    )
    from promptlift.options import Options
    from promptlift.planning import Plan, plan
    from promptlift.record import Record
    from promptlift.rendering import render
    from promptlift.types import Frame, Size, VideoInfo
    from promptlift.video.source import Pictures, probe

__version__ = "0.1.0"

__all__ = [
    "BudgetError",
    "Client",
    "ConfigEngineError",
    "EngineBusy",
    "EngineError",
    "Frame",
    "InputError",
    "ItemEngineError",
    "OptionError",
    "Options",
    "OutputError",
    "Pictures",
    "Plan",
    "PromptError",
    "PromptliftError",
    "Record",
    "Size",
    "SpecError",
    "TransientEngineError",
    "Upsampler",
    "VideoError",
    "VideoInfo",
    "VideoNotFound",
    "VideoRefused",
    "VideoTimeout",
    "VideoUnreadable",
    "__version__",
    "check",
    "plan",
    "probe",
    "render",
    "upsample",
]

_HOMES = {
    "Client": "client",
    "Frame": "types",
    "Options": "options",
    "Pictures": "video.source",
    "Plan": "planning",
    "Record": "record",
    "Size": "types",
    "Upsampler": "api",
    "VideoInfo": "types",
    "check": "api",
    "plan": "planning",
    "probe": "video.source",
    "render": "rendering",
    "upsample": "api",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
