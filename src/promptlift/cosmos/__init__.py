"""Cosmos's own files and classes: what its generators read, and a drop-in for its upsampler."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlift.cosmos.drop_in import PixtralPromptUpsampler
    from promptlift.cosmos.plan import SpecOptions
    from promptlift.cosmos.review_sheet import render_review_sheet
    from promptlift.cosmos.spec_file import read_spec
    from promptlift.cosmos.transfer1_check import check_spec
    from promptlift.cosmos.upsample import (
        Outputs,
        SpecRefusal,
        SpecResult,
        SpecRows,
        upsample_specs,
        write_back,
    )

__all__ = [
    "Outputs",
    "PixtralPromptUpsampler",
    "SpecOptions",
    "SpecRefusal",
    "SpecResult",
    "SpecRows",
    "check_spec",
    "read_spec",
    "render_review_sheet",
    "upsample_specs",
    "write_back",
]

_HOMES = {
    "drop_in": ("PixtralPromptUpsampler",),
    "plan": ("SpecOptions",),
    "review_sheet": ("render_review_sheet",),
    "spec_file": ("read_spec",),
    "transfer1_check": ("check_spec",),
    "upsample": (
        "Outputs",
        "SpecRefusal",
        "SpecResult",
        "SpecRows",
        "upsample_specs",
        "write_back",
    ),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
